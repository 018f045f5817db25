"""A table whose writes go into its stream."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random
from threading import RLock
from typing import Literal

from connector.testing.change import Change, record_body
from connector.testing.faults import Rules
from connector.testing.keys import Keys, KeyType
from connector.testing.shard import Shard
from connector.testing.stream import Life, ListedShard, Status, Stream, ViewType
from connector.testing.values import Attributes, Image, attributes, to_json


@dataclass(frozen=True, slots=True)
class Setting:
    """What a table shares with its service."""

    rules: Rules
    lock: RLock
    life: Life
    region: str
    account: str


class Table:
    """A table with a stream, made by ``LocalStreams.create_table``.

    Items are mappings of Python values (``connector.testing.values`` says which). A write returns the Change
    that it put into the stream, or None where it put none: the stream is disabled, the put changed nothing,
    or there was nothing to delete. All methods may be called from several threads.
    """

    def __init__(
        self,
        name: str,
        setting: Setting,
        *,
        keys: Mapping[str, KeyType],
        view_type: ViewType,
        shards: int,
        random: Random,
    ) -> None:
        self.name = name
        self._keys = Keys(name, keys)
        self.view_type = view_type
        self.arn = f"arn:aws:dynamodb:{setting.region}:{setting.account}:table/{name}"
        self.created = setting.rules.clock()
        self._setting = setting
        self._random = random
        self._shards = shards
        self._items: dict[bytes, Image] = {}
        self._changes: list[Change] = []
        self.streams: list[Stream] = []
        self.enable_stream()

    # Writing

    def put(self, item: Mapping[str, object]) -> Change | None:
        """Writes a whole item: INSERT, MODIFY, or nothing where the same item is there already."""
        return self._write(attributes(item))

    def put_many(self, items: Iterable[Mapping[str, object]]) -> list[Change]:
        """Puts one item after the other and returns the changes that came of it."""
        return [change for item in items if (change := self.put(item)) is not None]

    def update(
        self,
        keys: Mapping[str, object],
        changes: Mapping[str, object] | None = None,
        *,
        remove: Iterable[str] = (),
    ) -> Change | None:
        """Sets and removes attributes of the item with these keys, which is created where there is none."""
        with self._setting.lock:
            item = dict(self.item(keys) or keys)
            for name in remove:
                item.pop(name, None)
            return self.put({**item, **(changes or {}), **keys})

    def delete(self, keys: Mapping[str, object], *, by: Literal["user", "ttl"] = "user") -> Change | None:
        """Deletes the item with these keys; ``by="ttl"`` marks the record as the service marks its own
        deletes.
        """
        return self._write(attributes(keys), removes=True, by_ttl=by == "ttl")

    def append(self, shard_id: str, body: bytes) -> Change:
        """Puts any bytes into an open shard as one record's JSON, malformed ones too; the table is untouched.

        ``%SEQUENCE%`` in them becomes the record's sequence number.
        """
        with self._setting.lock:
            shard = self._open(shard_id)
            number = shard.numbers.take()
            now = self._setting.rules.clock()
            return self._record(
                shard, number, now, math.floor(now), body.replace(b"%SEQUENCE%", b"%d" % number)
            )

    def item(self, keys: Mapping[str, object]) -> dict[str, object] | None:
        """The item with these keys, as it is now."""
        with self._setting.lock:
            image = self._items.get(to_json(self._keys.of(attributes(keys))))
        return None if image is None else image.item()

    @property
    def keys(self) -> dict[str, KeyType]:
        """The key attributes with their types, the partition key first."""
        return self._keys.types

    @property
    def key_schema(self) -> list[dict[str, str]]:
        """The keys as the service writes them."""
        return self._keys.schema()

    @property
    def item_count(self) -> int:
        return len(self._items)

    @property
    def changes(self) -> list[Change]:
        """Everything ever put into this table's streams, in the order of writing."""
        with self._setting.lock:
            return list(self._changes)

    # Shards

    @property
    def shard_ids(self) -> list[str]:
        """The shards of the latest stream that still exist, hidden ones too, parents before children."""
        with self._setting.lock:
            now = self._setting.rules.clock()
            return [
                shard_id
                for shard_id in self.stream.shards.by_id
                if self.stream.find(shard_id, now) is not None
            ]

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
        """Closes an open shard and gives its range to one child, as the service does every four hours or
        so.
        """
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
        """The service forgets a shard; ``listed=True`` leaves it in the listings, where it answers not
        found.
        """
        shard = self._shard(shard_id)
        shard.dropped, shard.ghost = True, listed

    # The stream

    @property
    def stream(self) -> Stream:
        """The latest stream, disabled or not."""
        return self.streams[-1]

    @property
    def stream_arn(self) -> str:
        """The latest stream's ARN."""
        return self.stream.arn

    @property
    def stream_status(self) -> Status:
        return self.stream.status(self._setting.rules.clock())

    def disable_stream(self, *, settling: float = 0.0) -> None:
        """Closes all shards without children; DISABLING for ``settling`` seconds. It stays readable for 24
        hours.
        """
        with self._setting.lock:
            if self.stream.disabled is None:
                self.stream.disable(self._setting.rules.clock(), settling)

    def enable_stream(
        self, view_type: ViewType | None = None, *, shards: int | None = None, settling: float = 0.0
    ) -> str:
        """Makes a new stream with a new ARN, which it returns; ENABLING for ``settling`` seconds."""
        with self._setting.lock:
            created = self._setting.rules.clock()
            if self.streams:
                if self.stream.disabled is None:
                    raise ValueError(f"the stream of {self.name} is enabled: disable it first")
                created = max(created, self.stream.created + 0.001)
            self.view_type = view_type or self.view_type
            self.streams.append(
                Stream(
                    table_arn=self.arn,
                    table_name=self.name,
                    view_type=self.view_type,
                    created=created,
                    shards=shards or self._shards,
                    random=self._random,
                    life=self._setting.life,
                    settling=settling,
                )
            )
            return self.stream.arn

    # How

    def _write(self, values: Attributes, *, removes: bool = False, by_ttl: bool = False) -> Change | None:
        key_values = self._keys.of(values)
        keys = Image.of(key_values)
        new = None if removes else Image.of(values)
        key_hash = self._keys.hash(key_values)
        with self._setting.lock:
            old = self._items.get(keys.json)
            if old == new:
                return None
            if new is None:
                del self._items[keys.json]
            else:
                self._items[keys.json] = new
            stream = self.stream
            if stream.disabled is not None:
                return None
            now, created = self._setting.rules.creation()
            shard = stream.shards.owner(key_hash)
            number = shard.numbers.take()
            body = record_body(
                event_id=f"{self._random.getrandbits(128):032x}",
                region=self._setting.region,
                created=created,
                keys=keys,
                new=new,
                old=old,
                sequence_number=str(number),
                view_type=stream.view_type,
                by_ttl=by_ttl,
            )
            return self._record(shard, number, now, created, body)

    def _record(self, shard: Shard, number: int, now: float, created: int, body: bytes) -> Change:
        shard.append(number, now, created, body)
        change = Change(self.stream.arn, shard.shard_id, str(number), body)
        self._changes.append(change)
        return change

    def _replace(self, shard_id: str, children: int) -> list[str]:
        with self._setting.lock:
            made = self.stream.shards.replace(
                self._open(shard_id), self._setting.rules.clock(), children=children
            )
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
