"""A read of a Kinesis data stream that cannot have everything: losses, several tables, streams of others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from beam_dynamodb_streams import ReadFromKinesisDataStream, StreamPosition
from beam_dynamodb_streams.commands import tail
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After
from beam_dynamodb_streams.testing import Clock, Faults, KinesisStream, LocalKinesis, LocalStreams, Table
from tests.e2e.collected import outputs_of

SOON = timedelta(seconds=1)


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime.fromtimestamp(int(time.time()), timezone.utc))


@pytest.fixture
def kinesis(clock: Clock) -> Iterator[LocalKinesis]:
    with LocalKinesis(clock=clock, limits=False) as started:
        yield started


@pytest.fixture
def streams(clock: Clock) -> LocalStreams:
    return LocalStreams(clock=clock)


@pytest.fixture
def orders(streams: LocalStreams) -> Table:
    return streams.create_table("orders", keys={"id": "S"})


@pytest.fixture
def copy(kinesis: LocalKinesis) -> KinesisStream:
    return kinesis.create_stream("copy", shards=1)


def read(kinesis: LocalKinesis, **options: Any) -> ReadFromKinesisDataStream:
    if "stream_arn" not in options:
        options["stream_name"] = "copy"
    return ReadFromKinesisDataStream(endpoint_url=kinesis.endpoint_url, watermark_slack=SOON, **options)


@pytest.fixture
def trimmed(copy: KinesisStream, orders: Table, clock: Clock) -> tuple[StreamPosition, int]:
    """A position behind which changes were trimmed unread, and how many changes are left."""
    numbers = copy.put_changes(orders.put_many({"id": f"old-{n}"} for n in range(20)))
    clock.advance(25 * 3600)
    copy.put_changes(orders.put_many({"id": f"new-{n}"} for n in range(5)))
    return StreamPosition(copy.arn, TRIM_HORIZON, {copy.open_shard_ids[0]: After(numbers[3])}), 5


def test_a_trimmed_position_fails_the_read_with_shard_and_numbers(
    kinesis: LocalKinesis, trimmed: tuple[StreamPosition, int], tmp_path: Path
) -> None:
    position, left = trimmed
    with pytest.raises(
        Exception,
        match=r"changes may have been lost between AFTER_SEQUENCE_NUMBER 4959\d+ .*",
    ):
        outputs_of(tmp_path, read(kinesis, start=position, stop=left, region_name="us-east-1"))


def test_with_continue_a_trimmed_position_is_a_loss_and_the_rest_is_delivered(
    kinesis: LocalKinesis, trimmed: tuple[StreamPosition, int], tmp_path: Path
) -> None:
    position, left = trimmed
    given = {"start": position, "stop": left, "region_name": "us-east-1", "on_data_loss": "continue"}
    changes, letters, losses = outputs_of(tmp_path, read(kinesis, **given).with_outputs())
    assert len(changes) == left
    assert letters == []
    ((loss, _),) = losses
    assert (loss.shard_id, loss.certain) == ("shardId-000000000000", False)
    assert "older than 24 hours" in loss.reason


def test_a_start_before_the_oldest_change_is_no_loss_and_says_so(
    kinesis: LocalKinesis,
    trimmed: tuple[StreamPosition, int],
    clock: Clock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    start = datetime.fromtimestamp(clock() - 48 * 3600, timezone.utc)
    (changes,) = outputs_of(tmp_path, read(kinesis, start=start, stop=trimmed[1], region_name="us-east-1"))
    assert len(changes) == trimmed[1]
    assert "is more than 24 hours ago: the service has no changes that old" in caplog.text


def test_several_tables_and_none_chosen_end_the_read_with_two_of_them(
    kinesis: LocalKinesis, streams: LocalStreams, orders: Table, copy: KinesisStream, tmp_path: Path
) -> None:
    users = streams.create_table("users", keys={"id": "S"})
    copy.put_changes([*orders.put_many([{"id": "a"}]), *users.put_many([{"id": "b"}])])
    with pytest.raises(Exception, match="several tables, such as 'orders' and 'users': choose one with table="):
        outputs_of(tmp_path, read(kinesis, stop=2, region_name="us-east-1"))
    (changes,) = outputs_of(tmp_path, read(kinesis, stop=1, region_name="us-east-1", table="users"))
    assert [change.keys for change, _ in changes] == [{"id": "b"}]


def test_a_command_names_its_own_option_where_there_are_several_tables(
    kinesis: LocalKinesis,
    streams: LocalStreams,
    orders: Table,
    copy: KinesisStream,
    capsys: pytest.CaptureFixture[str],
) -> None:
    users = streams.create_table("users", keys={"id": "S"})
    copy.put_changes([*orders.put_many([{"id": "a"}]), *users.put_many([{"id": "b"}])])
    with pytest.raises(SystemExit) as left:
        tail.main(
            [
                *("--kinesis_stream", "copy", "--start", "TRIM_HORIZON", "--stop", "2 records"),
                *("--endpoint_url", kinesis.endpoint_url, "--region_name", "us-east-1"),
            ]
        )
    assert left.value.code == 1
    assert "choose one with --changes_of, for example --changes_of='orders'" in capsys.readouterr().err


# Names and ARNs


def test_an_arn_says_the_region_and_is_read_as_its_name_is(
    clock: Clock, streams: LocalStreams, orders: Table, tmp_path: Path
) -> None:
    with LocalKinesis(clock=clock, region_name="eu-west-1", limits=False) as abroad:
        copy = abroad.create_stream("copy")
        copy.put_changes(orders.put_many([{"id": "a"}]))
        (changes,) = outputs_of(tmp_path, read(abroad, stream_arn=copy.arn, stop=1))
    assert [change.keys for change, _ in changes] == [{"id": "a"}]
    with pytest.raises(InvalidOptionError, match="is in eu-west-1, and region_name='us-east-1' is another region"):
        ReadFromKinesisDataStream(stream_arn=copy.arn, region_name="us-east-1")


def test_the_arn_of_another_account_is_passed_on_and_what_is_refused_is_named(
    kinesis: LocalKinesis, copy: KinesisStream, orders: Table, tmp_path: Path
) -> None:
    copy.put_changes(orders.put_many([{"id": "a"}]))
    other = copy.arn.replace("000000000000", "999999999999")
    with pytest.raises(Exception, match=f"data stream '{other}' does not exist in us-east-1: check .* the account"):
        outputs_of(tmp_path, read(kinesis, stream_arn=other, stop=1))
    kinesis.faults = Faults(access_denied=1.0)
    with pytest.raises(Exception, match=f"access denied: allow kinesis:DescribeStreamSummary on {copy.arn}"):
        outputs_of(tmp_path, read(kinesis, stream_arn=copy.arn, stop=1))


def test_a_read_can_be_applied_to_several_streams_in_one_pipeline(
    kinesis: LocalKinesis, orders: Table, copy: KinesisStream, tmp_path: Path
) -> None:
    other = kinesis.create_stream("other")
    copy.put_changes(orders.put_many([{"id": "a"}]))
    other.put_changes(orders.put_many([{"id": "b"}]))

    class Both(beam.PTransform):
        def expand(self, pbegin: Any) -> Any:
            one = pbegin | "One" >> read(kinesis, stop=1, region_name="us-east-1")
            two = pbegin | "Two" >> read(kinesis, stream_arn=other.arn, stop=1)
            return (one, two) | beam.Flatten()

    (changes,) = outputs_of(tmp_path, Both())
    assert sorted(change.keys["id"] for change, _ in changes) == ["a", "b"]
