"""A table whose writes go into its stream."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from random import Random
from typing import Literal

from beam_dynamodb_streams.testing.change import Change, record_body
from beam_dynamodb_streams.testing.exports import ExportedTable, View, Write, write_full, write_incremental
from beam_dynamodb_streams.testing.items import Items
from beam_dynamodb_streams.testing.keys import KeyType, TableKeys
from beam_dynamodb_streams.testing.lifecycle import ServiceState, StreamControls
from beam_dynamodb_streams.testing.shard import Shard
from beam_dynamodb_streams.testing.values import Attributes, Image, attributes, to_json

_MAX_ITEM = 400 * 1024


class Table(StreamControls):
    """A table with a stream. `LocalStreams.create_table` creates it.

    Items are mappings of Python values: str, int and Decimal, bytes, bool, None, mappings, lists and tuples, and sets
    of one of str, bytes and numbers. A write returns the `Change` that it put into the stream. It returns None if it
    put none, because the stream is disabled, the item did not change, or there was no item to delete. All methods are
    thread-safe.
    """

    def __init__(
        self,
        name: str,
        service: ServiceState,
        *,
        keys: Mapping[str, KeyType],
        random: Random,
        table_id: str,
        newest_label: float = 0.0,
    ) -> None:
        arn = f"arn:aws:dynamodb:{service.region}:{service.account}:table/{name}"
        super().__init__(name, arn, TableKeys(name, keys), service, random, newest_label)
        self.created = service.rules.clock()
        self.table_id = table_id
        self.contents = Items(lambda key: self._keys.hash(json.loads(key)))
        self._changes: list[Change] = []
        self._writes: list[Write] = []

    def put(self, item: Mapping[str, object]) -> Change | None:
        """Write a whole item: an INSERT, a MODIFY, or no change if the same item exists already."""
        return self._write(attributes(item))

    def put_many(self, items: Iterable[Mapping[str, object]]) -> list[Change]:
        """Put one item after the other, and return their changes."""
        return [change for item in items if (change := self.put(item)) is not None]

    def update(
        self,
        keys: Mapping[str, object],
        changes: Mapping[str, object] | None = None,
        *,
        remove: Iterable[str] = (),
    ) -> Change | None:
        """Set and remove attributes of the item with these keys. Create the item if it does not exist."""
        with self._service.lock:
            item = dict(self.item(keys) or keys)
            for name in remove:
                item.pop(name, None)
            return self.put({**item, **(changes or {}), **keys})

    def delete(self, keys: Mapping[str, object], *, by: Literal["user", "ttl"] = "user") -> Change | None:
        """Delete the item with these keys. `by="ttl"` marks the record as a deletion by Time to Live."""
        return self._write(attributes(keys), removes=True, by_ttl=by == "ttl")

    def append(self, shard_id: str, body: bytes) -> Change:
        """Put any bytes, malformed ones too, into an open shard as one record's JSON. The table does not change.

        `%SEQUENCE%` in the bytes is replaced with the record's sequence number.
        """
        with self._service.lock:
            shard = self._open(shard_id)
            number = shard.numbers.take()
            now = self._service.rules.clock()
            return self._record(shard, number, now, math.floor(now), body.replace(b"%SEQUENCE%", b"%d" % number))

    def delete_table(self) -> None:
        """Delete the table with its items. Its stream is DISABLED, and stays readable while its records are kept.

        Create it again with `LocalStreams.create_table`: it then has another `table_id`.
        """
        with self._service.lock:
            self._check_exists()
            if self.streams:
                self.disable_stream()
            self.deleted = self._service.rules.clock()
            self.contents.clear()

    def item(self, keys: Mapping[str, object]) -> dict[str, object] | None:
        """Return the item with these keys as it is now, or None."""
        with self._service.lock:
            image = self.contents.get(to_json(self._keys.of(attributes(keys))))
        return None if image is None else image.item()

    def items(self) -> list[dict[str, object]]:
        """Return all items as they are now, in no order of the writes."""
        with self._service.lock:
            found = [image for key in self.contents if (image := self.contents.get(key)) is not None]
        return [image.item() for image in found]

    def export_full(self, root: str | os.PathLike[str], *, at: datetime | None = None, files: int = 2) -> str:
        """Write a full export of the table into the folder `root`, as it was at `at`, and return the export's folder.

        `at` is now by default. The folder is `root/AWSDynamoDB/<ExportId>/`, as an export to S3 has it.
        """
        with self._service.lock:
            moment = self._service.rules.clock() if at is None else at.timestamp()
            table = ExportedTable(self.arn, self.table_id)
            return write_full(os.fspath(root), table, self._writes, moment, files=files)

    def export_incremental(
        self,
        root: str | os.PathLike[str],
        since: datetime,
        until: datetime,
        *,
        view: View = "NEW_AND_OLD_IMAGES",
        files: int = 2,
    ) -> str:
        """Write the net change of each item from `since` until before `until`, and return the export's folder.

        Writes count whether or not they are in a stream. The service wants windows of 15 minutes to 24 hours; here any
        window will do.
        """
        with self._service.lock:
            table = ExportedTable(self.arn, self.table_id)
            moments = (since.timestamp(), until.timestamp())
            return write_incremental(os.fspath(root), table, self._writes, *moments, view=view, files=files)

    @property
    def keys(self) -> dict[str, KeyType]:
        """The key attributes with their types, the partition key first."""
        return self._keys.types

    def key_of(self, values: Attributes) -> Attributes:
        """Return the key among these attributes. Raises ValueError if one is missing or has another type."""
        return self._keys.of(values)

    @property
    def key_schema(self) -> list[dict[str, str]]:
        """The keys as the service writes them."""
        return self._keys.schema()

    @property
    def item_count(self) -> int:
        return len(self.contents)

    @property
    def changes(self) -> list[Change]:
        """Everything ever put into this table's streams, in the order of the writes."""
        with self._service.lock:
            return list(self._changes)

    def _write(self, values: Attributes, *, removes: bool = False, by_ttl: bool = False) -> Change | None:
        key_values = self._keys.of(values)
        keys = Image.of(key_values)
        new = None if removes else Image.of(values)
        if new is not None and new.size > _MAX_ITEM:
            raise ValueError(f"an item of {new.size} bytes: DynamoDB allows at most {_MAX_ITEM}")
        key_hash = self._keys.hash(key_values)
        with self._service.lock:
            self._check_exists()
            old = self.contents.get(keys.json)
            if old == new:
                return None
            rules = self._service.rules
            self._writes.append(Write(rules.clock(), keys, old, new))
            self.contents.write(keys.json, new, now=rules.clock(), remembers=rules.faults.stale_reads)
            if not self.streams or self.stream.disabled is not None:
                return None
            stream = self.stream
            now, created = self._service.rules.creation()
            shard = stream.shards.owner(key_hash)
            number = shard.numbers.take()
            body = record_body(
                event_id=f"{self._random.getrandbits(128):032x}",
                region=self._service.region,
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
