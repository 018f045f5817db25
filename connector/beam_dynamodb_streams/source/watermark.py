"""The watermark to Beam: a number that only rises, and is stored beside the restriction."""

from __future__ import annotations

from apache_beam.io.iobase import WatermarkEstimator
from apache_beam.transforms.core import WatermarkEstimatorProvider
from apache_beam.utils.timestamp import Timestamp

from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier
from beam_dynamodb_streams.source.coders import WatermarkCoder
from beam_dynamodb_streams.source.stream_read import StreamRead


class StreamWatermark(WatermarkEstimator):
    """Holds what :meth:`advance` was given last; a lower value is passed over, after a restore too."""

    def __init__(self, micros: int) -> None:
        self._micros = micros

    def advance(self, micros: int) -> None:
        self._micros = max(self._micros, micros)

    def observe_timestamp(self, timestamp: Timestamp) -> None:
        """Elements move nothing: shards do."""

    def current_watermark(self) -> Timestamp:
        return Timestamp(micros=self._micros)

    def get_estimator_state(self) -> int:
        return self._micros


class StreamWatermarkProvider(WatermarkEstimatorProvider):
    """Begins at the earliest there is, and stores microseconds."""

    def initial_estimator_state(self, element: StreamRead, restriction: Frontier) -> int:  # noqa: ARG002
        return EARLIEST

    def create_watermark_estimator(self, estimator_state: int) -> StreamWatermark:
        return StreamWatermark(estimator_state)

    def estimator_state_coder(self) -> WatermarkCoder:
        return WatermarkCoder()
