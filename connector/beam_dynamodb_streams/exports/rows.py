"""The rows of a data file as changes: a block of lines becomes lists of fields, as a page of a stream does.

Images stay undecoded. A row of a full export is a change READ with the item as its new image. A row of an incremental
export is the net change of an item: INSERT if there is only a new image, MODIFY if there are both, and REMOVE if there
is no new image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from beam_dynamodb_streams.records.envelope import EntryFields
from beam_dynamodb_streams.records.fields import Json
from beam_dynamodb_streams.records.record import ChangeRecord, make_record
from beam_dynamodb_streams.records.versions import row_version

if TYPE_CHECKING:
    RawOrNone = msgspec.Raw | None
else:
    RawOrNone = msgspec.Raw  # as in `wire.envelope`: a union with Raw is decoded in full

_NULL = msgspec.Raw(b"null")
_MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class FileContext:
    """What all rows of a data file share.

    Attributes:
        shard_id: The key of the data file, in the place of a shard.
        table_id: The id of the table.
        epoch: The epoch of the export, in milliseconds.
        moment: When the table was as a full export shows it, in microseconds.
        view: The view type of the rows.
        incremental: Whether the rows are net changes.
        keys: The names of the key attributes; empty where they are not known, and then the whole item is its key.
    """

    shard_id: str
    table_id: str
    epoch: int
    moment: int
    view: str
    incremental: bool
    keys: tuple[str, ...] = ()


class MalformedRow(NamedTuple):
    """A line that is not a row: its bytes, and what is wrong."""

    payload: bytes
    reason: str


class Rows(NamedTuple):
    """The rows of a block. `version_bases` has the base of each, which is its whole version (`records.versions`)."""

    fields: EntryFields
    version_bases: list[str]
    malformed: list[MalformedRow]


class _FullLine(msgspec.Struct, gc=False):
    item: msgspec.Raw = msgspec.field(name="Item")


class _Number(msgspec.Struct, gc=False):
    number: str = msgspec.field(name="N")


class _Metadata(msgspec.Struct, gc=False):
    written: int | _Number = msgspec.field(name="WriteTimestampMicros")


class _NetLine(msgspec.Struct, gc=False, rename="pascal"):
    metadata: _Metadata
    keys: msgspec.Raw
    old_image: RawOrNone = None
    new_image: RawOrNone = None


_full_lines = msgspec.json.Decoder(_FullLine)
_net_lines = msgspec.json.Decoder(_NetLine)


class _MalformedError(ValueError):
    """One line is not a row."""


class RowDecoder:
    """Decodes the lines of one data file."""

    def __init__(self, context: FileContext) -> None:
        self._context = context
        self._key_of = _key_reader(context.keys)
        self._identity = hashlib.blake2b(f"{context.table_id} {context.epoch} ".encode(), digest_size=16)

    def rows(self, block: bytes) -> Rows:
        """Return the rows of a block of lines."""
        lines, malformed = _decoded(_net_lines if self._context.incremental else _full_lines, block)
        return self._net_changes(lines, malformed) if self._context.incremental else self._items(lines, malformed)

    def _items(self, lines: list[_FullLine], malformed: list[MalformedRow]) -> Rows:
        keys: list[Json] = []
        items: list[Json | None] = []
        for line in lines:
            try:
                keys.append(self._key_of(line.item))
            except (msgspec.DecodeError, _MalformedError) as fault:
                malformed.append(MalformedRow(b'{"Item":%s}' % bytes(line.item), f"the item has no key: {fault}"))
            else:
                items.append(line.item)
        context, count = self._context, len(items)
        fields = EntryFields(
            [self._event_id(bytes(key)) for key in keys],
            ["READ"] * count,
            [""] * count,
            [context.moment / _MICROS] * count,
            [None] * count,
            [context.view] * count,
            [None] * count,
            keys,
            items,
            [None] * count,
        )
        return Rows(fields, [row_version(context.epoch)] * count, malformed)

    def _net_changes(self, lines: list[_NetLine], malformed: list[MalformedRow]) -> Rows:
        prefix = row_version(self._context.epoch)[:-20]
        written: list[int] = []
        kept: list[_NetLine] = []
        for line in lines:
            micros = _written(line.metadata.written)
            if micros is None or not bytes(line.keys).startswith(b"{"):
                reason = "its WriteTimestampMicros is not a time" if micros is None else "its Keys are not an object"
                malformed.append(MalformedRow(msgspec.json.encode(line), reason))
            else:
                written.append(micros)
                kept.append(line)
        count = len(kept)
        old = [None if line.old_image == _NULL else line.old_image for line in kept]
        new = [None if line.new_image == _NULL else line.new_image for line in kept]
        fields = EntryFields(
            [self._event_id(b"%d %s" % (at, bytes(line.keys))) for at, line in zip(written, kept, strict=True)],
            [_event_name(one, other) for one, other in zip(old, new, strict=True)],
            [""] * count,
            [at / _MICROS for at in written],
            [None] * count,
            [self._context.view] * count,
            [None] * count,
            [line.keys for line in kept],
            list(new),
            list(old),
        )
        return Rows(fields, [f"{prefix}{at:020}" for at in written], malformed)

    def _event_id(self, what: bytes) -> str:
        identity = self._identity.copy()
        identity.update(what)
        return identity.hexdigest()


def records_of_rows(rows: Rows, shard_id: str) -> Iterator[ChangeRecord]:
    """Yield the record of each row, in their order. Nothing is decoded or copied."""
    names, numbers, times, sizes, views, identities, keys, new, old = rows.fields[1:]
    ids = rows.fields.event_ids
    columns = (ids, names, numbers, rows.version_bases, times, sizes, views, keys, new, old, identities)
    for event_id, name, number, base, at, size, view, key, after, before, identity in zip(*columns, strict=True):
        yield make_record(
            event_id, name, number, base, shard_id, round(at * _MICROS), size, view, key, after, before, identity
        )


def _decoded(decoder: msgspec.json.Decoder[Any], block: bytes) -> tuple[list[Any], list[MalformedRow]]:
    """Return the decoded lines of a block, and those that cannot be decoded; one by one only if there are such."""
    try:
        return decoder.decode_lines(block), []
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    lines: list[Any] = []
    malformed: list[MalformedRow] = []
    for line in block.split(b"\n"):
        if line.strip():
            try:
                lines.append(decoder.decode(line))
            except (msgspec.DecodeError, UnicodeError, RecursionError) as fault:
                malformed.append(MalformedRow(line, f"not a row of an export: {fault}"))
    return lines, malformed


def _written(value: int | _Number) -> int | None:
    """Return the time of a write in microseconds, None if it is not one that a column holds."""
    if isinstance(value, int):
        micros = value
    elif value.number.isascii() and value.number.isdigit() and len(value.number) <= 20:
        micros = int(value.number)
    else:
        return None
    return micros if 0 <= micros < 253_370_764_800 * _MICROS else None


def _event_name(old: Json | None, new: Json | None) -> str:
    if new is None:
        return "REMOVE"
    return "INSERT" if old is None else "MODIFY"


def _key_reader(names: Sequence[str]) -> Callable[[msgspec.Raw], bytes | msgspec.Raw]:
    """Return a function from an item to its key, both undecoded."""
    if not names:
        return _object
    fields = [(f"key{place}", msgspec.Raw, msgspec.field(name=name)) for place, name in enumerate(names)]
    decode = msgspec.json.Decoder(msgspec.defstruct("_Key", fields, gc=False)).decode
    ahead = [b"%s%s:" % (b"," if place else b"{", msgspec.json.encode(name)) for place, name in enumerate(names)]
    members = [f"key{place}" for place in range(len(names))]

    def key_of(item: msgspec.Raw) -> bytes:
        found = decode(item)
        values = [bytes(getattr(found, member)) for member in members]
        return b"".join([part for pair in zip(ahead, values, strict=True) for part in pair]) + b"}"

    return key_of


def _object(item: msgspec.Raw) -> msgspec.Raw:
    if not bytes(item).startswith(b"{"):
        raise _MalformedError("it is not an object")
    return item
