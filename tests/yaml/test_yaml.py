"""The transforms of Beam YAML: the pipelines of the repository, rows in and out, errors, and what is refused."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import apache_beam as beam
import fastavro
import pyarrow.dataset as ds
import pytest
import yaml
from apache_beam.yaml import main as beam_yaml
from apache_beam.yaml.yaml_provider import InlineProvider, load_providers
from apache_beam.yaml.yaml_transform import expand_jinja, expand_pipeline

from beam_dynamodb_streams import StreamPosition
from beam_dynamodb_streams.source.worker_cache import client
from beam_dynamodb_streams.testing import LocalStreams
from beam_dynamodb_streams.yaml import provider_path
from tests.e2e.test_dead_letters import entry

ROOT = Path(__file__).parents[2]
PIPELINES = ROOT / "pipelines" / "yaml"
SCHEMA = {"id": "string", "total": "decimal128(12, 2)", "tags": ["string"], "where": {"city": "string"}}
TYPED = {"schema": SCHEMA, "keys": ["id"]}


@pytest.fixture
def orders(service: LocalStreams, monkeypatch: pytest.MonkeyPatch) -> LocalStreams:
    """Three changes of a table, and an environment that leads to it."""
    table = service.create_table("orders", keys={"id": "S"})
    table.put({"id": "a", "total": Decimal("1.50"), "tags": ["x", None], "where": {"city": "Ulm"}})
    table.put({"id": "b", "total": Decimal(300)})
    table.delete({"id": "a"})
    monkeypatch.setenv("AWS_ENDPOINT_URL", service.endpoint_url)
    client.cache_clear()  # a process asks the environment once
    return service


def run(*transforms: dict[str, Any]) -> None:
    """Run a pipeline as a user writes it, with the provider included."""
    spec = {"providers": [{"include": provider_path()}], "pipeline": {"transforms": list(transforms)}}
    with beam.Pipeline("FnApiRunner") as pipeline:
        expand_pipeline(pipeline, yaml.safe_dump(spec))


def read(**config: Any) -> dict[str, Any]:
    return {"type": "ReadFromDynamoDBCDC", "name": "Read", "config": {"table": "orders", "stop": 3, **config}}


def write(to: Path, kind: str = "Parquet", source: str = "Read", **config: Any) -> dict[str, Any]:
    return {"type": f"WriteChangesTo{kind}", "name": "Write", "input": source, "config": {"path": str(to), **config}}


def lines(source: str, to: Path) -> dict[str, Any]:
    return {"type": "WriteToJson", "input": source, "config": {"path": str(to / "lines")}}


def read_lines(place: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in place.glob("lines*") for line in file.read_text().splitlines()]


def run_file(name: str, output: Path, stop: int = 3) -> None:
    variables = json.dumps({"output": str(output), "stop": stop, "limit": 100})
    arguments = [f"--yaml_pipeline_file={PIPELINES / name}", f"--jinja_variables={variables}"]
    beam_yaml.run([*arguments, "--runner=FnApiRunner"])


def test_the_export_has_each_change_in_parquet(orders: LocalStreams, tmp_path: Path) -> None:
    run_file("export.yaml", tmp_path)
    table = ds.dataset(tmp_path / "changes", exclude_invalid_files=True).to_table()
    assert sorted(table["event_name"].to_pylist()) == ["INSERT", "INSERT", "REMOVE"]


def test_large_orders_are_filtered_by_a_typed_attribute(orders: LocalStreams, tmp_path: Path) -> None:
    run_file("large_orders.yaml", tmp_path, stop=2)
    (file,) = tmp_path.glob("large-orders.csv*")
    header, row = file.read_text().splitlines()
    assert header == "id,event,total,created"
    assert row.startswith("b,INSERT,300.00,20")


def test_counts_runs_as_a_program_too(orders: LocalStreams, tmp_path: Path) -> None:
    variables = json.dumps({"output": str(tmp_path), "stop": 3, "provider": provider_path()})
    file = PIPELINES / "counts.yaml"
    command = [sys.executable, "-m", "apache_beam.yaml.main", f"--yaml_pipeline_file={file}"]
    command += [f"--jinja_variables={variables}", "--runner=FnApiRunner"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for file in tmp_path.glob("counts*") for line in file.read_text().splitlines()]
    counted: dict[str, int] = {}
    for row in rows:
        counted[row["event_name"]] = counted.get(row["event_name"], 0) + row["changes"]
    assert counted == {"INSERT": 2, "REMOVE": 1}


PAGE = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs" / "yaml.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", PAGE)
def test_the_pipelines_of_the_page_can_be_constructed(
    text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(PAGE) == 2
    expand_pipeline(beam.Pipeline("FnApiRunner"), expand_jinja(text, {"provider": provider_path()}))


@pytest.mark.parametrize("config", [{}, TYPED], ids=["text", "typed"])
@pytest.mark.parametrize("kind", ["Parquet", "Avro", "JsonLines", "Debezium"])
def test_rows_are_written_as_the_changes_that_they_are(
    orders: LocalStreams, tmp_path: Path, kind: str, config: dict[str, Any]
) -> None:
    run(read(**config), write(tmp_path, kind, **config), lines("Write", tmp_path))
    (made,) = read_lines(tmp_path)
    assert set(made) == {"path", "size_in_bytes", "last_updated_in_seconds"}
    assert Path(made["path"]).stat().st_size == made["size_in_bytes"]
    if kind == "Parquet":
        images = [row["new_image"] for row in ds.dataset(made["path"]).to_table().to_pylist()]
        texts = [image if config else image and json.loads(image) for image in images]
        assert [each["where"] for each in texts if each and each.get("where")] == [
            {"city": "Ulm"} if config else {"M": {"city": {"S": "Ulm"}}}
        ]


def test_a_filter_before_a_sink_keeps_the_changes(orders: LocalStreams, tmp_path: Path) -> None:
    keep = {"type": "Filter", "name": "Keep", "input": "Read"}
    keep["config"] = {"language": "python", "keep": "event_name == 'REMOVE'"}
    run(read(), keep, write(tmp_path, source="Keep"))
    assert ds.dataset(tmp_path, exclude_invalid_files=True).to_table()["event_name"].to_pylist() == ["REMOVE"]


@pytest.mark.parametrize("config", [{}, TYPED], ids=["text", "typed"])
def test_malformed_records_and_misfits_are_rows_of_the_error_output(
    orders: LocalStreams, tmp_path: Path, config: dict[str, Any]
) -> None:
    table = orders.table("orders")
    table.append(table.open_shard_ids[0], json.dumps(entry({"id": {"S": "o"}, "total": {"X": "1"}})).encode())
    table.append(table.open_shard_ids[0], b'{"eventName": "INSERT"}')
    table.put({"id": "c", "total": "many"})
    errors = {"error_handling": {"output": "errors"}}
    run(read(**{**config, **errors, "stop": 5}), lines("Read.errors", tmp_path), write(tmp_path / "out", **config))
    found = read_lines(tmp_path)
    assert {each["kind"] for each in found} == {"dead_letter"}
    assert all({"element", "msg", "stack"} <= set(each) and each["msg"] for each in found)
    assert any(each["element"] == '{"eventName": "INSERT"}' for each in found)
    assert len([each for each in found if "new_image.total" in each["msg"]]) == (2 if config else 0)


def test_losses_are_rows_of_the_error_output(orders: LocalStreams, tmp_path: Path) -> None:
    table = orders.table("orders")
    first = table.changes[0]
    position = StreamPosition(table.stream_arn).after(first)
    with_loss = json.loads(position.to_json())
    table.trim()
    table.put({"id": "d"})
    config = {"start": with_loss, "on_data_loss": "continue", "error_handling": {"output": "errors"}, "stop": 1}
    run(read(**config), lines("Read.errors", tmp_path), lines("Read", tmp_path / "rows"))
    (loss,) = read_lines(tmp_path)
    assert (loss["kind"], loss["element"]) == ("loss", None)
    assert "may have been lost" in loss["msg"]
    assert [json.loads(row["keys"]) for row in read_lines(tmp_path / "rows")] == [{"id": {"S": "d"}}]


WRONG_READS: list[tuple[dict[str, Any], str]] = [
    ({"tabel": "orders"}, "tabel is not an argument: did you mean table?"),
    ({"colour": "red"}, "colour is not an argument: the arguments are table, stream_arn"),
    ({"start": "2026-01-31"}, "start='2026-01-31' has no timezone"),
    ({"stop": "SOON"}, "stop='SOON' is not a stop"),
    ({"event_names": "INSERT"}, "event_names='INSERT'"),
    ({"event_names": [["INSERT"]]}, r"event_names=\[\['INSERT'\]\]"),
    ({"on_data_loss": "ignore"}, "on_data_loss='ignore' is not known"),
    ({"poll_interval": "often"}, "poll_interval='often' is not a duration"),
    ({"schema": {"id": "text"}, "keys": ["id"]}, "attribute 'id' is declared 'text'"),
    ({"schema": {"id": "string"}}, "keys= is needed"),
    ({"schema": {"id": "string"}, "keys": "id"}, "keys='id': give the names"),
    ({"keys": ["id"]}, "without schema"),
    ({"error_handling": {"output": "good"}}, "error_handling="),
    ({"error_handling": {"output": "e", "threshold": 1}}, "error_handling="),
    ({"progress": {"adress": "file:x"}}, "give an address"),
    ({"table": None}, "give exactly one"),
    ({"table": 17}, "table=17 is not a table's name"),
]


@pytest.mark.parametrize(("config", "message"), WRONG_READS, ids=[str(config) for config, _ in WRONG_READS])
def test_a_wrong_argument_of_the_read_is_refused_with_the_place(config: dict[str, Any], message: str) -> None:
    consumed = {"type": "LogForTesting", "input": "Read.e"} if "error_handling" in config else None
    if config.get("error_handling", {}).get("output") == "good":
        consumed = {"type": "LogForTesting", "input": "Read.good"}
    with pytest.raises(ValueError, match=message) as refused:
        run(read(**config), *([consumed] if consumed else []))
    assert "Read" in str(refused.value)
    assert "line" in str(refused.value)


def test_a_moment_without_quotes_is_refused_with_the_quotes_to_write() -> None:
    text = f"""
