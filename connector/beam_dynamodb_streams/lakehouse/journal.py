"""Which files of an output a table already has: a chain of batches beside the files, whose end the table names.

`_commits/output.json` gives the output an id. `_commits/<table>/<number>.json` is a batch: the paths of its files, and
the number of the batch before it. A batch is written before its files are committed. The commit that adds the files
to the table also stores the number of their batch there, under the output's id, and it succeeds only if nothing else
was committed meanwhile. So the table alone decides which batches count: those on the chain that ends at its number. A
batch that was written and not committed, by a run that was killed or that lost a race, is on no chain.

What the table lists at present is not asked. A compaction, a delete or an expiry replaces files, and a file that is no
longer listed was committed all the same (trap 43).
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.sinks.output import Output, write_whole

VERSION: Final = 1
FOLDER: Final = "_commits"
OUTPUT: Final = f"{FOLDER}/output.json"
NOTHING: Final = 0
"""The number in a table that has no batch of an output."""
_BITS: Final = 31
_FOLDED_AT: Final = 256
"""A chain of more batches is replaced by one, when it is read."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that were committed together. `after` is the number of the batch before them.

    A batch that is `folded` has the files of all batches before it, too.
    """

    number: int
    after: int
    files: tuple[str, ...]
    folded: bool = False

    def to_json(self) -> bytes:
        stored = {"version": VERSION, "after": self.after, "folded": self.folded, "files": list(self.files)}
        return json.dumps(stored, separators=(",", ":")).encode()


def next_number(after: int, draw: Callable[[int], int] = random.getrandbits) -> int:
    """Return a number for the batch after another one: greater than its number, and nobody else draws the same."""
    return ((after >> _BITS) + 1) << _BITS | draw(_BITS)


def output_id(output: Output) -> str:
    """Return the id of an output, and give it one if it has none."""
    if OUTPUT in output.list(OUTPUT):
        stored = _load(output, OUTPUT)
        return str(stored["id"])
    found = uuid.uuid4().hex
    write_whole(output, OUTPUT, json.dumps({"version": VERSION, "id": found}).encode())
    return found


class Journal:
    """The batches of one output in one table.

    Args:
        output: The output.
        table: A name for the table that no other table has, not even one that is created again in its place.
    """

    def __init__(self, output: Output, table: str) -> None:
        self._output = output
        self._table = table
        self._number = NOTHING
        self._files: set[str] = set()

    @property
    def number(self) -> int:
        """The last batch that is known to be committed."""
        return self._number

    def committed(self, number: int) -> set[str]:
        """Return the paths of all files that are committed in a table which names this number.

        Raises:
            ConnectorError: Batches are missing or damaged, so it is unknown what is committed.
        """
        if number != self._number:
            self._read(number)
        return self._files

    def write(self, files: Iterable[str]) -> Batch:
        """Write a batch of files after the last committed one. It counts once the table names its number."""
        batch = Batch(next_number(self._number), self._number, tuple(files))
        write_whole(self._output, self._path(batch.number), batch.to_json())
        return batch

    def settle(self, batch: Batch) -> None:
        """Note that the table names this batch now."""
        self._number = batch.number
        self._files.update(batch.files)

    def discard(self, batch: Batch) -> None:
        """Remove a batch that was not committed."""
        self._output.delete([self._path(batch.number)])

    def _path(self, number: int) -> str:
        return f"{FOLDER}/{self._table}/{number:019d}.json"

    def _read(self, number: int) -> None:
        paths = set(self._output.list(f"{FOLDER}/{self._table}/"))
        with ThreadPoolExecutor(16) as pool:
            loaded = list(pool.map(self._batch, sorted(paths)))
        batches = {batch.number: batch for batch in loaded}
        if number == NOTHING and any(batch.after or batch.folded for batch in loaded):
            raise ConnectorError(
                f"{self._output.directory}/{FOLDER}/{self._table} has batches that were committed, and the table does"
                " not know the output any more (its properties or transactions were removed): what it holds is"
                f" unknown, so nothing was committed. Create the table again, or remove {FOLDER} if the table has none"
                " of these files"
            )
        chain: list[Batch] = []
        reached = number
        while reached != NOTHING:
            if reached not in batches:
                raise ConnectorError(
                    f"{self._output.directory}/{self._path(reached)} is missing, and the table names it or a batch"
                    f" after it: what is committed is unknown, so nothing was committed. Restore {FOLDER} from a copy,"
                    " or create the table again"
                )
            chain.append(batches[reached])
            reached = batches[reached].after
        self._files = {path for batch in chain for path in batch.files}
        self._number = number
        if len(chain) > _FOLDED_AT:
            folded = Batch(number, NOTHING, tuple(sorted(self._files)), folded=True)
            write_whole(self._output, self._path(number), folded.to_json())
            self._output.delete(self._path(batch.number) for batch in chain[1:])

    def _batch(self, path: str) -> Batch:
        stored = _load(self._output, path)
        number = int(path.rpartition("/")[2].removesuffix(".json"))
        return Batch(number, int(stored["after"]), tuple(map(str, stored["files"])), bool(stored["folded"]))


def _load(output: Output, path: str) -> Any:
    try:
        stored = json.loads(output.read(path))
        if stored["version"] != VERSION:
            raise ConnectorError(
                f"{path} has version {stored['version']!r}, this release reads {VERSION}: use the release that wrote"
                " it, or a newer one"
            )
        if "id" not in stored:
            int(stored["after"]), list(stored["files"]), bool(stored["folded"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConnectorError(
            f"{output.directory}/{path} is damaged ({error!r:.200}), so it is unknown what is committed: restore it"
            " from a copy, or create the table again"
        ) from error
    return stored
