"""Who made a change that no user made. Most are deletes by the time to live of an item."""

from __future__ import annotations

from typing import Any

import msgspec

from beam_dynamodb_streams.errors import MalformedRecordError

_members = msgspec.json.Decoder(dict[str, Any]).decode


def decode_identity(raw: bytes | msgspec.Raw | str) -> dict[str, Any]:
    """The members, spelt as received. Raises `MalformedRecordError` for other JSON than an object."""
    try:
        return _members(raw)
    except (msgspec.DecodeError, RecursionError):
        error = MalformedRecordError("user_identity is no object of JSON")
        error.payload = raw.encode() if isinstance(raw, str) else bytes(raw)
        raise error from None


def is_time_to_live(raw: bytes | msgspec.Raw | str | None) -> bool:
    """Whether the service itself made the change; False for what is no identity.

    It marks such a REMOVE with the identity Service, dynamodb.amazonaws.com. GetRecords spells the members ``Type`` and
    ``PrincipalId``, what Lambda passes on ``type`` and ``principalId``.
    """
    try:
        members = {} if raw is None else {name.lower(): value for name, value in decode_identity(raw).items()}
    except MalformedRecordError:
        return False
    return members.get("type") == "Service" and members.get("principalid") == "dynamodb.amazonaws.com"
