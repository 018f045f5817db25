"""The error codes of AWS and the exception that each of them becomes: the only place that knows a code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from beam_dynamodb_streams.errors import (
    AccessDeniedError,
    ConditionFailedError,
    CredentialsError,
    ExpiredIteratorError,
    InvalidRequestError,
    NotFoundError,
    ResourceInUseError,
    ServiceError,
    ThrottledError,
    TransactionCanceledError,
    TrimmedDataError,
    UnavailableError,
    UnknownCodeError,
)

#: The codes of every service used here, and of what stands before them. No code means two things in two services; a
#: new service adds its own codes. By status: 429 is a throttle, 408 and 5xx are unavailable, any other an unknown code.
ERRORS: Final[Mapping[str, type[ServiceError]]] = {
    "LimitExceededException": ThrottledError,
    "ProvisionedThroughputExceededException": ThrottledError,
    "Throttling": ThrottledError,
    "ThrottlingException": ThrottledError,
    "ThrottledException": ThrottledError,
    "EC2ThrottledException": ThrottledError,
    "RequestThrottled": ThrottledError,
    "RequestThrottledException": ThrottledError,
    "RequestLimitExceeded": ThrottledError,
    "BandwidthLimitExceeded": ThrottledError,
    "TooManyRequestsException": ThrottledError,
    "SlowDown": ThrottledError,
    "PriorRequestNotComplete": ThrottledError,
    "TransactionConflictException": ThrottledError,
    "TransactionInProgressException": ThrottledError,
    "RequestTimeout": UnavailableError,
    "RequestTimeoutException": UnavailableError,
    "InternalServerError": UnavailableError,
    "InternalFailureException": UnavailableError,
    "ServiceUnavailable": UnavailableError,
    "ExpiredIteratorException": ExpiredIteratorError,
    "TrimmedDataAccessException": TrimmedDataError,
    "ResourceNotFoundException": NotFoundError,
    "ResourceInUseException": ResourceInUseError,
    "ConditionalCheckFailedException": ConditionFailedError,
    "TransactionCanceledException": TransactionCanceledError,
    # An endpoint that does not know a parameter, or one of its values, answers one of these.
    "ValidationException": InvalidRequestError,
    "ValidationError": InvalidRequestError,
    "SerializationException": InvalidRequestError,
    "InvalidParameterValue": InvalidRequestError,
    "InvalidParameterException": InvalidRequestError,
    "InvalidParameterCombination": InvalidRequestError,
    "UnknownParameterException": InvalidRequestError,
    "InvalidArgumentException": InvalidRequestError,
    "AccessDeniedException": AccessDeniedError,
    "KMSThrottlingException": ThrottledError,
    "UnrecognizedClientException": CredentialsError,
    "InvalidClientTokenId": CredentialsError,
    "InvalidSignatureException": CredentialsError,
    "SignatureDoesNotMatch": CredentialsError,
    "IncompleteSignature": CredentialsError,
    "IncompleteSignatureException": CredentialsError,
    "MissingAuthenticationToken": CredentialsError,
    "MissingAuthenticationTokenException": CredentialsError,
    "ExpiredToken": CredentialsError,
    "ExpiredTokenException": CredentialsError,
    "RequestTimeTooSkewed": CredentialsError,
    "RequestExpired": CredentialsError,
    "RequestInTheFuture": CredentialsError,
}

# Codes after which other credentials may work: these have expired, or were rotated since they were read.
_RENEWABLE = frozenset({"ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId"})
_SKEWED = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
#: The service's message to these quotes the signed request, session token included.
SIGNATURE_CODES: Final = frozenset({"InvalidSignatureException", "SignatureDoesNotMatch"})


class _Reason(msgspec.Struct):
    Code: str | None = None


class _ErrorBody(msgspec.Struct):
    type_: str | None = msgspec.field(default=None, name="__type")
    code: str | None = None
    message: str | None = None
    Message: str | None = None
    CancellationReasons: list[_Reason] = []


_error_body = msgspec.json.Decoder(_ErrorBody)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is an error: its status, its code without name space, and the service's own message.

    `reasons` are the codes of the parts of a cancelled transaction, "None" for a part that would have succeeded.
    """

    status: int
    code: str
    message: str
    request_id: str
    reasons: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether the code is one of `ERRORS`."""
        return self.code in ERRORS

    @property
    def skewed(self) -> bool:
        """Whether it was signed too far from the service's time ("Signature expired", "Signature not yet current")."""
        return self.code in _SKEWED or (
            self.code in SIGNATURE_CODES and self.message.startswith(("Signature expired", "Signature not yet current"))
        )

    @property
    def renewable(self) -> bool:
        """Whether other credentials may work."""
        return self.code in _RENEWABLE

    @property
    def kind(self) -> type[ServiceError]:
        """The class of the error to raise."""
        if kind := ERRORS.get(self.code):
            return kind
        if self.status == 429:
            return ThrottledError
        return UnavailableError if self.status >= 500 or self.status == 408 else UnknownCodeError


