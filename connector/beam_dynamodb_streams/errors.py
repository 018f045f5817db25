"""One tree of exceptions: everything that this package raises on purpose is a `ConnectorError`.

    ConnectorError
    ├── InvalidOptionError (ValueError)          an option was refused
    ├── RunnerError                              the runner cannot run the pipeline as written
    ├── ElementTypeError (TypeError)             a step received an element of the wrong type
    ├── InvalidValueError (ValueError, TypeError)  a value cannot be part of a change record
    ├── MalformedRecordError (ValueError)        a record is not what the service documents
    ├── MisfitError (ValueError)                 a value does not fit its declared column
    ├── DataLossError                            changes were lost before they were read
    ├── ExportError                              an export to S3 cannot be read, or is not what it is taken for
    ├── LakehouseError                           a lakehouse table cannot be created, changed or committed to
    ├── ProgressHeldError                        another run of the application is alive
    ├── FencedError                              another run took the application over
    ├── HandlerError                             a handler keeps failing, and the runner is to repeat the bundle
    ├── ClosedError                              the client was closed
    └── ServiceError                             a call to AWS failed; `code` is the service's code
        ├── DelayError                           the fault passes without help: the call is retried
        │   ├── ThrottledError
        │   └── UnavailableError
        ├── AccessDeniedError
        ├── CredentialsError
        ├── CertificateError
        ├── NotFoundError
        ├── StreamNotEnabledError
        ├── ExpiredIteratorError
        ├── TrimmedDataError
        ├── InvalidRequestError
        ├── ConditionFailedError                 a conditional write was not applied
        ├── TransactionCanceledError             none of a transaction's writes was applied
        ├── ResourceInUseError                   the table to create exists
        ├── IteratorTypeError                    the endpoint lacks AT_TIMESTAMP
        ├── ShardFilterError                     the endpoint lacks ShardFilter
        └── UnknownCodeError                     a code that is not in the connector's table

A class that also derives from a built-in exception can be caught as either. An error that concerns a stream names the
stream, the shard and the position.
"""

from __future__ import annotations

from typing import Any


class ConnectorError(Exception):
    """Base of all errors that this package raises.

    `stream`, `shard` and `position` are text, or None where the error does not concern one.
    """

    def __init__(
        self,
        message: str,
        *,
        stream: str | None = None,
        shard: str | None = None,
        position: str | None = None,
    ) -> None:
        self.message = message
        self.stream = stream
        self.shard = shard
        self.position = position
        super().__init__(message)

    def __str__(self) -> str:
        where = [f"{name} {value}" for name in ("stream", "shard", "position") if (value := getattr(self, name))]
        return f"{self.message} [{', '.join(where)}]" if where else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Runners pickle errors across processes; keyword-only arguments need the explicit form.
        return (_rebuild, (type(self), dict(self.__dict__), self.args))


def _rebuild(kind: type[ConnectorError], state: dict[str, Any], args: tuple[Any, ...]) -> ConnectorError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class InvalidOptionError(ConnectorError, ValueError):
    """An option was refused. The message quotes its value and names the fix."""


class RunnerError(ConnectorError):
    """The runner cannot run the pipeline as written. The message names a runner that can."""


class DataLossError(ConnectorError):
    """Changes were lost, or may have been lost, before they were read, and `on_data_loss="fail"`."""


class NewStreamError(ConnectorError):
    """The table has another stream, or is another table of the same name, and the read must not continue in it."""


class ExportError(ConnectorError):
    """An export to S3 cannot be read as the items, or the net changes, of the table. The message says the way out."""


class LakehouseError(ConnectorError):
    """A table of a lakehouse cannot be created, changed or committed to. What was committed before stays as it is."""


class MalformedRecordError(ConnectorError, ValueError):
    """A record or an attribute value is not what the service documents. `payload` holds its bytes, if known."""

    payload: bytes | None = None


