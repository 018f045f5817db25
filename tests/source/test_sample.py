"""`sample`: a bounded read without a pipeline.

Most tests have no threads and a clock that moves only when all is idle.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from math import floor
from random import Random
from typing import Any

import pytest

from beam_dynamodb_streams import ChangeRecord, ReadFromDynamoDBStreams, StreamPosition, read_schema, sample
from beam_dynamodb_streams.errors import InvalidOptionError, NotFoundError, UnavailableError
from beam_dynamodb_streams.reader.dynamodb_streams import DynamoDBStream
from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.reader.reader import Reader
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.reader.stream_caller import StreamCaller
from beam_dynamodb_streams.records import CHANGE_SCHEMA
from beam_dynamodb_streams.records.versions import stream_part, version_base
from beam_dynamodb_streams.shards.position import After
from beam_dynamodb_streams.shards.quiet import QuietRule
from beam_dynamodb_streams.source.sample import Sample, collect
from beam_dynamodb_streams.source.stream_read import StreamRead
from beam_dynamodb_streams.testing import Clock, Faults, LocalStreams, Table
from beam_dynamodb_streams.wire import Client
from tests.inline import InlineFetcher


@pytest.fixture
def orders(service: LocalStreams) -> Table:
    return service.create_table("orders", keys={"id": "S"}, shards=2)


def sample_of(service: LocalStreams, **options: Any) -> Sample:
    return sample("orders", endpoint_url=service.endpoint_url, region_name=service.region_name, **options)


def collected(service: LocalStreams, clock: Clock, orders: Table, *, seconds: float = 60.0) -> Sample:
    """What is collected up to this second, by a reader that needs no time of the machine's."""
    client = Client(endpoint_url=service.endpoint_url, clock=clock, sleep=clock.advance)
    fetcher = InlineFetcher(StreamCaller(DynamoDBStream(client, orders.stream_arn)).perform, clock, Random(1))
    rules = Rules(stop=floor(clock()), slack=1.0, quiet=QuietRule(8, 1.0))
    reader = Reader(fetcher, clock, client.service_time, lambda: 0.5, rules, Pace())
    return collect(reader, StreamRead("run", orders.stream_arn, stop=rules.stop), clock() + seconds)


def ids(changes: Sample) -> list[str]:
    return sorted(change.event_id for change in changes)


def written(orders: Table) -> list[str]:
    return sorted(change.event_id for change in orders.changes)


def test_everything_up_to_its_start_is_in_it_parents_before_children_and_it_says_so(
    service: LocalStreams, orders: Table
) -> None:
    orders.put_many({"id": f"o-{n % 5}", "n": n} for n in range(40))
    parent = orders.shard_of({"id": "o-1"})
    orders.split(parent)
    orders.put_many({"id": f"o-{n % 5}", "n": -n} for n in range(1, 40))
    found = sample_of(service)
    assert ids(found) == written(orders)
    assert found.complete
    by_key = [change.new_image["n"] for change in found if change.keys == {"id": "o-1"} and change.new_image]
    assert by_key == [*range(1, 40, 5), *range(-1, -40, -5)]


def test_it_ends_at_its_limit_with_a_share_of_several_shards(service: LocalStreams, orders: Table) -> None:
    for shard in orders.open_shard_ids:
        orders.put_many({**keys, "n": 1} for keys in orders.keys_in(shard, 100))
    found = sample_of(service, limit=40)
    assert len(found) == 40
    assert {change.shard_id for change in found} == set(orders.open_shard_ids)
    assert not found.complete
    assert repr(found).endswith(", limit reached>")


def test_it_ends_when_its_time_is_over_with_what_it_has() -> None:
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        orders.put({"id": "o-1"})
        began = clock()
        found = collected(service, clock, orders, seconds=2.0)  # too short for any proof
        assert 2.0 <= clock() - began < 2.5
        assert ids(found) == written(orders)
        assert not found.complete
        assert collected(service, clock, orders).complete


