"""`WriteChangesToParquet`, `WriteChangesToAvro`, `WriteChangesToJsonLines` and `WriteChangesToDebezium`."""

from __future__ import annotations

import os

import apache_beam as beam
import pyarrow as pa
from apache_beam import typehints

from beam_dynamodb_streams.columns import Schema
from beam_dynamodb_streams.columns.debezium import DebeziumSource
from beam_dynamodb_streams.durations import Duration
from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.sinks.batches import Partitions
from beam_dynamodb_streams.sinks.files import FILE_BYTES
from beam_dynamodb_streams.sinks.formats import (
    ROW_GROUP_ROWS,
    AvroCodec,
    AvroFormat,
    DebeziumFormat,
    JsonLinesCodec,
    JsonLinesFormat,
    ParquetCodec,
    ParquetFormat,
)
from beam_dynamodb_streams.sinks.layouts import Layout
from beam_dynamodb_streams.sinks.transform import WriteChanges

_INPUT = typehints.Union[ChangeRecord, pa.RecordBatch]


@beam.typehints.with_input_types(_INPUT)
class WriteChangesToParquet(WriteChanges):
    """Writes change records to Parquet files, and returns the files written.

    It takes a PCollection of `ChangeRecord`, or of `pyarrow.RecordBatch` as the source makes them, bounded or not. It
    returns a PCollection of Beam's `FileMetadata` (`path`, `size_in_bytes`, `last_updated_in_seconds`), each in its
    window, ready for `fileio.ReadMatches()`.

    A window's files appear once the watermark has passed its end: one file, or one for each partition, and more past
    `file_bytes`. Rows are sorted by shard and sequence number, however large the window is. Until then the changes
    wait, compressed: on FnApiRunner and Prism in files in `_temporary`, elsewhere in the runner's shuffle. A window
    without changes has no file, and neither has empty input.

    Windows that the sink makes discard fired panes and allow a lateness of 25 hours: a change that arrives after its
    window has closed goes to a file of its own, and none is dropped. Windows, trigger and allowed lateness of the input
    stay as they are: the runner drops changes that are later than they allow, and a trigger counts chunks, not changes.

    A file is whole or absent. Its name follows from its window and the changes in it (without windows: from their first
    and last creation time), so writing the same changes again replaces the file by an equal one. Unfinished files are
    in `_temporary` inside `path`. A killed pipeline leaves them there; delete them when no pipeline writes to `path`.

    What may repeat: changes that the runner repeats in another grouping (Flink, from a checkpoint before their file was
    written). `event_id` identifies repeats (trap 18). With `resume` no change repeats.

    Args:
        path: The output directory, on any filesystem that Beam knows. It is created if it does not exist. A local
            directory must be writable where the pipeline is launched; every directory, by every worker.
        window: Seconds or a timedelta: files follow fixed windows of that length, by creation time. By default they
            follow the windows of the input. Unbounded input without windows goes to windows of one minute, and bounded
            input without windows to one window of all time. With `resume` both kinds of runs may alternate.
        codec: "zstd", "snappy", "gzip", "lz4", "brotli" or "none".
        layout: "change_log", a row for each change, or "latest_image", a row for each key and window. The columns are
            listed in `beam_dynamodb_streams.sinks.layouts.RowLayout`.
        schema: A `Schema` for typed images. Without one, images are DynamoDB JSON in text, in the same columns for
            every table. Batches must have been made with the same schema.
        partitions: "date" or "hour": Hive partitions by creation time, as in `date=2026-01-31/hour=08/`, in UTC.
        row_group_rows: A row group ends when it has this many rows, or soon after 24 MB of Arrow data, since it is in
            memory until it is written.
        file_bytes: A file ends soon after it has this many bytes.

    Raises:
        InvalidOptionError: At construction, for an invalid option or an unknown filesystem. When applied, for a local
            directory that cannot be written, for merging windows, and for `window` on input that has windows. On the
            workers before the first change, for any directory that cannot be written.
        ElementTypeError: For an element of another type, or a batch of other columns.
        MisfitError: As the schema says.
        ConnectorError: For a file that cannot be written or put in its place, for example on a full disk.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        window: Duration | None = None,
        codec: ParquetCodec = "zstd",
        layout: Layout = "change_log",
        schema: Schema | None = None,
        partitions: Partitions | None = None,
        row_group_rows: int = ROW_GROUP_ROWS,
        file_bytes: int = FILE_BYTES,
    ) -> None:
        form = ParquetFormat(codec, row_group_rows)
        super().__init__(
            path, form, window=window, layout=layout, schema=schema, partitions=partitions, file_bytes=file_bytes
        )


@beam.typehints.with_input_types(_INPUT)
class WriteChangesToAvro(WriteChanges):
    """Writes change records to Avro object container files, and returns the files written.

    Like `WriteChangesToParquet` in all but the format: rows are those of `columns.avro_schema` and the
    layout's own, and `codec` is "deflate" or "null", which every Avro reader knows, or "zstandard" or "snappy", which
    need a library here and at the reader.

    With `logical_types=False` times are microseconds in a long and decimals are text, for readers that ignore logical
    types, such as Beam's `ReadFromAvro(as_rows=True)`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        window: Duration | None = None,
        codec: AvroCodec = "deflate",
        layout: Layout = "change_log",
        schema: Schema | None = None,
        partitions: Partitions | None = None,
        logical_types: bool = True,
        file_bytes: int = FILE_BYTES,
    ) -> None:
        super().__init__(
            path,
            AvroFormat(codec, logical_types),
            window=window,
            layout=layout,
            schema=schema,
            partitions=partitions,
            file_bytes=file_bytes,
        )


