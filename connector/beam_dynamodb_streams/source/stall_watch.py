"""Reports a read that its runner does not resume: the job runs, takes checkpoints, and reads nothing.

A read gives its bundle back after each slice, and the runner resumes it when it asked to be. If the runner never does,
nothing of the read runs any more, so nothing of it can report that. This watch is a thread of the worker process. It
needs no state of the runner, knows when each read should have been resumed, and logs those that were not.

It knows the reads that had a slice in this process. A read that was never resumed after a restore is seen from outside,
by the metric `last_slice_seconds` and by `dynamodb-streams inspect --progress` (docs/flink.md).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.progress.acquire import store_of
from beam_dynamodb_streams.progress.address import Progress

_LOGGER: Final = logging.getLogger(__name__)

#: Seconds. A read that is resumed this much later than it asked for counts as stalled. Runners are late by seconds, and
#: by a minute while they restart; the documented alert has two minutes.
PATIENCE_SECONDS: Final = 90.0
#: Seconds from one look at the reads to the next.
LOOK_SECONDS: Final = 10.0
#: Seconds from one report of a read to the next, and after which no more is said about it in this process.
REPEAT_SECONDS: Final = 600.0
FORGET_SECONDS: Final = 3 * 3600.0


@dataclass(slots=True)
class Awaited:
    """A read between two slices.

    Attributes:
        stream_arn: The stream that it reads.
        due: When the runner should resume it, in seconds of the watch's clock.
        is_alive: Returns whether another worker has read since, as far as its progress shows.
        reported: When it was last reported; None before that.
    """

    stream_arn: str
    due: float
    is_alive: Callable[[], bool]
    reported: float | None = None


class StallWatch:
    """The reads of this process that wait for their runner. Thread-safe.

    Args:
        now: A steady clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._reads: dict[str, Awaited] = {}
        self._thread: threading.Thread | None = None

    def slice_began(self, key: str) -> None:
        """Note that the runner has resumed a read, or that it began."""
        with self._lock:
            awaited = self._reads.pop(key, None)
        if awaited is not None and awaited.reported is not None:
            late = self._now() - awaited.due
            _LOGGER.warning("%s is read again: its runner resumed it %.0f seconds late", awaited.stream_arn, late)

    def slice_ended(self, key: str, stream_arn: str, wait: float, is_alive: Callable[[], bool]) -> None:
        """Note that a read has asked its runner to resume it after `wait` seconds."""
        with self._lock:
            self._reads[key] = Awaited(stream_arn, self._now() + wait, is_alive)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="dynamodb-streams stall watch", daemon=True)
                self._thread.start()

    def stalled(self) -> list[tuple[str, float]]:
        """Return the stream of each read that is overdue, with the seconds since it should have been resumed."""
        now = self._now()
        with self._lock:
            return [
                (awaited.stream_arn, now - awaited.due)
                for awaited in self._reads.values()
                if now - awaited.due >= PATIENCE_SECONDS
            ]

    def clear(self) -> None:
        """Forget all reads, because their pipelines are over."""
        with self._lock:
            self._reads.clear()

    def look(self) -> bool:
        """Report each read that is overdue, and return whether any read is left to watch."""
        now = self._now()
        with self._lock:
            overdue = {
                key: awaited
                for key, awaited in self._reads.items()
                if now - awaited.due >= PATIENCE_SECONDS
                and (awaited.reported is None or now - awaited.reported >= REPEAT_SECONDS)
            }
        elsewhere = {key for key, awaited in overdue.items() if awaited.is_alive()}
        with self._lock:
            for key, awaited in overdue.items():
                if self._reads.get(key) is not awaited:
                    continue  # it was resumed in the meantime
                if key in elsewhere or now - awaited.due >= FORGET_SECONDS:
                    del self._reads[key]
                    continue
                awaited.reported = now
                _report(awaited, now - awaited.due)
            return bool(self._reads)

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            if self.look():
                continue
            with self._lock:
                if not self._reads:
                    self._thread = None
                    return


def _report(awaited: Awaited, seconds: float) -> None:
    _LOGGER.warning(
        "%s is not read: its runner should have resumed the read %.0f seconds ago, and has not. If the job was "
        "stopped, or another worker reads the stream now, ignore this. Else the runner has lost the read, and the job "
        "runs without reading: start it again without its savepoint, from its progress= or another start= "
        "(docs/flink.md)",
        awaited.stream_arn,
        seconds,
    )


def alive_by(progress: Progress | None, owner: str, wall_clock: Callable[[], float]) -> Callable[[], bool]:
    """Return a function that returns whether a run holds the application and renewed its lease a short time ago.

    The lease is renewed in each slice, on whatever worker. Without `progress` nothing says so.
    """

    def is_alive() -> bool:
        if progress is None:
            return False
        try:
            lease = store_of(progress).read().lease
        except ConnectorError:
            return False
        if lease is None or lease.owner != owner:
            return lease is not None  # another run has taken over: this one is over
        return lease.released or wall_clock() - lease.renewed_at < PATIENCE_SECONDS / 2

    return is_alive


STALL_WATCH: Final = StallWatch()