def test_from_latest_it_waits_for_new_changes(service: LocalStreams, orders: Table) -> None:
    service.reset_counts()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sample_of, service, start="LATEST", limit=3, seconds=60.0)
        while service.counts.pages < 4:
            assert not waiting.done()
        orders.put_many({"id": f"o-{n}"} for n in range(3))
        found = waiting.result()
    assert ids(found) == written(orders)


def test_what_is_not_selected_does_not_count(service: LocalStreams, orders: Table) -> None:
    orders.put_many({"id": "o-1", "n": n} for n in range(9))
    orders.delete({"id": "o-1"})
    (removed,) = sample_of(service, event_names=["REMOVE"], limit=1)
    assert removed.event_name == "REMOVE"
    (ninth,) = sample_of(service, where=lambda change: (change.new_image or {}).get("n") == 8, limit=1)
    assert ninth.event_id == orders.changes[8].event_id


def test_malformed_records_are_dead_letters_and_end_nothing() -> None:
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        (shard,) = orders.open_shard_ids
        orders.put({"id": "o-1", "n": 1})
        orders.append(shard, b'{"eventID": 7}')
        whole = orders.changes[0].body
        orders.append(shard, whole.replace(b'{"N":"1"}', b'{"N":"one"}'))  # an image that is no DynamoDB JSON
        orders.put({"id": "o-2"})
        found = collected(service, clock, orders)
    assert [change.keys for change in found] == [{"id": "o-1"}, {"id": "o-2"}]
    assert [letter.shard_id for letter in found.dead_letters] == [shard, shard]
    assert "2 dead letters" in repr(found)


def test_what_was_trimmed_unread_is_reported_and_ends_nothing(service: LocalStreams, orders: Table) -> None:
    """Trap 10."""
    shard = orders.open_shard_ids[0]
    changes = orders.put_many({**keys, "n": 1} for keys in orders.keys_in(shard, 3))
    orders.trim(shard, keep=1)
    saved = StreamPosition(orders.stream_arn, shards={shard: After(changes[0].sequence_number)})
    found = sample_of(service, start=saved, limit=1)
    assert ids(found) == [changes[-1].event_id]
    assert [loss.shard_id for loss in found.losses] == [shard]
    assert "1 loss" in repr(found)


def a_sample(*images: dict[str, object]) -> Sample:
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        orders.put_many({"id": f"o-{n}", **image} for n, image in enumerate(images))
        return collected(service, clock, orders)


def test_it_is_a_sequence_of_change_records() -> None:
    found = a_sample({"n": 1}, {"n": 2}, {"n": 3})
    assert len(found) == 3
    assert isinstance(found[0], ChangeRecord)
    assert list(found[1:]) == list(found)[1:]
    assert found[-1] in found
    assert found.index(found[2]) == 2


def test_it_becomes_an_arrow_table_untyped_or_by_a_schema() -> None:
    found = a_sample({"total": Decimal("9.99")}, {"total": Decimal(12)})
    assert found.to_arrow().schema == CHANGE_SCHEMA
    assert found.to_arrow()["event_id"].to_pylist() == [change.event_id for change in found]
    typed = found.to_arrow(read_schema({"id": "string", "total": "decimal128(9, 2)"}, keys=["id"]))
    assert [image["total"] for image in typed["new_image"].to_pylist()] == [Decimal("9.99"), Decimal("12.00")]


def test_it_becomes_a_frame_of_python_values() -> None:
    pytest.importorskip("pandas")
    found = a_sample({"total": Decimal("9.99")}, {"total": None})
    frame = found.to_pandas()
    assert list(frame.new_image.str.get("total")) == [Decimal("9.99"), None]
    assert list(frame.approximate_creation_time) == [change.approximate_creation_time for change in found]
    assert list(a_sample().to_pandas().columns) == list(frame.columns)
    assert a_sample().to_arrow().num_rows == 0


