"""docs/databases.md says what is true: each recipe leaves the table, over repeats, disorder and deletes."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import apache_beam as beam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_dynamodb_streams import ChangeRecord, change_sequence_number
from beam_dynamodb_streams.errors import InvalidValueError
from beam_dynamodb_streams.records.versions import row_version, version_base, version_of
from beam_dynamodb_streams.source.sample import sample
from beam_dynamodb_streams.testing import LocalStreams
from tests.databases.page import recipe, run_page

Rows = dict[str, Decimal]
RECIPE = recipe()


@pytest.fixture(scope="module")
def history() -> Iterator[tuple[list[ChangeRecord], Rows]]:
    """The changes of a table over splits, and what the table holds at the end."""
    with LocalStreams() as service:
        yield history_of(service)


def history_of(service: LocalStreams) -> tuple[list[ChangeRecord], Rows]:
    random = Random(19)
    table = service.create_table("orders", keys={"id": "S"}, shards=2)
    items: Rows = {}
    for number in range(300):
        key = f"o-{random.randrange(40)}"
        if random.random() < 0.3 and key in items:
            table.delete({"id": key})
            del items[key]
        else:
            items[key] = Decimal(number) / 4
            table.put({"id": key, "total": items[key]})
        if number in (100, 200):
            table.split(table.open_shard_ids[0])
    some = sample("orders", limit=300, endpoint_url=service.endpoint_url, region_name=service.region_name)
    assert len(some) == 300
    return list(some), items


def disordered(changes: list[ChangeRecord], seed: int) -> list[list[ChangeRecord]]:
    """Return bundles of all changes in any order, and half of them again."""
    random = Random(seed)
    repeated = [*changes, *random.sample(changes, len(changes) // 2)]
    random.shuffle(repeated)
    return [repeated[start : start + 25] for start in range(0, len(repeated), 25)]


def write(step: beam.DoFn, bundles: list[list[ChangeRecord]]) -> None:
    step.setup()
    for bundle in bundles:
        step.start_bundle()
        for change in bundle:
            step.process(change)
        step.finish_bundle()
    step.teardown()


def expected(items: Rows) -> list[tuple[str, Decimal]]:
    return sorted(items.items())


def test_postgresql_holds_the_table_with_two_writers_at_a_time(
    postgresql: str, history: tuple[list[ChangeRecord], Rows]
) -> None:
    import psycopg

    changes, items = history
    connect = partial(psycopg.connect, postgresql)
    with connect() as database:
        database.execute("DROP TABLE IF EXISTS orders CASCADE")
        database.execute(RECIPE["TABLE"])
    failed: list[BaseException] = []

    def writer(seed: int) -> None:
        try:
            write(RECIPE["UpsertNewest"](connect, RECIPE["UPSERT"]), disordered(changes, seed))
        except Exception as error:  # noqa: BLE001 - shown by the test, not by the thread
            failed.append(error)

    threads = [threading.Thread(target=writer, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with connect() as database:
        found = database.execute('SELECT id, total FROM orders_now ORDER BY id COLLATE "C"').fetchall()
        assert [tuple(row) for row in found] == expected(items)
        (kept,) = database.execute("SELECT count(*) FROM orders").fetchone() or ()
        assert kept == len({change.keys["id"] for change in changes})  # deleted ones too


def test_postgresql_repeats_a_bundle_that_failed(postgresql: str, history: tuple[list[ChangeRecord], Rows]) -> None:
    """A transaction that failed leaves nothing, and its connection takes the bundle again."""
    import psycopg

    changes, items = history
    with psycopg.connect(postgresql) as database:
        database.execute("DROP TABLE IF EXISTS orders CASCADE")
    step = RECIPE["UpsertNewest"](partial(psycopg.connect, postgresql), RECIPE["UPSERT"])
    step.setup()
    for attempt in range(2):
        step.start_bundle()
        for change in changes:
            step.process(change)
        if attempt == 0:
            with pytest.raises(psycopg.errors.UndefinedTable):
                step.finish_bundle()
            with psycopg.connect(postgresql) as database:
                database.execute(RECIPE["TABLE"])
    step.finish_bundle()
    step.teardown()
    with psycopg.connect(postgresql) as database:
        assert database.execute("SELECT count(*) FROM orders_now").fetchone() == (len(items),)


@pytest.mark.parametrize("seed", range(3))
def test_sqlite_holds_the_table(tmp_path: Path, history: tuple[list[ChangeRecord], Rows], seed: int) -> None:
    changes, items = history
    connect = partial(sqlite3.connect, tmp_path / "orders.db", check_same_thread=False)
    connect().executescript(RECIPE["SQLITE_TABLE"])
    write(RECIPE["UpsertNewest"](connect, RECIPE["SQLITE_UPSERT"]), disordered(changes, seed))
    found = connect().execute("SELECT id, total FROM orders_now ORDER BY id").fetchall()
    assert [(key, Decimal(total)) for key, total in found] == expected(items)


def test_the_page_runs_from_its_first_block_to_its_last(
    postgresql: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    history: tuple[list[ChangeRecord], Rows],
) -> None:
    import duckdb
    import psycopg

    changes, items = history
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORDERS_DATABASE", postgresql)
    with psycopg.connect(postgresql) as database:
        database.execute("DROP TABLE IF EXISTS orders CASCADE")
    names = run_page(changes)
    for _ in range(2):  # files that were loaded may be loaded again
        with duckdb.connect("orders.duckdb") as warehouse:
            warehouse.execute(names["DUCKDB_LOAD"])
            found = warehouse.execute("SELECT id, total FROM orders WHERE NOT deleted ORDER BY id").fetchall()
        assert found == expected(items)
    with psycopg.connect(postgresql) as database:
        rows = database.execute('SELECT id, total FROM orders_now ORDER BY id COLLATE "C"').fetchall()
    assert [tuple(row) for row in rows] == expected(items)
    with sqlite3.connect("orders.db") as file:
        assert file.execute("SELECT count(*) FROM orders_now").fetchone() == (len(items),)


def test_a_row_for_bigquery_says_what_happened_and_when(history: tuple[list[ChangeRecord], Rows]) -> None:
    changes, _ = history
    rows = [RECIPE["mutation"](change) for change in changes]
    kinds = {row["row_mutation_info"]["mutation_type"] for row in rows}
    assert kinds == {"UPSERT", "DELETE"}
    newest: dict[str, tuple[str, Any]] = {}
    for row in Random(1).sample(rows, len(rows)):  # as BigQuery merges: the greatest number of each key
        number, key = row["row_mutation_info"]["change_sequence_number"], row["record"]["id"]
        newest[key] = max(newest.get(key, ("", row)), (number, row), key=lambda pair: pair[0])
    left = {
        k: row["record"]["total"]
        for k, (_, row) in newest.items()
        if row["row_mutation_info"]["mutation_type"] == "UPSERT"
    }
    assert left == history[1]


DIGITS = st.integers(1, 10**40 - 1).map(str)
LABELS = st.datetimes().map(
    lambda when: f"arn:aws:dynamodb:r:1:table/t/stream/{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03}"
)
OF_STREAMS = st.builds(
    lambda label, epoch, number: version_of(version_base(label, epoch), number),
    LABELS | st.just(""),
    st.integers(0, 10**13 - 1),
    DIGITS,
) | st.builds(row_version, st.integers(0, 10**13 - 1), st.integers(0, 10**17))
OF_KINESIS = st.builds(
    lambda micros, number: f"{0:013}-{micros:020}-{number:056}", st.integers(0, 4 * 10**15), st.integers(0, 10**56 - 1)
)


@pytest.mark.parametrize("versions", [OF_STREAMS, OF_KINESIS], ids=["streams", "kinesis"])
def test_change_sequence_numbers_have_the_order_of_their_versions(versions: st.SearchStrategy[str]) -> None:
    @settings(max_examples=300)
    @given(st.lists(versions, min_size=2, max_size=6))
    def holds(several: list[str]) -> None:
        numbers = [change_sequence_number(version) for version in several]
        by_text = sorted(range(len(several)), key=lambda place: several[place])
        for first, second in pairwise(by_text):
            sections = [[int(part, 16) for part in numbers[place].split("/")] for place in (first, second)]
            assert (sections[0] < sections[1]) == (several[first] < several[second])
            assert (numbers[first] < numbers[second]) == (several[first] < several[second])
        for number in numbers:
            parts = number.split("/")
            assert len(parts) == 4
            assert all(len(part) == 16 and int(part, 16) >= 0 for part in parts)

    holds()


@pytest.mark.parametrize("text", ["", "1", "0-0-0", f"{'9' * 13}-{'9' * 20}-{'9' * 56}"])
def test_what_is_not_a_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match=r"not the version of a change|more than 256 bits"):
        change_sequence_number(text)
