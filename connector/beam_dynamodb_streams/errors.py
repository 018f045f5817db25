"""One exception tree. Every error that concerns a stream names the stream, the shard and the position it concerns."""

from __future__ import annotations

from typing import Any


class ConnectorError(Exception):
    """Base of all errors raised by this package.

    ``stream``, ``shard`` and ``position`` are text, or None where the error concerns none.
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
    """An option was refused: the message quotes its value and names the fix."""


class RunnerError(ConnectorError):
    """The pipeline would land on a runner that cannot run it as asked; the message names one that can."""


class DataLossError(ConnectorError):
    """Changes were, or may have been, lost unread and ``on_data_loss="fail"``."""


class MalformedRecordError(ConnectorError, ValueError):
    """A record or an attribute value is not what the service documents. ``payload`` holds its bytes, if known."""

    payload: bytes | None = None


class ElementTypeError(ConnectorError, TypeError):
    """A step was given an element of a type that it does not take; the message names the type and the fix."""


class InvalidValueError(ConnectorError, ValueError, TypeError):
    """A Python value cannot be an attribute value or a part of a change record; the message names one that can."""


class MisfitError(ConnectorError, ValueError):
    """An attribute does not fit its declared column and ``on_misfit="raise"``; the message names both."""


class ServiceError(ConnectorError):
    """The service answered with an error that the reader knows. ``code`` is the service's own code, if any."""

    code: str | None = None


class DelayError(ServiceError):
    """A fault that passes by itself: retried with back-off, counted, never a loss."""


class ThrottledError(DelayError):
    """A throttle: ProvisionedThroughputExceededException, ThrottlingException, or what else AWS calls it."""


class UnavailableError(DelayError):
    """A 5xx answer, a dropped connection, a time-out, a cut-off body or a checksum that does not match."""


class AccessDeniedError(ServiceError):
    """The credentials lack a permission; the message names the action to allow and the resource."""


class CredentialsError(ServiceError):
    """No credentials were found, or they are invalid or expired and could not be refreshed."""


class NotFoundError(ServiceError):
    """The table, stream or shard does not exist (ResourceNotFoundException)."""


class StreamNotEnabledError(ServiceError):
    """The table exists but has no stream."""


class ExpiredIteratorError(ServiceError):
    """The shard iterator is older than 15 minutes (ExpiredIteratorException): ask again from the position."""


class TrimmedDataError(ServiceError):
    """The position is past the trim horizon (TrimmedDataAccessException): its records are gone."""


class IteratorTypeError(ServiceError):
    """The endpoint does not know AT_TIMESTAMP (older endpoints and emulators): read from the horizon and skip."""


class ShardFilterError(ServiceError):
    """The endpoint does not know ShardFilter CHILD_SHARDS: list the whole stream instead."""


class ClosedError(ConnectorError):
    """The client was closed before the call or while it waited to try again: the reader is being stopped."""


class ProgressHeldError(ConnectorError):
    """Another run of the same application is alive: it moves the progress, and a second one would move it too."""


class FencedError(ConnectorError):
    """Another run took the application's progress over; this one must not move it any more, and ends."""
