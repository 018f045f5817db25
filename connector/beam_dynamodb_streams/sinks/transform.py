"""What the sinks of all formats share: their options, `resume`, and the steps of the transform.

The changes of a bundle cross the shuffle as one Arrow chunk for each window, not one by one. What the runner then
delivers at once for a window is sorted and written. Beam's own sinks lose or damage rows of unbounded input
(`benchmarks/sinks.py`), and its `WriteToFiles` logs a failed rename at DEBUG and reports the file as written.
"""

from __future__ import annotations

import copy
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam import typehints
from apache_beam.io.filesystem import FileMetadata
from apache_beam.transforms.trigger import AccumulationMode
from typing_extensions import Self

from beam_dynamodb_streams.beam.error_handling import ErrorHandling, ErrorOutputs, HandlesErrors
from beam_dynamodb_streams.beam.runners import traits_of
from beam_dynamodb_streams.columns import Misfit, Schema
from beam_dynamodb_streams.durations import Duration
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.sinks.batches import PARTITIONS, Partitions
from beam_dynamodb_streams.sinks.chunks import MISFITS, ChunkByInputWindows, ChunkBySinkWindows, ChunkOptions, Tracking
from beam_dynamodb_streams.sinks.coverage import UNKNOWN_STREAM
from beam_dynamodb_streams.sinks.directory import check_writable, is_local, output_directory
from beam_dynamodb_streams.sinks.files import FileOptions, WriteFiles
from beam_dynamodb_streams.sinks.formats import (
    Format,
    check_count,
)
from beam_dynamodb_streams.sinks.layouts import Layout, RowLayout, check_layout
from beam_dynamodb_streams.sinks.resume import Export, open_export, save_caught_up
from beam_dynamodb_streams.sinks.windows import has_default_windows, sink_windows, window_seconds

_CHUNK = typehints.Tuple[int, bytes]
_CHUNKS = "chunks"


class WriteOutputs(NamedTuple):
    """The two outputs of a sink: `FileMetadata` of the files written, and `Misfit`s."""

    files: beam.PCollection
    misfits: beam.PCollection


