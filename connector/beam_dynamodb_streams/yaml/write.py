"""The sinks of Beam YAML, and `CommitDynamoDBProgress`."""

# Beam reads these annotations at run time: no postponed ones, and `Optional` instead of `X | None`.
from collections.abc import Callable
from typing import Any, Optional, Union

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection
from apache_beam.typehints.schemas import named_fields_from_element_type

from beam_dynamodb_streams.beam.typed import OwnTransform
from beam_dynamodb_streams.columns import Schema
from beam_dynamodb_streams.errors import ElementTypeError
from beam_dynamodb_streams.progress.commit import CommitProgress
from beam_dynamodb_streams.rows import AsRows, MakeBatches, row_hint
from beam_dynamodb_streams.sinks import (
    WriteChangesToAvro,
    WriteChangesToDebezium,
    WriteChangesToJsonLines,
    WriteChangesToParquet,
)
from beam_dynamodb_streams.sinks.transform import WriteChanges
from beam_dynamodb_streams.yaml.arguments import (
    MAIN,
    duration_of,
    errors_of,
    json_arguments,
    progress_of,
    schema_of,
)
from beam_dynamodb_streams.yaml.rows import as_error_rows


@json_arguments
def write_changes_to_parquet(
    path: str,
    window: Any = None,
    codec: Optional[str] = None,
    layout: Optional[str] = None,
    schema: Any = None,
    keys: Optional[list[str]] = None,
    rename: Any = None,
    partitions: Optional[str] = None,
    row_group_rows: Optional[int] = None,
    file_bytes: Optional[int] = None,
    error_handling: Any = None,
) -> beam.PTransform:
    """Writes changes to Parquet files, and returns a row for each file.

    Its input has the rows of ReadFromDynamoDBCDC, all of them or those that a Filter passes. The rows that it returns
    have the fields path, size_in_bytes and last_updated_in_seconds.

    Args:
      path: The output directory, on any filesystem that Beam knows.
      window: Files follow fixed windows of this length by creation time, in seconds or as in 5m.
      codec: zstd, snappy, gzip, lz4, brotli or none.
      layout: change_log, a row for each change, or latest_image, a row for each key and window.
      schema: The schema of the read, if it has one.
      keys: The key attributes of the table, for a mapping of attributes.
      rename: That of the read: safe, or a mapping of attributes to the names of their columns.
      partitions: date or hour, for Hive partitions by creation time.
      row_group_rows: A row group ends soon after it has this many rows.
      file_bytes: A file ends soon after it has this many bytes.
      error_handling: The name of an output for attributes that do not fit their column, as {output: NAME}.
    """
    typed = schema_of(schema, keys, rename)
    return _write(
        WriteChangesToParquet,
        path,
        window,
        typed,
        error_handling,
        codec=codec,
        layout=layout,
        partitions=partitions,
        file_bytes=file_bytes,
        row_group_rows=row_group_rows,
    )


@json_arguments
def write_changes_to_avro(
    path: str,
    window: Any = None,
    codec: Optional[str] = None,
    layout: Optional[str] = None,
    schema: Any = None,
    keys: Optional[list[str]] = None,
    rename: Any = None,
    partitions: Optional[str] = None,
    file_bytes: Optional[int] = None,
    error_handling: Any = None,
) -> beam.PTransform:
    """Writes changes to Avro object container files, and returns a row for each file.

    Its input has the rows of ReadFromDynamoDBCDC, all of them or those that a Filter passes. The rows that it returns
    have the fields path, size_in_bytes and last_updated_in_seconds.

    Args:
      path: The output directory, on any filesystem that Beam knows.
      window: Files follow fixed windows of this length by creation time, in seconds or as in 5m.
      codec: deflate, null, zstandard or snappy.
      layout: change_log, a row for each change, or latest_image, a row for each key and window.
      schema: The schema of the read, if it has one.
      keys: The key attributes of the table, for a mapping of attributes.
      rename: That of the read: safe, or a mapping of attributes to the names of their columns.
      partitions: date or hour, for Hive partitions by creation time.
      file_bytes: A file ends soon after it has this many bytes.
      error_handling: The name of an output for attributes that do not fit their column, as {output: NAME}.
    """
    typed = schema_of(schema, keys, rename)
    return _write(
        WriteChangesToAvro,
        path,
        window,
        typed,
        error_handling,
        codec=codec,
        layout=layout,
        partitions=partitions,
        file_bytes=file_bytes,
    )


@json_arguments
def write_changes_to_json_lines(
    path: str,
    window: Any = None,
    codec: Optional[str] = None,
    layout: Optional[str] = None,
    schema: Any = None,
    keys: Optional[list[str]] = None,
    rename: Any = None,
    partitions: Optional[str] = None,
    file_bytes: Optional[int] = None,
    error_handling: Any = None,
) -> beam.PTransform:
    """Writes changes as JSON lines, and returns a row for each file.

    Its input has the rows of ReadFromDynamoDBCDC, all of them or those that a Filter passes. With a schema, keys and
    images are plain JSON. The rows that it returns have the fields path, size_in_bytes and last_updated_in_seconds.

    Args:
      path: The output directory, on any filesystem that Beam knows.
      window: Files follow fixed windows of this length by creation time, in seconds or as in 5m.
      codec: none, gzip or zstd.
      layout: change_log, a row for each change, or latest_image, a row for each key and window.
      schema: The schema of the read, if it has one.
      keys: The key attributes of the table, for a mapping of attributes.
      rename: That of the read: safe, or a mapping of attributes to the names of their members.
      partitions: date or hour, for Hive partitions by creation time.
      file_bytes: A file ends soon after it has this many bytes.
      error_handling: The name of an output for errors, as {output: NAME}.
    """
    typed = schema_of(schema, keys, rename)
    return _write(
        WriteChangesToJsonLines,
        path,
        window,
        typed,
        error_handling,
        codec=codec,
        layout=layout,
        partitions=partitions,
        file_bytes=file_bytes,
    )


