"""`ReadDynamoDBExport`: exports of a table to S3 as changes, one element a data file."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PBegin, PCollection
from apache_beam.transforms.display import DisplayDataItem

from beam_dynamodb_streams.beam.error_handling import ErrorHandling, ErrorOutputs, HandlesErrors
from beam_dynamodb_streams.columns import Schema
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.exports.folder import export_paths
from beam_dynamodb_streams.source.export_files import ListExports
from beam_dynamodb_streams.source.export_rows import ExportOutputs, RowForm, rows_of_files
from beam_dynamodb_streams.source.options import OnMalformed


class ReadDynamoDBExport(HandlesErrors):
    """Reads exports of a table to S3 as a bounded PCollection of `ChangeRecord`. It consumes no read units.

    A full export becomes one change for each item: `event_name` is READ, `new_image` is the item, and the creation time
    is the moment of the export. An incremental export becomes the net change of each item in its window: INSERT, MODIFY
    or REMOVE, as its images say, at the time of its last write. Their `version` sorts by the moments of the exports, so
    a sink that keeps the greatest version of each key is right in any order.

    The manifests are checked before a row is read: the format (DYNAMODB_JSON), that nothing was filtered, the
    checksums, the counts of items, and that several exports are of one table and without a hole between them. A data
    file is checked before its first row is delivered. Data files are read in parallel.

    Args:
      path: the folder `…/AWSDynamoDB/<ExportId>/`, local or in any filesystem that Beam knows; or a list: a full
        export and the incremental ones after it, or incremental ones alone, in order. S3 needs
        `pip install 'apache-beam[aws]'`.
      keys: the names of the table's key attributes, the partition key first. A full export does not say them. Without
        them they are those of the `schema`, or of an incremental export in the list; else the whole item is its key,
        with a warning.
      table_id: the TableId that the exports must have; None for any.
      on_malformed: what happens to a malformed row if there is no output for dead letters: `"fail"` raises
        `MalformedRecordError`, `"skip"` counts and logs it.

    Raises:
      InvalidOptionError: at construction, for a wrong option.
      ExportError: while it runs, if an export cannot be read, or is not what it is taken for.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        keys: Sequence[str] | None = None,
        table_id: str | None = None,
        on_malformed: OnMalformed = "fail",
    ) -> None:
        super().__init__()
        if on_malformed not in ("fail", "skip"):
            raise InvalidOptionError(f'on_malformed={on_malformed!r} is not known: use "fail" or "skip"')
        if isinstance(keys, str) or (keys is not None and not all(isinstance(key, str) and key for key in keys)):
            raise InvalidOptionError(f"keys={keys!r}: give the names of the table's key attributes in a list")
        self._paths = export_paths(path)
        self._keys = tuple(keys or ())
        self._table_id = table_id
        self._form = RowForm(on_malformed=on_malformed)

    def with_outputs(self) -> ReadDynamoDBExport:
        """Return the same read with two outputs: `changes, dead_letters = pipeline | read.with_outputs()`.

        Malformed rows are in the dead letters, with their bytes. To find them, every value is decoded in the read;
        batches are checked while they are made. This read is not changed.
        """
        variant = self._variant(tagged=True)
        variant._handling = None
        return variant

    def as_batches(self, schema: Schema | None = None) -> ReadDynamoDBExport:
        """Return the same read with Arrow record batches as elements: some thousand rows each.

        The columns are those of `schema.arrow`; without a schema they are those of `CHANGE_SCHEMA`. The event time of a
        batch is that of its earliest change. This read is not changed.
        """
        if schema is not None and not isinstance(schema, Schema):
            raise InvalidOptionError(
                f"schema={schema!r}: give a beam_dynamodb_streams.Schema, or None for the columns of any table"
            )
        return self._variant(batches=True, schema=schema)

    def _variant(self, **changes: Any) -> ReadDynamoDBExport:
        variant = copy.copy(self)
        variant.__dict__.update(_form=replace(self._form, **changes), pipeline=None)
        return variant

    def _with_handling(self, handling: ErrorHandling) -> ReadDynamoDBExport:
        variant = self.with_outputs()
        variant._handling = handling
        return variant

    def expand(self, pbegin: PBegin) -> PCollection | ExportOutputs | ErrorOutputs:
        if not isinstance(pbegin, PBegin):
            raise TypeError(f"{self.label} is a source: apply it to the pipeline, not to {pbegin}")
        keys = self._keys or (self._form.schema.keys if self._form.schema is not None else ())
        listed = (
            pbegin | "Impulse" >> beam.Impulse() | "List" >> beam.ParDo(ListExports(self._paths, keys, self._table_id))
        )
        read = rows_of_files(listed, self._form)
        if self._handling is not None:
            return self._handling.result(read.changes, read.dead_letters)
        return read if self._form.tagged else read.changes

    def display_data(self) -> dict[str, Any]:
        return {"path": DisplayDataItem(", ".join(self._paths), label="Exports")}
