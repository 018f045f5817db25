"""The service's error codes and what each means here; a code that is not in the table is an UnknownCodeError."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from beam_dynamodb_streams.errors import (
    AccessDeniedError,
    CredentialsError,
    ExpiredIteratorError,
    InvalidRequestError,
    NotFoundError,
    ServiceError,
    ThrottledError,
    TrimmedDataError,
    UnavailableError,
    UnknownCodeError,
)

ERRORS: dict[str, type[ServiceError]] = {
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
    "TransactionInProgressException": ThrottledError,
    "RequestTimeout": UnavailableError,
    "RequestTimeoutException": UnavailableError,
    "InternalServerError": UnavailableError,
    "ServiceUnavailable": UnavailableError,
    "ExpiredIteratorException": ExpiredIteratorError,
    "TrimmedDataAccessException": TrimmedDataError,
    "ResourceNotFoundException": NotFoundError,
    "ValidationException": InvalidRequestError,
    "ValidationError": InvalidRequestError,
    "SerializationException": InvalidRequestError,
    "InvalidParameterValue": InvalidRequestError,
    "InvalidParameterException": InvalidRequestError,
    "InvalidParameterCombination": InvalidRequestError,
    "UnknownParameterException": InvalidRequestError,
    "AccessDeniedException": AccessDeniedError,
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

# Codes after which other credentials may do better: expired, or rotated since they were read.
RENEWABLE = frozenset({"ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId"})
_SKEWED = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
_SIGNATURE = frozenset({"InvalidSignatureException", "SignatureDoesNotMatch"})


class _ErrorBody(msgspec.Struct):
    type_: str | None = msgspec.field(default=None, name="__type")
    code: str | None = None
    message: str | None = None
    Message: str | None = None


_error_body = msgspec.json.Decoder(_ErrorBody)


@dataclass(frozen=True, slots=True)
class Fault:
    """An answer other than 200: its status, its code without name space, and the service's own words."""

    status: int
    code: str
    message: str
    request_id: str

    @property
    def skewed(self) -> bool:
        """Signed too far from the service's time ("Signature expired: …", "Signature not yet current: …")."""
        return self.code in _SKEWED or (
            self.code in _SIGNATURE and self.message.startswith(("Signature expired", "Signature not yet current"))
        )

    @property
    def kind(self) -> type[ServiceError]:
        """The class of the error."""
        if kind := ERRORS.get(self.code):
            return kind
        if self.status == 429:
            return ThrottledError
        return UnavailableError if self.status >= 500 or self.status == 408 else UnknownCodeError


def read_fault(status: int, error_type: str | None, request_id: str, body: bytes) -> Fault:
    """``error_type`` is the x-amzn-errortype header, which some emulators send instead of ``__type``.

    The code is ``com.amazonaws.dynamodb.v20120810#Code``, ``Code:http://…`` or ``Code``; the status stands
    for it in an answer that has none (a proxy's page).
    """
    try:
        content = _error_body.decode(body)
    except msgspec.DecodeError:
        content = _ErrorBody()
    named = content.type_ or content.code or error_type or str(status)
    code = named.rpartition("#")[2].partition(":")[0]
    return Fault(status, code, content.message or content.Message or "", request_id)


def to_error(
    fault: Fault,
    operation: str,
    *,
    stream: str | None = None,
    shard: str | None = None,
    position: str | None = None,
    resource: str | None = None,
) -> ServiceError:
    """The error to raise for ``fault``. ``resource`` is what a permission is asked for."""
    kind = fault.kind
    error = kind(_describe(kind, fault, operation, resource), stream=stream, shard=shard, position=position)
    error.code = fault.code
    return error


def _describe(kind: type[ServiceError], fault: Fault, operation: str, resource: str | None) -> str:
    if kind is CredentialsError:
        # The service's own words quote the signed request, session credentials included: they stay out.
        return f"{operation} was refused ({fault.code}): {_credentials_fix(fault)}"
    if kind is AccessDeniedError:
        return (
            f"access denied: allow dynamodb:{operation} on {resource or 'the stream'} "
            f"for the credentials in use ({fault.code}: {fault.message})"
        )
    said = f": {fault.message}" if fault.message else ""
    request = f", request {fault.request_id}" if kind is UnknownCodeError and fault.request_id else ""
    return f"{operation} failed ({fault.code}, HTTP {fault.status}{request}){said}"


def _credentials_fix(fault: Fault) -> str:
    if fault.skewed:
        return "the clock of this machine is wrong and could not be corrected; set it"
    if fault.code.startswith("ExpiredToken"):
        return "the session credentials have expired and no newer ones were found; renew them"
    if fault.code in _SIGNATURE:
        return "the secret access key does not belong to the access key; check both"
    return "the access key is unknown or incomplete; check the credentials in use"
