"""What a reader requested ahead of a claim that was lost (trap 21)."""

from __future__ import annotations

import pytest

from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.testing import Clock, LocalStreams
from tests.inline import DrivenRead


def test_a_page_asked_for_ahead_of_a_lost_claim_is_not_taken_for_the_next() -> None:
    """Trap 21: the next page is on its way when the runner refuses the claim of this one."""
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        written = orders.put_many({"id": f"o-{number}"} for number in range(50))
        read = DrivenRead(service, clock, orders.stream_arn, pace=Pace(page=10))
        for refused in range(3):
            while True:
                claim = read.reader.next(read.frontier, clock() + 10)
                assert claim is not None
                if claim.records:
                    break
                read.frontier = claim.frontier
            assert len(claim.records) == 10, refused
        read.run(10)
        assert [number for _, number in read.delivered] == [change.sequence_number for change in written]


@pytest.mark.parametrize("size", [20_000, 100_000, 350_000])
def test_a_page_that_is_full_by_bytes_is_followed_at_once(size: int) -> None:
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        count = 5_000_000 // size
        orders.put_many({"id": f"o-{number}", "text": "x" * size} for number in range(count))
        read = DrivenRead(service, clock, orders.stream_arn, pace=Pace(poll=60.0))
        read.run(30)
        assert len(read.delivered) == count


def test_a_page_that_is_not_full_is_not_followed_at_once() -> None:
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        orders.put_many({"id": f"o-{number}", "text": "x" * 50_000} for number in range(18))
        read = DrivenRead(service, clock, orders.stream_arn, pace=Pace(poll=60.0))
        read.run(30)
        assert len(read.delivered) == 18
        assert service.counts.pages == 1
