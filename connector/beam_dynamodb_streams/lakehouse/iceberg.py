"""`CommitToIceberg`: finished Parquet files into an Iceberg table, each once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import pyarrow as pa

from beam_dynamodb_streams.display import counted
from beam_dynamodb_streams.durations import Duration
from beam_dynamodb_streams.errors import ConnectorError, InvalidOptionError, LakehouseError
from beam_dynamodb_streams.lakehouse.catalogs import CatalogSpec, open_catalog, portable_catalog
from beam_dynamodb_streams.lakehouse.columns import ambiguous_names, compare
from beam_dynamodb_streams.lakehouse.commit import CommitFiles
from beam_dynamodb_streams.lakehouse.committer import CommitConflictError, Committed
from beam_dynamodb_streams.lakehouse.extras import require, said
from beam_dynamodb_streams.lakehouse.finished import Source
from beam_dynamodb_streams.lakehouse.journal import NOTHING
from beam_dynamodb_streams.sinks.batches import PARTITIONS
from beam_dynamodb_streams.sinks.directory import is_local

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

BATCH: Final = "dynamodb-streams.batch."
"""The beginning of the table property that has the number of the last batch of an output; the output's id follows."""
_TIME: Final = "approximate_creation_time"
_INFERRED: Final = "inferred"
_TOTALS: Final = (("record", "row"), ("data-file", "file"))


class CommitToIceberg(CommitFiles):
    """Adds the files of `WriteChangesToParquet` to an Iceberg table, each file once, without copying them.

    ```python
    sink = WriteChangesToParquet("out/", window=60, partitions="hour")
    with sink.resume() as start, beam.Pipeline() as pipeline:
        changes = pipeline | ReadFromDynamoDBStreams("orders", start=start)
        lake = {"uri": "sqlite:///lake.db", "warehouse": "lake"}
        changes | sink | CommitToIceberg(catalog=lake, table="db.orders")
    ```

    It returns a PCollection of `Committed`, one for each commit. With `resume`, each change is in the table once,
    however often the pipeline is killed and started again. Without it, each file is added once, and what the runner
    repeats in other files is repeated. A table that does not exist is created, with its namespace; columns that it
    lacks are added. Files without changes do not exist, so an empty window makes no commit.

    Needs `pip install '.[iceberg]'`.

    Args:
        catalog: The name of a catalog in pyiceberg's own configuration; its properties, as in
            `{"uri": "sqlite:///lake.db", "warehouse": "lake"}`; a `Catalog`; or a function without arguments that
            returns one. It is loaded on the worker.
        table: The table, with its namespace: "db.orders".
        partitions: "date" or "hour": a new table is partitioned by the day or the hour of the creation time. By default
            as the sink's `partitions=`, whose files fit. None: it has no partitions.
        properties: Properties of a new table, such as `{"write.target-file-size-bytes": "134217728"}`.
        location: Where the metadata of a new table is. By default the catalog decides.
        every: A timedelta, or seconds: files whose windows end within this length are committed together. By default
            each window of the sink is a commit.

    Raises:
        InvalidOptionError: For an invalid option, without pyiceberg, and when applied: for a catalog that cannot be
            loaded, for a table whose columns contradict those of the files, or if no `WriteChangesToParquet` is before
            it.
        LakehouseError: On the worker, if the table cannot be created or committed to.
    """

    def __init__(
        self,
        catalog: CatalogSpec,
        table: str | tuple[str, ...],
        *,
        partitions: Literal["inferred", "date", "hour"] | None = "inferred",
        properties: Mapping[str, str] | None = None,
        location: str | None = None,
        every: Duration | None = None,
    ) -> None:
        super().__init__(every)
        require("iceberg", "CommitToIceberg")
        self._catalog = portable_catalog(catalog)
        self._table = _identifier(table)
        if partitions not in (None, _INFERRED, *PARTITIONS):
            raise InvalidOptionError(
                f'partitions={partitions!r} is unknown: use "date", "hour" or None, or leave it out'
            )
        self._partitions = partitions
        self._properties = dict(properties or {})
        self._location = location

    def target(self, source: Source) -> IcebergTarget:
        if twice := ambiguous_names(source.columns):
            raise InvalidOptionError(
                f"Iceberg separates levels with a dot, so {twice[0]!r} would name two columns: give the schema"
                ' rename="safe" (--rename safe), or another name for one of them'
            )
        partitions = source.partitions if self._partitions == _INFERRED else self._partitions
        if partitions is not None and source.partitions not in (partitions, "hour"):
            raise InvalidOptionError(
                f"partitions={partitions!r} needs files of one partition each: use"
                f" WriteChangesToParquet(partitions={partitions!r})"
            )
        target = IcebergTarget(self._catalog, self._table, source.columns, partitions, self._properties, self._location)
        try:
            target.check()
        finally:
            target.close()
        return target

    def display_data(self) -> dict[str, Any]:
        return {"table": ".".join(self._table)}


