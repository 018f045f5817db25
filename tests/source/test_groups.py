"""A stream spread over several elements: how many, who begins with what; nothing is read twice, nothing left out."""

from __future__ import annotations

from pathlib import Path
from random import Random

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams.errors import InvalidOptionError, RunnerError
from beam_dynamodb_streams.reader.dynamodb_streams import DynamoDBStream
from beam_dynamodb_streams.reader.stream_caller import StreamCaller
from beam_dynamodb_streams.shards.frontier import Frontier, Reading, begin
from beam_dynamodb_streams.shards.groups import deal
from beam_dynamodb_streams.shards.lineage import Lineage
from beam_dynamodb_streams.shards.position import TRIM_HORIZON
from beam_dynamodb_streams.source.sharing import first_frontier, groups_on
from beam_dynamodb_streams.testing import Clock, Faults, LocalStreams
from beam_dynamodb_streams.wire import Client
from tests.e2e.workload import Note, assert_each_once_and_in_order, read_orders
from tests.inline import InlineFetcher, ListingInPages, Network


def test_groups_hold_about_as_many_of_the_youngest_shards_each() -> None:
    lineage = Lineage.draw({"a": ["b", "c"], "c": ["d", "e"], "f": [], "g": [], "h": []})
    whole = Frontier(shards={shard: Reading(TRIM_HORIZON) for shard in "afgh"})
    first, second = deal(whole, lineage, 2, second=7)
    assert {frozenset(first.shards), frozenset(second.shards)} == {frozenset("a"), frozenset("fgh")}
    assert (first.adopts, second.adopts) == (True, False)
    assert set(first.finished) == set(second.shards)


def test_there_are_no_more_groups_than_shards_to_begin_with() -> None:
    whole = Frontier(shards={"a": Reading(TRIM_HORIZON)})
    assert deal(whole, Lineage.draw({"a": ["b", "c"]}), 4, second=7) == (whole,)


def inline(caller: StreamCaller, clock: Clock) -> InlineFetcher:
    return InlineFetcher(caller.perform, clock, Random(1))


def test_the_first_frontier_waits_until_listings_with_holes_have_settled() -> None:
    clock = Clock()
    with LocalStreams(clock=clock, seed=3) as service:
        orders = service.create_table("orders", keys={"id": "S"}, shards=5)
        roots = set(orders.shard_ids)
        orders.roll_all()
        orders.drop(orders.shard_ids[0])  # its child is a root now
        service.faults = Faults(list_holes=0.5)
        client = Client(
            endpoint_url=service.endpoint_url,
            region_name="us-east-1",
            clock=clock,
            sleep=lambda seconds: clock.advance(seconds) and None,
            random=lambda: 0.5,
        )
        frontier, _ = first_frontier(
            begin(TRIM_HORIZON),
            inline(StreamCaller(DynamoDBStream(client, orders.stream_arn, limit=10)), clock),
            client.service_time,
            clock,
        )
        lineage = orders.lineage
        alive = set(orders.shard_ids)
        assert set(frontier.shards) == {s for s in alive if lineage[s] is None or lineage[s] not in alive}
        assert len(frontier.shards) == len(roots)


def test_a_long_listing_is_dealt_as_fast_as_the_service_allows() -> None:
    """Trap 6: three whole listings of 120 pages; ten calls a second are allowed, and no group lists yet."""
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"}, shards=120)
        client = Client(endpoint_url=service.endpoint_url, region_name="us-east-1", clock=clock)
        caller = StreamCaller(DynamoDBStream(ListingInPages(client, Network(listing_page=1)), orders.stream_arn))
        began = clock()
        frontier, _ = first_frontier(begin(TRIM_HORIZON), inline(caller, clock), client.service_time, clock)
    assert frontier.shards.keys() == set(orders.shard_ids)
    assert 5 < service.counts.calls["DescribeStream"] / (clock() - began) < 10


def test_each_change_comes_from_one_group_while_shards_roll_and_split(service: LocalStreams, tmp_path: Path) -> None:
    orders = service.create_table("orders", keys={"id": "S"}, shards=5)
    for generation in range(3):
        orders.put_many({"id": f"o-{n % 300}", "n": generation * 1000 + n} for n in range(600))
        orders.roll(orders.open_shard_ids[0])
        orders.split(orders.open_shard_ids[-1])
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | read_orders(service, stop="NOW", shard_groups=3) | beam.ParDo(Note(str(tmp_path / "notes")))
    assert_each_once_and_in_order(orders, tmp_path / "notes")
    assert max(service.counts.readers.values()) == 1


@pytest.mark.parametrize("runner", ["PrismRunner", "DirectRunner"])
def test_several_groups_are_refused_where_late_data_would_be_dropped(service: LocalStreams, runner: str) -> None:
    pipeline = beam.Pipeline(runner)
    with pytest.raises(RunnerError, match=r"shard_groups=2 on .*Prism drops .* late. Leave shard_groups out"):
        _ = pipeline | read_orders(service, shard_groups=2)
    assert not service.counts.calls


@pytest.mark.parametrize(
    ("arguments", "groups"),
    [
        (["--runner=FnApiRunner"], 1),
        (["--runner=PrismRunner"], 1),
        (["--runner=FlinkRunner"], 1),
        (["--runner=FlinkRunner", "--parallelism=3"], 6),
        (["--runner=PortableRunner", "--job_endpoint=localhost:1", "--parallelism=2"], 4),
    ],
)
def test_unset_the_groups_follow_the_parallelism_of_flink(
    service: LocalStreams, arguments: list[str], groups: int
) -> None:
    pipeline = beam.Pipeline(options=PipelineOptions(arguments))
    assert groups_on(pipeline, read_orders(service)._options) == groups
    assert groups_on(pipeline, read_orders(service, stop=10)._options) == 1, "several cannot count together"


@pytest.mark.parametrize("groups", [0, -1, True, 1.5, "2"])
def test_what_is_not_a_count_of_groups_is_refused(service: LocalStreams, groups: object) -> None:
    with pytest.raises(InvalidOptionError, match="shard_groups="):
        read_orders(service, shard_groups=groups)


def test_several_groups_are_refused_a_count_of_changes_to_stop_at(service: LocalStreams) -> None:
    with pytest.raises(InvalidOptionError, match=r"shard_groups=2 with stop=10.*cannot count together"):
        read_orders(service, shard_groups=2, stop=10)
