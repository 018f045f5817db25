"""The moment at which a pipeline starts, by the service's clock, and the stream that it reads (traps 3 and 14)."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from math import floor
from typing import Any

import pytest

from beam_dynamodb_streams import ReadFromDynamoDBStreams
from beam_dynamodb_streams.errors import InvalidOptionError, NewStreamError, NotFoundError
from beam_dynamodb_streams.shards.position import After, AtTime
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.source.start import StartRead
from beam_dynamodb_streams.source.stream_read import StreamRead
from beam_dynamodb_streams.testing import Clock, LocalStreams
from tests.source.options_of import options_of


def test_latest_and_now_are_the_services_second_whatever_this_machines_clock_says() -> None:
    """Trap 3: the local service is in another year, as its `Date` header shows."""
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        service.create_table("orders", keys={"id": "S"})
        clock.advance(0.9)
        (element,) = StartRead(options_of(service, table="orders", start="LATEST", stop="NOW")).process(None)
    assert element.start == AtTime(floor(clock()))
    assert element.stop == floor(clock())


@pytest.mark.parametrize(("hours", "warned"), [(23, False), (25, True)])
def test_a_start_before_all_that_the_service_has_is_warned_of(
    caplog: pytest.LogCaptureFixture, hours: int, warned: bool
) -> None:
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        service.create_table("orders", keys={"id": "S"})
        start = datetime.fromtimestamp(clock(), timezone.utc) - timedelta(hours=hours)
        (element,) = StartRead(options_of(service, table="orders", start=start)).process(None)
    assert element.start == AtTime(floor(start.timestamp()))
    assert ("is more than 24 hours ago" in caplog.text) is warned


def test_a_table_is_resolved_to_its_stream_once() -> None:
    """Trap 14: a stream that is enabled again is another one, and is never read in the middle of a run."""
    with LocalStreams() as service:
        orders = service.create_table("orders", keys={"id": "S"})
        (element,) = StartRead(options_of(service, table="orders")).process(None)
        assert element.stream_arn == orders.stream_arn
        orders.disable_stream()
        orders.enable_stream()
        assert element.stream_arn != orders.stream_arn


def test_a_position_of_the_old_stream_is_refused_by_the_new_one_and_taken_by_the_old() -> None:
    """Trap 14: it says nothing about the new stream; the old one stays readable for 24 hours."""
    with LocalStreams() as service:
        orders = service.create_table("orders", keys={"id": "S"})
        position = StreamPosition(orders.stream_arn)
        orders.disable_stream()
        orders.enable_stream()
        with pytest.raises(NotFoundError, match="no longer the table's stream: read the old one to its end"):
            list(StartRead(options_of(service, table="orders", start=position, on_new_stream="finish")).process(None))
        (element,) = StartRead(options_of(service, stream_arn=position.stream_arn, start=position)).process(None)
    assert element.stream_arn == position.stream_arn


def started(service: LocalStreams, **options: Any) -> StreamRead:
    (element,) = StartRead(options_of(service, table="orders", **options)).process(None)
    return element


def test_leases_of_workers_that_stand_in_the_old_stream_are_followed() -> None:
    """The youngest stream that the workers had reached is read from where they stopped."""
    with LocalStreams() as service:
        orders = service.create_table("orders", keys={"id": "S"})
        leases = service.create_table("leases", keys={"leaseKey": "S"}, view_type=None)
        change = orders.put({"id": "o-1"})
        lease = {"leaseKey": change.shard_id, "checkpoint": change.sequence_number, "leaseCounter": 1}
        leases.put(lease)
        old = orders.stream_arn
        orders.disable_stream()
        orders.enable_stream()
        found = started(service, start="kcl://leases")
        assert (found.stream_arn, found.saved[change.shard_id]) == (old, After(change.sequence_number))
        shard = orders.open_shard_ids[0]
        leases.put({**lease, "leaseKey": shard, "checkpoint": "TRIM_HORIZON"})
        assert started(service, start="kcl://leases").stream_arn == orders.stream_arn
        assert started(service, start="kcl://leases", on_new_stream="finish").stream_arn == orders.stream_arn


def test_a_position_in_a_table_that_was_created_again_is_refused() -> None:
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        position = StreamPosition(orders.stream_arn)
        orders.delete_table()
        clock.advance(60)
        service.create_table("orders", keys={"id": "S"})
        with pytest.raises(NewStreamError, match="the table was deleted and created again since"):
            started(service, start=position)


@pytest.mark.parametrize("option", ["Follow", "", True, "none"])
def test_what_happens_at_a_new_stream_is_one_of_three(option: object) -> None:
    with pytest.raises(InvalidOptionError, match=rf'on_new_stream={option!r} is not known: use "follow"'):
        ReadFromDynamoDBStreams("orders", on_new_stream=option)  # type: ignore[arg-type]  # what is refused


def test_a_stream_that_is_named_is_followed_too_where_that_is_asked_for() -> None:
    """`stream_arn=` alone ends with its stream. The id of the table is kept, to know it again."""
    with LocalStreams() as service:
        orders = service.create_table("orders", keys={"id": "S"})
        old = orders.stream_arn
        orders.disable_stream()
        orders.enable_stream()
        assert options_of(service, stream_arn=old).on_new_stream == "finish"
        assert options_of(service, table="orders").on_new_stream == "follow"
        options = options_of(service, stream_arn=old, on_new_stream="follow")
        (element,) = StartRead(options).process(None)
        assert (element.stream_arn, element.table_id) == (old, orders.table_id)
