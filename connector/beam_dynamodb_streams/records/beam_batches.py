"""Changes in Beam's batched DoFns: `pyarrow.RecordBatch` is the type of a batch of `ChangeRecord` elements.

A DoFn with `process_batch(self, batch: pa.RecordBatch)` may follow any PCollection[ChangeRecord]. Beam collects the
changes of a bundle in batches, and splits the batches that such a DoFn yields where the next step takes single changes.
The module of such a DoFn must not postpone its annotations (`from __future__ import annotations`), because Beam (2.77)
does not resolve them.
"""

# No postponed annotations here: Beam reads those of a batched DoFn without resolving them.

from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.typehints.batch import BatchConverter

from beam_dynamodb_streams.errors import ElementTypeError
from beam_dynamodb_streams.records.record import ChangeRecord
from beam_dynamodb_streams.records.text_columns import CHANGE_SCHEMA, records_from_batch, to_arrow


class ChangeBatchConverter(BatchConverter):
    """Converts between changes and batches of `CHANGE_SCHEMA`. No image is decoded in either direction."""

    def __init__(self, element_type: Any, batch_type: Any) -> None:
        if element_type is not ChangeRecord or batch_type is not pa.RecordBatch:
            raise TypeError("batches of type pyarrow.RecordBatch are for elements of type ChangeRecord")
        super().__init__(batch_type, element_type)

    def produce_batch(self, elements: Sequence[ChangeRecord]) -> pa.RecordBatch:
        return to_arrow(elements)

    def explode_batch(self, batch: pa.RecordBatch) -> Iterator[ChangeRecord]:
        return iter(records_from_batch(batch))

    def combine_batches(self, batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
        return pa.concat_batches(batches)

    def get_length(self, batch: pa.RecordBatch) -> int:
        return int(batch.num_rows)

    def estimate_byte_size(self, batch: pa.RecordBatch) -> int:
        return int(batch.nbytes)


class AsChanges(beam.PTransform):
    """Turns a PCollection of `pyarrow.RecordBatch` with `CHANGE_SCHEMA`, as the read emits them, into one of
    `ChangeRecord`.

    A batched DoFn after it receives the batches themselves, any other DoFn one change at a time. All changes of a batch
    have the batch's event time, which is that of its earliest change.

    Raises:
        ElementTypeError: A batch has other columns.
    """

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        return batches | beam.ParDo(_AsChanges()).with_output_types(ChangeRecord)


class _AsChanges(beam.DoFn):
    @beam.DoFn.yields_batches
    def process(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        if batch.schema != CHANGE_SCHEMA:
            raise ElementTypeError(
                f"AsChanges takes batches of CHANGE_SCHEMA, not of {batch.schema.names}: leave out schema= in "
                "as_batches(), or work on typed batches with a plain DoFn"
            )
        yield batch

    def infer_output_type(self, input_type: Any) -> type[ChangeRecord]:  # noqa: ARG002 - Beam's signature
        return ChangeRecord


def register_batches() -> None:
    """Register the batches with Beam. Call it once: Beam refuses a name that it has."""
    BatchConverter.register(name="dynamodb-streams-changes")(ChangeBatchConverter)
