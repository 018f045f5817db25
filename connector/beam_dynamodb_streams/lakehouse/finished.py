"""Where files come from, and which files of an output are finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa

from beam_dynamodb_streams.beam.graph import dofns_behind, transforms_behind
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.sinks.batches import Partitions
from beam_dynamodb_streams.sinks.files import WriteFiles
from beam_dynamodb_streams.sinks.leftovers import ending_after, kept_micros, recent_manifests, retention_start
from beam_dynamodb_streams.sinks.manifest import FOLDER, WRITING, is_change_file, mark_path
from beam_dynamodb_streams.sinks.output import Output
from beam_dynamodb_streams.sinks.snapshots import FOLDER as SNAPSHOTS
from beam_dynamodb_streams.sinks.snapshots import is_row_file, rows_of_complete
from beam_dynamodb_streams.sinks.transform import WriteChanges


@dataclass(frozen=True, slots=True)
class Source:
    """A sink whose files are committed.

    `tracked`: it has manifests, so that the output itself says which of its files are finished.
    """

    directory: str
    columns: pa.Schema
    partitions: Partitions | None
    tracked: bool

    def path_of(self, file: str) -> str | None:
        """Return the path of a file relative to the output; None if it is in another directory."""
        top = f"{self.directory.rstrip('/')}/"
        return file[len(top) :] if file.startswith(top) else None


def sources_behind(files: beam.PCollection, step: str) -> list[Source]:
    """Return the sinks that a PCollection of files comes from, each once.

    Raises:
        InvalidOptionError: There is none, one of them writes another format than Parquet, or their columns differ.
    """
    sinks = [sink for sink, _ in transforms_behind(files, lambda each: isinstance(each, WriteChanges))]
    if not sinks:
        raise InvalidOptionError(
            f"{step} takes the files that WriteChangesToParquet returns, and no such sink is before it: use"
            f" changes | WriteChangesToParquet(...) | {step}(...)"
        )
    found: dict[str, Source] = {}
    for sink in sinks:
        files_of = sink.files
        if files_of.form.name != "parquet":
            raise InvalidOptionError(
                f"{step} takes Parquet files, and {type(sink).__name__} is before it: use WriteChangesToParquet"
            )
        made = Source(files_of.directory, files_of.layout.columns, files_of.partitions, files_of.complete)
        found.setdefault(made.directory, made)
    first, *others = found.values()
    for other in others:
        if (other.columns, other.partitions) != (first.columns, first.partitions):
            raise InvalidOptionError(
                f"{step}: the files in {first.directory!r} and in {other.directory!r} have different columns or"
                " partitions: commit them to a table each"
            )
    return [first, *others]


def writers_behind(files: beam.PCollection) -> list[tuple[str, beam.PCollection]]:
    """Return the directory of each sink that a PCollection of files comes from, and what its last step takes.

    That is where the end of a snapshot is seen, which may come in a window of its own, and make no file.
    """
    return [(writer.directory, chunks) for writer, chunks in dofns_behind(files, WriteFiles)]


def finished_files(output: Output, known: Collection[str], *, now: Callable[[], float] = time.time) -> list[str]:
    """Return the files of an output with manifests that are finished and not among `known`, sorted.

    A file of changes is finished once a manifest names it. Manifests of old changes may have been removed: an old file
    is finished if it has no mark. A file of a snapshot is finished once the whole snapshot is.
    """
    paths = output.list()
    new = [path for path in paths if is_change_file(path) and path not in known]
    rows = [path for path in paths if path.startswith(f"{SNAPSHOTS}/")] if _has_new_rows(paths, known) else []
    finished = {path for path in rows_of_complete(output, rows) if path not in known} & set(paths)
    if new:
        # Marks are listed after files, as in `leftovers.prepare_window`.
        marks = set(output.list(f"{WRITING}/"))
        manifests = [path for path in paths if path.startswith(f"{FOLDER}/")]
        second = now()
        loaded = recent_manifests(output, manifests, second)
        recent = set(ending_after(new, retention_start(manifests, second, kept_micros(loaded))))
        named = {file.path for each in loaded for file in each.files}
        old = {path for path in new if path not in recent and mark_path(path) not in marks}
        finished |= named.intersection(new) | old
    return sorted(finished)


def _has_new_rows(paths: Collection[str], known: Collection[str]) -> bool:
    return any(is_row_file(path) and path not in known for path in paths)
