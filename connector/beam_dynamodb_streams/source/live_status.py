"""The live status of the reads in this process, for a program that looks at them while they run.

Beam's metrics come too late for this: FnApiRunner returns them once the pipeline has ended, and the result of a job
server repeats its first answer (Beam 2.77). The status covers reads whose workers run in this process: on FnApiRunner,
on Prism and with `--environment_type=LOOPBACK`. It costs nothing unless somebody looks, and nothing for each record.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.reader.lasting_faults import LastingFault
from beam_dynamodb_streams.shards.frontier import Frontier
from beam_dynamodb_streams.shards.loss import Loss
from beam_dynamodb_streams.source.stream_read import StreamRead


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """The status of one read.

    Attributes:
        read: The element of the read.
        frontier: What was claimed last.
        moment: The time of that claim by the service's clock (epoch seconds).
        records: The number of changes delivered since the watch began; changes that a runner repeats count again.
        finished: The number of shards read to their end, or to the stop, in the same time.
        losses: The losses that were reported since the watch began, each once.
        lag: The largest lag of a page since the last look, in seconds, as in `docs/metrics.md`; None without a page.
    """

    read: StreamRead
    frontier: Frontier
    moment: float
    records: int = 0
    finished: int = 0
    losses: frozenset[Loss] = frozenset()
    lag: float | None = None


class Watch:
    """What one observer sees. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reads: dict[str, LiveStatus] = {}

    def add(self, read: StreamRead, claim: Claim, changes: int, moment: float) -> None:
        """Add a claim that delivered that many changes."""
        with self._lock:
            before = self._reads.get(read.run) or LiveStatus(read, claim.frontier, moment)
            self._reads[read.run] = replace(
                before,
                frontier=claim.frontier,
                moment=moment,
                records=before.records + changes,
                finished=before.finished + bool(claim.ended),
                losses=before.losses.union(claim.losses) if claim.losses else before.losses,
                lag=max((lag for lag in (before.lag, claim.lag) if lag is not None), default=None),
            )

    def look(self) -> list[LiveStatus]:
        """Return the status of each read that has delivered anything, including reads that have ended."""
        with self._lock:
            reads = list(self._reads.values())
            self._reads = {run: replace(read, lag=None) for run, read in self._reads.items()}
        return reads


_WATCHES: Final[list[Watch]] = []


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch the reads of this process for as long as the context lasts."""
    watch = Watch()
    _WATCHES.append(watch)
    try:
        yield watch
    finally:
        _WATCHES.remove(watch)


def report(read: StreamRead, claim: Claim, changes: int, service_time: Callable[[], float]) -> None:
    """Report to all watches that the claim was delivered, with that many changes."""
    for watch in tuple(_WATCHES):
        watch.add(read, claim, changes, service_time())


_FAULTS: Final[dict[str, tuple[LastingFault, ...]]] = {}


def report_faults(read: StreamRead, faults: Sequence[LastingFault]) -> None:
    """Report which calls of a read fail now, or are not answered."""
    if faults:
        _FAULTS[read.run] = tuple(faults)
    else:
        _FAULTS.pop(read.run, None)


def faults_now() -> list[LastingFault]:
    """Return which calls of the reads of this process fail, as of their last slices."""
    return [fault for faults in tuple(_FAULTS.values()) for fault in faults]
