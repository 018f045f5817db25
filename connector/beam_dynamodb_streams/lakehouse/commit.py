"""The steps that commit finished files to a table: what `CommitToIceberg` and `CommitToDelta` share.

Files are grouped, so that one worker commits them, in batches (`lakehouse.committer`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam import typehints
from apache_beam.io.filesystem import FileMetadata
from apache_beam.metrics import Metrics
from apache_beam.transforms.trigger import AccumulationMode
from apache_beam.transforms.window import BoundedWindow, FixedWindows, GlobalWindows
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from beam_dynamodb_streams import metrics
from beam_dynamodb_streams.beam.typed import OwnDoFn, OwnTransform, no_annotations
from beam_dynamodb_streams.durations import Duration, as_seconds
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.lakehouse.committer import SNAPSHOTS, Committed, Committer, Target
from beam_dynamodb_streams.lakehouse.finished import Source, sources_behind, writers_behind
from beam_dynamodb_streams.sinks.windows import LATENESS_SECONDS


class CommitFiles(OwnTransform):
    """The base of the commits. Use `CommitToIceberg` or `CommitToDelta`."""

    def __init__(self, every: Duration | None) -> None:
        super().__init__()
        self._every = None if every is None else as_seconds("every", every, at_least=1)
        self._target: Target | None = None

    def target(self, source: Source) -> Target:
        """Return the table for files of these columns. Raises InvalidOptionError if it cannot take them."""
        raise NotImplementedError

    def summary(self) -> str:
        """Return one line about what the table holds, once the step is applied."""
        if self._target is None:
            raise InvalidOptionError(f"{type(self).__name__} has no table before it is applied to files")
        try:
            return self._target.summary()
        finally:
            self._target.close()

    def expand(self, files: beam.PCollection) -> beam.PCollection:
        name = type(self).__name__
        if not isinstance(files, beam.PCollection):
            raise InvalidOptionError(
                f"{name} takes the files alone: files, misfits = changes | WriteChangesToParquet(...).with_outputs(),"
                f" then files | {name}(...)"
            )
        sources = sources_behind(files, name)
        self._target = target = self.target(sources[0])
        paths = files | "Paths" >> beam.Map(_path_of).with_output_types(typehints.Tuple[int, str])
        ends = [
            chunks
            | f"Snapshots {number}"
            >> beam.ParDo(_NoteSnapshots(directory)).with_output_types(typehints.Tuple[int, str])
            for number, (directory, chunks) in enumerate(writers_behind(files))
        ]
        paths = (paths, *ends) | "With snapshots" >> beam.Flatten()
        if self._every is not None:
            paths = paths | "Batches" >> beam.WindowInto(
                FixedWindows(self._every),
                accumulation_mode=AccumulationMode.DISCARDING,
                allowed_lateness=LATENESS_SECONDS,
            )
        grouped = paths | "Group" >> beam.GroupByKey()
        committed = grouped | "Commit" >> beam.ParDo(_Commit(target, sources)).with_output_types(Committed)
        # What an earlier run wrote and did not commit is committed although this run may write nothing.
        start = files.pipeline | "Start" >> beam.Create([(0, [])]).with_output_types(
            typehints.Tuple[int, typehints.Iterable[str]]
        )
        before = start | "Commit earlier files" >> beam.ParDo(_Commit(target, sources)).with_output_types(Committed)
        return (
            committed | "Unwindowed" >> beam.WindowInto(GlobalWindows()),
            before | "Unwindowed too" >> beam.WindowInto(GlobalWindows()),
        ) | beam.Flatten()


class _NoteSnapshots(OwnDoFn):
    """Notes that rows of a snapshot, or its end, come with a sink's chunks, whose key is then below 0.

    The step that writes them is in the same bundle: it has written them once this note passes the grouping.
    """

    def __init__(self, directory: str) -> None:
        self._note = f"{directory.rstrip('/')}/{SNAPSHOTS}"

    def process(self, chunks: tuple[int, Iterable[bytes]]) -> list[tuple[int, str]]:
        return [(0, self._note)] if chunks[0] < 0 else []


@no_annotations
def _path_of(file: FileMetadata) -> tuple[int, str]:
    return 0, file.path


class _Commit(OwnDoFn):
    """Commits the files of a bundle together, at its end."""

    def __init__(self, target: Target, sources: Sequence[Source]) -> None:
        self._target = target
        self._sources = sources
        self._commits = Metrics.counter(metrics.NAMESPACE, metrics.COMMITS)
        self._files = Metrics.counter(metrics.NAMESPACE, metrics.COMMITTED_FILES)
        self._conflicts = Metrics.counter(metrics.NAMESPACE, metrics.COMMIT_CONFLICTS)

    def setup(self) -> None:
        self._committer = Committer(self._target, self._sources)

    def start_bundle(self) -> None:
        self._reported: list[str] = []
        self._latest: tuple[Timestamp, BoundedWindow] | None = None

    def process(
        self,
        files: tuple[int, Iterable[str]],
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> None:
        self._reported += files[1]
        if self._latest is None or timestamp > self._latest[0]:
            self._latest = timestamp, window

    def finish_bundle(self) -> Iterator[WindowedValue]:
        if self._latest is None:
            return
        timestamp, window = self._latest
        before = self._committer.conflicts
        for committed in self._committer.commit(self._reported):
            self._commits.inc()
            self._files.inc(committed.files)
            yield WindowedValue(committed, timestamp, (window,))
        self._conflicts.inc(self._committer.conflicts - before)

    def teardown(self) -> None:
        self._target.close()
