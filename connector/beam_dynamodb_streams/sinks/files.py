"""The step after the shuffle: it writes a window's chunks to files, each whole or not at all, and then a manifest."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO, Final

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.filesystems import FileSystems
from apache_beam.transforms.window import BoundedWindow, GlobalWindow

from beam_dynamodb_streams.beam.typed import OwnDoFn
from beam_dynamodb_streams.sinks.batches import (
    Digest,
    Partitions,
    change_keys,
    creation_span,
    split_by_partition,
)
from beam_dynamodb_streams.sinks.chunk_files import ChunkReader, Gathered, release
from beam_dynamodb_streams.sinks.coverage import not_covered
from beam_dynamodb_streams.sinks.directory import TEMPORARY
from beam_dynamodb_streams.sinks.formats import FileWriter, Format
from beam_dynamodb_streams.sinks.latest import LatestChanges
from beam_dynamodb_streams.sinks.layouts import RowLayout
from beam_dynamodb_streams.sinks.leftovers import prepare_window
from beam_dynamodb_streams.sinks.manifest import Manifest, Span, WrittenFile, file_name, manifest_path, mark_path
from beam_dynamodb_streams.sinks.output import Output, open_output, write_whole
from beam_dynamodb_streams.sinks.snapshots import COMPLETE, complete_manifest, row_keys, rows_folder, rows_manifest
from beam_dynamodb_streams.sinks.snapshots import manifest_path as snapshot_path
from beam_dynamodb_streams.sinks.sorted_runs import Keys, Scratch, merge
from beam_dynamodb_streams.sinks.unfinished import UnfinishedFile, write_errors

SORTED_BYTES: Final = 16 << 20
FILE_BYTES: Final = 512 << 20
_MARK: Final = b"This file is removed once a manifest names the file of the same path.\n"


@dataclass(frozen=True, slots=True)
class FileOptions:
    """What is written where.

    A file ends once it has `file_bytes`. About `sorted_bytes` of Arrow data are in memory while a window is sorted; the
    rest of a larger window is on a disk. `complete`: manifests are written too. `window_micros`: the length of the
    sink's windows. `run`: the name under which `chunk_files` counts what is in the shuffle, None if it does not.
    """

    directory: str
    layout: RowLayout
    form: Format
    partitions: Partitions | None = None
    file_bytes: int = FILE_BYTES
    sorted_bytes: int = SORTED_BYTES
    complete: bool = False
    window_micros: int | None = None
    run: str | None = None


@beam.typehints.with_output_types(FileMetadata)
class WriteFiles(OwnDoFn):
    """Writes the changes of one window that the runner delivers at once, and returns the files.

    With manifests, it leaves out what they already cover, so repeated changes are written once. It also removes what
    an earlier attempt at the same window left without a manifest.
    """

    def __init__(self, files: FileOptions) -> None:
        self._files = files

    @property
    def directory(self) -> str:
        return self._files.directory

    def setup(self) -> None:
        self._output = open_output(self._files.directory)

    def process(
        self, chunks: tuple[int, Iterable[bytes]], window: BoundedWindow = beam.DoFn.WindowParam
    ) -> list[FileMetadata]:
        start, length = chunks[0], self._files.window_micros
        if start < 0:
            return self._write_snapshot(-start, chunks[1])
        if start and length is not None:  # a window far ahead of the clock, see `ChunkBySinkWindows`
            span: Span | None = Span(start, start + length)
        else:
            span = None if isinstance(window, GlobalWindow) else Span(window.start.micros, window.end.micros)
        complete = self._files.complete
        known = prepare_window(self._output, span, self._files.partitions) if complete else {}
        spans: list[Span] = []
        with self._scratch() as scratch, _WindowFiles(self._files, self._output, scratch, span) as writing:
            found = self._gather(chunks[1], scratch, change_keys)
            for stream_arn, runs in sorted(found.runs.items()):
                for changes in merge(runs, change_keys, self._files.sorted_bytes, scratch, without_repeats=complete):
                    spans = [Span.of_all([*spans, creation_span(changes)])]
                    writing.add(not_covered(changes, stream_arn, known), stream_arn)
            written = writing.finish()
        if complete and written:
            manifest = Manifest(span, [file for file, _ in written], found.coverage)
            path = manifest_path(span, Span.of_all(spans), writing.digest)
            write_whole(self._output, path, manifest.to_json())
            self._output.delete(mark_path(file.path) for file, _ in written)
        release(self._output, found.paths)
        return [metadata for _, metadata in written]

    def _write_snapshot(self, epoch: int, chunks: Iterable[bytes]) -> list[FileMetadata]:
        """Write rows of a snapshot to files of their own, and note its end if it is among the chunks."""
        with self._scratch() as scratch, _WindowFiles(self._files, self._output, scratch, None, epoch) as writing:
            found = self._gather(chunks, scratch, row_keys)
            for runs in found.runs.values():
                for rows in merge(runs, row_keys, self._files.sorted_bytes, scratch, without_repeats=True):
                    writing.add_rows(rows)
            written = writing.finish()
        if self._files.complete:
            if written:
                manifest = rows_manifest([file for file, _ in written])
                write_whole(self._output, snapshot_path(epoch, f"{writing.digest}.json"), manifest)
            for end in found.ends:
                write_whole(self._output, snapshot_path(epoch, COMPLETE), complete_manifest(end))
        release(self._output, found.paths)
        return [metadata for _, metadata in written]

    def _scratch(self) -> Scratch:
        return Scratch(self._output.local(TEMPORARY))

    def _gather(self, chunks: Iterable[bytes], scratch: Scratch, keys: Keys) -> Gathered:
        return ChunkReader(self._output, self._files.run, self._files.sorted_bytes, scratch, keys).gather(chunks)


@dataclass(slots=True)
class _OpenFile:
    unfinished: UnfinishedFile
    handle: BinaryIO
    writer: FileWriter
    digest: Digest = field(default_factory=Digest)
    times: list[Span] = field(default_factory=list)
    rows: int = 0


class _WindowFiles:
    """The files of one window while they are written. After an error no file is open, and those in place stay."""

    def __init__(self, files: FileOptions, output: Output, scratch: Scratch, span: Span | None, epoch: int = 0) -> None:
        self._files = files
        self._scratch = scratch
        self._epoch = epoch
        self._output = output
        self._span = span
        self._open: dict[str, _OpenFile] = {}
        self._latest = LatestChanges(files.layout, files.sorted_bytes, scratch)
        self._streams: list[str] = []
        self._written: list[tuple[WrittenFile, FileMetadata]] = []
        self._digest = Digest()

    def __enter__(self) -> _WindowFiles:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for file in self._open.values():
            with suppress(Exception):  # the failure that led here is the one to report
                file.writer.close()
            file.unfinished.discard()

    @property
    def digest(self) -> str:
        """A name for all changes written, for their manifest."""
        return str(self._digest)

    def add(self, changes: pa.RecordBatch, stream_arn: str) -> None:
        """Write changes of one stream, in the order in which they are in the file."""
        if not len(changes):
            return
        if self._files.complete:
            self._digest.add(changes, stream_arn)
        if self._files.layout.layout == "latest_image":
            # Streams come in the order of their ARNs, which end with the moment at which the stream was enabled.
            if stream_arn not in self._streams:
                self._streams.append(stream_arn)
            self._latest.add(changes, len(self._streams))
        else:
            self._write(changes, stream_arn)

    def add_rows(self, rows: pa.RecordBatch) -> None:
        """Write rows of a snapshot, in the partitions of their times below a folder of its own."""
        if len(rows):
            self._digest.add_rows(rows)
            self._write(rows, "")

    def finish(self) -> list[tuple[WrittenFile, FileMetadata]]:
        """End every file, and return what is in place."""
        streams = " ".join(self._streams)
        for changes in self._latest.rows():
            self._write(changes, streams)
        for partition in list(self._open):
            self._end(partition)
        return self._written

    def _write(self, changes: pa.RecordBatch, streams: str) -> None:
        folder = rows_folder(self._epoch) if self._epoch else ""
        for below, rows in split_by_partition(changes, self._files.partitions):
            partition = f"{folder}{below}"
            with write_errors(self._files.directory):
                file = self._open.get(partition) or self._begin(partition)
                file.writer.write(rows)
                if self._epoch:
                    file.digest.add_rows(rows)
                else:
                    file.digest.add(rows, streams)
                file.times.append(creation_span(rows))
                file.rows += len(rows)
                full = file.handle.tell() >= self._files.file_bytes
            if full:
                self._end(partition)

    def _begin(self, partition: str) -> _OpenFile:
        unfinished = self._output.create()
        try:
            writer = self._files.form.writer(unfinished.handle, self._files.layout, self._files.file_bytes)
        except BaseException:
            unfinished.discard()
            raise
        file = self._open[partition] = _OpenFile(unfinished, unfinished.handle, writer)
        return file

    def _end(self, partition: str) -> None:
        file = self._open[partition]
        with write_errors(self._files.directory):
            file.writer.close()
        digest = str(file.digest)
        name = f"rows-{digest}" if self._epoch else file_name(self._span, Span.of_all(file.times), digest)
        path = f"{partition}{name}{self._files.form.suffix}"
        if self._files.complete and not self._epoch:
            write_whole(self._output, mark_path(path), _MARK)
        metadata = file.unfinished.publish(path)
        FileSystems.report_sink_lineage(metadata.path)
        del self._open[partition]
        self._written.append((WrittenFile(path, file.rows, metadata.size_in_bytes), metadata))
