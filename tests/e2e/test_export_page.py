"""docs/files.md says what is true: its code runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import duckdb
import pytest

from beam_dynamodb_streams import ReadFromDynamoDBStreams
from beam_dynamodb_streams.testing import LocalStreams, Table
from tests.docs.canary import KNOWING, assert_clean, set_canaries

PAGE = (Path(__file__).parent.parent.parent / "docs" / "files.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def names(
    service: LocalStreams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[dict[str, Any]]:
    """What the page's code takes as given; its reads stop at once, so that every runner ends. No secret is shown."""
    monkeypatch.chdir(tmp_path)
    set_canaries(monkeypatch, caplog, loggers=KNOWING)
    table: Table = service.create_table("orders", keys={"id": "S"}, shards=2)
    table.put_many({"id": f"o-{n}"} for n in range(30))
    quick = {"quiet_pages": 5, "quiet_time": timedelta(seconds=1), "watermark_slack": timedelta(seconds=1)}
    read = partial(
        ReadFromDynamoDBStreams, stop="NOW", endpoint_url=service.endpoint_url, region_name="us-east-1", **quick
    )
    yield {"beam": beam, "ReadFromDynamoDBStreams": read}
    said = capfd.readouterr()
    assert_clean(said.out, said.err, *(record.getMessage() for record in caplog.records))
    assert_clean(*(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()))


def test_a_sink_with_windows_and_partitions_is_read_as_the_page_says(names: dict[str, Any], tmp_path: Path) -> None:
    write, query, _ = blocks("python")
    with beam.Pipeline("FnApiRunner") as pipeline:
        exec(write, names | {"changes": pipeline | names["ReadFromDynamoDBStreams"]("orders")})  # noqa: S102
    exec(query, names)  # noqa: S102
    assert list((tmp_path / "out").glob("date=*/hour=*/changes-*.parquet"))
    (sql,) = blocks("sql")
    assert duckdb.sql(sql).fetchall() == [("INSERT", 30)]


def test_a_pipeline_of_ones_own_resumes_as_the_page_says(names: dict[str, Any], tmp_path: Path) -> None:
    imports = blocks("python")[0].splitlines()[0]
    for _ in range(2):
        exec(f"{imports}\n{blocks('python')[2]}", names)  # noqa: S102
    rows = duckdb.sql("SELECT count(*), count(DISTINCT event_id) FROM read_parquet('out/*.parquet')")
    assert rows.fetchall() == [(30, 30)]
