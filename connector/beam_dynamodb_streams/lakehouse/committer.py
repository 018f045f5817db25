"""Committing finished files to a table, each once: what Iceberg and Delta share. No Beam's steps.

A commit is a compare-and-swap of the table: it adds files and the number of their batch at once (`lakehouse.journal`),
or fails because somebody else committed meanwhile. Then the table is loaded again, and what is missing is worked out
again.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from beam_dynamodb_streams.beam.coders import register_row
from beam_dynamodb_streams.errors import InvalidOptionError, LakehouseError
from beam_dynamodb_streams.lakehouse.finished import Source, finished_files
from beam_dynamodb_streams.lakehouse.journal import Journal, output_id
from beam_dynamodb_streams.sinks.output import Output, open_output
from beam_dynamodb_streams.sinks.snapshots import FOLDER, is_row_file

FILES_AT_ONCE: Final = 5_000
"""The most files of one commit."""
ATTEMPTS: Final = 12
LONGEST_PAUSE: Final = 10.0
"""Seconds."""
SNAPSHOTS: Final = f"{FOLDER}/"
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
        if source.tracked and any(is_row_file(path) or path == SNAPSHOTS for path in paths):
            self._has_pending_rows.add(source.directory)  # until the whole snapshot is finished
            paths = [path for path in paths if not is_row_file(path)]
        paths = [path for path in paths if path != SNAPSHOTS]
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


def pause(failures: int, jitter: float) -> float:
    """Return how many seconds to wait after this many conflicts. `jitter` is between 0 and 1."""
    return min(LONGEST_PAUSE, 0.05 * float(2**failures)) * (0.5 + jitter)
