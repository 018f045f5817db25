"""What an error means where a Kinesis data stream is read, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from beam_dynamodb_streams.errors import (
    AccessDeniedError,
    InvalidRequestError,
    ResourceInUseError,
    ServiceError,
    UnavailableError,
    UnknownCodeError,
)

#: By the code of an error about the key with which the stream is encrypted. KMSThrottlingException is a delay.
_KEY_FIXES: Final[Mapping[str, str]] = {
    "KMSAccessDeniedException": "allow kms:Decrypt on the stream's key for the credentials in use",
    "KMSDisabledException": "enable the stream's key, or records that were encrypted with it cannot be read",
    "KMSInvalidStateException": "the stream's key is being deleted or imported: cancel the deletion, or import it",
    "KMSNotFoundException": "the stream's key does not exist: records that were encrypted with it cannot be read",
    "KMSOptInRequired": "this account must be signed up for AWS KMS",
}


def explained(error: ServiceError) -> ServiceError:
    """Return the error to raise for an error of a call on a data stream; the same one if nothing is to be added."""
    match error:
        case ResourceInUseError():  # ListShards needs a stream that is ACTIVE
            return _with_fix(error, UnavailableError, "the data stream is being created or deleted")
        case UnknownCodeError(code=str(code)) if code in _KEY_FIXES:
            kind = AccessDeniedError if code == "KMSAccessDeniedException" else UnknownCodeError
            return _with_fix(error, kind, _KEY_FIXES[code])
        case InvalidRequestError(position=str()):
            fix = "if the data stream was deleted and created again, the position is of the old one: start a new read"
            return _with_fix(error, InvalidRequestError, fix)
    return error


def _with_fix(error: ServiceError, kind: type[ServiceError], fix: str) -> ServiceError:
    explained = kind(f"{error.message}; {fix}", stream=error.stream, shard=error.shard, position=error.position)
    explained.code, explained.operation = error.code, error.operation
    return explained
