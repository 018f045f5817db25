"""What a lease table says: items of all three generations to a position. Pure."""

from __future__ import annotations

import pytest

from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.progress.kcl import leases_of, names_stream, position_of_leases, with_ended_ancestors
from beam_dynamodb_streams.shards.lineage import Lineage
from beam_dynamodb_streams.shards.position import SHARD_END, TRIM_HORIZON, After, AtTime
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from tests.progress.leases import adapter_name, each_generation, lease_items

ARN = "arn:aws:dynamodb:us-west-2:123456789012:table/orders/stream/2026-01-31T12:00:00.000"
CHECKPOINTS = {
    "parent": "SHARD_END",
    "reading": "300000000000000499659",
    "new": "TRIM_HORIZON",
    "first": "LATEST",
    "timed": "AT_TIMESTAMP",
}


@each_generation
def test_each_checkpoint_is_where_its_worker_stopped(generation: str) -> None:
    leases = leases_of(lease_items(generation, CHECKPOINTS, {"reading": "parent"}, stream_arn=ARN), "app")
    assert position_of_leases(leases, ARN, "app", latest=AtTime(7)) == StreamPosition(
        ARN,
        TRIM_HORIZON,
        {
            "parent": SHARD_END,
            "reading": After("300000000000000499659"),
            "new": TRIM_HORIZON,
            "first": AtTime(7),
            "timed": TRIM_HORIZON,
        },
    )


def test_a_pending_checkpoint_and_a_part_of_a_record_are_not_looked_at() -> None:
    """An announced checkpoint was not made, and a change of DynamoDB has no parts."""
    (item,) = lease_items("kcl2", {"reading": "5"}, {}, stream_arn=ARN)
    assert "pendingCheckpoint" in item
    item["checkpointSubSequenceNumber"] = {"N": "3"}
    assert position_of_leases(leases_of([item], "app"), ARN, "app").shards == {"reading": After("5")}


def test_the_streams_of_a_table_of_several_are_kept_apart() -> None:
    """The name is the one that the Streams adapter makes of an ARN."""
    assert adapter_name(ARN) == "123456789012:us-west-2$123456789012$orders$2026-01-31T12_00_00.000:1"
    assert names_stream(adapter_name(ARN), ARN)
    for other in (
        ARN.replace("orders", "orders-2"),
        ARN.replace("2026", "2025"),
        ARN.replace("us-west-2", "us-west-1"),
        ARN.replace("123456789012", "210987654321"),
    ):
        assert not names_stream(adapter_name(other), ARN)
    assert names_stream("123456789012:orders:1769860800", ARN)
    assert not names_stream("123456789012:refunds:1769860800", ARN)


def test_a_table_of_other_streams_is_refused_with_the_streams_it_has() -> None:
    leases = leases_of(lease_items("kcl3-multi-stream", {"a": "5"}, {}, stream_arn=ARN.replace("orders", "b")), "app")
    with pytest.raises(InvalidOptionError, match=r"'app' has leases of .*\$b\$.*, and none of arn:aws.*table/orders"):
        position_of_leases(leases, ARN, "app")
    with pytest.raises(InvalidOptionError, match="'app' is empty"):
        position_of_leases([], ARN, "app")


def test_a_table_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match=r"holds an item that is not a lease \(it has id, total\)"):
        leases_of([{"id": {"S": "o-1"}, "total": {"N": "5"}}], "orders")


@pytest.mark.parametrize("checkpoint", ["", "LAST", "-5", "12x", "\u0661"])
def test_a_checkpoint_of_unknown_form_is_refused(checkpoint: str) -> None:
    leases = leases_of(lease_items("kcl1", {"a": checkpoint}, {}, stream_arn=ARN), "app")
    with pytest.raises(InvalidOptionError, match="has a form that KCL 1 to 3 do not write"):
        position_of_leases(leases, ARN, "app")


def test_what_has_no_lease_was_read_if_a_descendant_has_one() -> None:
    """The leases of shards that were read to their ends are deleted; a sibling without one is new."""
    lineage = Lineage.draw(
        {"gone": ["grandparent"], "grandparent": ["parent", "aunt"], "parent": ["reading", "sibling"]}
    )
    position = StreamPosition(ARN, TRIM_HORIZON, {"reading": After("5")})
    assert with_ended_ancestors(position, lineage).shards == {
        "gone": SHARD_END,
        "grandparent": SHARD_END,
        "parent": SHARD_END,
        "reading": After("5"),
    }


def test_a_parent_with_a_lease_is_where_the_lease_says() -> None:
    """KCL makes leases of children, at TRIM_HORIZON, while their parents are still being read."""
    lineage = Lineage.draw({"grandparent": ["parent"], "parent": ["child"]})
    position = StreamPosition(ARN, TRIM_HORIZON, {"parent": After("5"), "child": TRIM_HORIZON})
    assert with_ended_ancestors(position, lineage).shards == {**position.shards, "grandparent": SHARD_END}
