"""What manifests cover, and up to where the changes of a shard are settled by all manifests together. Pure.

Creation times are out of order inside a shard (trap 19). So the changes of one window are not a prefix of the shard,
and the last sequence number of a complete window says nothing about other windows. Coverage is therefore kept as
*ranges*: changes of one shard that arrived one after another in one window, with the change before them, whichever
window that one is in. Ranges that follow each other without a hole prove that everything up to the last of
them is in files.

Coverage is kept by stream and shard. A stream that is disabled and enabled again is another stream (trap 14), and
sequence numbers compare only inside one lineage (trap 4): what an older stream covers says nothing about a newer one.
A change knows its shard, not its stream, so the stream is that of the run which reads it, as given to the sink's
`resume`. Where none was given it is `UNKNOWN_STREAM`, and shard ids alone keep streams apart: they hold the moment at
which the shard was created, so in practice no two streams share one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

DIGITS: Final = 64
"""The longest sequence number. Padded to this length, numbers in text sort as the integers that they are (trap 4)."""

NOTHING_BEFORE: Final = ""
"""In place of the change before a range: no change before it is still to be delivered."""

UNKNOWN_STREAM: Final = ""
"""In place of a stream's ARN, where a run does not say which stream it reads."""


class ShardKey(NamedTuple):
    """A shard of one stream."""

    stream_arn: str
    shard_id: str


@dataclass(frozen=True, slots=True)
class SequenceRange:
    """All changes of a shard from `first` to `last`, which arrived one after another in one window.

    `after` is the sequence number of the change before them, `NOTHING_BEFORE`, or None where it is not known.
    """

    after: str | None
    first: str
    last: str


Coverage: TypeAlias = dict[ShardKey, list[SequenceRange]]
"""The ranges of each shard."""


def padded(numbers: pa.Array) -> pa.Array:
    """Return sequence numbers as text of one length."""
    return pc.utf8_lpad(numbers, DIGITS, "0")


class Arrivals:
    """The last change of each shard that passed through this process, so that a range knows the change before it.

    Thread-safe.

    Args:
        from_the_start: The first change seen of a shard is the first that was to be delivered. That holds where one
            process sees a read from its start to its end, and not where a runner restores a read in another process.
        at_most: How many shards are remembered.
    """

    def __init__(self, *, from_the_start: bool, at_most: int = 100_000) -> None:
        self._from_the_start = from_the_start
        self._at_most = at_most
        self._last: OrderedDict[ShardKey, str] = OrderedDict()
        self._lock = threading.Lock()

    def before(self, shard: ShardKey, number: str) -> str | None:
        """Return the change before `number`, as in `SequenceRange.after`."""
        with self._lock:
            known = self._last.get(shard)
            if known is None:
                return NOTHING_BEFORE if self._from_the_start else None
            return known if int(known) < int(number) else None

    def passed(self, last: Mapping[ShardKey, str]) -> None:
        """Remember the last change of each shard."""
        with self._lock:
            for shard, number in last.items():
                if int(self._last.get(shard, "0")) < int(number):
                    self._last[shard] = number
                self._last.move_to_end(shard)
            while len(self._last) > self._at_most:
                self._last.popitem(last=False)
                self._from_the_start = False  # a shard that was forgotten looks new when its next change arrives


