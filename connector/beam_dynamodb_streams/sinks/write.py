"""``WriteChangesToParquet``, ``WriteChangesToAvro`` and ``WriteChangesToJsonLines``.

A bundle's changes cross the shuffle as one Arrow chunk for each window, not one by one; what the runner then gives at
once for a window is put in order and written. Beam's own sinks lose or damage rows of unbounded input
(``benchmarks/sinks.py``), and its ``WriteToFiles`` logs a failed rename at DEBUG and reports the file as written.
"""

from __future__ import annotations

import copy
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple, Self

import apache_beam as beam
import pyarrow as pa
from apache_beam import typehints
from apache_beam.io.filesystem import FileMetadata

from beam_dynamodb_streams.beam.runners import traits_of
from beam_dynamodb_streams.columns import Misfit, Schema
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.sinks.batches import PARTITIONS, Partitions
from beam_dynamodb_streams.sinks.chunks import MISFITS, ChunksOfTheInputsWindows, ChunksOfTheSinksWindows, Cut, Tracking
from beam_dynamodb_streams.sinks.coverage import UNKNOWN_STREAM
from beam_dynamodb_streams.sinks.files import FILE_BYTES, Files, WriteFiles
from beam_dynamodb_streams.sinks.formats import (
    ROW_GROUP_ROWS,
    AvroFormat,
    Format,
    JsonLinesFormat,
    ParquetFormat,
    check_count,
)
from beam_dynamodb_streams.sinks.layouts import RowLayout, check_layout
from beam_dynamodb_streams.sinks.output import check_writable, is_local, output_directory
from beam_dynamodb_streams.sinks.resume import Export, open_export, save_caught_up
from beam_dynamodb_streams.sinks.windows import made_windows, unwindowed, window_seconds

_CHUNK = typehints.Tuple[int, bytes]
_CHUNKS = "chunks"


class WriteOutputs(NamedTuple):
    """``files, misfits``: of FileMetadata and of :class:`records.Misfit`."""

    files: beam.PCollection
    misfits: beam.PCollection


