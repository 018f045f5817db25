"""The operations of Kinesis Data Streams. Each takes the members of a request and returns the JSON of an answer."""

from __future__ import annotations

import base64
import binascii
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from beam_dynamodb_streams.testing.answers import Refusal, needed, text
from beam_dynamodb_streams.testing.faults import FaultRules
from beam_dynamodb_streams.testing.iterators import IteratorContent, Iterators
from beam_dynamodb_streams.testing.kinesis_shards import PAGE_BYTES, KinesisShard, KinesisStream, Stored

Members = dict[str, object]

MAX_RECORDS = 10_000
MAX_SHARDS = 1000
CALLS_A_SECOND = 5
BYTES_A_SECOND = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class KinesisOperations:
    """The operations on the service's state. The caller holds the service's lock around each call."""

    streams: Mapping[str, KinesisStream]
    rules: FaultRules
    iterators: Iterators
    iterator_life: float
    limits: bool
    _answered: dict[str, deque[tuple[float, int]]] = field(default_factory=dict)  # by shard: when, and how many bytes

    def by_target(self) -> dict[str, Callable[[Members], bytes]]:
        """Return each operation by its X-Amz-Target."""
        operations = {
            "ListStreams": self.list_streams,
            "DescribeStream": self.describe_stream,
            "DescribeStreamSummary": self.describe_stream_summary,
            "ListShards": self.list_shards,
            "GetShardIterator": self.get_shard_iterator,
            "GetRecords": self.get_records,
            "PutRecord": self.put_record,
            "PutRecords": self.put_records,
        }
        return {f"Kinesis_20131202.{name}": operation for name, operation in operations.items()}

    def resource(self, members: Members) -> str:
        """Return the shard that a call names, else the stream, else an empty string."""
        iterator = members.get("ShardIterator")
        if isinstance(iterator, str):
            found = self.iterators.read(iterator)
            return found.shard_id if found else ""
        for name in ("ShardId", "StreamARN", "StreamName"):
            if isinstance(value := members.get(name), str):
                return value
        return ""

    def list_streams(self, members: Members) -> bytes:  # noqa: ARG002 - few streams: one page
        names = sorted(name for name, stream in self.streams.items() if not stream.deleted)
        return msgspec.json.encode({"StreamNames": names, "HasMoreStreams": False})

    def describe_stream_summary(self, members: Members) -> bytes:
        stream = self._stream(members)
        return msgspec.json.encode(
            {
                "StreamDescriptionSummary": {
                    **_description(stream),
                    "OpenShardCount": len(stream.open_shards),
                    "ConsumerCount": 0,
                }
            }
        )

    def describe_stream(self, members: Members) -> bytes:
        stream = self._stream(members)
        after = text(members, "ExclusiveStartShardId", most=128)
        shards = _after(stream.listed(), after)
        most = _number(members, "Limit", 100, 10_000)
        return msgspec.json.encode(
            {
                "StreamDescription": {
                    **_description(stream),
                    "Shards": [_listed(shard) for shard in shards[:most]],
                    "HasMoreShards": len(shards) > most,
                }
            }
        )

    def list_shards(self, members: Members) -> bytes:
        token = text(members, "NextToken", most=1_048_576)
        if token is not None:
            if "StreamName" in members or "ExclusiveStartShardId" in members:
                raise _invalid("NextToken and StreamName cannot be provided together.")
            members = msgspec.json.decode(base64.b64decode(token), type=dict[str, object])
        stream = self._stream(members)
        after = text(members, "ExclusiveStartShardId", most=128)
        most = _number(members, "MaxResults", MAX_SHARDS, 10_000)
        holes = self.rules.dice("list_holes", "ListShards", stream.arn)
        rate = self.rules.faults.list_holes
        shards = [
            shard
            for shard in _after(_filtered(stream, members.get("ShardFilter"), self.rules.clock()), after)
            if not rate or holes.random() >= rate
        ]
        answer: dict[str, object] = {"Shards": [_listed(shard) for shard in shards[:most]]}
        if len(shards) > most:
            following = {**members, "StreamName": stream.name, "ExclusiveStartShardId": shards[most - 1].shard_id}
            answer["NextToken"] = base64.b64encode(msgspec.json.encode(following)).decode()
        return msgspec.json.encode(answer)

    def get_shard_iterator(self, members: Members) -> bytes:
        stream = self._stream(members)
        shard = self._shard(stream, needed(members, "ShardId", most=128))
        kind = needed(members, "ShardIteratorType")
        if kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
            number = _sequence_number(shard, text(members, "StartingSequenceNumber"))
            position = shard.at_number(number) if kind == "AT_SEQUENCE_NUMBER" else shard.after_number(number)
        elif kind == "AT_TIMESTAMP":
            moment = members.get("Timestamp")
            if not isinstance(moment, int | float) or isinstance(moment, bool):
                raise _invalid("Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP.")
            if moment > self.rules.clock():
                raise _invalid("The timestampInMillis parameter cannot be greater than the currentTimestampInMillis.")
            position = shard.at_time(moment)
        elif kind == "LATEST":
            position = len(shard.records)
        elif kind == "TRIM_HORIZON":
            position = 0
        else:
            raise _invalid(f"ShardIteratorType {kind} is not known")
        # A position older than the horizon becomes the horizon, without a word.
        return msgspec.json.encode({"ShardIterator": self._iterator(stream, shard, position)})

    def get_records(self, members: Members) -> bytes:
        content = self.iterators.read(needed(members, "ShardIterator", most=4096))
        if content is None:
            raise _invalid("Invalid ShardIterator.")
        most = _number(members, "Limit", MAX_RECORDS, MAX_RECORDS)
        now = self.rules.clock()
        if now - content.issued / 1000 > self.iterator_life or self.rules.strikes(
            "expire", "GetRecords", content.shard_id
        ):
            raise Refusal("ExpiredIteratorException", "Iterator expired.")
        stream = self._stream({"StreamARN": content.stream_arn})
        shard = self._shard(stream, content.shard_id)
        self._check_rate(content.shard_id, now)
        position = max(content.position, shard.trimmed(stream.horizon))
        records = _page(shard, position, most)
        if records and self.rules.serves_empty(content.shard_id):
            records = []
        self._answered.setdefault(content.shard_id, deque()).append((now, sum(len(record.data) for record in records)))
        position += len(records)
        behind = now - shard.records[position].arrived if position < len(shard.records) else 0.0
        answer: dict[str, object] = {
            "Records": [
                {
                    "SequenceNumber": str(record.number),
                    "ApproximateArrivalTimestamp": record.arrived,
                    "Data": record.data,
                    "PartitionKey": record.partition_key,
                }
                for record in records
            ],
            "MillisBehindLatest": int(behind * 1000),
        }
        if shard.ended is None or position < len(shard.records):
            answer["NextShardIterator"] = self._iterator(stream, shard, position)
        else:
            answer["ChildShards"] = [
                {
                    "ShardId": child.shard_id,
                    "ParentShards": list(child.parents),
                    "HashKeyRange": _hash_range(child),
                }
                for child in stream.children(shard.shard_id)
            ]
        return msgspec.json.encode(answer)

    def put_record(self, members: Members) -> bytes:
        stream = self._stream(members)
        number = stream.put(_data(members), needed(members, "PartitionKey", most=256))
        return msgspec.json.encode({"SequenceNumber": number, "ShardId": _shard_of(stream, number)})

    def put_records(self, members: Members) -> bytes:
        stream = self._stream(members)
        entries = members.get("Records")
        if not isinstance(entries, list) or not 1 <= len(entries) <= 500:
            raise _invalid("PutRecords takes 1 to 500 records.")
        written = []
        for entry in entries:
            number = stream.put(_data(entry), needed(entry, "PartitionKey", most=256))
            written.append({"SequenceNumber": number, "ShardId": _shard_of(stream, number)})
        return msgspec.json.encode({"FailedRecordCount": 0, "Records": written})

    def _stream(self, members: Members) -> KinesisStream:
        arn, name = text(members, "StreamARN"), text(members, "StreamName", most=128)
        if arn is None and name is None:
            raise _invalid("Either StreamName or StreamARN must be provided.")
        name = name or (arn or "").rpartition("/")[2]
        stream = self.streams.get(name)
        if stream is None or stream.deleted or (arn is not None and arn != stream.arn):
            account = "000000000000" if stream is None else stream.arn.split(":")[4]
            raise Refusal("ResourceNotFoundException", f"Stream {name} under account {account} not found.")
        return stream

    def _shard(self, stream: KinesisStream, shard_id: str) -> KinesisShard:
        shard = stream.find(shard_id)
        if shard is None:
            raise Refusal(
                "ResourceNotFoundException",
                f"Could not find shard {shard_id} in stream {stream.name} under account {stream.arn.split(':')[4]}.",
            )
        return shard

    def _iterator(self, stream: KinesisStream, shard: KinesisShard, position: int) -> str:
        issued = int(self.rules.clock() * 1000)
        return self.iterators.write(IteratorContent(stream.arn, shard.shard_id, position, issued))

    def _check_rate(self, shard_id: str, now: float) -> None:
        """Raise the throttle of a shard that was read more than five times or 2 MB in the last second."""
        if not self.limits:
            return
        answered = self._answered.setdefault(shard_id, deque())
        while answered and answered[0][0] <= now - 1:
            answered.popleft()
        if len(answered) >= CALLS_A_SECOND or sum(size for _, size in answered) >= BYTES_A_SECOND:
            raise Refusal("ProvisionedThroughputExceededException", f"Rate exceeded for shard {shard_id}.")


