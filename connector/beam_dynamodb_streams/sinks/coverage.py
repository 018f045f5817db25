"""What a manifest covers, and how far a stream is settled by all manifests together. Pure.

Creation times are out of order inside a shard (fact 19), so a window's changes are no prefix of the shard, and the last
sequence number of a complete window says nothing about the windows beside it. What is kept is therefore *runs*: changes
of one shard that arrived one after another in one window, with the change before them, whichever window that one is in.
Runs that follow each other without a hole prove that everything up to the last of them is in files.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

DIGITS: Final = 40
"""The longest sequence number. Padded to it, numbers in text compare as the integers that they are (fact 4)."""

FIRST: Final = ""
"""In the place of the change before a run: there is none that is still to be delivered."""


@dataclass(frozen=True, slots=True)
class Run:
    """All changes of a shard from ``first`` to ``last``, which are in one window. ``after``: the number of the change
    before them, `FIRST`, or None where it is not known."""

    after: str | None
    first: str
    last: str


Coverage: TypeAlias = dict[str, list[Run]]
"""The runs of each shard."""


def padded(numbers: pa.Array) -> pa.Array:
    return pc.utf8_lpad(numbers, DIGITS, "0")


class Arrivals:
    """The last change of each shard that this process has passed on, so that a run knows the one before it.

    ``from_the_start``: the first change of a shard that is met is the first that was to be delivered. That holds where
    one process sees a read from its start to its end, and not on a runner that restores a read in another process.
    Thread-safe.
    """

    def __init__(self, *, from_the_start: bool, at_most: int = 100_000) -> None:
        self._from_the_start = from_the_start
        self._at_most = at_most
        self._last: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def before(self, shard: str, number: str) -> str | None:
        """The change before ``number``, as `Run.after`."""
        with self._lock:
            known = self._last.get(shard)
            if known is None:
                return FIRST if self._from_the_start else None
            return known if int(known) < int(number) else None

    def passed(self, last: Mapping[str, str]) -> None:
        with self._lock:
            for shard, number in last.items():
                if int(self._last.get(shard, "0")) < int(number):
                    self._last[shard] = number
                self._last.move_to_end(shard)
            while len(self._last) > self._at_most:
                self._last.popitem(last=False)
                self._from_the_start = False  # what was forgotten looks new when it comes again


def runs_of(
    shards: pa.Array, numbers: pa.Array, windows: npt.NDArray[np.int64], arrivals: Arrivals
) -> dict[int, Coverage]:
    """The runs of rows in the order of their arrival, by window; tells ``arrivals`` what they bring."""
    codes = shards.dictionary_encode()
    names = codes.dictionary.to_pylist()
    order = np.argsort(codes.indices.to_numpy(zero_copy_only=False), kind="stable")
    shard = codes.indices.to_numpy(zero_copy_only=False)[order]
    window = windows[order]
    number = numbers.take(pa.array(order))
    text = padded(number)
    new_shard = np.ones(len(order), np.bool_)
    new_shard[1:] = shard[1:] != shard[:-1]
    follows = np.zeros(len(order), np.bool_)
    follows[1:] = ~new_shard[1:] & pc.greater(text[1:], text[:-1]).to_numpy(zero_copy_only=False)
    same_run = follows.copy()
    same_run[1:] &= window[1:] == window[:-1]
    starts = np.flatnonzero(~same_run)
    ends = np.append(starts[1:], len(order)) - 1
    found: dict[int, Coverage] = {}
    last: dict[str, str] = {}
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        name = names[shard[start]]
        first = number[start].as_py()
        if new_shard[start]:
            after = arrivals.before(name, first)
        else:
            after = number[start - 1].as_py() if follows[start] else None
        run = Run(after, first, number[end].as_py())
        found.setdefault(int(window[start]), {}).setdefault(name, []).append(run)
        if int(last.get(name, "0")) < int(run.last):
            last[name] = run.last
    arrivals.passed(last)
    return found


def joined(runs: Iterable[Run]) -> list[Run]:
    """The same coverage in as few runs as may be, in their order."""
    found: list[Run] = []
    for run in sorted(runs, key=lambda run: (int(run.first), int(run.last))):
        if found and run.after == found[-1].last:
            found[-1] = Run(found[-1].after, found[-1].first, run.last)
        elif not found or run != found[-1]:
            found.append(run)
    return found


def merged(coverages: Iterable[Coverage]) -> Coverage:
    """What all of them cover together, in as few runs as may be, by shard in the order of their names."""
    runs: Coverage = {}
    for coverage in coverages:
        for shard, more in coverage.items():
            runs.setdefault(shard, []).extend(more)
    return {shard: joined(found) for shard, found in sorted(runs.items())}


def settled(runs: Iterable[Run]) -> str | None:
    """The last sequence number of a shard up to which all that was to be delivered is covered; None if that is unknown.

    Everything between a run and the one that it comes after is in the one or the other, so the first hole ends it.
    """
    reached: str | None = None
    for run in sorted(runs, key=lambda run: int(run.first)):
        known = int(reached) if reached is not None else -1
        if run.after == FIRST or int(run.first) <= known or (run.after is not None and int(run.after) <= known):
            reached = run.last if int(run.last) > known else reached
        else:
            break
    return reached


def not_covered(rows: pa.RecordBatch, coverage: Coverage) -> pa.RecordBatch:
    """The rows that no run of ``coverage`` holds, in their order."""
    if not rows.num_rows or not coverage:
        return rows
    shards, texts = rows.column("shard_id"), padded(rows.column("sequence_number"))
    covered = np.zeros(rows.num_rows, np.bool_)
    for shard in set(pc.unique(shards).to_pylist()) & {shard for shard, runs in coverage.items() if runs}:
        places = np.flatnonzero(pc.equal(shards, shard).to_numpy(zero_copy_only=False))
        runs = sorted((run.first.zfill(DIGITS), run.last.zfill(DIGITS)) for run in coverage[shard])
        firsts = _comparable(pa.array([first for first, _ in runs]))
        reached = _comparable(pa.array(list(accumulate((last for _, last in runs), max))))
        numbers = _comparable(texts.take(pa.array(places)))
        begun = np.searchsorted(firsts, numbers, "right")
        covered[places] = (begun > 0) & (numbers <= reached[begun - 1])
    return rows if not covered.any() else rows.filter(pa.array(~covered))


def _comparable(texts: pa.StringArray) -> npt.NDArray[np.bytes_]:
    """Padded numbers as numpy compares and searches them, with no Python object for each."""
    fixed = texts.cast(pa.binary()).cast(pa.binary(DIGITS))
    return np.frombuffer(fixed.buffers()[1], f"S{DIGITS}", len(fixed), fixed.offset * DIGITS)