def find_ranges(
    stream_arn: str, shards: pa.Array, numbers: pa.Array, windows: npt.NDArray[np.int64], arrivals: Arrivals
) -> dict[int, Coverage]:
    """Return the ranges of rows in the order of their arrival, by window, and remember the rows in `arrivals`."""
    codes = shards.dictionary_encode()
    names = [ShardKey(stream_arn, shard) for shard in codes.dictionary.to_pylist()]
    order = np.argsort(codes.indices.to_numpy(zero_copy_only=False), kind="stable")
    shard = codes.indices.to_numpy(zero_copy_only=False)[order]
    window = windows[order]
    number = numbers.take(pa.array(order))
    text = padded(number)
    new_shard = np.ones(len(order), np.bool_)
    new_shard[1:] = shard[1:] != shard[:-1]
    follows = np.zeros(len(order), np.bool_)
    follows[1:] = ~new_shard[1:] & pc.greater(text[1:], text[:-1]).to_numpy(zero_copy_only=False)
    same_range = follows.copy()
    same_range[1:] &= window[1:] == window[:-1]
    starts = np.flatnonzero(~same_range)
    ends = np.append(starts[1:], len(order)) - 1
    found: dict[int, Coverage] = {}
    last: dict[ShardKey, str] = {}
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        name = names[shard[start]]
        first = number[start].as_py()
        if new_shard[start]:
            after = arrivals.before(name, first)
        else:
            after = number[start - 1].as_py() if follows[start] else None
        covered = SequenceRange(after, first, number[end].as_py())
        found.setdefault(int(window[start]), {}).setdefault(name, []).append(covered)
        if int(last.get(name, "0")) < int(covered.last):
            last[name] = covered.last
    arrivals.passed(last)
    return found


def join_ranges(ranges: Iterable[SequenceRange]) -> list[SequenceRange]:
    """Return the same coverage in as few ranges as possible, in order."""
    found: list[SequenceRange] = []
    for each in sorted(ranges, key=lambda each: (int(each.first), int(each.last))):
        if found and each.after == found[-1].last:
            found[-1] = SequenceRange(found[-1].after, found[-1].first, each.last)
        elif not found or each != found[-1]:
            found.append(each)
    return found


def merge_coverage(coverages: Iterable[Coverage]) -> Coverage:
    """Return what all of them cover together, in as few ranges as possible, sorted by stream and shard."""
    ranges: Coverage = {}
    for coverage in coverages:
        for shard, more in coverage.items():
            ranges.setdefault(shard, []).extend(more)
    return {shard: join_ranges(found) for shard, found in sorted(ranges.items())}


def settled_up_to(ranges: Iterable[SequenceRange]) -> str | None:
    """Return the sequence number of a shard up to which everything that was to be delivered is covered.

    None if that is unknown. Everything between a range and the change that it comes after is in one of the two, so the
    first hole ends what is settled.
    """
    reached: str | None = None
    for each in sorted(ranges, key=lambda each: int(each.first)):
        known = int(reached) if reached is not None else -1
        follows = each.after == NOTHING_BEFORE or (each.after is not None and int(each.after) <= known)
        if not follows and int(each.first) > known:
            break
        reached = each.last if int(each.last) > known else reached
    return reached


def not_covered(rows: pa.RecordBatch, stream_arn: str, coverage: Coverage) -> pa.RecordBatch:
    """Return the rows, changes of one stream, that no range of `coverage` holds. They keep their order."""
    ranges = {shard.shard_id: found for shard, found in coverage.items() if found and shard.stream_arn == stream_arn}
    if not rows.num_rows or not ranges:
        return rows
    shards, texts = rows.column("shard_id"), padded(rows.column("sequence_number"))
    covered = np.zeros(rows.num_rows, np.bool_)
    for shard in set(pc.unique(shards).to_pylist()) & ranges.keys():
        places = np.flatnonzero(pc.equal(shards, shard).to_numpy(zero_copy_only=False))
        bounds = sorted((each.first.zfill(DIGITS), each.last.zfill(DIGITS)) for each in ranges[shard])
        firsts = _comparable(pa.array([first for first, _ in bounds]))
        reached = _comparable(pa.array(list(accumulate((last for _, last in bounds), max))))
        numbers = _comparable(texts.take(pa.array(places)))
        begun = np.searchsorted(firsts, numbers, "right")
        covered[places] = (begun > 0) & (numbers <= reached[begun - 1])
    return rows if not covered.any() else rows.filter(pa.array(~covered))


def _comparable(texts: pa.StringArray) -> npt.NDArray[np.bytes_]:
    """Return padded numbers as numpy compares and searches them, without a Python object for each."""
    fixed = texts.cast(pa.binary()).cast(pa.binary(DIGITS))
    return np.frombuffer(fixed.buffers()[1], f"S{DIGITS}", len(fixed), fixed.offset * DIGITS)
