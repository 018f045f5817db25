"""How far a read was delivered, as an output of the pipeline itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindows

from beam_dynamodb_streams.beam.typed import OwnCombineFn, OwnTransform
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.records.versions import UNKNOWN_STREAM, stream_named, stream_part
from beam_dynamodb_streams.shards.stream_position import StreamPosition


class DeliveredPosition(OwnTransform):
    """Combines the change records of a bounded read into the one `StreamPosition` that covers them.

    It takes a PCollection of `ChangeRecord`, or of this package's record batches, and returns a PCollection with one
    `StreamPosition`. Apply it to the records that a step passes on after it delivered them. The position then covers
    only what was delivered (trap 21). `base` is the position from which the read started; the result adds to it.

    The result is a position of the stream that `base` names, or of the last one of the table that the read followed it
    to: the streams before it were read to their ends. For the first read of a stream pass `StreamPosition(stream_arn)`.
    A later read can then follow the position once the table has another stream (trap 14). Without a stream the result
    is a position of any stream, and only shard ids keep streams apart.

    A read that stops at a moment must have begun at a saved position (`StreamPosition()` is one). Only then a shard
    ends at its first change past the stop, and no change before the position is left out (trap 19). For an unbounded
    read use `CommitProgress`.

    Raises:
        InvalidOptionError: The input has windows. Creation times are out of order, so the last change of a window does
            not cover all changes before it.
    """

    def __init__(self, base: StreamPosition | None = None) -> None:
        super().__init__()
        self._base = base or StreamPosition()

    def expand(self, records: beam.PCollection) -> beam.PCollection:
        if not isinstance(records.windowing.windowfn, GlobalWindows):
            raise InvalidOptionError(
                f"{self.label} on {type(records.windowing.windowfn).__name__}: creation times are out of order, so a "
                "window's last change does not cover all changes before it. Put it before the windows of a bounded "
                "read, or use CommitProgress"
            )
        return records | "Fold" >> beam.CombineGlobally(_Fold(self._base))


@beam.typehints.with_input_types(ChangeRecord | pa.RecordBatch)
@beam.typehints.with_output_types(StreamPosition)
class _Fold(OwnCombineFn):
    """The accumulator is `{shard: sequence number}`: only the largest of each shard counts (trap 4).

    The name of a shard here begins with the part of a version that stands for its stream.
    """

    def __init__(self, base: StreamPosition) -> None:
        self._base = base

    def create_accumulator(self) -> dict[str, str]:
        return {}

    def add_input(self, accumulator: dict[str, str], element: ChangeRecord | pa.RecordBatch) -> dict[str, str]:
        if isinstance(element, pa.RecordBatch):
            columns = (element[name].to_pylist() for name in ("version", "shard_id", "sequence_number"))
            for version, shard, number in zip(*columns, strict=True):
                _add(accumulator, version, shard, number)
        else:
            _add(accumulator, element.version, element.shard_id, element.sequence_number)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[dict[str, str]]) -> dict[str, str]:
        merged: dict[str, str] = {}
        for accumulator in accumulators:
            for shard, number in accumulator.items():
                _raise_to(merged, shard, number)
        return merged

    def extract_output(self, accumulator: dict[str, str]) -> StreamPosition:
        by_stream: dict[str, dict[str, str]] = {}
        for name, number in accumulator.items():
            stream, _, shard = name.partition("/")
            by_stream.setdefault(stream, {})[shard] = number
        base = self._base
        last = max(by_stream, default=UNKNOWN_STREAM)
        arn = None if base.stream_arn is None else stream_named(last, base.stream_arn)
        if arn != base.stream_arn:
            return replace(StreamPosition.delivered(by_stream[last]), stream_arn=arn)
        for shards in by_stream.values():
            base = base.merge(StreamPosition.delivered(shards))
        return base


def _add(accumulator: dict[str, str], version: str, shard: str, number: str) -> None:
    if number:  # an item of a snapshot has none
        _raise_to(accumulator, f"{stream_part(version)}/{shard}", number)


def _raise_to(accumulator: dict[str, str], shard: str, number: str) -> None:
    if not number:  # a row of a snapshot is in no shard
        return
    known = accumulator.get(shard)
    if known is None or int(number) > int(known):
        accumulator[shard] = number