class ElementTypeError(ConnectorError, TypeError):
    """A step received an element of a type that it does not accept. The message names the type and the fix."""


class InvalidValueError(ConnectorError, ValueError, TypeError):
    """A Python value cannot be an attribute value or a part of a change record. The message names one that can."""


class MisfitError(ConnectorError, ValueError):
    """An attribute does not fit its declared column and `on_misfit="raise"`. The message names both."""


class ServiceError(ConnectorError):
    """A call to AWS failed. `code` is the service's own error code, or None where no answer carried one.

    A plain `ServiceError` is an answer that is not what the service documents. `operation` is the call that failed,
    such as "GetRecords", or None where it is not known.
    """

    code: str | None = None
    operation: str | None = None


class DelayError(ServiceError):
    """A fault that passes without help. The call is retried with back-off and counted; it never means a loss."""


class ThrottledError(DelayError):
    """The service throttled the call: ProvisionedThroughputExceededException, ThrottlingException and their like."""


class UnavailableError(DelayError):
    """A 5xx answer, a dropped connection, a time-out, a cut-off body or a checksum that does not match.

    So is an answer without what it must have, which is not the service's. `body_checksum` is that of a body that could
    not be decoded: the same garbage again and again does not pass.
    """

    body_checksum: int | None = None


class AccessDeniedError(ServiceError):
    """The credentials lack a permission. The message names the action to allow and the resource."""


class CredentialsError(ServiceError):
    """No credentials were found, or they are invalid, or they have expired and could not be refreshed."""


class CertificateError(ServiceError):
    """The endpoint's TLS certificate is not trusted, or belongs to another host."""


class NotFoundError(ServiceError):
    """The table, stream or shard does not exist (ResourceNotFoundException)."""


class StreamNotEnabledError(ServiceError):
    """The table exists but has no stream."""


class ExpiredIteratorError(ServiceError):
    """The shard iterator is older than 15 minutes (ExpiredIteratorException). Request a new one from the position."""


class TrimmedDataError(ServiceError):
    """The position is past the trim horizon (TrimmedDataAccessException): its records are gone.

    `certain`: whether a page that was asked for proves that an unread record is gone, and not only that the position
    is. The reader decides by it what it reports.
    """

    certain: bool = True


class InvalidRequestError(ServiceError):
    """The endpoint refused a parameter or its value (ValidationException, SerializationException and their like)."""


class ConditionFailedError(ServiceError):
    """The condition of a write did not hold, so it was not applied (ConditionalCheckFailedException)."""


class TransactionCanceledError(ServiceError):
    """A transaction was cancelled, so none of its writes was applied (TransactionCanceledException).

    `reasons` has the service's code for each write in order, "None" for one that did not stand in the way.
    """

    reasons: tuple[str, ...] = ()


class ResourceInUseError(ServiceError):
    """The table exists already, or is being created or deleted (ResourceInUseException)."""


class IteratorTypeError(ServiceError):
    """The endpoint does not support AT_TIMESTAMP, as some emulators. Read from the trim horizon and skip."""


class ShardFilterError(ServiceError):
    """The endpoint does not support ShardFilter CHILD_SHARDS. List the whole stream instead."""


class UnknownCodeError(ServiceError):
    """The service answered with an error code that the connector does not know. `code` holds it.

    The message quotes the service's own message, the HTTP status and the id of the request. The code of an answer
    without one, such as a proxy's page, is its HTTP status.
    """


class ClosedError(ConnectorError):
    """The client was closed before the call, or while it waited to retry, because the reader is being stopped."""


class ProgressHeldError(ConnectorError):
    """Another run of the same application is alive. Two runs must not move the same progress."""


class HandlerError(ConnectorError):
    """A handler failed so often with the same changes that the repeat is left to the runner.

    The changes are not lost: the bundle fails, and the runner repeats it. Where it does not, the pipeline ends.
    """


class FencedError(ConnectorError):
    """Another run took over the application's progress. This run must not move it any more, and ends."""
