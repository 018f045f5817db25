"""The moment at which a pipeline starts, by the service's clock, and the stream that it reads (traps 3 and 14)."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from math import floor

import pytest

from beam_dynamodb_streams.errors import NotFoundError
from beam_dynamodb_streams.shards.position import AtTime
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.source.start import StartRead
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
