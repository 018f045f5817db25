"""`CommitToDelta`: finished Parquet files into a Delta table, each once."""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_dynamodb_streams.display import counted
from beam_dynamodb_streams.durations import Duration
from beam_dynamodb_streams.errors import ConnectorError, InvalidOptionError, LakehouseError
from beam_dynamodb_streams.lakehouse.columns import compare, odd_names
from beam_dynamodb_streams.lakehouse.commit import CommitFiles
from beam_dynamodb_streams.lakehouse.committer import CommitConflictError, Committed
from beam_dynamodb_streams.lakehouse.extras import require, said
from beam_dynamodb_streams.lakehouse.finished import Source
from beam_dynamodb_streams.lakehouse.journal import NOTHING
from beam_dynamodb_streams.sinks.batches import Partitions
from beam_dynamodb_streams.sinks.directory import is_local, output_directory
from beam_dynamodb_streams.sinks.output import open_output, write_whole

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction

REFUSED: Final = " ,;{}()\n\t="
"""The characters that Delta allows in no name of a column."""
_COLUMNS_OF: Final = {
    None: (),
    "date": (pa.field("date", pa.date32()),),
    "hour": (pa.field("date", pa.date32()), pa.field("hour", pa.int32())),
}
_DATE: Final = re.compile(r"(?:^|/)date=(\d{4}-\d\d-\d\d)/")
_HOUR: Final = re.compile(r"/hour=(\d+)/")


class CommitToDelta(CommitFiles):
    """Adds the files of `WriteChangesToParquet` to a Delta table, each file once.

    ```python
    sink = WriteChangesToParquet("out/", window=60, partitions="hour")
    with sink.resume() as start, beam.Pipeline() as pipeline:
        pipeline | ReadFromDynamoDBStreams("orders", start=start) | sink | CommitToDelta()
    ```

    It returns a PCollection of `Committed`, one for each commit, and promises what `CommitToIceberg` does. By default
    the table is the output directory itself. The sink's `partitions=` become the columns `date`, and `hour`, of the
    table.

    Needs `pip install '.[delta]'`.

    Args:
        path: The table. A Delta table can name only files below itself, so a table in another directory than the sink's
            gets a link to each file on a local disk, and a copy elsewhere.
        properties: Properties of a new table, such as `{"delta.logRetentionDuration": "interval 7 days"}`.
        storage_options: What deltalake needs to reach the table, such as `{"AWS_REGION": "eu-central-1"}`.
        every: A timedelta, or seconds: files whose windows end within this length are committed together. By default
            each window of the sink is a commit.

    Raises:
        InvalidOptionError: For an invalid option, without deltalake, and when applied: for a table whose columns or
            partitions contradict those of the files, for a column whose name Delta does not allow, or if no
            `WriteChangesToParquet` is before it.
        LakehouseError: On the worker, if the table cannot be created or committed to.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        properties: Mapping[str, str] | None = None,
        storage_options: Mapping[str, str] | None = None,
        every: Duration | None = None,
    ) -> None:
        super().__init__(every)
        require("delta", "CommitToDelta")
        self._path = None if path is None else output_directory(path)
        self._properties = dict(properties or {})
        self._storage_options = dict(storage_options or {})

    def target(self, source: Source) -> DeltaTarget:
        check_names(source.columns)
        path = source.directory if self._path is None else self._path
        target = DeltaTarget(path, source.columns, source.partitions, self._properties, self._storage_options)
        target.check()
        return target

    def display_data(self) -> dict[str, Any]:
        return {} if self._path is None else {"path": self._path}


def check_names(columns: pa.Schema) -> None:
    """Raise `InvalidOptionError` for a column whose name Delta does not allow."""
    odd = odd_names(columns, REFUSED)
    if odd:
        raise InvalidOptionError(
            f"Delta allows no space and none of ,;{{}}()= in the name of a column, as in {odd[0]!r}: give the schema"
            ' rename="safe" (--rename safe), or another name for this one'
        )


@dataclass(frozen=True, slots=True)
class DeltaTarget:
    """A Delta table to commit to."""

    path: str
    columns: pa.Schema
    partitions: Partitions | None
    properties: dict[str, str]
    storage_options: dict[str, str]

    @property
    def label(self) -> str:
        return f"the Delta table {self.path}"

    def summary(self) -> str:
        table = self.load().table
        files = counted(len(table.file_uris()), "file")
        return f"{self.label} has {counted(table.count(), 'row')} in {files}, at version {table.version()}"

    def check(self) -> None:
        """Raise `InvalidOptionError` if the table contradicts the files."""
        table = self._open()
        if table is not None:
            self._compared(table)

    def columns_held(self) -> list[str] | None:
        """Return the names of the table's columns; None if there is no table."""
        table = self._open()
        return None if table is None else [column.name for column in table.schema().fields]

    def load(self) -> LoadedDeltaTable:
        from deltalake.exceptions import CommitFailedError

        try:
            table = self._open() or self._create()
            if added := self._compared(table):
                from deltalake import Schema

                names = {name.partition(".")[0].partition("[")[0].partition("{")[0] for name in added}
                lacking = [column.with_nullable(True) for column in self.columns if column.name in names]
                table.alter.add_columns(list(Schema.from_arrow(pa.schema(lacking)).fields))
                table.update_incremental()
        except CommitFailedError as error:
            raise CommitConflictError(said(error)) from error
        except ConnectorError:
            raise
        except Exception as error:  # deltalake raises what its storage raises
            raise LakehouseError(
                f"{self.label} cannot be loaded, created or given its columns ({said(error)}): check the path and its"
                " permissions, and run the same again"
            ) from error
        return LoadedDeltaTable(table, self)

    def close(self) -> None:
        return

    def _open(self) -> DeltaTable | None:
        return open_table(self.path, self.storage_options)

    def _create(self) -> DeltaTable:
        from deltalake import DeltaTable

        partitions = _COLUMNS_OF[self.partitions]
        if is_local(self.path):
            os.makedirs(self.path, exist_ok=True)
        return DeltaTable.create(
            self.path,
            pa.schema([*self.columns, *partitions]),
            mode="ignore",
            partition_by=[column.name for column in partitions],
            configuration=self.properties or None,
            storage_options=self.storage_options or None,
        )

    def _compared(self, table: DeltaTable) -> list[str]:
        """Return the columns that the table lacks. Raises InvalidOptionError if it contradicts the files."""
        partitions = [column.name for column in _COLUMNS_OF[self.partitions]]
        held = table.metadata().partition_columns
        if held != partitions:
            raise InvalidOptionError(
                f"{self.label} exists with the partitions {held}, and the files have {partitions}: use the partitions="
                " of the table in WriteChangesToParquet, or another table"
            )
        found = compare(pa.schema(table.schema().to_arrow()), pa.schema([*self.columns, *_COLUMNS_OF[self.partitions]]))
        if found.conflicts:
            raise InvalidOptionError(
                f"{self.label} exists with other columns: {'; '.join(found.conflicts)}. Use another table, or a schema"
                " with the table's types (rename= of the schema gives a column another name)"
            )
        return found.added