@dataclass(slots=True)
class IcebergTarget:
    """An Iceberg table to commit to. `catalog`: as `portable_catalog` returns it."""

    catalog: str | dict[str, str] | Callable[[], Catalog]
    identifier: tuple[str, ...]
    columns: pa.Schema
    partitions: str | None
    properties: dict[str, str]
    location: str | None
    _loaded: Catalog | None = field(default=None, init=False, repr=False)

    def __getstate__(self) -> tuple[Any, ...]:
        names = ("catalog", "identifier", "columns", "partitions", "properties", "location")
        return tuple(getattr(self, name) for name in names)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.__init__(*state)  # type: ignore[misc]  # what it loaded stays where it was

    @property
    def label(self) -> str:
        return f"the Iceberg table {'.'.join(self.identifier)}"

    def summary(self) -> str:
        table = self.load().table
        snapshot = table.current_snapshot()
        held = None if snapshot is None else snapshot.summary
        if held is None:
            return f"{self.label} has no rows"
        rows, files = (counted(int(held[f"total-{name}s"] or 0), noun) for name, noun in _TOTALS)
        return f"{self.label} has {rows} in {files}"

    def check(self) -> None:
        """Raise `InvalidOptionError` if the catalog cannot be loaded, or if the table contradicts the files."""
        from pyiceberg.exceptions import NoSuchTableError

        try:
            table = self._open_catalog().load_table(self.identifier)
        except NoSuchTableError:
            return
        except ConnectorError:
            raise
        except Exception as error:  # each catalog raises what its client raises
            raise InvalidOptionError(f"{self.label} cannot be loaded ({said(error)})") from error
        self._compared(table)

    def load(self) -> LoadedIcebergTable:
        from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, TableAlreadyExistsError

        try:
            catalog = self._open_catalog()
            try:
                table = catalog.load_table(self.identifier)
            except NoSuchTableError:
                try:
                    table = self._create(catalog)
                except TableAlreadyExistsError:
                    table = catalog.load_table(self.identifier)
            if self._compared(table):
                with table.update_schema() as update:
                    update.union_by_name(_nullable_at_the_top(self.columns))
        except CommitFailedException as error:
            raise CommitConflictError(str(error)) from error
        except ConnectorError:
            raise
        except Exception as error:  # each catalog raises what its client raises
            raise LakehouseError(
                f"{self.label} cannot be loaded, created or given its columns ({said(error)}): check the catalog and"
                " its permissions, and run the same again"
            ) from error
        return LoadedIcebergTable(table, self.label)

    def close(self) -> None:
        if self._loaded is not None:
            self._loaded.close()
            self._loaded = None

    def _open_catalog(self) -> Catalog:
        if self._loaded is None:
            self._loaded = open_catalog(self.catalog)
        return self._loaded

    def _compared(self, table: Table) -> list[str]:
        """Return the columns that the table lacks. Raises InvalidOptionError if it contradicts the files."""
        found = compare(table.schema().as_arrow(), self.columns, widens_decimals=True)
        if found.conflicts:
            raise InvalidOptionError(
                f"{self.label} exists with other columns: {'; '.join(found.conflicts)}. Use another table, or a schema"
                " with the table's types (rename= of the schema gives a column another name)"
            )
        return found.added

    def _create(self, catalog: Catalog) -> Table:
        from pyiceberg.transforms import DayTransform, HourTransform

        catalog.create_namespace_if_not_exists(self.identifier[:-1])
        creation = catalog.create_table_transaction(
            self.identifier, self.columns, location=self.location, properties=self.properties
        )
        with creation as transaction:
            if self.partitions is not None:
                with transaction.update_spec() as spec:
                    kind = DayTransform if self.partitions == "date" else HourTransform
                    spec.add_field(_TIME, kind(), self.partitions)
        return catalog.load_table(self.identifier)


@dataclass(frozen=True, slots=True)
class LoadedIcebergTable:
    table: Table
    label: str

    @property
    def id(self) -> str:
        return f"iceberg-{self.table.metadata.table_uuid}"

    def number_of(self, output: str) -> int:
        return int(self.table.properties.get(f"{BATCH}{output}", NOTHING))

    def add(self, files: Sequence[str], directory: str, output: str, number: int) -> Committed:
        from pyiceberg.exceptions import CommitFailedException
        from pyiceberg.table import TableProperties

        # pyiceberg would add the files again to whatever was committed meanwhile, and our number would be lost or win
        # by chance. The property is only in this process: a commit sends changes, not the metadata.
        table = self.table
        no_retries = {**table.metadata.properties, TableProperties.COMMIT_NUM_RETRIES: "0"}
        table.metadata = table.metadata.model_copy(update={"properties": no_retries})
        places = [_location_of(directory, file) for file in files]
        try:
            with table.transaction() as transaction:
                transaction.set_properties({f"{BATCH}{output}": str(number)})
                transaction.add_files(places, check_duplicate_files=False)
        except CommitFailedException as error:
            raise CommitConflictError(str(error)) from error
        except Exception as error:  # each catalog and filesystem raises what its client raises
            fix = "run the same again: what is not committed is committed then"
            if "partition value" in str(error):
                fix = "give WriteChangesToParquet the partitions= of the table, or use a table without partitions"
            raise LakehouseError(
                f"{self.label}: the commit of {counted(len(files), 'file')} failed ({said(error)}): {fix}"
            ) from error
        snapshot = table.current_snapshot()
        assert snapshot is not None  # noqa: S101 - it was just made
        rows = 0 if snapshot.summary is None else int(snapshot.summary["added-records"] or 0)
        return Committed(".".join(table.name()), snapshot.snapshot_id, len(files), rows)


def _identifier(table: object) -> tuple[str, ...]:
    parts = tuple(table.split(".")) if isinstance(table, str) else table
    if not isinstance(parts, tuple) or len(parts) < 2 or not all(isinstance(part, str) and part for part in parts):
        raise InvalidOptionError(f"table={table!r} names no table in a namespace: use 'namespace.table'")
    return parts


def _location_of(directory: str, file: str) -> str:
    path = f"{directory.rstrip('/')}/{file}"
    if not is_local(directory):
        return path
    absolute = os.path.abspath(path)
    # In a URI these characters have a meaning, and a plain path is taken as it is.
    return absolute if os.sep != "/" or set("#?%") & set(absolute) else f"file://{absolute}"


def _nullable_at_the_top(columns: pa.Schema) -> pa.Schema:
    """Return the columns as they can be added to a table with rows: none of them is required."""
    return pa.schema([column.with_nullable(True) for column in columns])
