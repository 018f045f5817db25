"""`MirrorToDelta`: the table as it is now, in a Delta table."""

from __future__ import annotations

import copy
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam import typehints
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import BoundedWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue
from typing_extensions import Self

from beam_dynamodb_streams import metrics
from beam_dynamodb_streams.beam.typed import OwnDoFn, OwnTransform, no_annotations
from beam_dynamodb_streams.columns import Misfit, Schema
from beam_dynamodb_streams.durations import Duration, as_seconds
from beam_dynamodb_streams.errors import InvalidOptionError, LakehouseError
from beam_dynamodb_streams.lakehouse.committer import ATTEMPTS, CommitConflictError, pause
from beam_dynamodb_streams.lakehouse.deletes import APP, Deletes
from beam_dynamodb_streams.lakehouse.delta import DeltaTarget, LoadedDeltaTable, check_names
from beam_dynamodb_streams.lakehouse.extras import require, said
from beam_dynamodb_streams.lakehouse.journal import NOTHING
from beam_dynamodb_streams.lakehouse.mirror_rows import DELETED, KEY, VERSION, MirrorRows, latest
from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.records.snapshot_end import end_batch
from beam_dynamodb_streams.sinks.batches import Chunk, decode_chunk
from beam_dynamodb_streams.sinks.chunks import MISFITS, ChunkByInputWindows, ChunkBySinkWindows, ChunkOptions
from beam_dynamodb_streams.sinks.directory import check_writable, is_local, output_directory
from beam_dynamodb_streams.sinks.output import Output, open_output
from beam_dynamodb_streams.sinks.windows import has_default_windows, sink_windows, window_seconds

MERGED_BYTES: Final = 128 << 20
"""A merge has at most about this many bytes of changes."""
_CHUNKS: Final = "chunks"
_INPUT: Final = typehints.Union[ChangeRecord, pa.RecordBatch]


class MirrorOutputs(NamedTuple):
    """The two outputs of `MirrorToDelta`: the changes that were merged, as record batches, and the `Misfit`s."""

    merged: beam.PCollection
    misfits: beam.PCollection