class _WriteChanges(beam.PTransform):
    """What the formats share."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        form: Format,
        *,
        window: float | timedelta | None,
        layout: str,
        schema: Schema | None,
        partitions: str | None,
        file_bytes: int,
    ) -> None:
        super().__init__()
        if schema is not None and not isinstance(schema, Schema):
            raise InvalidOptionError(
                f"schema={schema!r}: give a beam_dynamodb_streams.Schema, or None for the columns of any table"
            )
        if partitions is not None and partitions not in PARTITIONS:
            raise InvalidOptionError(f'partitions={partitions!r} is unknown: use "date", "hour" or None')
        kind: Partitions | None = None if partitions is None else "date" if partitions == "date" else "hour"
        rows = RowLayout(check_layout(layout), schema)
        form.check(rows)
        self._files = Files(output_directory(path), rows, form, kind, check_count("file_bytes", file_bytes))
        self._seconds = window_seconds(window)
        self._run: str | None = None
        self._stream_arn: str | None = None
        self._tagged = False

    @property
    def schema(self) -> Schema | None:
        return self._files.layout.schema

    def with_outputs(self) -> Self:
        """The same sink with two outputs: ``files, misfits = changes | sink.with_outputs()``.

        A :class:`records.Misfit` is an attribute that its column does not hold whole, of a schema with
        ``on_misfit="dead_letter"``; without this output it fails the pipeline.
        """
        variant = copy.copy(self)
        variant._tagged, variant.pipeline = True, None  # `pipeline` is Beam's own: where the sink was applied last
        return variant

    @contextmanager
    def resume(self, *, start: StreamPosition | None = None, stream_arn: str | None = None) -> Iterator[StreamPosition]:
        """Makes the sink write each change exactly once, however often it is started; gives where to read from.

        ::

            sink = WriteChangesToParquet("out/", window=60)
            with sink.resume() as start, beam.Pipeline() as pipeline:
                pipeline | ReadFromDynamoDBStreams("orders", start=start) | sink

        The output itself holds what is needed: see `sinks.resume`, also for what is refused. ``start`` is
        where the very first run begins; ``stream_arn``, if given, is checked, so that no other stream goes on here.
        Between the read and the sink no step may put a shard's changes in another order (a Reshuffle, a GroupByKey).
        """
        files = self._files
        export = Export(
            stream_arn,
            files.form.name,
            files.form.codec,
            files.layout.layout,
            None if files.layout.schema is None else files.layout.schema.to_json(),
            self._seconds,
            files.partitions,
            start or StreamPosition(stream_arn),
        )
        with open_export(files.directory, export) as position:
            self._run, self._stream_arn = uuid.uuid4().hex, stream_arn
            self._files = replace(files, complete=True)
            try:
                yield position
            finally:
                self._run = self._stream_arn = None
                self._files = files

    def caught_up(self, second: int) -> None:
        """To call, inside `resume`, after a run that read up to a moment: what was created by ``second`` is written.

        Then a stream that is quiet for more than a day is known to have lost nothing.
        """
        save_caught_up(self._files.directory, self._stream_arn, second)

    def expand(self, changes: beam.PCollection) -> beam.PCollection | WriteOutputs:
        files = self._files
        window_into = made_windows(changes, self._seconds)
        if is_local(files.directory):
            check_writable(files.directory)
        name = type(self).__name__
        if self._run is not None and not unwindowed(changes):
            raise InvalidOptionError(
                f"{name}.resume() knows what is written by windows of its own, and the input has"
                f" {type(changes.windowing.windowfn).__name__}: leave out the WindowInto before the sink, and give"
                " window="
            )
        cut = Cut(name, files.layout, self._tagged)
        cutting: beam.DoFn
        if unwindowed(changes):
            tracking = None
            if self._run is not None:
                tracking = Tracking(
                    self._run, self._stream_arn or UNKNOWN_STREAM, traits_of(changes.pipeline).one_process
                )
            seconds = None if window_into is None else window_into.windowing.windowfn.size.micros
            cutting = ChunksOfTheSinksWindows(cut, files.directory, seconds, tracking)
        else:
            cutting = ChunksOfTheInputsWindows(cut, files.directory, changes.windowing.windowfn)
        chunks = changes | "Chunks" >> beam.ParDo(cutting).with_outputs(MISFITS, main=_CHUNKS)
        chunks[_CHUNKS].element_type, chunks[MISFITS].element_type = _CHUNK, Misfit
        grouped = chunks[_CHUNKS]
        if window_into is not None:
            grouped = grouped | "Window" >> window_into
        written = (
            grouped
            | "Group" >> beam.GroupByKey()
            | "Files" >> beam.ParDo(WriteFiles(files)).with_output_types(FileMetadata)
        )
        return WriteOutputs(written, chunks[MISFITS]) if self._tagged else written

    def display_data(self) -> dict[str, Any]:
        files = self._files
        shown = {"path": files.directory, "codec": files.form.codec, "layout": files.layout.layout}
        return shown if self._seconds is None else {**shown, "window_seconds": self._seconds}


_INPUT = typehints.Union[ChangeRecord, pa.RecordBatch]


@beam.typehints.with_input_types(_INPUT)
class WriteChangesToParquet(_WriteChanges):
    """Writes change records to Parquet files, and gives the files written.

    PCollection of `ChangeRecord` or of `pyarrow.RecordBatch` as the source makes them, bounded or not →
    PCollection[FileMetadata] (Beam's: ``path``, ``size_in_bytes``, ``last_updated_in_seconds``), each in its window,
    ready for ``fileio.ReadMatches()``.

    * ``path``: the output directory, on any filesystem that Beam knows; it is made if it does not exist. A
      local one must be writable where the pipeline is launched; every one, by every worker.
    * ``window``: seconds or a timedelta: files follow fixed windows of that length, by creation time. By
      default they follow the windows that the input has; unbounded input without any goes to windows of one
      minute, and bounded input without any to one window of all time; with `resume` such runs may alternate.
    * ``layout``: "change_log", a row for each change, or "latest_image", a row for each key and window; the columns
      are listed in `beam_dynamodb_streams.sinks.layouts.RowLayout`.
    * ``schema``: a `Schema` for typed images; without one, images are DynamoDB JSON in text, the same columns
      whatever the table holds. Batches must have been made with the same schema.
    * ``partitions``: "date" or "hour": Hive partitions by creation time, ``date=2026-01-31/hour=08/`` in UTC.
    * ``codec``: "zstd", "snappy", "gzip", "lz4", "brotli" or "none".
    * ``row_group_rows``, ``file_bytes``: where a row group and a file end, at the latest soon after.

    A window's files appear once the watermark has passed its end: one, or one for each partition, rows by shard and
    sequence number (a window of more than 256 MB of Arrow data is in that order in parts, and in more files past
    ``file_bytes``). Until then the changes are with the runner, compressed. A window without changes has no file, nor
    has empty input. Windows made here discard fired panes and allow 25 h of lateness, so a change that comes after its
    window has closed goes to a file of its own, and none is dropped. Windows, trigger and allowed lateness of the
    input's own stay as they are: the runner drops changes that are later than they allow, and a trigger counts chunks,
    not changes.

    A file is whole or absent. Its name follows from its window and the changes in it (of all time: their first and last
    creation time), so to write the same changes again replaces the file by its equal. Unfinished ones are in
    ``_temporary`` inside ``path``; a killed pipeline leaves them there, and they may be deleted when no pipeline writes
    to ``path``.

    What may repeat: what the runner repeats in another grouping (Flink, from a checkpoint before its file was
    written); ``event_id`` tells repeats (fact 18). With `resume` nothing does.

    Raises InvalidOptionError: at construction, for a bad option and an unknown filesystem;
    when applied, for a local directory that cannot be written, for merging windows, and for ``window`` on
    input that has windows; on the workers before the first change, for any directory that cannot be written.
    ElementTypeError for an element of another type, or a batch of other columns; MisfitError as the schema says;
    ConnectorError for a file that cannot be written or put in its place, a full disk among others.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        window: float | timedelta | None = None,
        codec: str = "zstd",
        layout: str = "change_log",
        schema: Schema | None = None,
        partitions: str | None = None,
        row_group_rows: int = ROW_GROUP_ROWS,
        file_bytes: int = FILE_BYTES,
    ) -> None:
        form = ParquetFormat(codec, row_group_rows)
        super().__init__(
            path, form, window=window, layout=layout, schema=schema, partitions=partitions, file_bytes=file_bytes
        )


