"""The errors of Kinesis's API, and which of them each error of ours becomes. Pure."""

from __future__ import annotations

from typing import Final

from beam_dynamodb_streams.errors import (
    AccessDeniedError,
    CertificateError,
    ClosedError,
    ConnectorError,
    CredentialsError,
    ExpiredIteratorError,
    InvalidRequestError,
    NotFoundError,
    ThrottledError,
)

#: What every operation that needs enhanced fan-out is answered.
FAN_OUT_REFUSED: Final = (
    "enhanced fan-out is not available for a DynamoDB stream: use polling (KCL 2 and 3: a PollingConfig; "
    "MultiLangDaemon: retrievalMode = POLLING)"
)


class KinesisFault(Exception):
    """An error as Kinesis answers it: the name of an exception, a message, and the HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def invalid_argument(message: str) -> KinesisFault:
    return KinesisFault("InvalidArgumentException", message)


def not_found(message: str) -> KinesisFault:
    return KinesisFault("ResourceNotFoundException", message)


def expired_iterator(message: str) -> KinesisFault:
    return KinesisFault("ExpiredIteratorException", message)


def expired_token(message: str) -> KinesisFault:
    return KinesisFault("ExpiredNextTokenException", message)


def fault_of(error: ConnectorError, *, listing: bool) -> KinesisFault:
    """Return the fault that a failed call of DynamoDB Streams becomes. Lost data is not among them: see `losses`.

    Args:
      error: what the call raised.
      listing: whether it listed shards: Kinesis throttles those calls by another error.
    """
    text = str(error)
    match error:
        case ThrottledError() if listing:
            return KinesisFault("LimitExceededException", text)
        case ThrottledError():
            return KinesisFault("ProvisionedThroughputExceededException", text)
        case ExpiredIteratorError():
            return expired_iterator(text)
        case NotFoundError():
            return not_found(text)
        case InvalidRequestError():
            return invalid_argument(text)
        case AccessDeniedError() | CredentialsError() | CertificateError():
            return KinesisFault("AccessDeniedException", text)
        case ClosedError():
            return KinesisFault("InternalFailureException", "the interface is being closed", 500)
        case _:
            return KinesisFault("InternalFailureException", text, 500)
