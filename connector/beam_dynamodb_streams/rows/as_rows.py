"""`AsRows`: changes or record batches as rows with a Beam schema."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.transforms.window import TimestampedValue
from apache_beam.typehints.row_type import RowTypeConstraint
from apache_beam.utils.windowed_value import WindowedValue
from typing_extensions import Self

from beam_dynamodb_streams.beam.error_handling import ErrorHandling, ErrorOutputs, HandlesErrors
from beam_dynamodb_streams.beam.typed import OwnDoFn
from beam_dynamodb_streams.columns import Columns, Misfit, Schema
from beam_dynamodb_streams.errors import ElementTypeError, InvalidOptionError, MisfitError
from beam_dynamodb_streams.records import CHANGE_SCHEMA, ChangeRecord
from beam_dynamodb_streams.records.text_columns import records_from_batch
from beam_dynamodb_streams.rows.convert import RowMaker
from beam_dynamodb_streams.rows.output_rows import OUTPUT_ROWS
from beam_dynamodb_streams.rows.row_type import row_hint

_ROWS: Final = "rows"
_MISFITS: Final = "misfits"
_BUFFERED: Final = 1000
"""Changes of a bundle that are converted at once."""


class RowOutputs(NamedTuple):
    """The two outputs of `AsRows`: the rows, and the `Misfit`s."""

    rows: PCollection
    misfits: PCollection


class AsRows(HandlesErrors):
    """Turns a PCollection of `ChangeRecord`, or of `pyarrow.RecordBatch` as the read makes them, into one of rows.

    The rows have a Beam schema: `beam.Select`, `beam.GroupBy`, `to_dataframe`, `SqlTransform` and Beam YAML take them.
    The fields are those of a change: `event_id`, `event_name`, `sequence_number`, `version`, `shard_id`,
    `approximate_creation_time` (a `Timestamp`), `size_bytes`, `stream_view_type`, `user_identity`, `keys`, `new_image`
    and `old_image`. Without a schema the last three are DynamoDB JSON as text, the same for every table. With one they
    are rows, whose fields are the columns of the schema, under the names of `Schema.rename`. Each row of a batch has
    the creation time of its change as its event time; rows of changes keep the event time of their change.

    A PCollection of `DeadLetter`, `Loss`, `Misfit`, `SnapshotEnd`, `StreamPosition` or `FileMetadata` becomes one
    of rows with their fields.

    An attribute that does not fit its column is null there, and a `Misfit` (see `Schema`): an output of `with_outputs`,
    or else an error.

    Args:
        schema: A `Schema` for typed fields. Batches must be of the same schema, or of `CHANGE_SCHEMA`.

    Raises:
        InvalidOptionError: At construction, for a schema with a name that is not an identifier.
        ElementTypeError: For an element of another type, or a batch of other columns.
        MisfitError: For a misfit without an output for it, and as the schema says.
    """

    def __init__(self, schema: Schema | None = None) -> None:
        super().__init__()
        if schema is not None and not isinstance(schema, Schema):
            raise InvalidOptionError(
                f"schema={schema!r}: give a beam_dynamodb_streams.Schema, or None for the fields of any table"
            )
        self._schema = schema
        self._hint = row_hint(schema)
        self._tagged = False

    def with_outputs(self) -> Self:
        """Return the same step with two outputs: `rows, misfits = changes | AsRows(schema).with_outputs()`."""
        variant = copy.copy(self)
        variant._tagged, variant.pipeline = True, None  # `pipeline` is Beam's own: where the step was applied last
        variant._handling = None
        return variant

    def _with_handling(self, handling: ErrorHandling) -> Self:
        variant = self.with_outputs()
        variant._handling = handling
        return variant

    def expand(self, changes: PCollection) -> PCollection | RowOutputs | ErrorOutputs:
        if changes.element_type in OUTPUT_ROWS:
            return self._of_output(changes)
        step = beam.ParDo(_MakeRows(self._schema, tagged=self._tagged))
        if not self._tagged:
            return changes | step.with_output_types(self._hint)
        made = changes | step.with_outputs(_MISFITS, main=_ROWS)
        made[_ROWS].element_type, made[_MISFITS].element_type = self._hint, Misfit
        if self._handling is not None:
            return self._handling.result(made[_ROWS], made[_MISFITS])
        return RowOutputs(made[_ROWS], made[_MISFITS])

    def _of_output(self, elements: PCollection) -> PCollection:
        kind = elements.element_type
        if self._schema is not None or self._tagged:
            raise InvalidOptionError(f"AsRows behind {kind.__name__}: leave out the schema and with_outputs()")
        row = RowTypeConstraint.from_user_type(OUTPUT_ROWS[kind][0])
        return elements | beam.ParDo(_OutputRows(kind)).with_output_types(row)


class _OutputRows(OwnDoFn):
    """Makes the row of each dead letter, loss, misfit, position or file."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def process(self, element: Any) -> Iterable[Any]:
        return (OUTPUT_ROWS[self._kind][1](element),)


