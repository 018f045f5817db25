"""Committing finished files to a table, each once: what Iceberg and Delta share.

Files are grouped, so that one worker commits them, in batches. A commit is a compare-and-swap of the table: it adds
files and the number of their batch at once (`lakehouse.journal`), or fails because somebody else committed meanwhile.
Then the table is loaded again, and what is missing is worked out again.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

import apache_beam as beam
from apache_beam import typehints
from apache_beam.io.filesystem import FileMetadata
from apache_beam.metrics import Metrics
from apache_beam.transforms.trigger import AccumulationMode
from apache_beam.transforms.window import BoundedWindow, FixedWindows, GlobalWindows
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from beam_dynamodb_streams import metrics
from beam_dynamodb_streams.beam.coders import register_row
from beam_dynamodb_streams.beam.typed import OwnDoFn, OwnTransform, no_annotations
from beam_dynamodb_streams.durations import Duration, as_seconds
from beam_dynamodb_streams.errors import InvalidOptionError, LakehouseError
from beam_dynamodb_streams.lakehouse.finished import Source, finished_files, sources_behind, writers_behind
from beam_dynamodb_streams.lakehouse.journal import Journal, output_id
from beam_dynamodb_streams.sinks.output import Output, open_output
from beam_dynamodb_streams.sinks.snapshots import FOLDER, is_row_file
from beam_dynamodb_streams.sinks.windows import LATENESS_SECONDS

FILES_AT_ONCE: Final = 5_000
"""The most files of one commit."""
ATTEMPTS: Final = 12
LONGEST_PAUSE: Final = 10.0
"""Seconds."""
_SNAPSHOTS: Final = f"{FOLDER}/"
"""Stands among the files of an output for rows of a snapshot, or its end."""


class Committed(NamedTuple):
    """A commit: the table, the id of its new snapshot (Iceberg) or its new version (Delta), and what was added."""

    table: str
    snapshot: int
    files: int
    rows: int


register_row(Committed, "committed:v1")


class CommitConflictError(Exception):
    """Somebody else committed meanwhile, so nothing was committed."""


class LoadedTable(Protocol):
    """A table as it is at one moment."""

    @property
    def id(self) -> str:
        """A name that no other table has, not even one that is created again in its place."""

    def number_of(self, output: str) -> int:
        """Return the number of the last batch of an output, by the output's id; 0 if there is none."""

    def add(self, files: Sequence[str], directory: str, output: str, number: int) -> Committed:
        """Add files, as paths in a directory, and the number of their batch, in one commit.

        Raises:
            CommitConflictError: The table is not what it was at that moment.
        """


class Target(Protocol):
    """A table to commit to. It travels to workers."""

    @property
    def label(self) -> str:
        """The table as its user named it, for errors."""

    def summary(self) -> str:
        """Return one line about what the table holds."""

    def load(self) -> LoadedTable:
        """Return the table. It is created if it does not exist, and gets the columns that it lacks."""

    def close(self) -> None:
        """Release what `load` opened."""


_ONE_AT_A_TIME: Final = threading.Lock()  # two threads of a worker would only repeat each other's attempts


class Committer:
    """Commits the files of several outputs to one table. It is made where it works."""

    def __init__(
        self,
        target: Target,
        sources: Iterable[Source],
        *,
        sleep: Callable[[float], object] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._target = target
        self._sources = list(sources)
        self._sleep = sleep
        self._jitter = jitter
        self._outputs: dict[str, Output] = {}
        self._journals: dict[tuple[str, str], Journal] = {}
        self._searched: set[str] = set()
        self._has_pending_rows: set[str] = set()
        self.conflicts = 0

    def commit(self, reported: Iterable[str]) -> list[Committed]:
        """Commit the files that were reported and are not committed, and return the commits.

        The first call also commits what an earlier run left, of outputs with manifests.

        Raises:
            LakehouseError: The table cannot be committed to.
            InvalidOptionError: A file is in none of the outputs.
        """
        by_source: dict[int, list[str]] = {number: [] for number in range(len(self._sources))}
        for file in reported:
            number, path = self._place_of(file)
            by_source[number].append(path)
        with _ONE_AT_A_TIME:
            return [
                committed
                for number, paths in by_source.items()
                for committed in self._commit_source(self._sources[number], paths)
            ]

    def _place_of(self, file: str) -> tuple[int, str]:
        for number, source in enumerate(self._sources):
            path = source.path_of(file)
            if path is not None:
                return number, path
        raise InvalidOptionError(
            f"{file} is in none of the outputs whose files are committed to {self._target.label}: pass on the files as"
            " WriteChangesToParquet returned them"
        )

    def _commit_source(self, source: Source, paths: list[str]) -> Iterator[Committed]:
        if source.tracked and any(is_row_file(path) or path == _SNAPSHOTS for path in paths):
            self._has_pending_rows.add(source.directory)  # until the whole snapshot is finished
            paths = [path for path in paths if not is_row_file(path)]
        paths = [path for path in paths if path != _SNAPSHOTS]
        search = source.tracked and (
            source.directory not in self._searched or source.directory in self._has_pending_rows
        )
        failures = 0
        while True:
            try:
                committed = self._commit_once(source, paths, search=search)
            except CommitConflictError as conflict:
                failures += 1
                self.conflicts += 1
                if failures == ATTEMPTS:
                    raise LakehouseError(
                        f"{self._target.label}: somebody else committed {ATTEMPTS} times while this commit was"
                        f" prepared, the last time: {conflict}. Stop other writers for a while, or commit less often"
                        " (every=)"
                    ) from conflict
                self._sleep(pause(failures, self._jitter()))
                continue
            if committed is not None:
                yield committed
            if committed is None or committed.files < FILES_AT_ONCE:
                break
        self._searched.add(source.directory)

    def _commit_once(self, source: Source, paths: list[str], *, search: bool) -> Committed | None:
        """Commit the next batch. Return None if everything is committed."""
        output = self._outputs.setdefault(source.directory, open_output(source.directory))
        table = self._target.load()
        name = output_id(output) if source.tracked or paths else ""
        if not name:
            return None
        journal = self._journals.setdefault((source.directory, table.id), Journal(output, table.id))
        known = journal.committed(table.number_of(name))
        missing = {path for path in paths if path not in known}
        if search:
            found = finished_files(output, known)
            missing.update(found)
            if any(map(is_row_file, found)):
                self._has_pending_rows.discard(source.directory)
        if not missing:
            return None
        batch = journal.write(sorted(missing)[:FILES_AT_ONCE])
        try:
            committed = table.add(batch.files, source.directory, name, batch.number)
        except CommitConflictError:
            journal.discard(batch)
            raise
        journal.settle(batch)
        return committed


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def pause(failures: int, jitter: float) -> float:
    """Return how many seconds to wait after this many conflicts. `jitter` is between 0 and 1."""
    return min(LONGEST_PAUSE, 0.05 * float(2**failures)) * (0.5 + jitter)


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
        self._note = f"{directory.rstrip('/')}/{_SNAPSHOTS}"

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