@json_arguments
def write_changes_to_debezium(
    path: str,
    window: Any = None,
    codec: Optional[str] = None,
    schema: Any = None,
    keys: Optional[list[str]] = None,
    rename: Any = None,
    partitions: Optional[str] = None,
    file_bytes: Optional[int] = None,
    table: Optional[str] = None,
    name: Optional[str] = None,
    error_handling: Any = None,
) -> beam.PTransform:
    """Writes changes as JSON lines in Debezium's form, and returns a row for each file.

    Its input has the rows of ReadFromDynamoDBCDC, all of them or those that a Filter passes. The rows that it returns
    have the fields path, size_in_bytes and last_updated_in_seconds.

    Args:
      path: The output directory, on any filesystem that Beam knows.
      window: Files follow fixed windows of this length by creation time, in seconds or as in 5m.
      codec: none, gzip or zstd.
      schema: The schema of the read, if it has one.
      keys: The key attributes of the table, for a mapping of attributes.
      rename: That of the read: safe, or a mapping of attributes to the names of their members.
      partitions: date or hour, for Hive partitions by creation time.
      file_bytes: A file ends soon after it has this many bytes.
      table: The name of the table, as source.table of an event.
      name: The name of the pipeline, as source.name of an event.
      error_handling: The name of an output for errors, as {output: NAME}.
    """
    typed = schema_of(schema, keys, rename)
    return _write(
        WriteChangesToDebezium,
        path,
        window,
        typed,
        error_handling,
        codec=codec,
        partitions=partitions,
        file_bytes=file_bytes,
        table=table,
        name=name,
    )


@json_arguments
def commit_progress(progress: Any, watermark_slack: Any = None, delay: Any = None) -> beam.PTransform:
    """Saves how far the changes of a read were delivered. Put it behind the step that delivers what is made of them.

    It returns no rows. Its input may be any rows that are made of those of the read, such as counts in windows.

    Args:
      progress: The progress of the read.
      watermark_slack: That of the read, if it has one.
      delay: How much later than the end of its windows something may be delivered, in seconds or as in 10s.
    """
    given = _given(watermark_slack=duration_of("watermark_slack", watermark_slack), delay=duration_of("delay", delay))
    return _Commit(CommitProgress(progress_of(progress), **given))


class _Commit(OwnTransform):
    """A step that saves progress, with a result that no step of YAML takes for rows."""

    def __init__(self, commit: CommitProgress) -> None:
        super().__init__()
        self._commit = commit

    def expand(self, delivered: PCollection) -> None:
        delivered | "Commit" >> self._commit


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that are given: the others have the sink's own defaults."""
    return {name: value for name, value in options.items() if value is not None}


def _write(
    kind: Callable[..., WriteChanges], path: str, window: Any, schema: Optional[Schema], errors: Any, **options: Any
) -> beam.PTransform:
    """Return the step that writes with a sink of this kind. An option that is None has the sink's own default."""
    sink = kind(path, window=duration_of("window", window), schema=schema, **_given(**options))
    return _WriteRows(sink, schema, errors_of(errors))


class _WriteRows(OwnTransform):
    """A sink that takes the rows of a read, and returns its files as rows."""

    def __init__(self, sink: WriteChanges, schema: Optional[Schema], errors: Optional[str]) -> None:
        super().__init__()
        self._sink, self._schema, self._errors = sink, schema, errors

    @property
    def needs_new_images(self) -> bool:
        """Whether the sink has typed columns for new images: a read follows to no stream that lacks them."""
        return self._sink.needs_new_images

    def expand(self, rows: PCollection) -> Union[PCollection, dict[str, PCollection]]:
        name = type(self._sink).__name__
        check_rows(rows, self._schema, name)
        batches = rows | "Batches" >> beam.ParDo(MakeBatches(self._schema)).with_output_types(pa.RecordBatch)
        if self._errors is None:
            return batches | name >> self._sink | "Files" >> AsRows()
        files, misfits = batches | name >> self._sink.with_outputs()
        return {MAIN: files | "Files" >> AsRows(), self._errors: misfits | "Misfits" >> as_error_rows()}


def check_rows(rows: PCollection, schema: Optional[Schema], name: str) -> None:
    """Raise ElementTypeError if the rows are not those of a read with this schema."""
    wanted = dict(named_fields_from_element_type(row_hint(schema)))
    try:
        found = dict(named_fields_from_element_type(rows.element_type))
    except TypeError:
        raise ElementTypeError(
            f"{name} takes the rows of ReadFromDynamoDBCDC, and its input has elements of {rows.element_type}"
        ) from None
    missing, added = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    if missing or added:
        what = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(added)} in addition"
        raise ElementTypeError(
            f"{name} takes the rows of ReadFromDynamoDBCDC as they are, and its input {what}: write mapped rows with a "
            "sink of Beam, such as WriteToParquet"
        )
    if wanted["new_image"] != found["new_image"] or wanted["keys"] != found["keys"]:
        raise ElementTypeError(f"{name} has another schema than its input: give both the same schema and keys")
