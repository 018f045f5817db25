"""Where a read starts and stops: the options as users write them become closed types, and then moments of a clock.

"NOW" and "LATEST" mean the moment at which the pipeline starts. It is taken once, from the service's own clock, and
rounded down. Creation times are floored to the second (trap 19), so a whole second loses nothing (trap 3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from math import floor
from typing import Final, Literal, TypeAlias

from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, AtTime, Horizon, Position, StartPosition
from beam_dynamodb_streams.shards.stream_position import StreamPosition

#: No clock is further ahead. A record dated later than this is from the future: its date says nothing about when it was
#: written. If it did, the record would end its shard, make all others late, or be past every stop.
AHEAD_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Latest:
    """From the moment at which the pipeline starts."""

    def __str__(self) -> str:
        return "LATEST"


@dataclass(frozen=True, slots=True)
class UntilSecond:
    """Changes created up to and including this second of the service's clock."""

    second: int


@dataclass(frozen=True, slots=True)
class UntilNow:
    """Changes created up to the moment at which the pipeline starts."""


@dataclass(frozen=True, slots=True)
class ForDuration:
    """Changes created up to this many seconds after the pipeline started."""

    seconds: float


@dataclass(frozen=True, slots=True)
class RecordCount:
    """At most this many changes, from whichever shards deliver them first."""

    records: int


@dataclass(frozen=True, slots=True)
class LeaseTable:
    """Where the workers of a Kinesis Client Library application stopped, as its lease table says."""

    table: str

    def __post_init__(self) -> None:
        if not isinstance(self.table, str) or not _TABLE.fullmatch(self.table):
            raise InvalidOptionError(
                f'LeaseTable({self.table!r}): give the name of a table, as in LeaseTable("my-app")'
            )

    def __str__(self) -> str:
        return f"{_KCL}{self.table}"


_KCL: Final = "kcl://"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MOST_RECORDS: Final = 2**63 - 1  # what the stored forms hold
_TABLE: Final = re.compile(r"[A-Za-z0-9_.-]{3,255}")

#: What `start=` and `stop=` take, so that a type checker rejects a text with a typo. At run time a start may also be
#: the text of a lease table, or the JSON of a saved position.
StartOption: TypeAlias = Literal["TRIM_HORIZON", "LATEST"] | datetime | StreamPosition | LeaseTable
StopOption: TypeAlias = Literal["NOW"] | datetime | timedelta | int | None

#: A start that needs no other table to be read.
StreamStart: TypeAlias = Horizon | Latest | AtTime | StreamPosition
Start: TypeAlias = StreamStart | LeaseTable
Stop: TypeAlias = UntilSecond | UntilNow | ForDuration | RecordCount


def parse_start(option: object) -> Start:
    """Return the start that the option `start=` means.

    Args:
        option: "TRIM_HORIZON", "LATEST", a timezone-aware datetime, a `StreamPosition` or its JSON text, or
            "kcl://LEASE_TABLE".

    Raises:
        InvalidOptionError: The option is anything else.
    """
    match option:
        case "TRIM_HORIZON":
            return TRIM_HORIZON
        case "LATEST":
            return Latest()
        case datetime():
            return AtTime(_second("start", option))
        case StreamPosition() | LeaseTable():
            return option
        case str() if option.lstrip().startswith("{"):
            return StreamPosition.from_json(option)
        case str() if option.startswith(_KCL) and _TABLE.fullmatch(option.removeprefix(_KCL)):
            return LeaseTable(option.removeprefix(_KCL))
    raise InvalidOptionError(
        f'start={option!r} is not a start position: use "TRIM_HORIZON", "LATEST", a timezone-aware datetime, '
        'a saved StreamPosition, or "kcl://LEASE_TABLE"'
    )


def parse_stop(option: object, start: Start) -> Stop | None:
    """Return the stop that the option `stop=` means; None for an unbounded read.

    Args:
        option: None, "NOW", a timezone-aware datetime, a number of changes, or a timedelta.
        start: The start of the same read.

    Raises:
        InvalidOptionError: The option is anything else, or a moment before `start`.
    """
    match option:
        case None:
            return None
        case "NOW":
            return UntilNow()
        case datetime():
            second = _second("stop", option)
            if isinstance(start, AtTime) and second < start.second:
                raise InvalidOptionError(
                    f"stop={option.isoformat()} is before start={_iso(start.second)}: swap them, or move one"
                )
            return UntilSecond(second)
        case timedelta():
            if option <= timedelta(0):
                raise InvalidOptionError(f"stop={option!r} is not a duration: use a timedelta greater than zero")
            return ForDuration(option.total_seconds())
        case bool():
            pass
        case int():
            if option < 1:
                raise InvalidOptionError(f"stop={option} reads nothing: use a number of changes of 1 or more")
            if option > _MOST_RECORDS:
                raise InvalidOptionError(f"stop={option} is more changes than any stream has: leave it out")
            return RecordCount(option)
    raise InvalidOptionError(
        f'stop={option!r} is not a stop: use None (unbounded), "NOW", a timezone-aware datetime, a number of changes, '
        "or a timedelta"
    )


@dataclass(frozen=True, slots=True)
class Bounds:
    """Start and stop as moments. `stop_second` is inclusive and `records` counts changes; both None: unbounded.

    `saved` and `until` are an earlier run's, as in `StreamPosition`.
    """

    start: StartPosition
    saved: Mapping[str, Position]
    stop_second: int | None
    records: int | None
    until: int | None = None


def resolve_bounds(start: StreamStart, stop: Stop | None, now: float) -> Bounds:
    """Return the bounds, with all moments fixed.

    Args:
        start: The start of the read.
        stop: The stop of the read; None for an unbounded one.
        now: The service's clock when the pipeline starts, in epoch seconds.

    Raises:
        InvalidOptionError: The start is in the future, or the stop is before the start.
    """
    this_second = floor(now)
    saved: Mapping[str, Position] = {}
    match start:
        case Latest():
            begin: StartPosition = AtTime(this_second)
        case StreamPosition():
            begin, saved = start.start, start.shards
        case AtTime(second) if second > this_second:
            raise InvalidOptionError(
                f"start={_iso(second)} is in the future (the service's clock says {_iso(this_second)}): "
                'use an earlier moment, or "LATEST"'
            )
        case _:
            begin = start
    match stop:
        case UntilNow():
            until: int | None = this_second
        case UntilSecond(second):
            until = second
        case ForDuration(seconds):
            until = floor(now + seconds)
        case _:
            until = None
    if until is not None and isinstance(begin, AtTime) and until < begin.second and not saved:
        raise InvalidOptionError(
            f"stop={_iso(until)} is before the start at {_iso(begin.second)}: use a later stop or an earlier start"
        )
    records = stop.records if isinstance(stop, RecordCount) else None
    return Bounds(begin, saved, until, records, start.until if isinstance(start, StreamPosition) else None)


def _second(name: str, moment: datetime) -> int:
    """Return the second, rounded down, exact for any year; the epoch for older ones, which no stored form holds."""
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise InvalidOptionError(
            f"{name}={moment.isoformat()} has no timezone: add one, e.g. {name}=datetime(…, tzinfo=timezone.utc)"
        )
    return max(0, (moment - _EPOCH) // timedelta(seconds=1))


def _iso(second: int) -> str:
    return datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
