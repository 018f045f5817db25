"""One Kinesis data stream of the test kit: its shards, their records, splits and merges. No HTTP."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from threading import RLock

from beam_dynamodb_streams.testing.change import Change
from beam_dynamodb_streams.testing.kinesis_record import Precision, kinesis_record

HASH_SPACE = 1 << 128
#: Sequence numbers have 56 digits. They grow along a lineage, and those of two shards say nothing about each other.
_FIRST_NUMBER = 4959 * 10**52
PAGE_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """One record of a shard. `arrived`: epoch seconds."""

    number: int
    arrived: float
    data: bytes
    partition_key: str


@dataclass(slots=True, eq=False)
class KinesisShard:
    """A range of the hash space with the records that were written while it was open.

    Positions are indexes into everything ever written to the shard, so trimming does not move them.
    """

    shard_id: str
    parents: tuple[str, ...]
    low: int
    high: int  # exclusive
    born: float
    starting: int
    ended: float | None = None
    ending: int | None = None
    records: list[Stored] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)

    def append(self, record: Stored) -> None:
        self.records.append(record)
        self.numbers.append(record.number)
        self.arrivals.append(record.arrived)

    def trimmed(self, horizon: float) -> int:
        """Return the position of the oldest record that the service still has."""
        return bisect_left(self.arrivals, horizon)

    def is_gone(self, horizon: float) -> bool:
        """Return whether the closed shard is older than the retention: it is not listed, and cannot be read."""
        return self.ended is not None and self.ended < horizon

    def at_time(self, moment: float) -> int:
        return bisect_left(self.arrivals, moment)

    def at_number(self, number: int) -> int:
        return bisect_left(self.numbers, number)

    def after_number(self, number: int) -> int:
        return bisect_right(self.numbers, number)


class KinesisStream:
    """A Kinesis data stream that a test writes to, splits and merges. `LocalKinesis.create_stream` makes it.

    Methods are thread-safe. Shard ids are `shardId-000000000000` and so on, in the order in which the shards began.
    """

    def __init__(self, name: str, arn: str, shards: int, retention: float, clock: Callable[[], float], lock: RLock):
        self.name = name
        self.arn = arn
        self.created = clock()
        self.retention = retention
        self.deleted = False
        self._clock = clock
        self._lock = lock
        self._last = _FIRST_NUMBER
        self._shards: dict[str, KinesisShard] = {}
        edges = [HASH_SPACE * index // shards for index in range(shards + 1)]
        for low, high in pairwise(edges):
            self._add((), low, high)

    # What a test does

    def put(self, data: bytes, partition_key: str) -> str:
        """Write one record into the open shard of its partition key, and return its sequence number."""
        digest = int.from_bytes(hashlib.md5(partition_key.encode(), usedforsecurity=False).digest(), "big")
        with self._lock:
            shard = next(shard for shard in self.open_shards if shard.low <= digest < shard.high)
            number = self._next_number()
            shard.append(Stored(number, self._clock(), data, partition_key))
            return str(number)

    def put_changes(self, changes: Iterable[Change], *, precision: Precision | None = "MICROSECOND") -> list[str]:
        """Write the changes of a table as Kinesis Data Streams for DynamoDB does, and return the sequence numbers.

        Each has the partition key of its item, so an item's changes stay in order.

        Args:
            changes: Changes of a table of `LocalStreams`.
            precision: The unit of the creation times; None for milliseconds without a field that says so, as records
                were before the precision could be chosen.
        """
        written = []
        for change in changes:
            data, key = kinesis_record(change, precision=precision)
            written.append(self.put(data, key))
        return written

    def split(self, shard_id: str) -> tuple[str, str]:
        """Replace an open shard with two children that share its range, and return their ids."""
        with self._lock:
            parent = self._open(shard_id)
            middle = (parent.low + parent.high) // 2
            self._close(parent)
            first = self._add((shard_id,), parent.low, middle)
            return first.shard_id, self._add((shard_id,), middle, parent.high).shard_id

    def merge(self, shard_id: str, adjacent: str) -> str:
        """Replace two open shards whose ranges are adjacent with one child of both, and return its id."""
        with self._lock:
            one, other = sorted((self._open(shard_id), self._open(adjacent)), key=lambda shard: shard.low)
            if one.high != other.low:
                raise ValueError(f"{shard_id} and {adjacent} are not adjacent: their hash key ranges must meet")
            self._close(one)
            self._close(other)
            return self._add((shard_id, adjacent), one.low, other.high).shard_id

    def delete(self) -> None:
        """Delete the stream: no call finds it any more."""
        with self._lock:
            self.deleted = True

    @property
    def shard_ids(self) -> list[str]:
        """All shards that the service still lists, in the order in which they began."""
        return [shard.shard_id for shard in self.listed()]

    @property
    def open_shard_ids(self) -> list[str]:
        """The open shards, in the order of their hash key ranges."""
        with self._lock:
            return [shard.shard_id for shard in self.open_shards]

    def records(self, shard_id: str) -> list[Stored]:
        """Everything ever written to one shard, trimmed or not."""
        with self._lock:
            return list(self._shards[shard_id].records)

    # What the service looks up

    @property
    def horizon(self) -> float:
        return self._clock() - self.retention

    @property
    def open_shards(self) -> list[KinesisShard]:
        return sorted((shard for shard in self._shards.values() if shard.ended is None), key=lambda shard: shard.low)

    def listed(self) -> list[KinesisShard]:
        with self._lock:
            return [shard for shard in self._shards.values() if not shard.is_gone(self.horizon)]

    def find(self, shard_id: str) -> KinesisShard | None:
        shard = self._shards.get(shard_id)
        return None if shard is None or shard.is_gone(self.horizon) else shard

    def children(self, shard_id: str) -> list[KinesisShard]:
        return [shard for shard in self._shards.values() if shard_id in shard.parents]

    def _open(self, shard_id: str) -> KinesisShard:
        shard = self._shards.get(shard_id)
        if shard is None or shard.ended is not None:
            raise ValueError(f"{shard_id} is not an open shard of {self.name}: choose one of open_shard_ids")
        return shard

    def _close(self, shard: KinesisShard) -> None:
        shard.ended = self._clock()
        shard.ending = self._next_number()

    def _add(self, parents: tuple[str, ...], low: int, high: int) -> KinesisShard:
        shard_id = f"shardId-{len(self._shards):012d}"
        shard = self._shards[shard_id] = KinesisShard(shard_id, parents, low, high, self._clock(), self._next_number())
        return shard

    def _next_number(self) -> int:
        self._last += 16**3 + 7
        return self._last
