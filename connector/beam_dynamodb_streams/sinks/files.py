"""The step after the shuffle: a window's chunks become files, whole or not at all, and then their manifest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO, Final

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystem import FileMetadata
from apache_beam.transforms.window import BoundedWindow, GlobalWindow

from beam_dynamodb_streams.sinks.batches import Digest, Partitions, by_partition, decoded, in_order, times
from beam_dynamodb_streams.sinks.coverage import Coverage, merged, not_covered
from beam_dynamodb_streams.sinks.formats import FileWriter, Format
from beam_dynamodb_streams.sinks.layouts import RowLayout
from beam_dynamodb_streams.sinks.leftovers import take_over
from beam_dynamodb_streams.sinks.manifest import Manifest, Span, WrittenFile, file_name, manifest_path
from beam_dynamodb_streams.sinks.output import Output, output_of, put
from beam_dynamodb_streams.sinks.unfinished import Unfinished, told

SORTED_BYTES: Final = 256 << 20
FILE_BYTES: Final = 512 << 20


@dataclass(frozen=True, slots=True)
class Files:
    """What is written where. ``file_bytes``: a file ends once it is so large; ``sorted_bytes``: so much Arrow data is
    put in order at once, and a larger window in such parts; ``complete``: with manifests."""

    directory: str
    layout: RowLayout
    form: Format
    partitions: Partitions | None = None
    file_bytes: int = FILE_BYTES
    sorted_bytes: int = SORTED_BYTES
    complete: bool = False


@beam.typehints.with_output_types(FileMetadata)
class WriteFiles(beam.DoFn):
    """Writes the changes of one window that the runner gives at once; gives the files.

    With manifests it leaves out what they cover already, so to be given changes again changes nothing; and it removes
    what an earlier try of the same window left without a manifest.
    """

    def __init__(self, files: Files) -> None:
        self._files = files

    def setup(self) -> None:
        self._output = output_of(self._files.directory)

    def process(
        self, chunks: tuple[int, Iterable[bytes]], window: BoundedWindow = beam.DoFn.WindowParam
    ) -> list[FileMetadata]:
        span = None if isinstance(window, GlobalWindow) else Span(window.start.micros, window.end.micros)
        complete = self._files.complete
        known = take_over(self._output, span, self._files.partitions) if complete else {}
        own: Coverage = {}
        brought: list[Span] = []
        with _Writing(self._files, self._output, span) as writing:
            for batches, coverage in _parts(chunks[1], self._files.sorted_bytes):
                changes = in_order(batches, without_repeats=complete)
                if len(changes):
                    brought.append(times(changes))
                    writing.add(not_covered(changes, known))
                own = merged([own, coverage])
                known = merged([known, coverage])  # what an earlier part brought may come again
            written = writing.finish()
        if complete and written:
            manifest = Manifest(span, [file for file, _ in written], own)
            put(self._output, manifest_path(span, Span.of_all(brought), writing.digest), manifest.to_json())
        return [metadata for _, metadata in written]


def _parts(chunks: Iterable[bytes], at_most: int) -> Iterator[tuple[list[pa.RecordBatch], Coverage]]:
    batches: list[pa.RecordBatch] = []
    coverages: list[Coverage] = []
    size = 0
    for chunk in chunks:
        batch, coverage = decoded(chunk)
        coverages.append(coverage)
        batches.append(batch)
        size += batch.nbytes
        if size >= at_most:
            yield batches, merged(coverages)
            batches, coverages, size = [], [], 0
    if batches:
        yield batches, merged(coverages)


@dataclass(slots=True)
class _File:
    unfinished: Unfinished
    handle: BinaryIO
    writer: FileWriter
    digest: Digest = field(default_factory=Digest)
    times: list[Span] = field(default_factory=list)
    rows: int = 0


class _Writing:
    """The files of one window while they are written. On an error none is left open, and those in place stay."""

    def __init__(self, files: Files, output: Output, span: Span | None) -> None:
        self._files = files
        self._output = output
        self._span = span
        self._open: dict[str, _File] = {}
        self._latest: list[pa.RecordBatch] = []
        self._written: list[tuple[WrittenFile, FileMetadata]] = []
        self._digest = Digest()

    def __enter__(self) -> _Writing:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for file in self._open.values():
            with suppress(Exception):  # the failure that led here is the one to tell
                file.writer.close()
            file.unfinished.give_up()

    @property
    def digest(self) -> str:
        """A name for all changes of this writing, for its manifest."""
        return str(self._digest)

    def add(self, changes: pa.RecordBatch) -> None:
        """Changes in the order in which they are to stand."""
        if not len(changes):
            return
        if self._files.complete:
            self._digest.add(changes)
        if self._files.layout.layout == "latest_image":
            # A key may come in several parts: the latest so far are kept, and written at the end.
            latest = in_order([*self._latest, changes], without_repeats=False)
            self._latest = [self._files.layout.changes_with_a_row(latest)]
        else:
            self._write(changes)

    def finish(self) -> list[tuple[WrittenFile, FileMetadata]]:
        for changes in self._latest:
            self._write(changes)
        for partition in list(self._open):
            self._end(partition)
        return self._written

    def _write(self, changes: pa.RecordBatch) -> None:
        for partition, rows in by_partition(changes, self._files.partitions):
            with told(self._files.directory):
                file = self._open.get(partition) or self._begin(partition)
                file.writer.write(rows)
                file.digest.add(rows)
                file.times.append(times(rows))
                file.rows += len(rows)
                full = file.handle.tell() >= self._files.file_bytes
            if full:
                self._end(partition)

    def _begin(self, partition: str) -> _File:
        unfinished = self._output.begin()
        try:
            writer = self._files.form.writer(unfinished.handle, self._files.layout)
        except BaseException:
            unfinished.give_up()
            raise
        file = self._open[partition] = _File(unfinished, unfinished.handle, writer)
        return file

    def _end(self, partition: str) -> None:
        file = self._open[partition]
        with told(self._files.directory):
            file.writer.close()
        name = file_name(self._span, Span.of_all(file.times), str(file.digest))
        path = f"{partition}{name}{self._files.form.suffix}"
        metadata = file.unfinished.finish(path)
        del self._open[partition]
        self._written.append((WrittenFile(path, file.rows, metadata.size_in_bytes), metadata))
