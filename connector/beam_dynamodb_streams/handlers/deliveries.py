"""What the reads of this process deliver: the stream of each shard, and the shards that ended.

A change names its shard, not its stream, and the end of a shard is not an element. A step that is fused to a read runs
in the same process, behind it, so it asks here for both.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final


@dataclass(slots=True)
class _Delivery:
    """One run of a read. A later run in the same process begins with nothing."""

    run: str
    streams: dict[str, str] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    over: bool = False


class Deliveries:
    """What each read of this process delivered, by the name of what it reads. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reads: dict[str, _Delivery] = {}

    def delivers(self, read: str, run: str, shard: str, stream_arn: str) -> None:
        """Note that a run is about to deliver changes of this shard."""
        with self._lock:
            self._of(read, run).streams[shard] = stream_arn

    def ended(self, read: str, run: str, shard: str) -> None:
        """Note that a run has delivered the last change of this shard."""
        with self._lock:
            self._of(read, run).ended.add(shard)

    def finished(self, read: str, run: str) -> None:
        """Note that a run has delivered its last change."""
        with self._lock:
            self._of(read, run).over = True

    def is_over(self, read: str) -> bool:
        """Return whether the last change of the run was delivered."""
        with self._lock:
            found = self._reads.get(read)
            return found is not None and found.over

    def stream_of(self, read: str, shard: str) -> str | None:
        """Return the ARN of the stream that a shard belongs to."""
        with self._lock:
            found = self._reads.get(read)
            return None if found is None else found.streams.get(shard)

    def run_of(self, read: str) -> str:
        """Return the name of the run that delivers in this process; "" if none does."""
        with self._lock:
            found = self._reads.get(read)
            return "" if found is None else found.run

    def has_ended(self, read: str, shard: str) -> bool:
        """Return whether the last change of a shard was delivered."""
        with self._lock:
            found = self._reads.get(read)
            return found is not None and shard in found.ended

    def _of(self, read: str, run: str) -> _Delivery:
        found = self._reads.get(read)
        if found is None or found.run != run:
            found = self._reads[read] = _Delivery(run)
        return found


DELIVERIES: Final = Deliveries()
