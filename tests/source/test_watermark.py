"""The watermark to Beam: never backwards, and the same after a restore."""

from __future__ import annotations

import pytest
from apache_beam.runners.sdf_utils import ThreadsafeWatermarkEstimator
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Timestamp

from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier
from beam_dynamodb_streams.source.restriction import StreamWatermark, StreamWatermarkProvider
from beam_dynamodb_streams.source.stream_read import StreamRead

PROVIDER = StreamWatermarkProvider()


def test_it_begins_at_beams_smallest_timestamp() -> None:
    state = PROVIDER.initial_estimator_state(StreamRead("run", "arn"), Frontier())
    assert PROVIDER.create_watermark_estimator(state).current_watermark() == MIN_TIMESTAMP == Timestamp(micros=EARLIEST)


def test_it_never_goes_back() -> None:
    estimator = StreamWatermark(5)
    for micros in (9, 3, EARLIEST):
        estimator.advance(micros)
        assert estimator.current_watermark() == Timestamp(micros=9)


def test_elements_move_nothing() -> None:
    """One shard's young records say nothing about another's old ones."""
    estimator = StreamWatermark(5)
    estimator.observe_timestamp(Timestamp(1_769_860_800))
    assert estimator.current_watermark() == Timestamp(micros=5)


def test_what_is_restored_is_not_undercut_by_a_reader_that_knows_less() -> None:
    """Trap 19."""
    estimator = StreamWatermark(EARLIEST)
    estimator.advance(1_769_860_800_123_456)
    coder = PROVIDER.estimator_state_coder()
    restored = PROVIDER.create_watermark_estimator(coder.decode(coder.encode(estimator.get_estimator_state())))
    restored.advance(EARLIEST)
    assert restored.current_watermark() == Timestamp(micros=1_769_860_800_123_456)


def test_beams_cover_lets_advance_through() -> None:
    """The DoFn is given the estimator inside Beam's own."""
    estimator = ThreadsafeWatermarkEstimator(StreamWatermark(EARLIEST))
    estimator.advance(7)
    assert estimator.current_watermark() == Timestamp(micros=7)
    assert estimator.get_estimator_state() == 7


@pytest.mark.parametrize("micros", [EARLIEST, -1, 0, 1_769_860_800_123_456, 9_223_372_036_854_775_000])
def test_every_moment_that_beam_has_can_be_stored(micros: int) -> None:
    coder = PROVIDER.estimator_state_coder()
    assert coder.decode(coder.encode(micros)) == micros


@pytest.mark.parametrize("stored", [b"", b"\x01", b"\x01" + bytes(9), b"\x02" + bytes(8)])
def test_other_bytes_are_refused(stored: bytes) -> None:
    with pytest.raises(ConnectorError, match="is not of version 1"):
        PROVIDER.estimator_state_coder().decode(stored)