class _MakeRows(OwnDoFn):
    def __init__(self, schema: Schema | None, *, tagged: bool) -> None:
        self._schema = schema
        self._tagged = tagged

    def setup(self) -> None:
        self._maker = RowMaker(self._schema)
        self._columns = None if self._schema is None else Columns(self._schema)

    def start_bundle(self) -> None:
        self._waiting: list[tuple[ChangeRecord, Any, Any]] = []

    def process(
        self,
        element: ChangeRecord | pa.RecordBatch,
        stamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterable[Any]:
        if isinstance(element, ChangeRecord):
            if self._columns is None:
                return (element.to_row(),)
            self._waiting.append((element, stamp, window))
            return self._converted() if len(self._waiting) >= _BUFFERED else ()
        if not isinstance(element, pa.RecordBatch):
            raise ElementTypeError(
                f"AsRows takes ChangeRecord or pyarrow.RecordBatch, not {type(element).__name__}: put it directly "
                "behind the read"
            )
        return [*self._converted(), *self._of_batch(element, stamp)]

    def finish_bundle(self) -> Iterator[Any]:
        return self._converted()

    def _of_batch(self, batch: pa.RecordBatch, stamp: Any) -> Iterator[Any]:
        if batch.schema.equals(self._maker.arrow):
            yield from self._maker.stamped(batch)
        elif self._columns is not None and batch.schema.equals(CHANGE_SCHEMA):
            made = self._columns.of_records(records_from_batch(batch))
            yield from self._maker.stamped(made.rows)
            yield from (TaggedOutput(_MISFITS, TimestampedValue(each, stamp)) for each in self._misfits(made.misfits))
        else:
            raise ElementTypeError(
                f"AsRows has a batch of the columns {batch.schema.names}, of another schema: give AsRows the schema of "
                "as_batches()"
            )

    def _converted(self) -> Iterator[Any]:
        """Yield the rows of the changes that wait, in their order, each at the place of its change."""
        waiting, self._waiting = self._waiting, []
        if not waiting or self._columns is None:
            return
        made = self._columns.of_records([change for change, _, _ in waiting])
        for row, (_, stamp, window) in zip(self._maker.rows(made.rows), waiting, strict=True):
            yield WindowedValue(row, stamp, (window,))
        places = {(change.event_id, change.shard_id): place for change, *place in waiting}
        for misfit in self._misfits(made.misfits):
            stamp, window = places[misfit.event_id, misfit.shard_id]
            yield TaggedOutput(_MISFITS, WindowedValue(misfit, stamp, (window,)))

    def _misfits(self, misfits: Sequence[Misfit]) -> Sequence[Misfit]:
        if misfits and not self._tagged:
            first = misfits[0]
            raise MisfitError(
                f"{first.place} does not fit its column: {first.reason}. Declare another type for it, take the misfits "
                "with AsRows(schema).with_outputs(), or choose on_misfit='text'",
                shard=first.shard_id,
                position=first.sequence_number,
            )
        return misfits
