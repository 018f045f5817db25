"""A read of a Kinesis data stream while something is wrong with the stream, its key, its records or its endpoint."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from email.utils import formatdate
from typing import Any

import msgspec
import pytest

from beam_dynamodb_streams.errors import AccessDeniedError, InvalidRequestError, UnknownCodeError
from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.testing import Clock, Faults, LocalKinesis, LocalStreams
from beam_dynamodb_streams.testing.kinesis_record import kinesis_record
from beam_dynamodb_streams.wire import KinesisClient
from beam_dynamodb_streams.wire.transport import Answer
from tests.driven_kinesis import DrivenKinesisRead, kinesis_client
from tests.inline import NoSockets

Members = dict[str, Any]


class Trouble:
    """A table whose changes go to a data stream, and an endpoint whose answers a test may replace."""

    def __init__(self, *, shards: int = 2, hours: int = 24) -> None:
        self.clock = Clock()
        self.kinesis = LocalKinesis(clock=self.clock)
        self.table = LocalStreams(clock=self.clock).create_table("orders", keys={"id": "S"})
        self.stream = self.kinesis.create_stream("copy", shards=shards, retention=timedelta(hours=hours))
        self.refuse: Callable[[str], tuple[str, str] | None] = lambda _: None
        self.rewrite: Callable[[str, Members], Members] = lambda _, members: members
        self.number = 0

    def write(self, count: int) -> list[str]:
        changes = self.table.put_many({"id": f"k-{self.number + n}"} for n in range(count))
        self.number += count
        return self.stream.put_changes(changes)

    def client(self) -> KinesisClient:
        client = kinesis_client(self.kinesis, self.clock)
        transports = client._caller._by_url
        for url in transports:
            transports[url] = _Endpoint(self)  # type: ignore[assignment]
        return client

    def read(self, **options: Any) -> DrivenKinesisRead:
        return DrivenKinesisRead(self.client(), self.clock, self.stream.arn, **options)


class _Endpoint(NoSockets):
    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.kinesis, "http://127.0.0.1:9", "test")
        self._trouble = trouble

    def post(self, headers: dict[str, str], body: bytes) -> Answer:
        operation = headers["X-Amz-Target"].rpartition(".")[2]
        if refused := self._trouble.refuse(operation):
            code, message = refused
            date = formatdate(int(self._trouble.clock()), usegmt=True)
            return Answer(400, msgspec.json.encode({"__type": code, "message": message}), date, None, "")
        answer = super().post(headers, body)
        if answer.status != 200:
            return answer
        members = self._trouble.rewrite(operation, msgspec.json.decode(answer.body))
        return Answer(200, msgspec.json.encode(members), answer.date, None, "")


def numbers(read: DrivenKinesisRead) -> list[str]:
    return [number for _, number in read.delivered]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]


# The stream


def test_a_stream_that_is_deleted_in_mid_read_is_a_loss_of_each_shard_and_ends_it() -> None:
    trouble = Trouble()
    written = trouble.write(60)
    read = trouble.read().go(3)
    trouble.write(20)
    trouble.stream.delete()
    read.go(120)
    assert sorted(numbers(read)) == sorted(written)
    assert read.frontier.closed
    assert {loss.shard_id for loss in read.losses} == {"shardId-000000000000", "shardId-000000000001"}
    assert all("or the stream was deleted" in loss.reason for loss in read.losses)


def test_a_stream_that_was_created_again_refuses_the_positions_of_the_old_one() -> None:
    trouble = Trouble()
    trouble.write(60)
    stored = trouble.read().go(3).stored()
    trouble.stream.delete()
    trouble.clock.advance(600)  # iterators have expired
    trouble.kinesis.create_stream("copy", shards=2)

    def refuse(operation: str) -> tuple[str, str] | None:
        message = "StartingSequenceNumber 4959 is invalid because it did not come from this stream."
        return ("InvalidArgumentException", message) if operation == "GetShardIterator" else None

    trouble.refuse = refuse
    read = trouble.read()
    read.restore(stored)
    with pytest.raises(InvalidRequestError, match=r"did not come from this stream.*created again.*start a new read"):
        read.go(300)


def test_a_stream_that_is_being_created_is_waited_for_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    """ListShards needs an ACTIVE stream."""
    trouble = Trouble()
    written = trouble.write(20)
    trouble.refuse = lambda operation: ("ResourceInUseException", "not ACTIVE") if operation == "ListShards" else None
    read = trouble.read().go(30)
    assert numbers(read) == []
    assert any("the data stream is being created or deleted" in line for line in warnings(caplog))
    trouble.refuse = lambda _: None
    read.go(30)
    assert sorted(numbers(read)) == sorted(written)


def test_shards_of_many_pages_of_a_listing_are_all_read() -> None:
    trouble = Trouble(shards=1050)
    written = trouble.write(300)
    pages = list(trouble.client().listing(trouble.stream.arn))
    assert [len(page.shards) for page in pages] == [1000, 50]
    read = trouble.read(rules=Rules(slack=0.0, stop=int(trouble.clock()))).go(600)
    assert sorted(numbers(read)) == sorted(written)
    assert read.frontier.closed


def test_shards_that_split_and_merge_all_at_once_are_read_in_order() -> None:
    """As in the on-demand mode of a stream whose writes double."""
    trouble = Trouble(shards=4)
    read = trouble.read()
    written = trouble.write(200)
    for _ in range(2):
        for shard in trouble.stream.open_shard_ids:
            trouble.stream.split(shard)
        written += trouble.write(200)
        read.go(1.0)
    opened = trouble.stream.open_shard_ids
    for left, right in zip(opened[::2], opened[1::2], strict=True):
        trouble.stream.merge(left, right)
    written += trouble.write(200)
    read.go(120)
    assert sorted(numbers(read)) == sorted(written)
    assert read.losses == []


def test_a_shorter_retention_in_mid_read_hides_no_loss() -> None:
    """Trap 34: what it trimmed was never read, although it is younger than the retention was when the read began."""
    trouble = Trouble(hours=168)
    trouble.write(40)
    read = trouble.read().go(10)
    trouble.write(10)
    trouble.clock.advance(48 * 3600)
    trouble.stream.retention = 24 * 3600.0
    left = trouble.write(10)
    read.go(60)
    assert numbers(read)[40:] != []
    assert set(numbers(read)[40:]) == set(left)
    assert {loss.shard_id for loss in read.losses} == set(trouble.stream.open_shard_ids)


def test_a_longer_retention_in_mid_read_is_no_loss() -> None:
    trouble = Trouble(hours=24)
    written = trouble.write(40)
    read = trouble.read().go(10)
    trouble.stream.retention = 168 * 3600.0
    read.go(120)
    trouble.clock.advance(100 * 3600)
    written += trouble.write(10)
    read.go(60)
    assert sorted(numbers(read)) == sorted(written)
    assert read.losses == []


# Calls


@pytest.mark.parametrize(
    ("code", "kind", "fix"),
    [
        ("KMSAccessDeniedException", AccessDeniedError, "allow kms:Decrypt on the stream's key"),
        ("KMSDisabledException", UnknownCodeError, "enable the stream's key"),
        ("KMSInvalidStateException", UnknownCodeError, "cancel the deletion"),
        ("KMSNotFoundException", UnknownCodeError, "key does not exist"),
        ("KMSOptInRequired", UnknownCodeError, "signed up for AWS KMS"),
    ],
)
def test_a_key_that_cannot_be_used_is_an_error_with_the_fix(code: str, kind: type[Exception], fix: str) -> None:
    trouble = Trouble()
    trouble.write(10)
    trouble.refuse = lambda operation: (code, "in its own words") if operation == "GetRecords" else None
    with pytest.raises(kind, match=f"in its own words; .*{fix}.*shardId-") as raised:
        trouble.read().go(60)
    assert getattr(raised.value, "code", None) == code


def test_a_throttled_key_is_a_delay() -> None:
    trouble = Trouble()
    written = trouble.write(10)
    trouble.refuse = lambda operation: ("KMSThrottlingException", "slow") if operation == "GetRecords" else None
    read = trouble.read().go(20)
    trouble.refuse = lambda _: None
    read.go(60)
    assert sorted(numbers(read)) == sorted(written)


def test_throttles_that_do_not_pass_are_reported_within_30_s(caplog: pytest.LogCaptureFixture) -> None:
    trouble = Trouble()
    written = trouble.write(10)
    trouble.kinesis.faults = Faults(throttle={"GetRecords": 1.0})
    read = trouble.read().go(30)
    assert any("Rate exceeded" in line and "for 20 s" in line for line in warnings(caplog))
    trouble.kinesis.faults = Faults()
    read.go(60)
    assert sorted(numbers(read)) == sorted(written)


def test_iterators_that_have_expired_are_requested_again() -> None:
    trouble = Trouble()
    written = trouble.write(20)
    read = trouble.read().go(5)
    stored = read.stored()
    for minutes in (4.5, 6, 60):
        trouble.clock.advance(minutes * 60)
        written += trouble.write(20)
        read.go(20)
    again = trouble.read()
    again.restore(stored)
    again.go(30)
    assert sorted(numbers(read)) == sorted(written)
    assert sorted([*numbers(read)[:20], *numbers(again)]) == sorted(written)
    assert read.losses == again.losses == []


# Answers


OPTIONAL = ("MillisBehindLatest", "ChildShards", "ApproximateArrivalTimestamp", "EncryptionType", "PartitionKey")


@pytest.mark.parametrize("absent", [None, "null"], ids=["left out", "null"])
def test_an_answer_may_lack_everything_that_is_optional(absent: str | None) -> None:
    trouble = Trouble()
    written = trouble.write(30)

    def rewrite(operation: str, members: Members) -> Members:
        if operation != "GetRecords":
            return members
        for part in (members, *members["Records"]):
            for name in OPTIONAL:
                part.pop(name, None)
        if absent:
            members |= {"MillisBehindLatest": None, "ChildShards": None}
        return members

    trouble.rewrite = rewrite
    trouble.stream.merge(*trouble.stream.open_shard_ids)
    written += trouble.write(30)
    read = trouble.read(rules=Rules(slack=0.0, stop=int(trouble.clock()))).go(300)
    assert sorted(numbers(read)) == sorted(written)
    assert read.frontier.closed


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"null", b"[]", b'"text"', b"{}", b"42", b'{"order": 7}', b"\x00\x01", b"\xff\xfe"),
        b"\xf3\x89\x9a\xc2\n\x01k\x1a\x06\x08\x00\x1a\x02{}",
        b'{"eventName": "INSERT"',
    ],
)
def test_a_record_of_another_producer_is_malformed_with_its_bytes(data: bytes) -> None:
    trouble = Trouble()
    good = trouble.write(5)
    number = trouble.stream.put(data, "key")
    good += trouble.write(5)
    read = trouble.read().go(10)
    assert sorted(numbers(read)) == sorted(good)
    (entry,) = [entry for claim in read.claims for entry in claim.malformed]
    assert (entry.payload, entry.sequence_number) == (data, number)
    assert entry.reason


@pytest.mark.parametrize(
    "wrong",
    [
        {"eventName": "UPSERT"},
        {"eventID": None},
        {"tableName": 7},
        {"dynamodb": {"Keys": {"id": {"S": "a"}}}},
        {"dynamodb": {"ApproximateCreationDateTime": -1, "Keys": {"id": {"S": "a"}}}},
        {"dynamodb": {"ApproximateCreationDateTime": 10**19, "Keys": {"id": {"S": "a"}}}},
        {
            "dynamodb": {
                "ApproximateCreationDateTime": 1,
                "ApproximateCreationDateTimePrecision": "NANOSECOND",
                "Keys": {"id": {"S": "a"}},
            }
        },
    ],
    ids=str,
)
def test_what_is_almost_a_change_costs_itself_alone(wrong: Members) -> None:
    trouble = Trouble()
    (change,) = trouble.table.put_many([{"id": "almost"}])
    data, key = kinesis_record(change)
    trouble.stream.put(msgspec.json.encode({**msgspec.json.decode(data), **wrong}), key)
    good = trouble.write(5)
    read = trouble.read().go(10)
    assert sorted(numbers(read)) == sorted(good)
    assert sum(len(claim.malformed) for claim in read.claims) == 1


def test_a_change_may_have_members_that_are_not_known_yet() -> None:
    trouble = Trouble()
    (change,) = trouble.table.put_many([{"id": "new"}])
    data, key = kinesis_record(change)
    members = {**msgspec.json.decode(data), "replicaRegion": "eu-west-1", "recordFormat": "application/json; v=2"}
    members["dynamodb"]["Trace"] = [1, {"a": None}]
    number = trouble.stream.put(msgspec.json.encode(members), key)
    assert numbers(trouble.read().go(10)) == [number]
