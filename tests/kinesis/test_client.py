"""`KinesisOverStreams`: the methods, dicts, exceptions and paginators of boto3's Kinesis client."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import botocore.session
import msgspec
import pytest
from botocore.exceptions import ClientError, ParamValidationError
from botocore.model import OperationModel, Shape

from beam_dynamodb_streams import errors
from beam_dynamodb_streams.kinesis import KinesisOverStreams
from beam_dynamodb_streams.testing import Clock, Faults, LocalStreams, Table

MODEL = botocore.session.Session().get_service_model("kinesis")


def check(shape: Shape, value: Any, path: str) -> None:
    """Fail for a value that boto3's own model of the answer does not allow."""
    match shape.type_name:
        case "structure":
            assert isinstance(value, dict), path
            assert set(value) <= set(shape.members), f"{path} has {set(value) - set(shape.members)}"
            assert set(shape.required_members) <= set(value), f"{path} lacks a member"
            for name, member in value.items():
                check(shape.members[name], member, f"{path}.{name}")
        case "list":
            assert isinstance(value, list), path
            for each in value:
                check(shape.member, each, path)
        case "string":
            assert isinstance(value, str), path
            assert not shape.enum or value in shape.enum, f"{path} is {value!r}"
            assert shape.metadata.get("min", 0) <= len(value) <= shape.metadata.get("max", 10**9), path
        case "integer" | "long":
            assert isinstance(value, int), path
            assert value >= shape.metadata.get("min", value), path
        case "boolean":
            assert isinstance(value, bool), path
        case "timestamp":
            assert isinstance(value, datetime), path
            assert value.tzinfo is not None, path
        case "blob":
            assert isinstance(value, bytes), path
        case other:
            pytest.fail(f"{path} is a {other}, which nothing checks")


class Checked:
    """A client whose every answer is checked against the model."""

    def __init__(self, client: KinesisOverStreams) -> None:
        self.client = client

    def __getattr__(self, method: str) -> Any:
        operation: OperationModel = MODEL.operation_model("".join(map(str.title, method.split("_"))))

        def call(**parameters: Any) -> dict[str, Any]:
            answer = getattr(self.client, method)(**parameters)
            members = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
            check(operation.output_shape, members, operation.name)
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
            return answer

        return call


@pytest.fixture
def checked(kinesis: KinesisOverStreams) -> Checked:
    return Checked(kinesis)


def start(client: Any, shard: str, kind: str = "TRIM_HORIZON", **more: Any) -> str:
    return client.get_shard_iterator(StreamName="orders", ShardId=shard, ShardIteratorType=kind, **more)[
        "ShardIterator"
    ]


def read(client: Any, iterator: str | None, *, pages: int = 200, pause: float = 0.05) -> Iterator[dict[str, Any]]:
    """Yield the pages of a shard until its end."""
    for _ in range(pages):
        if iterator is None:
            return
        page = client.get_records(ShardIterator=iterator)
        iterator = page.get("NextShardIterator")
        yield page
        if not page["Records"]:
            time.sleep(pause)


def numbers(page: dict[str, Any]) -> list[str]:
    return [record["SequenceNumber"] for record in page["Records"]]


def written(table: Table, shard: str) -> list[str]:
    return [change.sequence_number for change in table.changes if change.shard_id == shard]


def test_every_answer_is_what_botocores_model_says(checked: Checked, orders: Table) -> None:
    orders.put_many({"id": str(number)} for number in range(20))
    parent = orders.open_shard_ids[0]
    orders.split(parent)
    checked.list_streams()
    checked.describe_stream(StreamName="orders")
    checked.describe_stream_summary(StreamName="orders")
    for kind in ("AT_TRIM_HORIZON", "AT_LATEST", "FROM_TRIM_HORIZON"):
        checked.list_shards(StreamName="orders", ShardFilter={"Type": kind})
    pages = list(read(checked, start(checked, parent)))
    assert [number for page in pages for number in numbers(page)] == written(orders, parent)
    assert all(page["MillisBehindLatest"] >= 0 for page in pages)
    assert "NextShardIterator" not in pages[-1]
    assert len(pages[-1]["ChildShards"]) == 2