def _description(stream: KinesisStream) -> dict[str, object]:
    return {
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "StreamStatus": "ACTIVE",
        "StreamModeDetails": {"StreamMode": "PROVISIONED"},
        "RetentionPeriodHours": int(stream.retention // 3600),
        "StreamCreationTimestamp": stream.created,
        "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
        "EncryptionType": "NONE",
    }


def _listed(shard: KinesisShard) -> dict[str, object]:
    numbers = {"StartingSequenceNumber": str(shard.starting)}
    if shard.ending is not None:
        numbers["EndingSequenceNumber"] = str(shard.ending)
    listed: dict[str, object] = {
        "ShardId": shard.shard_id,
        "HashKeyRange": _hash_range(shard),
        "SequenceNumberRange": numbers,
    }
    return listed | dict(zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False))


def _hash_range(shard: KinesisShard) -> dict[str, str]:
    return {"StartingHashKey": str(shard.low), "EndingHashKey": str(shard.high - 1)}


def _after(shards: list[KinesisShard], after: str | None) -> list[KinesisShard]:
    return [shard for shard in shards if after is None or shard.shard_id > after]


def _filtered(stream: KinesisStream, wanted: object, now: float) -> list[KinesisShard]:
    shards = stream.listed()
    if wanted is None:
        return shards
    if not isinstance(wanted, dict):
        raise _invalid("ShardFilter is not a structure.")
    kind, shard_id, moment = wanted.get("Type"), wanted.get("ShardId"), wanted.get("Timestamp")
    if kind == "AFTER_SHARD_ID":
        return _after(shards, str(shard_id))
    if kind == "AT_LATEST":
        return [shard for shard in shards if shard.ended is None]
    if kind == "AT_TRIM_HORIZON":
        return [shard for shard in shards if shard.born <= stream.horizon or not shard.parents]
    if kind == "FROM_TRIM_HORIZON":
        return shards
    if kind in ("AT_TIMESTAMP", "FROM_TIMESTAMP") and isinstance(moment, int | float):
        alive = [shard for shard in shards if shard.ended is None or shard.ended >= moment]
        return alive if kind == "FROM_TIMESTAMP" else [shard for shard in alive if shard.born <= min(moment, now)]
    raise _invalid(f"ShardFilter {kind} is not known")