def test_a_typed_frame_has_exact_integers_beside_nulls_at_every_depth() -> None:
    pytest.importorskip("pandas")
    large = 2**53 + 1
    schema = read_schema(
        {"id": "string", "n": "int64", "many": ["int64"], "deep": {"n": "int64"}, "any": {"*": "int64"}}, keys=["id"]
    )
    item = {"n": Decimal(large), "many": [Decimal(large), None], "deep": {"n": Decimal(large)}, "any": {"a": large}}
    frame = a_sample(item, {"n": None, "deep": {"n": None}, "any": {"b": None}}).to_pandas(schema)
    first, second = frame.new_image
    assert (first["n"], list(first["many"]), first["deep"], dict(first["any"])) == (
        large,
        [large, None],
        {"n": large},
        {"a": large},
    )
    assert (second["n"], second["deep"]) == (None, {"n": None})
    assert str(frame.size_bytes.dtype) == "Int64"


def test_its_text_has_no_item_in_it() -> None:
    found = a_sample({"name": "Ada"}, {"name": "Grace"})
    assert repr(found) == (
        "<Sample of 2 changes from 1 shard, 2 INSERT, created 2026-01-01 00:00:00 to 2026-01-01 00:00:00 UTC, complete>"
    )
    assert repr(a_sample()) == "<Sample of 0 changes, complete>"


@pytest.mark.parametrize(
    "wrong", [{"limit": 0}, {"limit": 1.5}, {"limit": True}, {"seconds": 0}, {"seconds": "1"}, {"start": "YESTERDAY"}]
)
def test_a_wrong_option_is_refused_before_anything_is_asked(service: LocalStreams, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError, match=next(iter(wrong))):
        sample_of(service, **wrong)
    assert not service.counts.pages


def test_a_table_that_does_not_exist_is_reported_as_in_a_pipeline(service: LocalStreams) -> None:
    with pytest.raises(NotFoundError, match="table 'orders' does not exist"):
        sample_of(service)


@pytest.mark.parametrize("option", [0, -1, True, "10m", float("nan"), float("inf"), timedelta(0), object()])
def test_a_wrong_give_up_after_is_refused_where_it_is_written(option: Any) -> None:
    with pytest.raises(InvalidOptionError, match=r"give_up_after=.* is not a time to wait"):
        ReadFromDynamoDBStreams("orders", give_up_after=option)


def test_a_sample_names_what_did_not_answer_and_gives_up_where_that_is_asked() -> None:
    with LocalStreams() as service:
        service.create_table("orders", keys={"id": "S"}).put({"id": "o-1"})
        service.faults = Faults(error={"GetRecords": 1.0})
        given = {"endpoint_url": service.endpoint_url, "region_name": service.region_name}
        got = sample("orders", seconds=4, **given)
        assert not got.complete
        (line,) = got.unanswered
        assert line.startswith("GetRecords of shard ")
        assert line in repr(got)
        with pytest.raises(UnavailableError, match="longer than give_up_after=2 s"):
            sample("orders", seconds=30, give_up_after=2, **given)


def test_a_sample_from_a_position_in_the_old_stream_has_the_changes_of_both(
    service: LocalStreams, orders: Table
) -> None:
    """Trap 14: the read follows the table to its next stream, and the gap between the two is a loss."""
    orders.put_many({"id": f"o-{n}"} for n in range(10))
    position = StreamPosition(orders.stream_arn)
    orders.disable_stream()
    orders.enable_stream()
    orders.put_many({"id": f"o-{n}", "n": 1} for n in range(10))
    some = sample_of(service, start=position, seconds=60)
    assert ids(some) == written(orders)
    assert some.stream_arn == orders.stream_arn
    assert some.complete
    assert [loss.next_position for loss in some.losses] == [orders.stream_arn]
    assert {change.version[14:34] for change in some} == {
        stream_part(version_base(stream.arn)) for stream in orders.streams
    }