def test_a_stream_has_its_tables_name_and_the_retention_and_form_of_one_of_kinesis(
    kinesis: KinesisOverStreams, orders: Table
) -> None:
    stream = kinesis.describe_stream(StreamName="orders")["StreamDescription"]
    assert stream["StreamARN"] == "arn:aws:kinesis:us-east-1:000000000000:stream/orders"
    assert (stream["StreamStatus"], stream["RetentionPeriodHours"]) == ("ACTIVE", 24)
    label = orders.stream_arn.rpartition("/")[2]
    assert stream["StreamCreationTimestamp"].strftime("%Y-%m-%dT%H:%M:%S.%f").startswith(label)
    summary = kinesis.describe_stream_summary(StreamARN=stream["StreamARN"])["StreamDescriptionSummary"]
    assert summary["OpenShardCount"] == 2
    assert kinesis.list_streams()["StreamNames"] == ["orders"]


def test_a_dynamodb_stream_arn_is_a_name_too(service: LocalStreams, orders: Table) -> None:
    with KinesisOverStreams(stream_arn=orders.stream_arn, endpoint_url=service.endpoint_url) as kinesis:
        by_name = kinesis.list_shards(StreamName=orders.stream_arn)["Shards"]
        assert by_name == kinesis.list_shards(StreamARN=orders.stream_arn)["Shards"]
        assert len(by_name) == 2


def test_a_name_that_kinesis_does_not_allow_is_cut_and_still_the_tables_own(service: LocalStreams) -> None:
    names = {"t" * 200, "t" * 199 + "u"}
    made = set()
    for name in names:
        service.create_table(name, keys={"id": "S"})
        with KinesisOverStreams(name, endpoint_url=service.endpoint_url) as kinesis:
            made |= set(kinesis.list_streams()["StreamNames"])
    assert len(made) == 2
    assert {len(name) for name in made} == {128}


def test_parameters_are_checked_as_boto3_does(kinesis: KinesisOverStreams) -> None:
    with pytest.raises(ParamValidationError, match="Missing required parameter"):
        kinesis.get_records()
    with pytest.raises(ParamValidationError, match="Invalid type for parameter Limit"):
        kinesis.get_records(ShardIterator="a", Limit="10")
    with pytest.raises(ParamValidationError, match="Unknown parameter"):
        kinesis.list_shards(StreamName="orders", Shard="a")