def read_refusal(status: int, error_type: str | None, request_id: str, body: bytes) -> Refusal:
    """Return what an answer other than 200 says.

    The code is written `com.amazonaws.dynamodb.v20120810#Code`, `Code:http://…` or `Code`. An answer without a code,
    such as a proxy's page, has its status for one.

    Args:
      status: the HTTP status.
      error_type: the x-amzn-errortype header, which some emulators send instead of `__type` in the body.
      request_id: the x-amzn-requestid header.
      body: JSON, or anything at all.
    """
    try:
        content = _error_body.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        content = _ErrorBody()
    named = content.type_ or content.code or error_type or str(status)
    code = named.rpartition("#")[2].partition(":")[0]
    reasons = tuple(reason.Code or "None" for reason in content.CancellationReasons)
    return Refusal(status, code, content.message or content.Message or "", request_id, reasons)


def error_of(
    refusal: Refusal,
    call: str,
    permission: str,
    *,
    stream: str | None = None,
    shard: str | None = None,
    position: str | None = None,
) -> ServiceError:
    """Return the error to raise for `refusal`.

    Args:
      refusal: the answer.
      call: what the call is named in the message.
      permission: the IAM actions that the call needs and on what, such as "dynamodb:GetRecords on arn:…".
      stream: where the call read, as are `shard` and `position`.
      shard: see `stream`.
      position: see `stream`.
    """
    kind = refusal.kind
    error = kind(_describe(kind, refusal, call, permission), stream=stream, shard=shard, position=position)
    error.code = refusal.code
    if isinstance(error, TransactionCanceledError):
        error.reasons = refusal.reasons
    return error


def _describe(kind: type[ServiceError], refusal: Refusal, call: str, permission: str) -> str:
    if kind is CredentialsError:
        # The service's own message quotes the signed request, session credentials included: it stays out.
        return f"{call} was refused ({refusal.code}): {_credentials_fix(refusal)}"
    if kind is AccessDeniedError:
        return (
            f"access denied: allow {permission} for the credentials in use ({call}, {refusal.code}: {refusal.message})"
        )
    request = f", request {refusal.request_id}" if kind is UnknownCodeError and refusal.request_id else ""
    message = f": {refusal.message}" if refusal.message else ""
    return f"{call} failed ({refusal.code}, HTTP {refusal.status}{request}){message}"


def _credentials_fix(refusal: Refusal) -> str:
    if refusal.skewed:
        return "the clock of this machine is wrong and could not be corrected; set it"
    if refusal.code.startswith("ExpiredToken"):
        return "the session credentials have expired and no newer ones were found; renew them"
    if refusal.code in SIGNATURE_CODES:
        return "the secret access key does not belong to the access key; check both"
    return "the access key is unknown or incomplete; check the credentials in use"
