"""The operations of both APIs. Each takes the members of a request and returns the JSON of an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from beam_dynamodb_streams.testing.answers import Refusal, constraint, invalid, limit, needed, not_found, text
from beam_dynamodb_streams.testing.faults import FaultRules
from beam_dynamodb_streams.testing.iterators import IteratorContent, Iterators
from beam_dynamodb_streams.testing.scan import scan
from beam_dynamodb_streams.testing.shard import Shard
from beam_dynamodb_streams.testing.stream import Lifetimes, Stream
from beam_dynamodb_streams.testing.table import Table

Members = dict[str, object]
ShardFilter = Literal["supported", "ignored", "rejected"]

MAX_RECORDS = 1000
MAX_SHARDS = 100
MAX_STREAMS = 100
ITERATOR_TYPES = ("TRIM_HORIZON", "LATEST", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "AT_TIMESTAMP")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What this endpoint supports of the API. Older endpoints and emulators support less."""

    at_timestamp: bool = True
    shard_filter: ShardFilter = "supported"
    ends_listed_for_open: bool = False


@dataclass(frozen=True, slots=True)
class Operations:
    """The operations on the service's state. The caller holds the service's lock around each call."""

    tables: Mapping[str, Table]
    deleted: Sequence[Table]
    rules: FaultRules
    lifetimes: Lifetimes
    iterators: Iterators
    endpoint: Endpoint

    def by_target(self) -> dict[str, Callable[[Members], bytes]]:
        """Return each operation by its X-Amz-Target."""
        return {
            "DynamoDBStreams_20120810.ListStreams": self.list_streams,
            "DynamoDBStreams_20120810.DescribeStream": self.describe_stream,
            "DynamoDBStreams_20120810.GetShardIterator": self.get_shard_iterator,
            "DynamoDBStreams_20120810.GetRecords": self.get_records,
            "DynamoDB_20120810.DescribeTable": self.describe_table,
            "DynamoDB_20120810.ListTables": self.list_tables,
            "DynamoDB_20120810.Scan": self.scan,
        }

    def resource(self, members: Members) -> str:
        """Return the shard that a call names, else the stream, else the table, else an empty string."""
        iterator = members.get("ShardIterator")
        if isinstance(iterator, str):
            found = self.iterators.read(iterator)
            return found.shard_id if found else ""
        for name in ("ShardId", "StreamArn", "TableName"):
            if isinstance(value := members.get(name), str):
                return value
        return ""

    def list_streams(self, members: Members) -> bytes:
        table_name = text(members, "TableName", least=3, most=255)
        after = text(members, "ExclusiveStartStreamArn", least=37, most=1024)
        most = limit(members, MAX_STREAMS)
        now = self.rules.clock()
        found = sorted(
            (stream for stream in self._streams() if not stream.is_gone(now)),
            key=lambda stream: stream.arn,
        )
        found = [
            stream
            for stream in found
            if (table_name is None or stream.table_name == table_name) and (after is None or stream.arn > after)
        ]
        answer: dict[str, object] = {
            "Streams": [
                {"StreamArn": stream.arn, "StreamLabel": stream.label, "TableName": stream.table_name}
                for stream in found[:most]
            ]
        }
        if len(found) > most:
            answer["LastEvaluatedStreamArn"] = found[most - 1].arn
        return msgspec.json.encode(answer)

    def describe_stream(self, members: Members) -> bytes:
        stream = self._stream(members)
        after = text(members, "ExclusiveStartShardId", least=28, most=65)
        most = limit(members, MAX_SHARDS)
        children_of = self._children_of(members)
        now = self.rules.clock()
        faults = self.rules.faults
        holes = self.rules.dice("list_holes", "DescribeStream", stream.arn)
        found = stream.listing(
            now,
            after=after,
            children_of=children_of,
            delay=faults.list_delay,
            is_missing=lambda _: faults.list_holes > 0 and holes.random() < faults.list_holes,
            ends_listed_for_open=self.endpoint.ends_listed_for_open,
            stale=faults.list_stale,
        )
        description: dict[str, object] = {
            "StreamArn": stream.arn,
            "StreamLabel": stream.label,
            "StreamStatus": stream.status(now),
            "StreamViewType": stream.view_type,
            "CreationRequestDateTime": stream.created,
            "TableName": stream.table_name,
            "KeySchema": stream.key_schema,
            "Shards": found[:most],
        }
        if len(found) > most:
            last = found[most - 1]["ShardId"]
            if after is not None and self.rules.strikes("repeat_listing", "DescribeStream", stream.arn):
                last = after
            description["LastEvaluatedShardId"] = last
        return msgspec.json.encode({"StreamDescription": description})

    def get_shard_iterator(self, members: Members) -> bytes:
        stream = self._stream(members)
        shard_id = needed(members, "ShardId", least=28, most=65)
        kind = needed(members, "ShardIteratorType")
        known = ITERATOR_TYPES if self.endpoint.at_timestamp else ITERATOR_TYPES[:-1]
        if kind not in known:
            raise constraint(kind, "shardIteratorType", f"satisfy enum value set: [{', '.join(known)}]")
        number = text(members, "SequenceNumber", least=21, most=40)
        now = self.rules.clock()
        shard = self._shard(stream, shard_id, now)
        if kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
            position = _by_number(shard, number, after=kind == "AFTER_SEQUENCE_NUMBER")
        elif number is not None:
            raise invalid(f"SequenceNumber must not be given with ShardIteratorType {kind}")
        elif kind == "AT_TIMESTAMP":
            position = _by_time(shard, members.get("Timestamp"), now)
        else:
            position = shard.end if kind == "LATEST" else shard.trimmed
        iterator = self.iterators.write(IteratorContent(stream.arn, shard_id, position, int(now * 1000)))
        return msgspec.json.encode({"ShardIterator": iterator})

    def get_records(self, members: Members) -> bytes:
        content = self.iterators.read(needed(members, "ShardIterator"))
        most = limit(members, MAX_RECORDS)
        if content is None:
            raise invalid("Invalid ShardIterator")
        now = self.rules.clock()
        issued = int(now * 1000)
        if issued - content.issued > self.lifetimes.iterator * 1000 or self.rules.strikes(
            "expire", "GetRecords", content.shard_id
        ):
            raise Refusal("ExpiredIteratorException", "The provided iterator exceeds the maximum age allowed.")
        stream = self._stream({"StreamArn": content.stream_arn})
        shard = self._shard(stream, content.shard_id, now)
        if content.position < shard.trimmed:
            raise _trimmed()
        records = shard.page(content.position, most)
        if records and self.rules.serves_empty(content.shard_id):
            records = []
        position = content.position + len(records)
        late_end = records and self.rules.strikes("late_end", "GetRecords", content.shard_id)
        if shard.is_open or position < shard.end or late_end:
            following = self.iterators.write(IteratorContent(content.stream_arn, content.shard_id, position, issued))
            tail = b'],"NextShardIterator":"%b"}' % following.encode()
        else:
            tail = b"]}"  # the last page of a closed shard may have records and no next iterator (trap 1)
        if not records:
            return b'{"Records":[' + tail
        # One join over all parts: a page is copied once.
        records[0] = b'{"Records":[' + records[0]
        records[-1] += tail
        return b",".join(records)

    def describe_table(self, members: Members) -> bytes:
        table = self._table(members)
        description: dict[str, object] = {
            "TableName": table.name,
            "TableArn": table.arn,
            "TableId": table.table_id,
            "TableStatus": "ACTIVE",
            "CreationDateTime": table.created,
            "ItemCount": table.item_count,
            "TableSizeBytes": table.contents.size,
            "KeySchema": table.key_schema,
            "AttributeDefinitions": [{"AttributeName": key, "AttributeType": kind} for key, kind in table.keys.items()],
            "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
        }
        latest = table.streams[-1] if table.streams else None
        if latest is not None and latest.disabled is None:
            description["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": latest.view_type}
        if latest is not None and not latest.is_gone(self.rules.clock()):
            # AWS still names a disabled stream as the latest.
            description |= {"LatestStreamArn": latest.arn, "LatestStreamLabel": latest.label}
        return msgspec.json.encode({"Table": description})

    def list_tables(self, members: Members) -> bytes:
        after = text(members, "ExclusiveStartTableName", least=3, most=255) or ""
        most = limit(members, MAX_STREAMS)
        names = sorted(name for name, table in self.tables.items() if name > after and table.deleted is None)
        answer: dict[str, object] = {"TableNames": names[:most]}
        if len(names) > most:
            answer["LastEvaluatedTableName"] = names[most - 1]
        return msgspec.json.encode(answer)

    def scan(self, members: Members) -> bytes:
        return scan(self._table(members), members, self.rules)

    def _table(self, members: Members) -> Table:
        name = needed(members, "TableName", least=3, most=1024).rpartition("/")[2]  # or an ARN
        table = self.tables.get(name)
        if table is None or table.deleted is not None:
            raise not_found(f"Table: {name} not found")
        return table

    def _streams(self) -> Iterator[Stream]:
        """Yield all streams that ever were, of deleted tables too."""
        for table in (*self.deleted, *self.tables.values()):
            yield from table.streams

    def _stream(self, members: Members) -> Stream:
        arn = needed(members, "StreamArn", least=37, most=1024)
        now = self.rules.clock()
        for stream in self._streams():
            if stream.arn == arn and not stream.is_gone(now):
                return stream
        raise not_found(f"Stream: {arn} not found")

    def _shard(self, stream: Stream, shard_id: str, now: float) -> Shard:
        shard = stream.find(shard_id, now)
        if shard is None:
            raise not_found("Shard does not exist")
        return shard

    def _children_of(self, members: Members) -> str | None:
        wanted = members.get("ShardFilter")
        if wanted is None or self.endpoint.shard_filter == "ignored":
            return None
        if self.endpoint.shard_filter == "rejected":
            raise invalid("Unsupported parameter: ShardFilter")
        if not isinstance(wanted, dict) or wanted.get("Type") != "CHILD_SHARDS":
            kind = wanted.get("Type") if isinstance(wanted, dict) else wanted
            raise constraint(kind, "shardFilter.type", "satisfy enum value set: [CHILD_SHARDS]")
        return needed(wanted, "ShardId", least=28, most=65)


def _by_number(shard: Shard, digits: str | None, *, after: bool) -> int:
    if digits is None:
        raise invalid("SequenceNumber is required for the given ShardIteratorType")
    if not (digits.isascii() and digits.isdecimal()):
        raise invalid(f"Invalid SequenceNumber: {digits}")
    number = int(digits)
    if shard.is_trimmed(number):
        raise _trimmed()
    last = max(shard.starting, shard.sequence[-1] if shard.sequence else 0, shard.ending or 0)
    if not shard.starting <= number <= last:
        raise invalid(f"Invalid SequenceNumber: {digits} is not in shard {shard.shard_id}")
    return shard.after_number(number) if after else shard.at_number(number)


def _by_time(shard: Shard, timestamp: object, now: float) -> int:
    if not isinstance(timestamp, int | float) or isinstance(timestamp, bool):
        raise invalid("Timestamp is required for the given ShardIteratorType")
    if timestamp > now:
        raise invalid("Timestamp must not be in the future")
    return shard.at_time(timestamp)


def _trimmed() -> Refusal:
    return Refusal("TrimmedDataAccessException", "The data you are trying to access has been trimmed")