def open_table(path: str, storage_options: Mapping[str, str]) -> DeltaTable | None:
    """Return the Delta table at a path; None if there is none."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    if is_local(path) and not os.path.isdir(os.path.join(path, "_delta_log")):
        return None
    try:
        return DeltaTable(path, storage_options=dict(storage_options) or None)
    except TableNotFoundError:
        return None
    except Exception as error:  # deltalake raises what its storage raises
        raise LakehouseError(f"the Delta table {path} cannot be loaded ({said(error)})") from error


@dataclass(frozen=True, slots=True)
class LoadedDeltaTable:
    table: DeltaTable
    target: DeltaTarget

    @property
    def id(self) -> str:
        return f"delta-{self.table.metadata().id}"

    def number_of(self, output: str) -> int:
        found = self.table.transaction_version(output)
        return NOTHING if found is None else found

    def add(self, files: Sequence[str], directory: str, output: str, number: int) -> Committed:
        from deltalake import CommitProperties, Transaction
        from deltalake.exceptions import CommitFailedError

        target = self.target
        try:
            for file in files:
                _place(file, directory, target.path)
            added = [_action(file, directory, target.partitions) for file in files]
            self.table.create_write_transaction(
                [action for action, _ in added],
                "append",
                self.table.schema(),
                partition_by=[column.name for column in _COLUMNS_OF[target.partitions]],
                # Without retries: what deltalake takes for a conflict is its own affair, and it accepts a number that
                # was committed already.
                commit_properties=CommitProperties(
                    app_transactions=[Transaction(output, number)], max_commit_retries=0
                ),
            )
        except CommitFailedError as error:
            raise CommitConflictError(said(error)) from error
        except Exception as error:  # deltalake raises what its storage raises
            raise LakehouseError(
                f"{target.label}: the commit of {counted(len(files), 'file')} failed ({said(error)}): run the same"
                " again, and what is not committed is committed then"
            ) from error
        return Committed(target.path, self.table.version() + 1, len(files), sum(rows for _, rows in added))


def _action(file: str, directory: str, partitions: Partitions | None) -> tuple[AddAction, int]:
    """Return what adds a file to a table, and its number of rows."""
    from deltalake.transaction import AddAction

    place = f"{directory.rstrip('/')}/{file}"
    if is_local(directory):
        footer, size = pq.read_metadata(place), os.path.getsize(place)
        modified = os.path.getmtime(place)
    else:
        with FileSystems.open(place, compression_type=CompressionTypes.UNCOMPRESSED) as handle:
            footer = pq.read_metadata(handle)
        found = FileSystems.get_filesystem(place).metadata(place)
        size, modified = found.size_in_bytes, found.last_updated_in_seconds
    values: dict[str, str | None] = {}
    if partitions is not None:
        date, hour = _DATE.search(file), _HOUR.search(file)
        values["date"] = date[1] if date else None
        if partitions == "hour":
            values["hour"] = str(int(hour[1])) if hour else None
    action = AddAction(
        path=file,
        size=size,
        partition_values=values,
        modification_time=int(modified * 1000),
        data_change=True,
        # Minima and maxima of some columns and not of others make deltalake's pyarrow dataset (1.6) filter rows away.
        stats=json.dumps({"numRecords": footer.num_rows}),
    )
    return action, int(footer.num_rows)


def _place(file: str, directory: str, table: str) -> None:
    """Put a file below the table, under its own name, unless it is there."""
    if directory.rstrip("/") == table.rstrip("/"):
        return
    if is_local(directory) and is_local(table):
        source, place = os.path.join(directory, *file.split("/")), os.path.join(table, *file.split("/"))
        if os.path.abspath(source) == os.path.abspath(place) or os.path.exists(place):
            return
        os.makedirs(os.path.dirname(place), exist_ok=True)
        temporary = f"{place}.{uuid.uuid4().hex}"
        try:
            with suppress(FileExistsError):
                os.link(source, place)
        except OSError:  # another disk, or one without links
            shutil.copyfile(source, temporary)
            os.replace(temporary, place)
        return
    write_whole(open_output(table), file, open_output(directory).read(file))