providers: [{{include: "{provider_path()}"}}]
pipeline:
  transforms:
    - type: ReadFromDynamoDBCDC
      config: {{table: orders, start: 2026-01-31T12:00:00Z}}
"""
    with pytest.raises(ValueError, match=r'put it in quotes, as in "2026-01-31T12:00:00Z"'):
        expand_pipeline(beam.Pipeline("FnApiRunner"), text)


def test_a_sink_refuses_rows_that_are_not_those_of_a_read(tmp_path: Path) -> None:
    mapped = {"type": "MapToFields", "name": "Mapped", "input": "Read"}
    mapped["config"] = {"language": "python", "append": True, "fields": {"year": "2026"}}
    with pytest.raises(ValueError, match="has year in addition: write mapped rows with a sink of Beam"):
        run(read(), mapped, write(tmp_path, source="Mapped"))
    with pytest.raises(ValueError, match="has another schema than its input: give both the same schema"):
        run(read(**TYPED), write(tmp_path))
    with pytest.raises(ValueError, match=r"codec='zip' is unknown: use one of 'zstd'"):
        run(read(), write(tmp_path, codec="zip"))
    with pytest.raises(ValueError, match="did you mean window"):
        run(read(), write(tmp_path, windows=60))
    created = {"type": "Create", "name": "Rows", "config": {"elements": [{"id": 1}]}}
    with pytest.raises(ValueError, match="its input lacks approximate_creation_time, event_id"):
        run(created, write(tmp_path, source="Rows"))


def test_the_provider_is_in_the_package_and_beam_reads_its_arguments() -> None:
    place = files("beam_dynamodb_streams") / "provider.yaml"
    assert str(place) == provider_path()
    names = {"ReadFromDynamoDBCDC", "WriteChangesToParquet", "WriteChangesToAvro", "WriteChangesToJsonLines"}
    names |= {"WriteChangesToDebezium", "CommitDynamoDBProgress"}
    (provider,) = load_providers(provider_path())
    assert isinstance(provider, InlineProvider)
    assert names <= set(provider.provided_transforms())
    for name in names:
        schema = provider.config_schema(name)
        assert all(field.description for field in schema.fields), name
        assert provider.description(name)
    command = [sys.executable, "-m", "beam_dynamodb_streams.yaml"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == provider_path()
    stated = (ROOT / "pyproject.toml").read_text("utf-8")
    assert '"provider.yaml"' in stated


@pytest.mark.parametrize("kind", ["Parquet", "Avro", "JsonLines"])
def test_names_that_no_field_can_have_are_renamed_in_rows_and_in_files(
    service: LocalStreams, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", service.endpoint_url)
    client.cache_clear()
    item = {"order-id": "o-1", "a.b": "x", "lines": [{"line-no": Decimal(1)}], "address": {"zip-code": "1"}}
    service.create_table("orders", keys={"order-id": "S"}).put(item)
    kinds = {"order-id": "string", "a.b": "string", "lines": [{"line-no": "int64"}], "address": {"zip-code": "string"}}
    typed = {"schema": kinds, "keys": ["order-id"], "rename": "safe"}
    fields = {"id": "new_image.order_id", "zip": "new_image.address.zip_code"}
    mapped = {"type": "MapToFields", "input": "Read", "config": {"language": "python", "fields": fields}}
    run(read(stop=1, **typed), write(tmp_path, kind, **typed), mapped, lines("MapToFields", tmp_path))
    assert read_lines(tmp_path) == [{"id": "o-1", "zip": "1"}]
    (path,) = tmp_path.glob("changes*")
    if kind == "Parquet":
        image = ds.dataset(path).to_table()["new_image"][0].as_py()
    else:
        image = (
            next(fastavro.reader(io.BytesIO(path.read_bytes())))["new_image"]
            if kind == "Avro"
            else json.loads(path.read_text())["new_image"]
        )
    expected = {"order_id": "o-1", "a_b": "x", "lines": [{"line_no": 1}], "address": {"zip_code": "1"}}
    assert image == {**expected, "other_attributes": None}


def test_a_renaming_without_a_schema_is_refused(orders: LocalStreams, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="rename='safe' without schema"):
        run(read(rename="safe"), lines("Read", tmp_path))


def test_counts_save_the_progress_of_their_read(orders: LocalStreams, tmp_path: Path) -> None:
    place = tmp_path / "progress.json"
    counts = {"type": "Combine", "name": "Counts", "input": "Read", "windowing": {"type": "fixed", "size": "60s"}}
    counts["config"] = {"language": "python", "group_by": "event_name", "combine": {"n": {"value": "1", "fn": "count"}}}
    commit = {"type": "CommitDynamoDBProgress", "input": "Counts", "config": {"progress": f"file:{place}"}}
    run(read(progress={"address": f"file:{place}", "takeover_after": "30s"}), counts, commit)
    last = orders.table("orders").changes[-1]
    assert last.sequence_number in place.read_text()