@beam.typehints.with_input_types(_INPUT)
class MirrorToDelta(OwnTransform):
    """Keeps a Delta table equal to the DynamoDB table: a row for each item, as its last change left it.

    ```python
    changes = pipeline | ReadFromDynamoDBStreams("orders", snapshot="scan").as_batches(schema)
    changes | MirrorToDelta("lake/orders", schema=schema)
    ```

    It takes a PCollection of `ChangeRecord`, or of record batches, bounded or not. The changes of a window are merged
    into the table by key, in one commit, where their `version` is greater. A deleted item has no row. Changes may
    arrive late, repeated and in any order: none takes an item back to an older state, so a run that is killed may begin
    anywhere before the place where it was. Rows of a snapshot are merged too. When a snapshot is complete, items that
    only an older one had are removed, if the changes are record batches.

    It returns the changes that were merged, as record batches, so that `CommitProgress` can follow.

    Columns: with a schema, one for each attribute, and the schema's `other`; without one, `keys` and `image`, as
    DynamoDB JSON. `_version` and `_changed_at` are of the item's last change. A column that a new schema adds is added
    to the table, and null until an item changes. Needs `pip install '.[delta]'`.

    Args:
        path: The directory of the table, on any filesystem that Beam knows. It is created if it does not exist.
        schema: A `Schema` for typed columns. Record batches must have been made with the same schema.
        window: A timedelta, or seconds: changes are merged in fixed windows of that length, by creation time. By
            default in the windows of the input; unbounded input without windows in windows of one minute.
        properties: Properties of a new table, such as `{"delta.logRetentionDuration": "interval 7 days"}`.
        storage_options: What deltalake needs to reach the table, such as `{"AWS_REGION": "eu-central-1"}`.
        remember_deletes: How long a delete keeps older changes of its item away. The stream keeps changes for 24 hours.

    Raises:
        InvalidOptionError: For an invalid option, without deltalake, and when applied: for a directory that cannot be
            written, and for a Delta table that is not a mirror or whose columns contradict the schema.
        LakehouseError: On the worker, if the table cannot be created or merged into, or if a change has no new image.
        ElementTypeError, MisfitError: As `WriteChangesToParquet` raises them.
    """

    needs_new_images = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        schema: Schema | None = None,
        window: Duration | None = None,
        properties: Mapping[str, str] | None = None,
        storage_options: Mapping[str, str] | None = None,
        remember_deletes: Duration = timedelta(hours=26),
    ) -> None:
        super().__init__()
        require("delta", "MirrorToDelta")
        if schema is not None and not isinstance(schema, Schema):
            raise InvalidOptionError(
                f"schema={schema!r}: pass a beam_dynamodb_streams.Schema, or None for the columns of any table"
            )
        self._rows = MirrorRows(schema)
        check_names(self._rows.columns)
        self._path = output_directory(path)
        self._window = window_seconds(window)
        self._remembered = as_seconds("remember_deletes", remember_deletes)
        self._target = DeltaTarget(
            self._path, self._rows.columns, None, dict(properties or {}), dict(storage_options or {})
        )
        self._tagged = False

    @property
    def schema(self) -> Schema | None:
        return self._rows.schema

    def with_outputs(self) -> Self:
        """Return the same mirror with two outputs: `merged, misfits = changes | mirror.with_outputs()`."""
        variant = copy.copy(self)
        variant._tagged, variant.pipeline = True, None  # `pipeline` is Beam's own: where it was applied last
        return variant

    def expand(self, changes: beam.PCollection) -> beam.PCollection | MirrorOutputs:
        window_into = sink_windows(changes, self._window)
        if is_local(self._path):
            check_writable(self._path)
        check_mirror(self._target)
        options = ChunkOptions(type(self).__name__, self._rows.layout, self._tagged)
        chunking: beam.DoFn
        if has_default_windows(changes):
            length = None if window_into is None else window_into.windowing.windowfn.size.micros
            chunking = ChunkBySinkWindows(options, self._path, length, None)
        else:
            chunking = ChunkByInputWindows(options, self._path, changes.windowing.windowfn)
        chunks = changes | "Chunks" >> beam.ParDo(chunking).with_outputs(MISFITS, main=_CHUNKS)
        chunks[_CHUNKS].element_type, chunks[MISFITS].element_type = typehints.Tuple[int, bytes], Misfit
        one = chunks[_CHUNKS] | "One writer" >> beam.Map(_of_one_writer).with_output_types(typehints.Tuple[int, bytes])
        if window_into is not None:
            one = one | "Window" >> window_into
        merged = (
            one
            | "Group" >> beam.GroupByKey()
            | "Merge"
            >> beam.ParDo(_Merge(self._rows, self._target, self._remembered)).with_output_types(pa.RecordBatch)
        )
        return MirrorOutputs(merged, chunks[MISFITS]) if self._tagged else merged

    def display_data(self) -> dict[str, Any]:
        return {"path": self._path}


@no_annotations
def _of_one_writer(chunk: tuple[int, bytes]) -> tuple[int, bytes]:
    return 0, chunk[1]


def check_mirror(target: DeltaTarget) -> None:
    """Raise `InvalidOptionError` if there is a Delta table that is not a mirror, or contradicts the columns."""
    columns = target.columns_held()
    if columns is not None and VERSION not in columns:
        raise InvalidOptionError(
            f"path={target.path!r} has a Delta table without the column {VERSION}, so it is not a mirror: use another"
            " directory"
        )
    target.check()


