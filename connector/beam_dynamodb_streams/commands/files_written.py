"""What a run of an export added to its output, counted from the manifests that it wrote, however the run ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from beam_dynamodb_streams.display import counted
from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.lakehouse.commit import CommitFiles
from beam_dynamodb_streams.sinks.leftovers import load_manifests
from beam_dynamodb_streams.sinks.manifest import FOLDER
from beam_dynamodb_streams.sinks.output import open_output
from beam_dynamodb_streams.sinks.snapshots import FOLDER as SNAPSHOTS
from beam_dynamodb_streams.sinks.snapshots import snapshot_rows
from beam_dynamodb_streams.source.live_status import Watch, watching

_INTERRUPTED: Final = (128 + 2, 128 + 15)


class Written:
    """What a run writes, from the moment at which this is made.

    Args:
        directory: the output.
        dead_letters: where dead letters go; None where the first one ends the run.
        noun: what one row is, in the singular.
        resumed: whether the run continues an earlier one.
        losses: whether losses are reported rather than ending the run.
        tables: the steps that commit the files to tables.
    """

    def __init__(
        self,
        directory: str,
        dead_letters: str | None,
        *,
        noun: str,
        resumed: bool,
        losses: bool,
        tables: Sequence[CommitFiles] = (),
    ) -> None:
        self._directory = directory
        self._dead_letters = dead_letters
        self._noun = noun
        self._resumed = resumed
        self._losses = losses
        self._tables = tables
        self._manifests = _manifests_in(directory)
        self._letters = _letters_in(dead_letters)

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Report what the run wrote at the end of the body, on stdout, also if it is interrupted or fails."""
        with watching() as watch:
            try:
                yield
            except BaseException as ended:
                interrupted = isinstance(ended, SystemExit) and ended.code in _INTERRUPTED
                if interrupted:
                    self._wait_for_workers()
                with suppress(ConnectorError, OSError):  # of an output that cannot be read; `ended` says why
                    lines = self.lines(watch)
                    if interrupted or lines[0] != self._nothing:
                        print("\n".join(lines), flush=True)
                if interrupted:
                    print("interrupted: the same command resumes where the files end", file=sys.stderr)
                raise
            print("\n".join(self.lines(watch)))

    def lines(self, watch: Watch) -> list[str]:
        """Return files and rows, dead letters and losses where there can be any, and each table, in a line each."""
        said = []
        if self._dead_letters is not None:
            letters = _letters_in(self._dead_letters)
            count = sum(open_output(self._dead_letters).read(name).count(b"\n") for name in letters - self._letters)
            said.append(f"{counted(count, 'dead letter')} in {self._dead_letters}" if count else "no dead letters")
        losses = {loss for read in watch.look() for loss in read.losses}
        if losses or self._losses:
            said.append(f"{counted(len(losses), 'loss', 'losses')} of changes" if losses else "no losses")
        return [self._files(), *([", ".join(said)] if said else []), *(table.summary() for table in self._tables)]

    def _wait_for_workers(self) -> None:
        """Wait until the bundles under way write nothing more: they may end files after a signal."""
        with suppress(ConnectorError, OSError):  # see `reported`
            deadline, before = time.monotonic() + 5.0, None
            while before != (before := _manifests_in(self._directory)) and time.monotonic() < deadline:
                time.sleep(0.4)

    @property
    def _nothing(self) -> str:
        changes = "no changes since the last run" if self._resumed else "no changes"
        return f"{changes}: nothing written to {self._directory}"

    def _files(self) -> str:
        output = open_output(self._directory)
        new = sorted(_manifests_in(self._directory).difference(self._manifests))
        snapshot = snapshot_rows(output, new)
        manifests = load_manifests(output, [name for name in new if name.startswith(FOLDER)])
        files = [file for manifest in manifests for file in manifest.files]
        changes = f"{counted(sum(file.rows for file in files), self._noun)} in {counted(len(files), 'new file')}"
        if snapshot is not None:
            items = counted(snapshot, "item")
            return f"{items} of the table, and {changes if files else 'no changes'}, in {self._directory}"
        return f"{changes} in {self._directory}" if files else self._nothing


def _manifests_in(directory: str) -> frozenset[str]:
    output = open_output(directory)
    return frozenset([*output.list(f"{FOLDER}/"), *output.list(f"{SNAPSHOTS}/")])


def _letters_in(directory: str | None) -> frozenset[str]:
    return frozenset() if directory is None else frozenset(open_output(directory).list("dead-letters-"))
