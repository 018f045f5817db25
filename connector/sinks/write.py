"""``WriteChangesToParquet`` and ``WriteChangesToAvro``: Beam's ``WriteToFiles`` with what it lacks around it.

``WriteToFiles`` (read in Beam 2.77, and run) keeps one sink object for each destination and window of a
bundle, so windows never share a file handle. Two things it does not do, and the steps here do:

* It names files when it moves them, so a retried move would name them anew. Here each bundle stamps its
  records, the stamp is the destination, and the name follows from it.
* It logs a failed rename at DEBUG and reports the file as written: with the temporary directory on another
  disk it wrote 0 of 2,000 rows and ended DONE. Here the temporary directory is inside the output, and a file
  is reported only after it was found at its place.
"""

from __future__ import annotations

import os
from datetime import timedelta
from operator import itemgetter
from typing import Any

import apache_beam as beam
from apache_beam.io.fileio import FileResult, WriteToFiles
from apache_beam.io.filesystem import BeamIOError, FileMetadata
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.value_provider import StaticValueProvider
from apache_beam.transforms.window import GlobalWindows

from connector.errors import ConnectorError
from connector.records import ChangeRecord
from connector.sinks.elements import CreationTime, Stamp
from connector.sinks.formats import AvroFormat, ParquetFormat
from connector.sinks.output import TEMPORARY, FileNaming, check_writable, is_local, output_directory
from connector.sinks.windows import made_windows, window_seconds

OPEN_FILES = 64
"""Files that a bundle keeps open. Changes of further windows reach theirs through the runner's shuffle."""


class _WriteChanges(beam.PTransform):
    """The steps that both formats share."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        output_format: ParquetFormat | AvroFormat,
        window: float | timedelta | None,
    ) -> None:
        super().__init__()
        self._directory = output_directory(path)
        self._format = output_format
        self._seconds = window_seconds(window)

    def expand(self, changes: beam.PCollection) -> beam.PCollection:
        name = type(self).__name__
        window_into = made_windows(changes, self._seconds)
        if is_local(self._directory):
            check_writable(self._directory)
        if window_into is not None:
            changes = changes | "CreationTime" >> beam.ParDo(CreationTime(name)) | "Window" >> window_into
        windowed = not isinstance(changes.windowing.windowfn, GlobalWindows)
        return (
            changes
            | "Stamp" >> beam.ParDo(Stamp(self._directory, name, windowed=windowed))
            | "Files"
            >> WriteToFiles(
                self._directory,
                destination=itemgetter(0),
                sink=self._format.sink,
                file_naming=FileNaming(self._format.suffix),
                # Inside the output whatever temp_location says: a rename must not cross filesystems.
                temp_directory=StaticValueProvider(str, FileSystems.join(self._directory, TEMPORARY)),
                shards=1,
                max_writers_per_bundle=OPEN_FILES,
            )
            | "Confirm" >> beam.ParDo(Confirm(self._directory))
        )

    def display_data(self) -> dict[str, Any]:
        shown = {"path": self._directory, "codec": self._format.codec}
        return shown if self._seconds is None else {**shown, "window_seconds": self._seconds}


@beam.typehints.with_input_types(ChangeRecord)
@beam.typehints.with_output_types(FileMetadata)
class WriteChangesToParquet(_WriteChanges):
    """Writes change records to Parquet files, and gives the files written.

    PCollection[ChangeRecord], bounded or not → PCollection[FileMetadata] (Beam's: ``path``,
    ``size_in_bytes``, ``last_updated_in_seconds``), each in its window, ready for ``fileio.ReadMatches()``.
    The columns are ``connector.records.CHANGE_SCHEMA``, the same whatever the table holds.

    * ``path``: the output directory, on any filesystem that Beam knows; it is made if it does not exist. A
      local one must be writable where the pipeline is launched; every one, by every worker.
    * ``window``: seconds or a timedelta: files follow fixed windows of that length, by creation time. By
      default they follow the windows that the input has; unbounded input without any goes to windows of one
      minute, and bounded input without any to one window of all time.
    * ``codec``: "zstd", "snappy", "gzip", "lz4", "brotli" or "none".

    A window's files appear once the watermark has passed its end: one for each bundle that held a change of
    it, in no order among each other. A window without changes has no file, nor has empty input. Windows made
    here discard fired panes and allow 25 h of lateness, so a change that comes after its window has closed
    goes to a file of its own, and none is dropped. Windows, trigger and allowed lateness of the input's own
    stay as they are: the runner drops changes that are later than they allow, and a trigger counts files,
    not changes.

    A file is whole or absent. Unfinished ones are in ``_temporary`` inside ``path``; a killed pipeline leaves
    them there, and they may be deleted when no pipeline writes to ``path``.

    What may repeat: nothing when the runner retries a bundle, since only the files of committed bundles are
    moved. A pipeline that resumes from a checkpoint (Flink, after a failure) writes again, under other names,
    the changes whose files were moved after that checkpoint: ``event_id`` tells repeats (fact 18).

    Raises InvalidOptionError: at construction, for a bad ``window`` or ``codec`` and an unknown filesystem;
    when applied, for a local directory that cannot be written, for merging windows, and for ``window`` on
    input that has windows; on the workers before the first change, for any directory that cannot be written.
    ElementTypeError for an element that is no ChangeRecord; ConnectorError for a file that could not be moved
    into place.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        window: float | timedelta | None = None,
        codec: str = "zstd",
    ) -> None:
        super().__init__(path, ParquetFormat(codec), window)


@beam.typehints.with_input_types(ChangeRecord)
@beam.typehints.with_output_types(FileMetadata)
class WriteChangesToAvro(_WriteChanges):
    """Writes change records to Avro object container files, and gives the files written.

    As ``WriteChangesToParquet`` in all but the format: rows are ``connector.records.AVRO_SCHEMA``, and
    ``codec`` is "deflate" or "null", which every Avro reader knows, or "zstandard" or "snappy", which need a
    library here and at the reader.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        window: float | timedelta | None = None,
        codec: str = "deflate",
    ) -> None:
        super().__init__(path, AvroFormat(codec), window)


@beam.typehints.with_output_types(FileMetadata)
class Confirm(beam.DoFn):
    """Passes on a file only if it is where it was said to be moved."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def process(self, result: FileResult) -> list[FileMetadata]:
        path = FileSystems.join(self._directory, result.file_name)
        try:
            return [FileSystems.get_filesystem(path).metadata(path)]
        except BeamIOError as error:
            raise ConnectorError(
                f"{path} is missing: its changes were written below {TEMPORARY}, but could not be moved into"
                " place. Check that the output is still there, writable and not full, and read them again"
            ) from error
