"""`sample` of a Kinesis data stream."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from beam_dynamodb_streams import Sample, sample
from beam_dynamodb_streams.errors import InvalidOptionError, NotFoundError, ServiceError
from beam_dynamodb_streams.testing import KinesisStream, LocalKinesis, LocalStreams, Table
from beam_dynamodb_streams.testing.kinesis_record import kinesis_record


def sample_of(kinesis: LocalKinesis, stream: str = "copy", **options: Any) -> Sample:
    return sample(kinesis_stream=stream, endpoint_url=kinesis.endpoint_url, region_name=kinesis.region_name, **options)


def test_everything_up_to_its_start_is_in_it_through_a_merge_and_a_split(
    kinesis: LocalKinesis, orders: Table, copy: KinesisStream
) -> None:
    written = copy.put_changes(orders.put_many({"id": f"o-{n}"} for n in range(30)))
    merged = copy.merge(*copy.open_shard_ids)
    written += copy.put_changes(orders.put_many({"id": f"p-{n}"} for n in range(30)))
    copy.split(merged)
    written += copy.put_changes(orders.put_many({"id": f"q-{n}"} for n in range(30)))
    found = sample_of(kinesis)
    assert sorted(change.sequence_number for change in found) == sorted(written)
    assert found.complete
    assert found.stream_arn == copy.arn
    assert kinesis.counts.refusals == {}


def test_a_shard_is_polled_at_most_five_times_a_second(
    kinesis: LocalKinesis, orders: Table, copy: KinesisStream
) -> None:
    copy.put_changes(orders.put_many({"id": f"o-{n}"} for n in range(400)))
    found = sample_of(kinesis, limit=64)  # pages of eight
    assert len(found) == 64
    assert found.limited
    assert kinesis.counts.refusals == {}, "the service refuses the sixth call of a second"


def test_its_name_and_its_arn_are_both_accepted(kinesis: LocalKinesis, orders: Table, copy: KinesisStream) -> None:
    copy.put_changes(orders.put_many([{"id": "a"}]))
    by_name, by_arn = sample_of(kinesis, limit=1), sample_of(kinesis, copy.arn, limit=1)
    assert [change.keys for change in by_name] == [change.keys for change in by_arn] == [{"id": "a"}]


def test_only_changes_of_the_chosen_table_are_in_it(
    kinesis: LocalKinesis, service: LocalStreams, orders: Table, copy: KinesisStream
) -> None:
    users = service.create_table("users", keys={"id": "S"})
    copy.put_changes([*orders.put_many({"id": f"o-{n}"} for n in range(5)), *users.put_many([{"id": "u"}])])
    assert [change.keys for change in sample_of(kinesis, changes_of="users", limit=1)] == [{"id": "u"}]
    with pytest.raises(ServiceError, match=r"choose one with table=.*\(changes_of= in sample and in the commands\)"):
        sample_of(kinesis)


def test_it_begins_at_a_moment_and_filters(kinesis: LocalKinesis, orders: Table, copy: KinesisStream) -> None:
    for change in orders.put_many({"id": f"old-{n}"} for n in range(5)):
        text, key = kinesis_record(change)
        data = json.loads(text)
        data["dynamodb"]["ApproximateCreationDateTime"] -= 3600 * 1_000_000
        copy.put(json.dumps(data).encode(), key)
    copy.put_changes([*orders.put_many([{"id": "a"}, {"id": "b"}]), *filter(None, [orders.delete({"id": "a"})])])
    start = datetime.now(timezone.utc) - timedelta(minutes=5)
    both = sample_of(kinesis, start=start, limit=3)
    assert [(change.event_name, change.keys["id"]) for change in both if change.keys["id"] == "a"] == [
        ("INSERT", "a"),
        ("REMOVE", "a"),
    ]
    assert len(both) == 3
    removed = sample_of(kinesis, start=start, event_names=["REMOVE"], limit=1)
    assert [change.keys for change in removed] == [{"id": "a"}]


def test_what_is_not_a_change_is_a_dead_letter(kinesis: LocalKinesis, orders: Table, copy: KinesisStream) -> None:
    copy.put(b"", "a")
    copy.put(b"\xf3\x89\x9a\xc2 aggregated", "b")
    copy.put_changes(orders.put_many([{"id": "a"}]))
    found = sample_of(kinesis)
    assert len(found) == 1
    assert sorted(letter.payload for letter in found.dead_letters) == [b"", b"\xf3\x89\x9a\xc2 aggregated"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"table": "orders", "kinesis_stream": "copy"}, "table='orders' with kinesis_stream="),
        ({"kinesis_stream": "copy", "snapshot": "scan"}, "snapshot='scan' with kinesis_stream="),
        ({"table": "orders", "changes_of": "orders"}, "changes_of='orders' is of a data stream: give kinesis_stream="),
        ({"kinesis_stream": "a b"}, "kinesis_stream='a b' is not the name of a data stream: .* or its ARN"),
        ({"kinesis_stream": "arn:aws:dynamodb:us-east-1:1:table/a/stream/b"}, "kinesis_stream=.* is not the ARN"),
        ({"kinesis_stream": "copy", "changes_of": "arn:aws:dynamodb:us-east-1:1:table/t"}, "give the name 't'"),
        ({"kinesis_stream": "copy", "changes_of": ""}, "changes_of='' is not the name of a table"),
    ],
)
def test_wrong_options_are_refused_in_its_own_terms(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidOptionError, match=text):
        sample(**options)


def test_a_stream_that_does_not_exist_is_named(kinesis: LocalKinesis) -> None:
    with pytest.raises(NotFoundError, match="data stream 'nothing' does not exist in us-east-1"):
        sample_of(kinesis, "nothing")
