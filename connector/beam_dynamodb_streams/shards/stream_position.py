"""A saved position: how far a whole stream was delivered, as text that any run, runner or notebook can use."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from itertools import islice
from typing import Any, Final, Protocol

from beam_dynamodb_streams.display import html_table
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.shards.position import (
    TRIM_HORIZON,
    After,
    AtTime,
    End,
    Position,
    ScanPlaces,
    StartPosition,
    is_at_or_past,
)

VERSION: Final = 1
_DIGITS: Final = 64  # of a sequence number, at most: 40 in DynamoDB Streams (trap 4), 56 in Kinesis
_SCAN: Final = "SCAN "
_SHOWN: Final = 20  # the shards that a notebook shows


class Delivered(Protocol):
    """The attributes of a change record that a position uses."""

    @property
    def shard_id(self) -> str: ...
    @property
    def sequence_number(self) -> str: ...


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """The last delivered sequence number of every shard that delivered a change, and `start` for all other shards.

    `until`: the second up to which a bounded read delivered everything, if that is known. A stream may be quiet for so
    long that none of its shards still exists. If everything was read less than a day before, this is not a loss.
    `following`: the positions in streams of the table that follow this one, where it is not certain that this one was
    delivered to its end.

    Build a position from delivered records, in any order and with repeats, with `position.after(record)` and
    `position.merge(other)`. A read that starts from a position delivers every change that the position does not cover,
    and no change that it covers. Changes may repeat only if the position merges reads that ran side by side and
    overlap.
    """

    stream_arn: str | None = None
    start: StartPosition = TRIM_HORIZON
    shards: Mapping[str, Position] = field(default_factory=dict)
    until: int | None = None
    following: tuple[StreamPosition, ...] = ()

    def __post_init__(self) -> None:
        if "" in self.shards or "\0" in "".join(self.shards):
            wrong = next(shard for shard in self.shards if not shard or "\0" in shard)
            raise InvalidOptionError(
                f"a position of the shard {wrong!r}: shard ids are not empty and have no NUL character; pass ids as "
                "the stream lists them"
            )

    @classmethod
    def delivered(cls, sequence_numbers: Mapping[str, str]) -> StreamPosition:
        """Return the position that covers each shard up to its sequence number."""
        return cls(shards={shard: After(number) for shard, number in sequence_numbers.items()})

    def after(self, record: Delivered) -> StreamPosition:
        """Return the position that also covers `record`; the same position for a row of a snapshot."""
        if not record.sequence_number:
            return self
        return self.merge(StreamPosition.delivered({record.shard_id: record.sequence_number}))

    def merge(self, other: StreamPosition) -> StreamPosition:
        """Return the further of the two positions in every shard.

        For positions of one read the order of merges does not matter, and repeats change nothing.

        Raises:
            InvalidOptionError: The positions are of two streams: sequence numbers compare only within one (traps 4
                and 14).
        """
        if None not in (self.stream_arn, other.stream_arn) and self.stream_arn != other.stream_arn:
            raise InvalidOptionError(
                f"a position of stream {self.stream_arn} cannot be merged with one of {other.stream_arn}: keep a "
                "position for each stream"
            )
        shards = dict(self.shards)
        for shard, position in other.shards.items():
            known = shards.get(shard)
            if known is None or is_at_or_past(position, known):
                shards[shard] = position
        until = max((each.until for each in (self, other) if each.until is not None), default=None)
        merged = replace(self, shards=shards, stream_arn=self.stream_arn or other.stream_arn, until=until)
        return replace(merged, following=self.following or other.following)

    def to_json(self) -> str:
        """Return one line of JSON text, keys sorted: `{"shards": {…}, "start": …, "stream_arn": …, "version": 1}`.

        It has `"until"` too, if that is known, and `"following"`, a list, if there are such positions.
        """
        until = {} if self.until is None else {"until": position_text(AtTime(self.until))}
        following = {"following": [json.loads(each.to_json()) for each in self.following]} if self.following else {}
        return json.dumps(
            {
                **until,
                **following,
                "version": VERSION,
                "stream_arn": self.stream_arn,
                "start": position_text(self.start),
                "shards": {shard: position_text(position) for shard, position in self.shards.items()},
            },
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, text: str) -> StreamPosition:
        """Return the position that `to_json` wrote.

        Raises:
            InvalidOptionError: The text is anything else.
        """
        try:
            saved: Any = json.loads(text)
            if saved["version"] != VERSION:
                raise InvalidOptionError(
                    f"saved position has version {saved['version']!r}, this release reads {VERSION}: "
                    "use the release that wrote it, or a newer one"
                )
            stream_arn = saved["stream_arn"]
            if not isinstance(stream_arn, str | None):
                raise TypeError(stream_arn)  # noqa: TRY301 - reported below, with the whole text
            return cls(
                stream_arn,
                start_of(saved["start"]),
                {str(shard): position_of(place) for shard, place in saved["shards"].items()},
                second_of(saved.get("until")),
                tuple(cls.from_json(json.dumps(each)) for each in saved.get("following", [])),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, InvalidOptionError):
                raise
            shown = text if len(text) <= 80 else text[:77] + "…"
            raise InvalidOptionError(
                f"{shown!r} is not a saved position: pass what StreamPosition.to_json() wrote"
            ) from error

    def __repr__(self) -> str:
        return f"StreamPosition({self.stream_arn}, start={position_text(self.start)}, {len(self.shards)} shards)"

    def _repr_html_(self) -> str:
        rows = [(shard, position_text(position)) for shard, position in islice(self.shards.items(), _SHOWN)]
        rest = len(self.shards) - len(rows)
        return html_table(
            ("shard", "delivered up to"),
            rows,
            title=f"StreamPosition of {self.stream_arn or 'any stream'}",
            note=f"{f'{rest:,} more shards; ' if rest else ''}all others from {position_text(self.start)}",
        )


def position_text(position: Position) -> str:
    """Return the text of a position: a sequence number, a UTC second, TRIM_HORIZON, SHARD_END, or a scan's places."""
    match position:
        case ScanPlaces(moved, scan):
            return f"{_SCAN}{moved} {b64encode(scan).decode()}"
        case AtTime(second):
            return datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        case After(sequence_number):
            return sequence_number
        case _:
            return str(position)


def start_of(text: str) -> StartPosition:
    """Return the start whose `position_text` this is; a moment before the epoch is the epoch.

    Raises:
        ValueError: The text is anything else.
    """
    if text == str(TRIM_HORIZON):
        return TRIM_HORIZON
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return AtTime(max(0, int(moment.timestamp())))


def second_of(text: str | None) -> int | None:
    """Return the second of a moment's text; None if there is none."""
    moment = None if text is None else start_of(text)
    return moment.second if isinstance(moment, AtTime) else None


def position_of(text: str) -> Position:
    """Return the position whose `position_text` this is; the children of an ended shard begin at TRIM_HORIZON.

    Raises:
        ValueError: The text is anything else.
    """
    if text.startswith(_SCAN):
        moved, _, scan = text.removeprefix(_SCAN).partition(" ")
        return ScanPlaces(int(moved), b64decode(scan, validate=True))
    if text.isascii() and text.isdecimal() and len(text) <= _DIGITS:
        return After(text)
    return End(TRIM_HORIZON) if text == "SHARD_END" else start_of(text)