@beam.typehints.with_input_types(_INPUT)
class WriteChangesToJsonLines(WriteChanges):
    """Writes change records as JSON lines, and returns the files written.

    Like `WriteChangesToParquet` in all but the format: a line of the change log is that of
    `ChangeRecord.to_json` with the columns of the layout, and `ChangeRecord.from_json` reads it. Images are DynamoDB
    JSON; with a schema they are plain JSON objects of its columns, such as `{"id": "o-1", "total": "12.50"}`
    (`columns.json_rows`). `codec` is "none", "gzip" or "zstd".
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        window: Duration | None = None,
        codec: JsonLinesCodec = "none",
        layout: Layout = "change_log",
        schema: Schema | None = None,
        partitions: Partitions | None = None,
        file_bytes: int = FILE_BYTES,
    ) -> None:
        super().__init__(
            path,
            JsonLinesFormat(codec),
            window=window,
            layout=layout,
            schema=schema,
            partitions=partitions,
            file_bytes=file_bytes,
        )


@beam.typehints.with_input_types(_INPUT)
class WriteChangesToDebezium(WriteChanges):
    """Writes change records as JSON lines in the form of Debezium's change events, and returns the files written.

    Like `WriteChangesToParquet` in all but the format: a line is the event of a change, `op` c, u, d or r
    (`columns.debezium`). The stream must have new images. Files have no keys and no tombstones: `AsDebezium` makes both
    for a sink of yours. `codec` is "none", "gzip" or "zstd".

    Args:
        path: The output directory.
        window: As in `WriteChangesToParquet`, like `schema`, `partitions` and `file_bytes`.
        codec: The compression.
        layout: "change_log" alone.
        schema: A `Schema` for typed images. Without one, all attributes are plain JSON.
        partitions: Hive partitions.
        file_bytes: A file ends soon after it has this many bytes.
        table: The name of the table, as `source.table`.
        name: The name of the pipeline, as `source.name`. Debezium calls it the topic prefix.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        window: Duration | None = None,
        codec: JsonLinesCodec = "none",
        layout: Layout = "change_log",
        schema: Schema | None = None,
        partitions: Partitions | None = None,
        file_bytes: int = FILE_BYTES,
        table: str | None = None,
        name: str = "dynamodb",
    ) -> None:
        super().__init__(
            path,
            DebeziumFormat(codec, DebeziumSource(name, table)),
            window=window,
            layout=layout,
            schema=schema,
            partitions=partitions,
            file_bytes=file_bytes,
        )

    @property
    def needs_new_images(self) -> bool:
        return True
