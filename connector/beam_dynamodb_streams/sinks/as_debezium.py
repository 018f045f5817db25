"""`AsDebezium`: changes in the form of Debezium's change events, for sinks of your own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam import typehints
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from beam_dynamodb_streams.beam.typed import OwnDoFn, OwnTransform
from beam_dynamodb_streams.columns import Columns, Schema
from beam_dynamodb_streams.columns.debezium import DebeziumSource, debezium_events
from beam_dynamodb_streams.errors import ElementTypeError, InvalidOptionError, MisfitError
from beam_dynamodb_streams.records import CHANGE_SCHEMA, ChangeRecord
from beam_dynamodb_streams.records.text_columns import records_from_batch, to_arrow

_KEYED = typehints.Tuple[bytes, typehints.Optional[bytes]]


@beam.typehints.with_input_types(typehints.Union[ChangeRecord, pa.RecordBatch])
class AsDebezium(OwnTransform):
    """Turns a PCollection of `ChangeRecord`, or of `pyarrow.RecordBatch` as the read makes them, into Debezium's form.

    Each change is one text, the JSON of its event without a schema (`columns.debezium` has the form):

        {"before": null, "after": {"id": "o-1", "total": 12.50}, "source": {…}, "op": "c", "ts_ms": …, …}

    With `keyed=True` it is a pair of bytes instead, as Kafka's sinks take them: the JSON of the keys, and that of the
    event. Behind a REMOVE follows a tombstone then, whose second part is None, for topics that are compacted.

    Both times in an event are the creation time of the change, so that a change that is repeated has the same bytes.
    Each event of a batch has the creation time of its change as its event time.

    Args:
        schema: A `Schema` for typed images under its names in files. Without one, all attributes are plain JSON.
        table: The name of the table, as `source.table`.
        name: The name of the pipeline, as `source.name`. Debezium calls it the topic prefix.
        keyed: Whether the elements are pairs of bytes.
        tombstones_on_delete: Whether a tombstone follows a REMOVE, if they are pairs.

    Raises:
        InvalidOptionError: At construction, for a name that is not a text. In the pipeline, for a change without a new
            image that is not a REMOVE.
        ElementTypeError: For an element of another type, or a batch of other columns.
        MalformedRecordError: For an image that is not one.
        MisfitError: For an attribute that does not fit its column, unless the schema keeps it as text.
    """

    def __init__(
        self,
        schema: Schema | None = None,
        *,
        table: str | None = None,
        name: str = "dynamodb",
        keyed: bool = False,
        tombstones_on_delete: bool = True,
    ) -> None:
        super().__init__()
        if schema is not None and not isinstance(schema, Schema):
            raise InvalidOptionError(f"schema={schema!r}: give a beam_dynamodb_streams.Schema, or None")
        self._schema = schema
        self._source = DebeziumSource(name, table)
        self._keyed = keyed
        self._tombstones = tombstones_on_delete

    def expand(self, changes: beam.PCollection) -> beam.PCollection:
        step = beam.ParDo(_MakeEvents(self._schema, self._source, self._keyed, self._keyed and self._tombstones))
        return changes | step.with_output_types(_KEYED if self._keyed else str)


class _MakeEvents(OwnDoFn):
    def __init__(self, schema: Schema | None, source: DebeziumSource, keyed: bool, tombstones: bool) -> None:
        self._schema = schema
        self._source = source
        self._keyed = keyed
        self._tombstones = tombstones

    def setup(self) -> None:
        self._columns = None if self._schema is None else Columns(self._schema)

    def process(self, element: ChangeRecord | pa.RecordBatch) -> Iterator[Any]:
        if isinstance(element, ChangeRecord):
            for events in self._of_rows(self._rows([element])):
                yield from events
        elif not isinstance(element, pa.RecordBatch):
            raise ElementTypeError(
                f"AsDebezium takes ChangeRecord or pyarrow.RecordBatch, not {type(element).__name__}: put it directly "
                "behind the read"
            )
        else:
            rows = self._batch(element)
            times = rows.column("approximate_creation_time").view(pa.int64()).to_pylist()
            for events, micros in zip(self._of_rows(rows), times, strict=True):
                for event in events:
                    yield TimestampedValue(event, Timestamp(micros=micros))

    def _batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows of a batch, with the columns of the schema."""
        if batch.schema.equals(CHANGE_SCHEMA if self._schema is None else self._schema.arrow):
            return batch
        if batch.schema.equals(CHANGE_SCHEMA):
            return self._rows(records_from_batch(batch))
        raise ElementTypeError(
            f"AsDebezium has a batch of the columns {batch.schema.names}, of another schema: give AsDebezium the "
            "schema of as_batches()"
        )

    def _rows(self, records: list[ChangeRecord]) -> pa.RecordBatch:
        if self._columns is None:
            return to_arrow(records)
        made = self._columns.of_records(records)
        if not made.misfits:
            return made.rows
        misfit = made.misfits[0]
        raise MisfitError(
            f"{misfit.place} does not fit its column: {misfit.reason}. Declare another type for it, or choose "
            "on_misfit='text'",
            shard=misfit.shard_id,
            position=misfit.sequence_number,
        )

    def _of_rows(self, rows: pa.RecordBatch) -> Iterator[list[Any]]:
        """Yield the elements of each change: its event, and the tombstone behind a delete."""
        for event in debezium_events(rows, self._source, self._schema):
            if not self._keyed:
                yield [event.value_json().decode()]
            elif self._tombstones and event.value["op"] == "d":
                yield [(event.key_json(), event.value_json()), (event.key_json(), None)]
            else:
                yield [(event.key_json(), event.value_json())]
