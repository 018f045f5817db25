"""The streams of one table and the life cycle of their shards, which a test directs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from threading import RLock
from typing import get_args

from beam_dynamodb_streams.testing.faults import FaultRules
from beam_dynamodb_streams.testing.keys import TableKeys
from beam_dynamodb_streams.testing.shard import Shard
from beam_dynamodb_streams.testing.stream import Lifetimes, ListedShard, Status, Stream, ViewType


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What a table shares with its service."""

    rules: FaultRules
    lock: RLock
    lifetimes: Lifetimes
    region: str
    account: str


class StreamControls:
    """What a test can do with the streams of a table. Shards are those of the latest stream."""

    def __init__(
        self, name: str, arn: str, keys: TableKeys, service: ServiceState, random: Random, newest_label: float = 0.0
    ) -> None:
        self.name = name
        self.arn = arn
        self.streams: list[Stream] = []
        self._keys = keys
        self._service = service
        self._random = random
        self._newest_label = newest_label
        self.deleted: float | None = None

    @property
    def stream(self) -> Stream:
        """The latest stream, disabled or not. Raises ValueError if the table never had one."""
        if not self.streams:
            raise ValueError(f"table {self.name} has no stream: call enable_stream() first")
        return self.streams[-1]

    @property
    def stream_arn(self) -> str:
        """The latest stream's ARN."""
        return self.stream.arn

    @property
    def stream_status(self) -> Status:
        return self.stream.status(self._service.rules.clock())

    def disable_stream(self, *, settling: float = 0.0) -> None:
        """Close all shards without children. The stream is DISABLING for `settling` seconds, then DISABLED."""
        with self._service.lock:
            if self.stream.disabled is None:
                self.stream.disable(self._service.rules.clock(), settling)

    def enable_stream(
        self,
        view_type: ViewType = "NEW_AND_OLD_IMAGES",
        *,
        shards: int = 1,
        settling: float = 0.0,
        older_than_a_day: bool = False,
    ) -> str:
        """Create a new stream and return its ARN. It is ENABLING for `settling` seconds, then ENABLED.

        Its first shards have no parents. With `older_than_a_day` it was enabled long ago, as in
        `LocalStreams.create_table`.
        """
        if view_type not in get_args(ViewType):
            raise ValueError(f"view_type={view_type!r}: the views are {', '.join(get_args(ViewType))}")
        if shards < 1:
            raise ValueError(f"shards={shards!r}: a stream has at least one shard")
        with self._service.lock:
            self._check_exists()
            now = self._service.rules.clock()
            if self.streams and self.stream.disabled is None:
                raise ValueError(f"the stream of {self.name} is enabled: disable it first")
            if older_than_a_day and self.newest_label:
                raise ValueError(f"{self.name} had a stream before: one that is enabled now is not older than a day")
            # A label has milliseconds, and two streams of a table's name must not have the same label.
            created = max(now, self.newest_label + 0.001)
            made = Stream(
                table_arn=self.arn,
                table_name=self.name,
                key_schema=self._keys.schema(),
                view_type=view_type,
                created=created,
                shards=shards,
                random=self._random,
                lifetimes=self._service.lifetimes,
                settled=now + settling,
                older_than_a_day=older_than_a_day,
            )
            self.streams.append(made)
            return made.arn

    @property
    def newest_label(self) -> float:
        """When the youngest stream of a table of this name was created, in epoch seconds; 0 without one."""
        return self.streams[-1].created if self.streams else self._newest_label

    def _check_exists(self) -> None:
        if self.deleted is not None:
            raise ValueError(f"table {self.name} was deleted: get the present one with create_table() or table()")

    @property
    def shard_ids(self) -> list[str]:
        """The shards of the latest stream that still exist, hidden ones too, parents before children."""
        with self._service.lock:
            now = self._service.rules.clock()
            return [shard_id for shard_id in self.stream.shards.by_id if self.stream.find(shard_id, now) is not None]

    @property
    def open_shard_ids(self) -> list[str]:
        """The open shards of the latest stream, by hash range."""
        with self._service.lock:
            return [shard.shard_id for shard in self.stream.shards.open]

    @property
    def lineage(self) -> dict[str, str | None]:
        """Every shard that the latest stream ever had, with its parent.

        The parent of a first shard of a stream older than a day is trimmed, and is not a shard of this mapping.
        """
        with self._service.lock:
            return {shard.shard_id: shard.parent_shard_id for shard in self.stream.shards.by_id.values()}

    def listing(self) -> list[ListedShard]:
        """Return the latest stream's shards as DescribeStream would list all of them without faults."""
        with self._service.lock:
            return self.stream.listing(self._service.rules.clock())

    def shard_of(self, keys: Mapping[str, object]) -> str:
        """Return the open shard that a write of this item goes to."""
        with self._service.lock:
            if not self.stream.shards.open:
                raise ValueError(f"the stream of {self.name} is disabled: it has no open shard")
            return self.stream.shards.owner(self._keys.hash_of(keys)).shard_id

    def keys_in(self, shard_id: str, count: int = 1) -> list[dict[str, object]]:
        """Return `count` keys whose items go to an open shard, new ones on each call."""
        with self._service.lock:
            shard = self._open(shard_id)
            found: list[dict[str, object]] = []
            while len(found) < count:
                keys = self._keys.draw(self._random)
                if shard.low <= self._keys.hash_of(keys) < shard.high:
                    found.append(keys)
            return found

    def split(self, shard_id: str) -> list[str]:
        """Close an open shard, and return its two children: each gets half of its range."""
        return self._replace(shard_id, 2)

    def roll(self, shard_id: str) -> str:
        """Close an open shard, and return its child, which gets its range. AWS does so every four hours."""
        return self._replace(shard_id, 1)[0]

    def roll_all(self) -> list[str]:
        """Roll every open shard, and return the children."""
        with self._service.lock:
            return [self.roll(shard_id) for shard_id in self.open_shard_ids]

    def hide(self, shard_id: str) -> None:
        """Leave the shard out of listings. It can still be read (trap 6)."""
        self._shard(shard_id).hidden = True

    def reveal(self, shard_id: str) -> None:
        """List the shard again after `hide`."""
        self._shard(shard_id).hidden = False

    def trim(self, shard_id: str | None = None, *, keep: int = 0) -> None:
        """Trim all but the last `keep` records of a shard, or of every shard, as AWS does after 24 hours.

        A closed shard without a record left is gone.
        """
        with self._service.lock:
            chosen = list(self.stream.shards.by_id.values()) if shard_id is None else [self._shard(shard_id)]
            for shard in chosen:
                shard.trimmed = max(shard.trimmed, shard.end - keep)
                shard.dropped |= not shard.is_open and shard.trimmed == shard.end

    def drop(self, shard_id: str, *, listed: bool = False) -> None:
        """Forget a shard, as the service does in the end (trap 11). With `listed` it stays in listings."""
        shard = self._shard(shard_id)
        shard.dropped, shard.ghost = True, listed

    def _replace(self, shard_id: str, children: int) -> list[str]:
        with self._service.lock:
            made = self.stream.shards.replace(self._open(shard_id), self._service.rules.clock(), children=children)
            return [shard.shard_id for shard in made]

    def _shard(self, shard_id: str) -> Shard:
        for stream in reversed(self.streams):
            if (shard := stream.shards.by_id.get(shard_id)) is not None:
                return shard
        raise ValueError(f"{self.name} has no shard {shard_id!r}: it has {list(self.stream.shards.by_id)}")

    def _open(self, shard_id: str) -> Shard:
        shard = self._shard(shard_id)
        if not shard.is_open:
            raise ValueError(f"shard {shard_id!r} is closed: the open ones are {self.open_shard_ids}")
        return shard
