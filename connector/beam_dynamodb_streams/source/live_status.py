"""Where the reads of this process stand, for who looks at them while they run.

Beam's metrics come too late for that: from FnApiRunner once the pipeline has ended, and a job server's result keeps
the first answer that it gave (Beam 2.77). This tells of reads whose workers run in the process that looks: on
FnApiRunner, on Prism and with ``--environment_type=LOOPBACK``. It costs nothing unless someone looks, and nothing for a
single record.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.shards.frontier import Frontier
from beam_dynamodb_streams.source.stream_read import StreamRead


@dataclass(frozen=True, slots=True)
class Standing:
    """One read. ``moment``: when it was heard of last, by the service's clock (epoch seconds).

    ``records`` and ``finished`` (shards read to their end, or to the stop) count what was delivered since somebody
    began to look, again where a runner repeats it. ``lag``: the largest of the pages since the last look, in seconds,
    as in ``docs/metrics.md``; None where none came.
    """

    read: StreamRead
    frontier: Frontier
    moment: float
    records: int = 0
    finished: int = 0
    lag: float | None = None


class Watch:
    """What one onlooker sees. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reads: dict[str, Standing] = {}

    def step(self, read: StreamRead, step: Claim, moment: float) -> None:
        with self._lock:
            before = self._reads.get(read.run) or Standing(read, step.frontier, moment)
            self._reads[read.run] = replace(
                before,
                frontier=step.frontier,
                moment=moment,
                records=before.records + len(step.records),
                finished=before.finished + bool(step.ended),
                lag=max((lag for lag in (before.lag, step.lag) if lag is not None), default=None),
            )

    def look(self) -> list[Standing]:
        """Each read that was heard of, ended ones too."""
        with self._lock:
            reads = list(self._reads.values())
            self._reads = {run: replace(read, lag=None) for run, read in self._reads.items()}
        return reads


_WATCHES: Final[list[Watch]] = []


@contextmanager
def watching() -> Iterator[Watch]:
    watch = Watch()
    _WATCHES.append(watch)
    try:
        yield watch
    finally:
        _WATCHES.remove(watch)


def tell(read: StreamRead, step: Claim, service_time: Callable[[], float]) -> None:
    """The step was delivered."""
    for watch in tuple(_WATCHES):
        watch.step(read, step, service_time())
