"""How long a bundle is kept: its end waits for a thread of Beam's worker that sleeps longer and longer."""

from __future__ import annotations

import time

import pytest
from apache_beam.runners.worker import statesampler
from apache_beam.utils.counters import CounterFactory

from beam_dynamodb_streams.beam.bundle_length import bundle_seconds

LENGTHS = (0.05, 0.1, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0, 60.0, 3600.0)


@pytest.mark.parametrize("at_most", LENGTHS)
def test_a_bundle_is_kept_for_most_of_the_time_that_it_may_last(at_most: float) -> None:
    assert 0.75 * at_most <= bundle_seconds(at_most) <= at_most


def test_the_end_of_a_bundle_of_the_default_length_does_not_wait() -> None:
    """If this fails, Beam samples otherwise now, and `beam.bundle_length` must follow `statesampler_fast.pyx`."""
    assert statesampler.DEFAULT_SAMPLING_PERIOD_MS == 200
    waits = {}
    for seconds in (bundle_seconds(1.0), 1.0):
        sampler = statesampler.StateSampler("test", CounterFactory())
        sampler.start()
        time.sleep(seconds)
        ended = time.monotonic()
        sampler.stop()
        waits[seconds] = time.monotonic() - ended
    assert waits[bundle_seconds(1.0)] < waits[1.0]