class WriteChanges(HandlesErrors):
    """The base of the sinks. Use `WriteChangesToParquet`, `WriteChangesToAvro` or `WriteChangesToJsonLines`."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        form: Format,
        *,
        window: Duration | None,
        layout: Layout,
        schema: Schema | None,
        partitions: Partitions | None,
        file_bytes: int,
    ) -> None:
        super().__init__()
        if schema is not None and not isinstance(schema, Schema):
            raise InvalidOptionError(
                f"schema={schema!r}: pass a beam_dynamodb_streams.Schema, or None for the columns of any table"
            )
        if partitions is not None and partitions not in PARTITIONS:
            raise InvalidOptionError(f'partitions={partitions!r} is unknown: use "date", "hour" or None')
        kind: Partitions | None = None if partitions is None else "date" if partitions == "date" else "hour"
        rows = RowLayout(check_layout(layout), schema)
        form.check(rows)
        self._files = FileOptions(output_directory(path), rows, form, kind, check_count("file_bytes", file_bytes))
        self._seconds = window_seconds(window)
        self._run: str | None = None
        self._stream_arn: str | None = None
        self._tagged = False

    @property
    def schema(self) -> Schema | None:
        return self._files.layout.schema

    @property
    def files(self) -> FileOptions:
        """What is written where. Inside `resume`, files have manifests."""
        return self._files

    @property
    def needs_new_images(self) -> bool:
        """Whether the sink has typed columns for new images: a read follows to no stream that lacks them."""
        return self.schema is not None

    def with_outputs(self) -> Self:
        """Return the same sink with two outputs: `files, misfits = changes | sink.with_outputs()`.

        A `Misfit` is an attribute that its column does not hold whole, of a schema with
        `on_misfit="dead_letter"`; without this output it fails the pipeline.
        """
        variant = copy.copy(self)
        variant._tagged, variant.pipeline = True, None  # `pipeline` is Beam's own: where the sink was applied last
        variant._handling = None
        return variant

    def _with_handling(self, handling: ErrorHandling) -> Self:
        variant = self.with_outputs()
        variant._handling = handling
        return variant

    @contextmanager
    def resume(
        self, *, start: StreamPosition | None = None, stream_arn: str | None = None, follow: bool = False
    ) -> Iterator[StreamPosition]:
        """Make the sink write each change exactly once, however often it is started, and yield where to read from.

        ```python
        sink = WriteChangesToParquet("out/", window=60)
        with sink.resume() as start, beam.Pipeline() as pipeline:
            pipeline | ReadFromDynamoDBStreams("orders", start=start) | sink
        ```

        The output itself holds what is needed: see `sinks.resume`, also for what is refused. Between the read and the
        sink no step may put the changes of a shard in another order, as a Reshuffle or a GroupByKey does.

        Args:
            start: Where the very first run begins.
            stream_arn: The stream that is read. If given, an output of another stream is refused, and what the output
                covers counts for this stream only. If not, only shard ids distinguish two streams of a table.
            follow: Whether the read has `on_new_stream="follow"`. Then the output may be of an earlier stream of the
                same table.
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
            follow,
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
        """Note that everything created up to `second` is written. Call it inside `resume`, after a run with a stop.

        A stream that is quiet for more than a day is then known to have lost nothing.
        """
        save_caught_up(self._files.directory, self._stream_arn, second)

    def expand(self, changes: beam.PCollection) -> beam.PCollection | WriteOutputs | ErrorOutputs:
        files = self._files
        window_into = sink_windows(changes, self._seconds)
        if is_local(files.directory):
            check_writable(files.directory)
        name = type(self).__name__
        if self._run is not None and not has_default_windows(changes):
            raise InvalidOptionError(
                f"{name}.resume() tracks what is written in windows of its own, and the input has"
                f" {type(changes.windowing.windowfn).__name__}: leave out the WindowInto before the sink, and pass"
                " window="
            )
        traits = traits_of(changes.pipeline)
        windowing = changes.windowing if window_into is None else window_into.windowing
        # A pane that accumulates would bring a chunk again whose file is gone.
        if traits.one_process and windowing.accumulation_mode == AccumulationMode.DISCARDING:
            files = replace(files, run=uuid.uuid4().hex)
        options = ChunkOptions(name, files.layout, self._tagged, files.run)
        chunking: beam.DoFn
        if has_default_windows(changes):
            tracking = None
            if self._run is not None:
                tracking = Tracking(self._run, self._stream_arn or UNKNOWN_STREAM, traits.one_process)
            length = None if window_into is None else window_into.windowing.windowfn.size.micros
            files = replace(files, window_micros=length)
            chunking = ChunkBySinkWindows(options, files.directory, length, tracking)
        else:
            chunking = ChunkByInputWindows(options, files.directory, changes.windowing.windowfn)
        # Beam would infer the types from the code, which takes as long as reading ten pages.
        typed = beam.ParDo(chunking).with_output_types(_CHUNK)
        chunks = changes | "Chunks" >> typed.with_outputs(MISFITS, main=_CHUNKS)
        chunks[_CHUNKS].element_type, chunks[MISFITS].element_type = _CHUNK, Misfit
        grouped = chunks[_CHUNKS]
        if window_into is not None:
            grouped = grouped | "Window" >> window_into
        written = (
            grouped
            | "Group" >> beam.GroupByKey()
            | "Files" >> beam.ParDo(WriteFiles(files)).with_output_types(FileMetadata)
        )
        if self._handling is not None:
            return self._handling.result(written, chunks[MISFITS])
        return WriteOutputs(written, chunks[MISFITS]) if self._tagged else written

    def display_data(self) -> dict[str, Any]:
        files = self._files
        shown = {"path": files.directory, "codec": files.form.codec, "layout": files.layout.layout}
        return shown if self._seconds is None else {**shown, "window_seconds": self._seconds}