@pytest.mark.parametrize(
    ("method", "parameters", "code"),
    [
        ("get_records", {"ShardIterator": "nonsense"}, "InvalidArgumentException"),
        ("get_records", {"ShardIterator": "a", "Limit": 0}, "ParamValidation"),
        ("get_records", {"ShardIterator": "a", "Limit": 10_001}, "ValidationException"),
        ("list_shards", {}, "InvalidArgumentException"),
        ("list_shards", {"StreamName": "others"}, "ResourceNotFoundException"),
        ("list_shards", {"NextToken": "nonsense"}, "ExpiredNextTokenException"),
        ("list_shards", {"StreamName": "orders", "ShardFilter": {"Type": "AT_NOON"}}, "ValidationException"),
        ("describe_stream", {"StreamName": "others"}, "ResourceNotFoundException"),
        (
            "get_shard_iterator",
            {"StreamName": "orders", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"},
            "ResourceNotFoundException",
        ),
        (
            "get_shard_iterator",
            {"StreamName": "orders", "ShardId": "shardId-0", "ShardIteratorType": "AT_SEQUENCE_NUMBER"},
            "InvalidArgumentException",
        ),
        ("subscribe_to_shard", {"ConsumerARN": "a", "ShardId": "b", "StartingPosition": {"Type": "LATEST"}}, "polling"),
        ("register_stream_consumer", {"StreamARN": "a", "ConsumerName": "b"}, "polling"),
    ],
)
def test_a_call_that_cannot_be_answered_raises_the_exception_of_boto3s_client(
    kinesis: KinesisOverStreams, method: str, parameters: dict[str, Any], code: str
) -> None:
    if code == "ParamValidation":
        with pytest.raises(ParamValidationError):
            getattr(kinesis, method)(**parameters)
        return
    with pytest.raises(ClientError, match=code) as raised:
        getattr(kinesis, method)(**parameters)
    found = raised.value.response["Error"]["Code"]
    if hasattr(kinesis.exceptions, found):
        assert isinstance(raised.value, getattr(kinesis.exceptions, found))


def test_the_paginators_of_boto3_page_through_all_shards(kinesis: KinesisOverStreams, orders: Table) -> None:
    for _ in range(3):
        orders.roll_all()
    known = orders.shard_ids
    by_list = kinesis.get_paginator("list_shards").paginate(StreamName="orders", PaginationConfig={"PageSize": 3})
    assert {shard["ShardId"] for page in by_list for shard in page["Shards"]} == set(known)
    described = kinesis.get_paginator("describe_stream")
    pages = list(described.paginate(StreamName="orders", PaginationConfig={"PageSize": 3}))
    assert len(pages) == 3
    assert {shard["ShardId"] for page in pages for shard in page["StreamDescription"]["Shards"]} == set(known)
    assert kinesis.can_paginate("list_shards")
    assert not kinesis.can_paginate("get_records")


def test_the_pages_of_one_listing_tile_the_space_together(kinesis: KinesisOverStreams, orders: Table) -> None:
    first = kinesis.list_shards(StreamName="orders", MaxResults=1, ShardFilter={"Type": "AT_LATEST"})
    orders.split(orders.open_shard_ids[0])
    # Beam's KinesisIO repeats MaxResults and the filter beside the token.
    second = kinesis.list_shards(NextToken=first["NextToken"], MaxResults=1, ShardFilter={"Type": "AT_LATEST"})
    assert "NextToken" not in second
    ranges = [shard["HashKeyRange"] for page in (first, second) for shard in page["Shards"]]
    assert (ranges[0]["StartingHashKey"], ranges[1]["EndingHashKey"]) == ("0", str(2**128 - 1))
    assert int(ranges[0]["EndingHashKey"]) + 1 == int(ranges[1]["StartingHashKey"])


def test_each_iterator_type_begins_where_it_says(kinesis: KinesisOverStreams, orders: Table) -> None:
    shard = orders.open_shard_ids[0]
    keys = orders.keys_in(shard, 5)
    for key in keys[:4]:
        orders.put(key)
    all_of_it = written(orders, shard)

    def first_page(kind: str, **more: Any) -> list[str]:
        return numbers(kinesis.get_records(ShardIterator=start(kinesis, shard, kind, **more)))

    assert first_page("TRIM_HORIZON") == all_of_it
    assert first_page("AT_SEQUENCE_NUMBER", StartingSequenceNumber=all_of_it[2]) == all_of_it[2:]
    assert first_page("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=all_of_it[2]) == all_of_it[3:]
    assert first_page("AT_TIMESTAMP", Timestamp=datetime.now(timezone.utc) - timedelta(hours=1)) == all_of_it
    assert first_page("AT_TIMESTAMP", Timestamp=0) == all_of_it
    iterator = start(kinesis, shard, "LATEST")
    assert numbers(kinesis.get_records(ShardIterator=iterator)) == []
    orders.put(keys[4])
    found = [number for page in read(kinesis, iterator, pages=20, pause=0.1) for number in numbers(page)]
    assert found == written(orders, shard)[4:]


def test_a_record_has_the_change_its_number_its_time_and_a_key_of_its_item(
    kinesis: KinesisOverStreams, orders: Table
) -> None:
    orders.put({"id": "a", "total": Decimal("9.50")})
    orders.put({"id": "a", "total": Decimal("9.75")})
    orders.put({"id": "b"})
    records = [
        record
        for shard in orders.shard_ids
        for record in kinesis.get_records(ShardIterator=start(kinesis, shard))["Records"]
    ]
    changes = {change.sequence_number: change for change in orders.changes}
    assert {record["SequenceNumber"] for record in records} == set(changes)
    for record in records:
        change = changes[record["SequenceNumber"]].record
        data = msgspec.json.decode(record["Data"])
        assert data["eventID"] == change["eventID"]
        assert data["dynamodb"]["NewImage"] == change["dynamodb"]["NewImage"]
        seconds = change["dynamodb"]["ApproximateCreationDateTime"]
        assert data["dynamodb"]["ApproximateCreationDateTime"] == round(seconds * 1000)
        assert record["ApproximateArrivalTimestamp"] == datetime.fromtimestamp(seconds, timezone.utc)
    keys = {changes[record["SequenceNumber"]].keys["id"]: record["PartitionKey"] for record in records}
    assert len(set(keys.values())) == 2
    assert sum(record["PartitionKey"] == keys["a"] for record in records) == 2


def test_a_limit_is_kept_and_more_than_a_page_is_a_page(kinesis: KinesisOverStreams, orders: Table) -> None:
    shard = orders.open_shard_ids[0]
    for key in orders.keys_in(shard, 30):
        orders.put(key)
    found: list[str] = []
    iterator = start(kinesis, shard)
    while len(found) < 30:
        page = kinesis.get_records(ShardIterator=iterator, Limit=7)
        assert len(page["Records"]) <= 7
        found += numbers(page)
        iterator = page["NextShardIterator"]
    assert found == written(orders, shard)
    assert len(numbers(kinesis.get_records(ShardIterator=start(kinesis, shard), Limit=10_000))) == 30


def test_the_end_is_held_until_the_children_are_listed(
    kinesis: KinesisOverStreams, orders: Table, service: LocalStreams
) -> None:
    """A consumer that gets the end without the children never asks again, and loses all later changes (trap 33)."""
    service.faults = Faults(list_delay=1.5)
    parent = orders.open_shard_ids[0]
    kinesis.list_shards(StreamName="orders")
    children = orders.split(parent)
    pages = list(read(kinesis, start(kinesis, parent)))
    assert len(pages) > 2
    assert all("ChildShards" not in page for page in pages[:-1])
    assert {child["ShardId"] for child in pages[-1]["ChildShards"]} == set(children)


def test_an_only_child_is_shown_at_the_end_once_it_is_sure_to_be_alone(
    kinesis: KinesisOverStreams, orders: Table
) -> None:
    parent = orders.open_shard_ids[0]
    kinesis.list_shards(StreamName="orders")
    child = orders.roll(parent)
    began = time.monotonic()
    *_, last = read(kinesis, start(kinesis, parent), pause=0.2)
    assert time.monotonic() - began > 4.5
    assert [(each["ShardId"], each["ParentShards"]) for each in last["ChildShards"]] == [(child, [parent, parent])]
    assert last["ChildShards"][0]["HashKeyRange"]["StartingHashKey"] == "0"


def test_a_disabled_stream_is_read_to_its_end_which_is_that_there_is_nothing(
    kinesis: KinesisOverStreams, orders: Table
) -> None:
    shard = orders.open_shard_ids[0]
    orders.put(orders.keys_in(shard)[0])
    orders.disable_stream()
    found: list[str] = []
    with pytest.raises(kinesis.exceptions.ResourceNotFoundException, match="read to its end"):
        found.extend(number for page in read(kinesis, start(kinesis, shard), pause=0.2) for number in numbers(page))
    assert found == written(orders, shard)


def trimmed_behind(service: LocalStreams, table: Table) -> tuple[str, str, str]:
    """Return a shard, a number that is trimmed, and the first one that is left."""
    shard = table.open_shard_ids[0]
    for key in table.keys_in(shard, 4):
        table.put(key)
    first, *_, last = written(table, shard)
    table.trim(shard, keep=1)
    return shard, first, last


@pytest.mark.parametrize("kind", ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"])
def test_a_trimmed_position_is_an_error_that_names_shard_and_number(
    kinesis: KinesisOverStreams, orders: Table, service: LocalStreams, kind: str
) -> None:
    shard, first, _ = trimmed_behind(service, orders)
    with pytest.raises(kinesis.exceptions.InvalidArgumentException, match="data loss") as lost:
        start(kinesis, shard, kind, StartingSequenceNumber=first)
    assert shard in str(lost.value)
    assert first in str(lost.value)


def test_records_that_are_trimmed_behind_an_iterator_are_an_error_too(
    kinesis: KinesisOverStreams, orders: Table, service: LocalStreams
) -> None:
    shard = orders.open_shard_ids[0]
    keys = orders.keys_in(shard, 6)
    for key in keys:
        orders.put(key)
    page = kinesis.get_records(ShardIterator=start(kinesis, shard), Limit=6)
    for key in keys:
        orders.delete(key)
    orders.trim(shard, keep=1)
    with pytest.raises(kinesis.exceptions.InvalidArgumentException, match="data loss") as lost:
        kinesis.get_records(ShardIterator=page["NextShardIterator"])
    assert numbers(page)[-1] in str(lost.value)


def test_with_continue_a_trimmed_position_goes_to_the_horizon_and_is_counted(
    service: LocalStreams, orders: Table, caplog: pytest.LogCaptureFixture
) -> None:
    with KinesisOverStreams("orders", endpoint_url=service.endpoint_url, on_data_loss="continue") as kinesis:
        shard, first, last = trimmed_behind(service, orders)
        iterator = start(kinesis, shard, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=first)
        assert numbers(kinesis.get_records(ShardIterator=iterator)) == [last]
        (loss,) = kinesis.losses
        assert (loss.shard, loss.resumes) == (shard, "TRIM_HORIZON")
        assert first in loss.position
    assert "data loss" in caplog.text


@pytest.mark.parametrize("on_data_loss", ["fail", "continue"])
def test_a_shard_that_is_gone_is_never_a_silent_end(service: LocalStreams, orders: Table, on_data_loss: Any) -> None:
    """A KCL takes ResourceNotFound for the end of a shard without children, and Flink for a finished split."""
    with KinesisOverStreams("orders", endpoint_url=service.endpoint_url, on_data_loss=on_data_loss) as kinesis:
        shard = orders.open_shard_ids[0]
        for key in orders.keys_in(shard, 4):
            orders.put(key)
        children = orders.split(shard)
        kinesis.list_shards(StreamName="orders")
        first = written(orders, shard)[0]
        orders.drop(shard)
        # Nobody has read it: what is left begins with the children.
        *_, last = read(kinesis, start(kinesis, shard))
        assert {child["ShardId"] for child in last["ChildShards"]} == set(children)
        if on_data_loss == "fail":
            with pytest.raises(kinesis.exceptions.InvalidArgumentException, match=f"{shard}.*{first}"):
                start(kinesis, shard, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=first)
            return
        *_, last = read(kinesis, start(kinesis, shard, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=first))
        assert {child["ShardId"] for child in last["ChildShards"]} == set(children)
        assert [loss.resumes for loss in kinesis.losses] == ["its children"]


def test_an_iterator_expires_as_those_of_kinesis_do() -> None:
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        table = service.create_table("orders", keys={"id": "S"})
        with KinesisOverStreams("orders", endpoint_url=service.endpoint_url) as kinesis:
            iterator = start(kinesis, table.shard_ids[0])
            clock.advance(16 * 60)
            kinesis.list_shards(StreamName="orders")  # shows what time it is
            with pytest.raises(kinesis.exceptions.ExpiredIteratorException):
                kinesis.get_records(ShardIterator=iterator)


def test_an_iterator_is_good_for_another_client_of_the_same_stream(
    kinesis: KinesisOverStreams, orders: Table, service: LocalStreams
) -> None:
    """As after a restart of the server: it carries its shard and its position."""
    shard = orders.open_shard_ids[0]
    for key in orders.keys_in(shard, 4):
        orders.put(key)
    page = kinesis.get_records(ShardIterator=start(kinesis, shard), Limit=2)
    with KinesisOverStreams("orders", endpoint_url=service.endpoint_url) as other:
        rest = other.get_records(ShardIterator=page["NextShardIterator"])
    assert numbers(page) + numbers(rest) == written(orders, shard)
    assert len(page["NextShardIterator"]) <= 512


def test_two_consumers_of_a_shard_are_one_reader(
    kinesis: KinesisOverStreams, orders: Table, service: LocalStreams
) -> None:
    """DynamoDB allows two readers of a shard, and throttles more."""
    shard = orders.open_shard_ids[0]
    for key in orders.keys_in(shard, 10):
        orders.put(key)
    service.reset_counts()
    readers = [start(kinesis, shard) for _ in range(5)]
    pages = [kinesis.get_records(ShardIterator=iterator) for iterator in readers]
    middle = numbers(pages[0])[3]
    again = start(kinesis, shard, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=middle)
    pages.append(kinesis.get_records(ShardIterator=again))
    assert [len(page["Records"]) for page in pages] == [10] * 5 + [7]
    assert service.counts.calls["GetRecords"] == 1


@pytest.mark.parametrize(
    ("operation", "method", "code"),
    [
        ("GetRecords", "get_records", "ProvisionedThroughputExceededException"),
        ("GetShardIterator", "get_shard_iterator", "ProvisionedThroughputExceededException"),
        ("DescribeStream", "list_shards", "LimitExceededException"),
    ],
)
def test_a_throttled_call_is_the_throttle_of_kinesis(
    kinesis: KinesisOverStreams, orders: Table, service: LocalStreams, operation: str, method: str, code: str
) -> None:
    shard = orders.open_shard_ids[0]
    kinesis.list_shards(StreamName="orders")
    iterator = start(kinesis, shard)
    time.sleep(1.1)
    service.faults = Faults(throttle={operation: 1.0})
    parameters = {
        "get_records": {"ShardIterator": iterator},
        "get_shard_iterator": {"StreamName": "orders", "ShardId": shard, "ShardIteratorType": "LATEST"},
        "list_shards": {"StreamName": "orders"},
    }[method]
    with pytest.raises(getattr(kinesis.exceptions, code)):
        getattr(kinesis, method)(**parameters)


def test_an_error_of_the_service_is_an_internal_failure(
    kinesis: KinesisOverStreams, orders: Table, service: LocalStreams
) -> None:
    iterator = start(kinesis, orders.shard_ids[0])
    service.faults = Faults(error={"GetRecords": 1.0})
    with pytest.raises(ClientError, match="InternalFailureException") as failed:
        kinesis.get_records(ShardIterator=iterator)
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


def test_one_empty_page_does_not_say_that_a_shard_is_caught_up(
    kinesis: KinesisOverStreams, orders: Table, service: LocalStreams
) -> None:
    """Real shards answer runs of empty pages before data: a consumer that stops at 0 would stop too early."""
    shard = orders.open_shard_ids[0]
    orders.put(orders.keys_in(shard)[0])
    service.faults = Faults(empty_page=1.0)
    page = kinesis.get_records(ShardIterator=start(kinesis, shard))
    assert page["Records"] == []
    assert page["MillisBehindLatest"] > 0


def test_an_option_that_is_wrong_is_refused_with_the_fix(service: LocalStreams, orders: Table) -> None:
    where = {"endpoint_url": service.endpoint_url}
    for options, part in (
        ({}, "give exactly one"),
        ({"table": "orders", "stream_arn": orders.stream_arn}, "give exactly one"),
        ({"table": "orders", "data": "avro"}, '"kinesis-data-streams"'),
        ({"table": "orders", "on_data_loss": "ignore"}, '"continue"'),
        ({"stream_arn": "orders"}, "table="),
    ):
        with pytest.raises(errors.InvalidOptionError, match=part):
            KinesisOverStreams(**options, **where)
    with pytest.raises(errors.NotFoundError):
        KinesisOverStreams("others", **where)
    service.create_table("quiet", keys={"id": "S"}, view_type=None)
    with pytest.raises(errors.StreamNotEnabledError):
        KinesisOverStreams("quiet", **where)


def test_a_closed_client_says_so(kinesis: KinesisOverStreams, orders: Table) -> None:
    iterator = start(kinesis, orders.shard_ids[0])
    kinesis.close()
    with pytest.raises(ClientError, match="closed"):
        kinesis.get_records(ShardIterator=iterator)


def test_where_the_endpoint_knows_no_time_older_records_are_skipped() -> None:
    clock = Clock()
    with LocalStreams(clock=clock, at_timestamp=False) as service:
        table = service.create_table("orders", keys={"id": "S"})
        table.put({"id": "old"})
        clock.advance(60.0)
        moment = clock()
        table.put({"id": "new"})
        with KinesisOverStreams("orders", endpoint_url=service.endpoint_url) as kinesis:
            iterator = start(kinesis, table.open_shard_ids[0], "AT_TIMESTAMP", Timestamp=moment)
            assert numbers(kinesis.get_records(ShardIterator=iterator)) == [table.changes[-1].sequence_number]


def test_a_start_at_latest_survives_an_iterator_of_the_service_that_expires(
    kinesis: KinesisOverStreams, orders: Table, service: LocalStreams
) -> None:
    """A consumer that has read nothing could only ask for LATEST again, and miss what came in between (trap 3)."""
    shard = orders.open_shard_ids[0]
    iterator = start(kinesis, shard, "LATEST")
    orders.put(orders.keys_in(shard)[0])
    service.faults = Faults(expire=1.0)
    page = kinesis.get_records(ShardIterator=iterator)
    assert page["Records"] == []
    service.faults = Faults()
    found = [number for page in read(kinesis, page["NextShardIterator"], pages=10) for number in numbers(page)]
    assert found == written(orders, shard)


@pytest.mark.parametrize("shard_filter", ["ignored", "rejected"])
def test_children_are_found_where_the_endpoint_has_no_filter(shard_filter: Any) -> None:
    with LocalStreams(shard_filter=shard_filter) as service:
        table = service.create_table("orders", keys={"id": "S"})
        with KinesisOverStreams("orders", endpoint_url=service.endpoint_url) as kinesis:
            parent = table.open_shard_ids[0]
            kinesis.list_shards(StreamName="orders")
            children = table.split(parent)
            *_, last = read(kinesis, start(kinesis, parent))
            assert {child["ShardId"] for child in last["ChildShards"]} == set(children)


def test_the_shards_of_an_old_stream_tile_although_their_parents_are_trimmed(kinesis: KinesisOverStreams) -> None:
    shards = kinesis.list_shards(StreamName="orders", ShardFilter={"Type": "AT_TRIM_HORIZON"})["Shards"]
    ranges = [each["HashKeyRange"] for each in shards]
    assert all("ParentShardId" in each for each in shards)
    assert sum(int(each["EndingHashKey"]) - int(each["StartingHashKey"]) + 1 for each in ranges) == 2**128
