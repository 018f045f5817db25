"""The streams of one table and the life of their shards, as a test directs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from threading import RLock
from typing import get_args

from beam_dynamodb_streams.testing.faults import Rules
from beam_dynamodb_streams.testing.keys import Keys
from beam_dynamodb_streams.testing.shard import Shard
from beam_dynamodb_streams.testing.stream import Life, ListedShard, Status, Stream, ViewType


@dataclass(frozen=True, slots=True)
class Setting:
    """What a table shares with its service."""

    rules: Rules
    lock: RLock
    life: Life
    region: str
    account: str


class Streamed:
    """What can be done to the streams of a table; the shards meant are the latest stream's."""

    def __init__(self, name: str, arn: str, keys: Keys, setting: Setting, random: Random) -> None:
        self.name = name
        self.arn = arn
        self.streams: list[Stream] = []
        self._keys = keys
        self._setting = setting
        self._random = random

    @property
    def stream(self) -> Stream:
        """The latest stream, disabled or not; ValueError where the table never had one."""
        if not self.streams:
            raise ValueError(f"table {self.name} has no stream: enable_stream makes one")
        return self.streams[-1]

    @property
    def stream_arn(self) -> str:
        """The latest stream's ARN."""
        return self.stream.arn

    @property
    def stream_status(self) -> Status:
        return self.stream.status(self._setting.rules.clock())

    def disable_stream(self, *, settling: float = 0.0) -> None:
        """Closes all shards without children; the stream is DISABLING for ``settling`` seconds."""
        with self._setting.lock:
            if self.stream.disabled is None:
                self.stream.disable(self._setting.rules.clock(), settling)

    def enable_stream(
        self, view_type: ViewType = "NEW_AND_OLD_IMAGES", *, shards: int = 1, settling: float = 0.0
    ) -> str:
        """Makes a new stream with a new ARN, which it returns; ENABLING for ``settling`` seconds."""
        if view_type not in get_args(ViewType):
            raise ValueError(f"view_type={view_type!r}: the views are {', '.join(get_args(ViewType))}")
        if shards < 1:
            raise ValueError(f"shards={shards!r}: a stream has one shard at least")
        with self._setting.lock:
            now = created = self._setting.rules.clock()
            if self.streams:
                if self.stream.disabled is None:
                    raise ValueError(f"the stream of {self.name} is enabled: disable it first")
                # A label has milliseconds, and no two streams of a table have the same.
                created = max(now, self.stream.created + 0.001)
            made = Stream(
                table_arn=self.arn,
                table_name=self.name,
                view_type=view_type,
                created=created,
                shards=shards,
                random=self._random,
                life=self._setting.life,
                settled=now + settling,
            )
            self.streams.append(made)
            return made.arn

    @property
    def shard_ids(self) -> list[str]:
        """The shards of the latest stream that still exist, hidden ones too, parents before children."""
        with self._setting.lock:
            now = self._setting.rules.clock()
            return [shard_id for shard_id in self.stream.shards.by_id if self.stream.find(shard_id, now) is not None]

    @property
    def open_shard_ids(self) -> list[str]:
        """The open shards of the latest stream, by hash range."""
        with self._setting.lock:
            return [shard.shard_id for shard in self.stream.shards.open]

    @property
    def lineage(self) -> dict[str, str | None]:
        """Every shard that the latest stream ever had, with its parent."""
        with self._setting.lock:
            return {shard.shard_id: shard.parent_shard_id for shard in self.stream.shards.by_id.values()}

    def listing(self) -> list[ListedShard]:
        """The latest stream's shards as DescribeStream would show them all, without faults."""
        with self._setting.lock:
            return self.stream.listing(self._setting.rules.clock())

    def shard_of(self, keys: Mapping[str, object]) -> str:
        """The open shard that a write of this item goes to."""
        with self._setting.lock:
            if not self.stream.shards.open:
                raise ValueError(f"the stream of {self.name} is disabled: it has no open shard")
            return self.stream.shards.owner(self._keys.hash_of(keys)).shard_id

    def keys_in(self, shard_id: str, count: int = 1) -> list[dict[str, object]]:
        """So many keys that an open shard takes, new on each call: for writing where a test wants it."""
        with self._setting.lock:
            shard = self._open(shard_id)
            found: list[dict[str, object]] = []
            while len(found) < count:
                keys = self._keys.draw(self._random)
                if shard.low <= self._keys.hash_of(keys) < shard.high:
                    found.append(keys)
            return found

    def split(self, shard_id: str) -> list[str]:
        """Closes an open shard and gives each half of its range to a child."""
        return self._replace(shard_id, 2)

    def roll(self, shard_id: str) -> str:
        """Closes an open shard and gives its range to one child, as happens every four hours."""
        return self._replace(shard_id, 1)[0]

    def roll_all(self) -> list[str]:
        """Rolls every open shard."""
        with self._setting.lock:
            return [self.roll(shard_id) for shard_id in self.open_shard_ids]

    def hide(self, shard_id: str) -> None:
        """Leaves the shard out of listings; it can be read all the same (fact 6)."""
        self._shard(shard_id).hidden = True

    def reveal(self, shard_id: str) -> None:
        """Lists the shard again."""
        self._shard(shard_id).hidden = False

    def trim(self, shard_id: str | None = None, *, keep: int = 0) -> None:
        """Trims all but the last ``keep`` records of a shard, or of every shard, as 24 hours would.

        A closed shard that keeps none is gone.
        """
        with self._setting.lock:
            chosen = list(self.stream.shards.by_id.values()) if shard_id is None else [self._shard(shard_id)]
            for shard in chosen:
                shard.trimmed = max(shard.trimmed, shard.end - keep)
                shard.dropped |= not shard.is_open and shard.trimmed == shard.end

    def drop(self, shard_id: str, *, listed: bool = False) -> None:
        """The service forgets a shard (fact 11); ``listed=True`` leaves it in listings all the same."""
        shard = self._shard(shard_id)
        shard.dropped, shard.ghost = True, listed

    def _replace(self, shard_id: str, children: int) -> list[str]:
        with self._setting.lock:
            made = self.stream.shards.replace(self._open(shard_id), self._setting.rules.clock(), children=children)
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