def _page(shard: KinesisShard, position: int, most: int) -> list[Stored]:
    taken: list[Stored] = []
    size = 0
    for record in shard.records[position : position + most]:
        size += len(record.data) + len(record.partition_key)
        if taken and size > PAGE_BYTES:
            break
        taken.append(record)
    return taken


def _sequence_number(shard: KinesisShard, digits: str | None) -> int:
    if digits is None:
        raise _invalid("Must specify a starting sequence number for this iterator type.")
    if not (digits.isascii() and digits.isdecimal()):
        raise _invalid(f"StartingSequenceNumber {digits} is not a sequence number.")
    number = int(digits)
    if number < shard.starting or (shard.ending is not None and number > shard.ending):
        raise _invalid(
            f"StartingSequenceNumber {digits} used in GetShardIterator on shard {shard.shard_id} is invalid because it "
            "did not come from this shard."
        )
    return number


def _shard_of(stream: KinesisStream, number: str) -> str:
    return next(shard.shard_id for shard in stream.listed() if int(number) in shard.numbers)


def _data(members: Members) -> bytes:
    try:
        return base64.b64decode(needed(members, "Data", most=1_400_000), validate=True)
    except binascii.Error:
        raise Refusal("SerializationException", "Data is not base64") from None


def _number(members: Members, name: str, default: int, most: int) -> int:
    value = members.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise _invalid(f"{name}={value!r}: it must be 1 to {most}")
    return value


def _invalid(message: str) -> Refusal:
    return Refusal("InvalidArgumentException", message)
