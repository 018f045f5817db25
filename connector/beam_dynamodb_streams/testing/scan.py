"""The operation Scan: one page of a table's items, of one segment or of the whole table."""

from __future__ import annotations

from typing import cast

import msgspec

from beam_dynamodb_streams.testing.answers import Refusal, constraint, invalid, limit
from beam_dynamodb_streams.testing.faults import FaultRules
from beam_dynamodb_streams.testing.table import Table
from beam_dynamodb_streams.testing.values import Attributes, to_json

MAX_ITEMS = 1_000_000
MAX_SEGMENTS = 1_000_000
_UNIT_BYTES = 4096
_MEMBERS = {
    "TableName",
    "Limit",
    "ExclusiveStartKey",
    "ConsistentRead",
    "Select",
    "Segment",
    "TotalSegments",
    "ReturnConsumedCapacity",
}


def scan(table: Table, members: dict[str, object], rules: FaultRules) -> bytes:
    """Return the answer to Scan.

    A consistent read has every write that was completed before it. Another one may show each item as it was up to
    `Faults.stale_reads` seconds ago.
    """
    most = limit(members, MAX_ITEMS)
    if unknown := members.keys() - _MEMBERS:
        raise invalid(f"This endpoint does not support {', '.join(sorted(unknown))} of Scan")
    segment, total = _segment(members)
    start = _start(table, members.get("ExclusiveStartKey"))
    if start is not None and table.contents.segment_of(start, total) != segment:
        raise invalid(
            "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with "
            f"correct Segment. TotalSegments: {total} Segment: {segment}"
        )
    consistent, stale = members.get("ConsistentRead") is True, rules.faults.stale_reads
    now, dice = rules.clock(), rules.dice("stale_reads", "Scan", table.name)
    page = table.contents.page(
        start,
        most,
        segment=segment,
        total=total,
        seen_at=None if consistent or not stale else lambda: now - dice.random() * stale,
    )
    count = b'],"Count":%d,"ScannedCount":%d' % (len(page.items), len(page.items))
    following = b"" if page.last is None else b',"LastEvaluatedKey":' + page.last
    capacity = _consumed(members, table.name, page.size, consistent=consistent)
    return b'{"Items":[' + b",".join(page.items) + count + following + capacity + b"}"


def _segment(members: dict[str, object]) -> tuple[int, int]:
    """Return the segment and the number of segments. Raises `Refusal` unless both are given, or none."""
    segment, total = (_number(members, name) for name in ("Segment", "TotalSegments"))
    if segment is None and total is None:
        return 0, 1
    if total is None:
        raise invalid(
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is "
            "present"
        )
    if segment is None:
        raise invalid(
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is "
            "present"
        )
    if not 1 <= total <= MAX_SEGMENTS:
        bound = "greater than or equal to 1" if total < 1 else f"less than or equal to {MAX_SEGMENTS}"
        raise constraint(total, "totalSegments", f"have value {bound}")
    if segment < 0:
        raise constraint(segment, "segment", "have value greater than or equal to 0")
    if segment >= total:
        raise invalid(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: "
            f"Segment: {segment} is not less than TotalSegments: {total}"
        )
    return segment, total


def _number(members: dict[str, object], name: str) -> int | None:
    value = members.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise Refusal("SerializationException", f"{name} is not a number")
    return value


def _start(table: Table, after: object) -> bytes | None:
    if after is None:
        return None
    try:
        key = table.key_of(cast(Attributes, after))
    except (ValueError, AttributeError, TypeError):
        raise invalid(
            "The provided starting key is invalid: The provided key element does not match the schema"
        ) from None
    return to_json(key)


def _consumed(members: dict[str, object], table: str, size: int, *, consistent: bool) -> bytes:
    """Return the member ConsumedCapacity, if it is requested: a unit for each 4 KB, half of it if not consistent."""
    wanted = members.get("ReturnConsumedCapacity", "NONE")
    if wanted not in ("INDEXES", "TOTAL", "NONE"):
        raise constraint(wanted, "returnConsumedCapacity", "satisfy enum value set: [INDEXES, TOTAL, NONE]")
    if wanted == "NONE":
        return b""
    units = max(1, -(-size // _UNIT_BYTES)) * (1.0 if consistent else 0.5)
    return b',"ConsumedCapacity":' + msgspec.json.encode({"TableName": table, "CapacityUnits": units})