class MirrorTable:
    """Merges rows into the Delta table of a mirror. It is made where it works."""

    def __init__(
        self,
        target: DeltaTarget,
        keys: tuple[str, ...],
        remembered: float,
        *,
        sleep: Callable[[float], object] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._target = target
        self._on = " AND ".join(f"t.{_quoted(key)} = s.{_quoted(key)}" for key in keys)
        self._remembered = remembered
        self._sleep = sleep
        self._jitter = jitter
        self._output: Output = open_output(target.path)
        self._deletes: dict[str, Deletes] = {}
        self.conflicts = 0
        self.commits = 0

    def merge(self, rows: pa.Table) -> None:
        """Merge the latest rows of their keys, in one commit, unless the table has newer states of all of them."""
        self._repeated(lambda table: self._merge_once(table, rows))

    def remove_older_than(self, version: str) -> None:
        """Remove the items whose version is older: a whole snapshot, and the changes since, have not shown them."""

        def remove(table: LoadedDeltaTable) -> None:
            done = table.table.delete(f"{VERSION} < '{version}'", commit_properties=_once())
            self.commits += bool(done.get("num_deleted_rows"))

        self._repeated(remove)

    def _repeated(self, work: Callable[[LoadedDeltaTable], None]) -> None:
        from deltalake.exceptions import CommitFailedError

        for failures in range(1, ATTEMPTS + 1):
            try:
                work(self._target.load())
            except (CommitConflictError, CommitFailedError) as conflict:
                self.conflicts += 1
                if failures == ATTEMPTS:
                    raise LakehouseError(
                        f"{self._target.label}: somebody else committed {ATTEMPTS} times while a merge was prepared,"
                        f" the last time: {said(conflict)}. A mirror has one writer: stop the others"
                    ) from conflict
                self._sleep(pause(failures, self._jitter()))
            except Exception as error:
                if isinstance(error, LakehouseError) or not type(error).__module__.startswith(
                    ("_internal", "deltalake")
                ):
                    raise
                raise LakehouseError(
                    f"{self._target.label}: a merge failed ({said(error)}): run the same again, which merges the same"
                    " changes to the same table"
                ) from error
            else:
                return

    def _merge_once(self, table: LoadedDeltaTable, rows: pa.Table) -> None:
        found = table.table.transaction_version(APP)
        deletes = self._deletes.setdefault(
            table.id, Deletes(self._output, table.id.removeprefix("delta-"), self._remembered)
        )
        deletes.load(NOTHING if found is None else found)
        newer = deletes.newer_than_deletes(rows)
        if not len(newer):
            return
        number = deletes.write(newer)
        try:
            self._commit(table, newer, number if number != deletes.number else None)
        except BaseException as error:
            if type(error).__name__ == "CommitFailedError":
                deletes.discard(number)
            raise
        deletes.settle(number, newer)
        self.commits += 1

    def _commit(self, table: LoadedDeltaTable, rows: pa.Table, number: int | None) -> None:
        source = rows.drop_columns([KEY])
        newer = f"s.{VERSION} > t.{VERSION}"
        before = table.table.version()
        (
            table.table.merge(source, self._on, source_alias="s", target_alias="t", commit_properties=_once(number))
            .when_matched_delete(f"{newer} AND s.{DELETED}")
            .when_matched_update_all(f"{newer} AND NOT s.{DELETED}", except_cols=[DELETED])
            .when_not_matched_insert_all(f"NOT s.{DELETED}", except_cols=[DELETED])
            .execute()
        )
        if number is not None and table.table.version() == before:
            # A merge that changes no row is not committed (deltalake 1.6), and neither is the number of its deletes.
            table.table.create_write_transaction([], "append", table.table.schema(), commit_properties=_once(number))


def _once(number: int | None = None) -> Any:
    """Return what makes a commit fail if somebody else committed meanwhile, and store the number of a batch."""
    from deltalake import CommitProperties, Transaction

    transactions = None if number is None else [Transaction(APP, number)]
    return CommitProperties(app_transactions=transactions, max_commit_retries=0)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class _Merge(OwnDoFn):
    """Merges the changes of a bundle together, at its end or when they are many, and returns them."""

    def __init__(self, rows: MirrorRows, target: DeltaTarget, remembered: float) -> None:
        self._rows = rows
        self._target = target
        self._remembered = remembered
        self._commits = Metrics.counter(metrics.NAMESPACE, metrics.COMMITS)
        self._conflicts = Metrics.counter(metrics.NAMESPACE, metrics.COMMIT_CONFLICTS)

    def setup(self) -> None:
        self._table = MirrorTable(self._target, self._rows.keys, self._remembered)

    def start_bundle(self) -> None:
        self._chunks: list[tuple[Chunk, Timestamp, BoundedWindow]] = []
        self._size = 0

    def process(
        self,
        chunks: tuple[int, Iterable[bytes]],
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[WindowedValue]:
        for data in chunks[1]:
            chunk = decode_chunk(data)
            self._chunks.append((chunk, timestamp, window))
            self._size += chunk.changes.nbytes
            if self._size >= MERGED_BYTES:
                yield from self._merged()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        yield from self._merged()

    def _merged(self) -> Iterator[WindowedValue]:
        chunks = self._chunks
        self.start_bundle()
        commits, conflicts = self._table.commits, self._table.conflicts
        batches = [chunk.changes for chunk, _, _ in chunks if len(chunk.changes)]
        if batches:
            self._table.merge(latest([self._rows.of(batch) for batch in batches]))
        for chunk, _, _ in chunks:
            if chunk.end is not None and chunk.end.removes_before is not None:
                self._table.remove_older_than(chunk.end.removes_before)
        self._commits.inc(self._table.commits - commits)
        self._conflicts.inc(self._table.conflicts - conflicts)
        for chunk, timestamp, window in chunks:
            batch = chunk.changes if chunk.end is None else end_batch(chunk.changes.schema, chunk.end)
            yield WindowedValue(batch, timestamp, (window,))
