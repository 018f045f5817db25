"""From the entries of a page to changes: to records one by one, or to lists of fields for columns.

No other module of `records`, `columns` and `source` knows how an entry is built. Each function takes a whole page, so
that an entry costs no call of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from beam_dynamodb_streams.records.fields import Json
from beam_dynamodb_streams.records.record import ChangeRecord, make_record
from beam_dynamodb_streams.records.versions import BY_TIME, UNKNOWN_BASE, base_at

if TYPE_CHECKING:
    from beam_dynamodb_streams.wire import RawRecord


class EntryFields(NamedTuple):
    """The fields of a page's entries, each a list in the order of the page. `creation_times` are epoch seconds."""

    event_ids: list[str]
    event_names: list[str]
    sequence_numbers: list[str]
    creation_times: list[float]
    size_bytes: list[int | None]
    stream_view_types: list[str]
    user_identities: list[Json | None]
    keys: list[Json]
    new_images: list[Json | None]
    old_images: list[Json | None]


def entry_fields(entries: Sequence[RawRecord]) -> EntryFields:
    """Return the fields of the entries. Nothing is decoded or copied."""
    changes = [entry.change for entry in entries]
    return EntryFields(
        [entry.event_id for entry in entries],
        [entry.event_name for entry in entries],
        [change.sequence_number for change in changes],
        [change.creation_time for change in changes],
        [change.size_bytes for change in changes],
        [change.stream_view_type for change in changes],
        [entry.user_identity for entry in entries],
        [change.keys for change in changes],
        [change.new_image for change in changes],
        [change.old_image for change in changes],
    )


def change_records(
    entries: Iterable[RawRecord], shard_id: str, version_base: str = UNKNOWN_BASE
) -> Iterator[ChangeRecord]:
    """Yield the record of each entry, in their order. Nothing is decoded, copied or checked again.

    `version_base` is that of all changes of the page (`records.versions`).

    One by one, so that the values of a record that was used are gone before those of the next one are decoded.
    """
    by_time = version_base == BY_TIME
    for entry in entries:
        change = entry.change
        micros = round(change.creation_time * 1_000_000)
        yield make_record(
            entry.event_id,
            entry.event_name,
            change.sequence_number,
            base_at(micros) if by_time else version_base,
            shard_id,
            micros,
            change.size_bytes,
            change.stream_view_type,
            change.keys,
            change.new_image,
            change.old_image,
            entry.user_identity,
        )


def creation_times(entries: Sequence[RawRecord]) -> list[float]:
    """Return when each change was made, in epoch seconds."""
    return [entry.change.creation_time for entry in entries]


def with_event_names(entries: Sequence[RawRecord], names: frozenset[str]) -> list[RawRecord]:
    """Return the entries of these kinds of change."""
    return [entry for entry in entries if entry.event_name in names]


def entry_images(entries: Sequence[RawRecord]) -> list[bytes]:
    """Return the new image of each change, or the old one of a removal, as DynamoDB JSON; none where there is none."""
    found = [entry.change.new_image or entry.change.old_image for entry in entries]
    return [bytes(image) for image in found if image is not None]


def entry_keys(entry: RawRecord) -> Json:
    """Return the primary key of a change as DynamoDB JSON."""
    return entry.change.keys


def entry_json(entry: RawRecord) -> bytes:
    """Return the entry as the service's JSON: the bytes of a dead letter whose envelope could be read."""
    return msgspec.json.encode(entry)
