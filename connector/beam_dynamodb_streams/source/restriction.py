"""The restriction and the watermark as Beam sees them, with their stored forms. `shards/` has what moves a frontier."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any, Final

from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker, WatermarkEstimator
from apache_beam.transforms.core import RestrictionProvider, WatermarkEstimatorProvider
from apache_beam.utils.timestamp import Timestamp

from beam_dynamodb_streams.beam.coders import OwnCoder
from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.shards.encoding import decode_frontier, encode_frontier
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier
from beam_dynamodb_streams.shards.loss import MICROS, RETENTION_SECONDS
from beam_dynamodb_streams.source.stream_read import StreamRead

WATERMARK_VERSION: Final = 1


class FrontierCoder(OwnCoder):
    """A frontier's own stored form."""

    hint = Frontier
    name = "frontier:v1"

    def encode(self, value: Frontier) -> bytes:
        return encode_frontier(value)

    def decode(self, encoded: bytes) -> Frontier:
        return decode_frontier(encoded)


class FrontierTracker(RestrictionTracker):
    """Claims the frontier that a read has once the current page is delivered."""

    def __init__(self, frontier: Frontier, *, bounded: bool) -> None:
        self._frontier = frontier
        self._bounded = bounded
        self._checkpointed = False

    def current_restriction(self) -> Frontier:
        return self._frontier

    def try_claim(self, position: Frontier) -> bool:
        """Move the restriction to `position` and return True; after a checkpoint return False.

        After a checkpoint the page belongs to the residual, which has not moved.
        """
        if self._checkpointed:
            return False
        self._frontier = position
        return True

    def try_split(self, fraction_of_remainder: float) -> tuple[Frontier, Frontier] | None:
        """Return the primary and the residual of a checkpoint; decline to split at any other fraction.

        The primary is what was claimed, with nothing left to read; the residual is the rest. If the read is at its end,
        so is the residual, but it may still have progress to write. Other splits are declined, because several
        restrictions from one element make Prism drop late data, and Flink lose data after a restore.
        """
        if fraction_of_remainder != 0 or self._checkpointed:
            return None
        residual, self._frontier = self._frontier, self._frontier.close()
        self._checkpointed = True
        return self._frontier, residual

    def check_done(self) -> None:
        if not self._frontier.closed:
            raise ValueError(f"{len(self._frontier.shards)} shards are still being read: defer the remainder")

    def current_progress(self) -> RestrictionProgress:
        """Return the fraction of the known shards that are read to their end: 1 only when all are.

        It is one fraction, not two amounts. Beam (2.77) combines amounts with its own estimate of the bytes sent, which
        is NaN until it has sampled an element. A split that Prism requests at that moment would fail the job.
        """
        if self._frontier.closed:
            return RestrictionProgress(fraction=1.0)
        done, left = len(self._frontier.finished), max(1, len(self._frontier.shards))
        return RestrictionProgress(fraction=done / (done + left))

    def is_bounded(self) -> bool:
        return self._bounded


def wall_clock() -> float:
    """Return the local time in epoch seconds. A function of our own, because the provider is pickled with its DoFn."""
    return time.time()


class FrontierProvider(RestrictionProvider):
    """One restriction for each element.

    When a pipeline is drained, a bounded read continues to its stop. An unbounded one ends: what it has claimed by then
    is delivered, and nothing else is read.
    """

    def __init__(self, *, bounded: bool, clock: Callable[[], float] = wall_clock) -> None:
        self._bounded = bounded
        self._clock = clock

    def initial_restriction(self, element: StreamRead) -> Frontier:
        return element.first_frontier()

    def create_tracker(self, restriction: Frontier) -> FrontierTracker:
        return FrontierTracker(restriction, bounded=self._bounded)

    def split(self, element: StreamRead, restriction: Frontier) -> Iterable[Frontier]:  # noqa: ARG002
        yield restriction

    def restriction_size(self, element: StreamRead, restriction: Frontier) -> int:  # noqa: ARG002
        """Return the backlog, for autoscalers: the seconds by which each shard lags, added up.

        Each shard that is read counts at least one, at most a day (the retention), and one while its lag is unknown. So
        the size of a read that has caught up is about the number of its shards. A read at its end has none. The size
        is always a whole number: Prism and Flink fail on NaN.
        """
        if restriction.closed:
            return 0
        now = self._clock()
        return max(1, sum(_backlog_seconds(reading.watermark, now) for reading in restriction.shards.values()))

    def truncate(self, element: StreamRead, restriction: Frontier) -> Frontier | None:  # noqa: ARG002
        return restriction if self._bounded else None

    def restriction_coder(self) -> FrontierCoder:
        return FrontierCoder()

    def __eq__(self, other: Any) -> bool:
        return type(self) is type(other) and self._bounded == other._bounded

    def __hash__(self) -> int:
        return hash((type(self), self._bounded))


def _backlog_seconds(watermark: int, now: float) -> int:
    """Return how far a shard lags, between 1 and the retention; 1 where that is unknown."""
    if watermark == EARLIEST or not isfinite(now):
        return 1
    return min(RETENTION_SECONDS, max(1, round(now - watermark / MICROS)))


class WatermarkCoder(OwnCoder):
    """Microseconds since the epoch: a version byte, then eight bytes, signed, with the most significant one first."""

    hint = int
    name = "watermark:v1"

    def encode(self, value: int) -> bytes:
        return bytes([WATERMARK_VERSION]) + value.to_bytes(8, "big", signed=True)

    def decode(self, encoded: bytes) -> int:
        if len(encoded) != 9 or encoded[0] != WATERMARK_VERSION:
            raise ConnectorError(
                f"stored watermark {encoded.hex()} is not of version {WATERMARK_VERSION}: "
                "resume with the release that wrote it, or newer"
            )
        return int.from_bytes(encoded[1:], "big", signed=True)


class StreamWatermark(WatermarkEstimator):
    """The largest value that `advance` received. It ignores a lower one, also after a restore."""

    def __init__(self, micros: int) -> None:
        self._micros = micros

    def advance(self, micros: int) -> None:
        self._micros = max(self._micros, micros)

    def observe_timestamp(self, timestamp: Timestamp) -> None:
        """Do nothing: the shards move the watermark, not the elements."""

    def current_watermark(self) -> Timestamp:
        return Timestamp(micros=self._micros)

    def get_estimator_state(self) -> int:
        return self._micros


class StreamWatermarkProvider(WatermarkEstimatorProvider):
    """Begins at Beam's smallest timestamp, and stores microseconds."""

    def initial_estimator_state(self, element: StreamRead, restriction: Frontier) -> int:  # noqa: ARG002
        return EARLIEST

    def create_watermark_estimator(self, estimator_state: int) -> StreamWatermark:
        return StreamWatermark(estimator_state)

    def estimator_state_coder(self) -> WatermarkCoder:
        return WatermarkCoder()
