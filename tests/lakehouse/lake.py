"""A lake in a directory: a catalog in SQLite, a sink's output, and runs that write changes and commit them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from deltalake import DeltaTable
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.table import Table

from beam_dynamodb_streams import ChangeRecord, CommitToDelta, CommitToIceberg, WriteChangesToParquet
from beam_dynamodb_streams.lakehouse import Committed
from tests.e2e.collected import Keep
from tests.sinks.change_source import timed


def properties_of(place: Path) -> dict[str, str]:
    return {"uri": f"sqlite:///{place}/catalog.db", "warehouse": f"file://{place}/warehouse"}


def catalog_of(place: Path) -> Catalog:
    return load_catalog("default", **properties_of(place))


def iceberg_table(place: Path, name: str = "db.orders") -> Table:
    catalog = catalog_of(place)
    try:
        return catalog.load_table(name)
    finally:
        catalog.close()


def run(
    place: Path,
    changes: Iterable[ChangeRecord],
    *,
    iceberg: bool = True,
    delta: bool = True,
    resume: bool = True,
    output: str = "out",
    table: str = "db.orders",
    **options: Any,
) -> list[Committed]:
    """Write changes to `output`, commit the files, and return the commits."""
    sink = WriteChangesToParquet(place / output, **{"window": 600, **options})

    def execute() -> list[Committed]:
        kept = Keep.kept[str(place)] = []
        with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
            timed_changes = pipeline | beam.Create([*map(timed, changes)])
            files = timed_changes | beam.Map(lambda each: each).with_output_types(ChangeRecord) | sink
            if iceberg:
                _ = files | CommitToIceberg(properties_of(place), table) | "I" >> beam.ParDo(Keep(str(place)))
            if delta:
                _ = files | CommitToDelta() | "D" >> beam.ParDo(Keep(str(place)))
        return [committed for committed, _ in kept]

    if not resume:
        return execute()
    with sink.resume():
        return execute()


def ids_of(rows: Any) -> Counter[str]:
    return Counter(rows.column("event_id").to_pylist())


def delta_rows(path: Path) -> Any:
    return DeltaTable(str(path)).to_pyarrow_table()