@beam.typehints.with_input_types(_INPUT)
class WriteChangesToAvro(_WriteChanges):
    """Writes change records to Avro object container files, and gives the files written.

    As ``WriteChangesToParquet`` in all but the format: rows are those of `columns.avro_schema` and the
    layout's own, and ``codec`` is "deflate" or "null", which every Avro reader knows, or "zstandard" or "snappy", which
    need a library here and at the reader.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        window: float | timedelta | None = None,
        codec: str = "deflate",
        layout: str = "change_log",
        schema: Schema | None = None,
        partitions: str | None = None,
        file_bytes: int = FILE_BYTES,
    ) -> None:
        super().__init__(
            path,
            AvroFormat(codec),
            window=window,
            layout=layout,
            schema=schema,
            partitions=partitions,
            file_bytes=file_bytes,
        )


@beam.typehints.with_input_types(_INPUT)
class WriteChangesToJsonLines(_WriteChanges):
    """Writes change records as JSON lines, and gives the files written.

    As ``WriteChangesToParquet`` in all but the format: a line of the change log is `ChangeRecord.to_json`, which
    `ChangeRecord.from_json` reads, images are DynamoDB JSON, and ``codec`` is "none", "gzip" or "zstd".
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        window: float | timedelta | None = None,
        codec: str = "none",
        layout: str = "change_log",
        partitions: str | None = None,
        file_bytes: int = FILE_BYTES,
    ) -> None:
        super().__init__(
            path,
            JsonLinesFormat(codec),
            window=window,
            layout=layout,
            schema=None,
            partitions=partitions,
            file_bytes=file_bytes,
        )
