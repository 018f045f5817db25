"""What two records have in common, and a record in a few words or a small table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beam_dynamodb_streams.display import html_table, short
from beam_dynamodb_streams.errors import MalformedRecordError
from beam_dynamodb_streams.records.values import same_values

if TYPE_CHECKING:
    from beam_dynamodb_streams.records.record import ChangeRecord


def same_records(one: ChangeRecord, other: ChangeRecord) -> bool:
    """True if both say the same. Images that are not decoded yet are, but only where their bytes differ."""
    return _envelope(one) == _envelope(other) and all(
        _same_json(one, other, name) for name in ("keys", "new_image", "old_image", "user_identity")
    )


def short_text(record: ChangeRecord) -> str:
    """What happened to which item and when, and where it stands in the stream; no image."""
    try:
        keys = ", ".join(f"{name}={value!r}" for name, value in record.keys.items())
    except MalformedRecordError:
        keys = "malformed keys"
    keys = keys if len(keys) <= 80 else f"{keys[:79]}…"
    raws = (("old", record._old_image_raw), ("new", record._new_image_raw))
    images = " and ".join(name for name, raw in raws if raw is not None) or "no"
    time = record.approximate_creation_time.isoformat().replace("+00:00", "Z")
    return f"<ChangeRecord {record.event_name} {keys} at {time}, {images} image, {record.sequence_number}>"


def html_text(record: ChangeRecord) -> str:
    """A table of the attributes, each with its old and new value, and a mark where they differ."""
    time = f"{record.approximate_creation_time:%Y-%m-%d %H:%M:%S} UTC"
    title = f"{record.event_name} at {time}{', by time to live' if record.is_ttl_delete else ''}"
    note = f"{record.shard_id}, {record.sequence_number}"
    try:
        keys, old, new = record.keys, record.old_image or {}, record.new_image or {}
    except MalformedRecordError as error:
        return html_table((), [(error.message,)], title=title, note=note)
    rows = [
        (
            f"{name} (key)" if name in keys else name,
            short(old[name], 200) if name in old else "",
            short(new[name] if name in new else keys[name] if name in keys and not old else "", 200),
            "" if name in keys or (name in old and name in new and same_values(old[name], new[name])) else "●",
        )
        for name in dict.fromkeys([*keys, *old, *new])
    ]
    return html_table(("attribute", "old", "new", "changed"), rows, title=title, note=note)


def _envelope(record: ChangeRecord) -> tuple[object, ...]:
    return (
        record.event_id,
        record.event_name,
        record.sequence_number,
        record.shard_id,
        record.creation_micros,
        record.size_bytes,
        record.stream_view_type,
    )


def _same_json(one: ChangeRecord, other: ChangeRecord, name: str) -> bool:
    mine, theirs = getattr(one, f"{name}_json"), getattr(other, f"{name}_json")
    if mine == theirs or mine is None or theirs is None:
        return bool(mine == theirs)
    try:
        return same_values(getattr(one, name), getattr(other, name))
    except MalformedRecordError:
        return False
