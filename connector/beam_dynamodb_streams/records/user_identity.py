"""The user identity of a change: who made it, if no user did. Most are deletes by an item's time to live."""

from __future__ import annotations

from typing import Any

import msgspec

from beam_dynamodb_streams.errors import MalformedRecordError

_members = msgspec.json.Decoder(dict[str, Any]).decode


def decode_identity(raw: bytes | msgspec.Raw | str) -> dict[str, Any]:
    """Return the members of the identity, spelt as received.

    Raises:
        MalformedRecordError: The JSON is not an object.
    """
    try:
        return _members(raw)
    except (msgspec.DecodeError, RecursionError):
        error = MalformedRecordError("user_identity is not a JSON object")
        error.payload = raw.encode() if isinstance(raw, str) else bytes(raw)
        raise error from None


def is_time_to_live(raw: bytes | msgspec.Raw | str | None) -> bool:
    """Return whether this is the identity of a delete by time to live; False if it is not an identity.

    The service marks such a REMOVE with type Service and principal dynamodb.amazonaws.com. GetRecords spells the
    members `Type` and `PrincipalId`; AWS Lambda passes them on as `type` and `principalId`.
    """
    try:
        members = {} if raw is None else {name.lower(): value for name, value in decode_identity(raw).items()}
    except MalformedRecordError:
        return False
    return members.get("type") == "Service" and members.get("principalid") == "dynamodb.amazonaws.com"
