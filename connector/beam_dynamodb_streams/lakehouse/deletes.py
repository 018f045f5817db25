"""The keys that were deleted from a mirror, with the versions of their deletes.

The mirror has no row of a deleted item. So nothing there says that an older change of the item, which arrives later, is
older: it would bring the item back (trap 46). Deletes are kept in `_mirror/<table>/<number>.parquet` of the table's
directory, as batches that form a chain, and the commit that merges changes stores the number of the last batch in the
table (a transaction of the app `dynamodb-streams.mirror`). `lakehouse.journal` does the same for files.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.lakehouse.journal import NOTHING, next_number
from beam_dynamodb_streams.lakehouse.mirror_rows import CHANGED, DELETED, KEY, VERSION
from beam_dynamodb_streams.sinks.output import Output, write_whole

FOLDER: Final = "_mirror"
APP: Final = "dynamodb-streams.mirror"
_COLUMNS: Final = pa.schema([(KEY, pa.string()), (VERSION, pa.string()), (CHANGED, pa.timestamp("us", tz="UTC"))])
_METADATA: Final = b"dynamodb-streams"
_FOLDED_AT: Final = 256
_MICROS: Final = 1_000_000


class Deletes:
    """The deletes of one mirror.

    Args:
        output: The directory of the table.
        table: A name for the table that no other table has.
        seconds: How long a delete is remembered, by the creation time of the newest one.
        now: The wall clock: a delete that is dated in the future makes no other one old.
    """

    def __init__(self, output: Output, table: str, seconds: float, *, now: Callable[[], float] = time.time) -> None:
        self._output = output
        self._folder = f"{FOLDER}/{table}/"
        self._seconds = seconds
        self._now = now
        self._number = NOTHING
        self._known = _COLUMNS.empty_table()

    def load(self, number: int) -> None:
        """Make sure that the deletes up to this number are known, and no others.

        Raises:
            ConnectorError: Batches are missing or damaged.
        """
        if number == self._number:
            return
        found: list[pa.Table] = []
        reached, on_chain = number, []
        while reached != NOTHING:
            on_chain.append(reached)
            deletes, reached = self._read(reached)
            found.append(deletes)
        self._known = self._joined([_COLUMNS.empty_table(), *found])
        self._number = number
        if len(on_chain) > _FOLDED_AT:
            self._write(number, NOTHING, self._known)
            self._output.delete(map(self._path, on_chain[1:]))

    def newer_than_deletes(self, rows: pa.Table) -> pa.Table:
        """Return the rows that are newer than the delete of their key that is remembered, if any."""
        places = pc.index_in(rows[KEY], value_set=self._known[KEY])
        deleted = self._known[VERSION].take(places)
        return rows.filter(pc.fill_null(pc.greater(rows[VERSION], deleted), True))

    def write(self, rows: pa.Table) -> int:
        """Write the deletes among the rows, and return the number of their batch; the present one if there are none.

        They count once the table names the number.
        """
        deletes = _deletes_of(rows)
        if not len(deletes):
            return self._number
        number = next_number(self._number)
        self._write(number, self._number, deletes)
        return number

    def settle(self, number: int, rows: pa.Table) -> None:
        """Note that the table names this number now."""
        if number != self._number:
            self._known = self._joined([self._known, _deletes_of(rows)])
            self._number = number

    def discard(self, number: int) -> None:
        """Remove a batch that was not committed."""
        if number != self._number:
            self._output.delete([self._path(number)])

    @property
    def number(self) -> int:
        return self._number

    def _path(self, number: int) -> str:
        return f"{self._folder}{number:019d}.parquet"

    def _joined(self, tables: list[pa.Table]) -> pa.Table:
        every = pa.concat_tables(tables)
        found = every.group_by(KEY, use_threads=False).aggregate([(VERSION, "max"), (CHANGED, "max")])
        named = pa.table([found[KEY], found[f"{VERSION}_max"], found[f"{CHANGED}_max"]], schema=_COLUMNS)
        if not len(named):
            return named
        newest = min(pc.max(named[CHANGED].cast(pa.int64())).as_py(), int(self._now() * _MICROS))
        oldest = pa.scalar(newest - int(self._seconds * _MICROS), pa.timestamp("us", tz="UTC"))
        return named.filter(pc.greater_equal(named[CHANGED], oldest)).combine_chunks()

    def _write(self, number: int, after: int, deletes: pa.Table) -> None:
        sink = io.BytesIO()
        metadata = {_METADATA: json.dumps({"version": 1, "after": after}).encode()}
        pq.write_table(deletes.replace_schema_metadata(metadata), sink, compression="zstd")
        write_whole(self._output, self._path(number), sink.getvalue())

    def _read(self, number: int) -> tuple[pa.Table, int]:
        path = self._path(number)
        try:
            found = pq.read_table(io.BytesIO(self._output.read(path)))
            stored = json.loads(found.schema.metadata[_METADATA])
            if stored["version"] == 1:
                return found.replace_schema_metadata(None).cast(_COLUMNS), int(stored["after"])
            reason = f"it has version {stored['version']!r}"
        except (ConnectorError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
            reason = f"{error!r:.200}"
        raise ConnectorError(
            f"{self._output.directory}/{path} is missing or damaged ({reason}), and the table names it: an older change"
            f" could bring a deleted item back. Restore {FOLDER} from a copy, or mirror the table into a new directory"
        )


def _deletes_of(rows: pa.Table) -> pa.Table:
    return rows.filter(rows[DELETED]).select([KEY, VERSION, CHANGED]).cast(_COLUMNS)
