"""A table's ARN in the place of its name: it says the region, and the service takes it as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from beam_dynamodb_streams import Progress, ReadFromDynamoDBStreams, sample
from beam_dynamodb_streams.commands import export, inspect, progress, schema
from beam_dynamodb_streams.errors import InvalidOptionError, NotFoundError
from beam_dynamodb_streams.source.worker_cache import client
from beam_dynamodb_streams.testing import LocalStreams
from beam_dynamodb_streams.wire.arn import region_for

REGION, ACCOUNT = "ap-south-2", "123456789012"
TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStreams]:
    """A service in a region that is not the environment's."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    client.cache_clear()
    with LocalStreams(region_name=REGION, account=ACCOUNT) as service:
        service.create_table("orders", keys={"id": "S"}).put({"id": "1"})
        yield service


def test_a_sample_takes_a_tables_arn(service: LocalStreams) -> None:
    assert len(sample(TABLE, endpoint_url=service.endpoint_url)) == 1


def test_every_command_takes_a_tables_arn(
    service: LocalStreams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = ["--table", TABLE, "--endpoint_url", service.endpoint_url]
    assert inspect.main([*table, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["region"] == REGION
    assert schema.main([*table, "--source", "stream"]) == 0
    assert "id" in capsys.readouterr().out
    out = tmp_path / "out"
    written = ["--output", str(out), "--format", "jsonl", "--stop", "NOW", "--runner", "FnApiRunner"]
    assert export.main([*table, *written]) == 0
    assert [json.loads(line)["keys"] for file in out.glob("*.jsonl") for line in file.read_text().splitlines()]


@pytest.mark.parametrize("command", [inspect, schema, export, progress])
def test_a_region_that_contradicts_the_arn_is_refused_in_every_command(
    command: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--table", TABLE]
    if command is export:
        arguments += ["--output", str(tmp_path / "out"), "--format", "jsonl", "--stop", "NOW"]
    if command is progress:
        arguments = ["show-kcl", TABLE]
    with pytest.raises(SystemExit) as ended:
        command.main([*arguments, "--region_name", "us-east-1"])  # type: ignore[attr-defined]
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"is in {REGION}, and " in said
    assert "region_name='us-east-1' is another region" in said
    assert said.count("\n") == 1


def test_the_region_of_a_read_is_that_of_the_arn_unless_it_is_given() -> None:
    stream = f"{TABLE}/stream/2026-01-01T00:00:00.000"
    for read in (ReadFromDynamoDBStreams(TABLE), ReadFromDynamoDBStreams(stream_arn=stream)):
        assert read._options.connection.region_name == REGION
    assert ReadFromDynamoDBStreams(TABLE, region_name=REGION)._options.connection.region_name == REGION
    assert ReadFromDynamoDBStreams("orders")._options.connection.region_name is None
    saved = ReadFromDynamoDBStreams(TABLE, progress="dynamodb://progress/a")._options.progress
    assert saved == Progress("dynamodb://progress/a", region_name=REGION)


def test_a_region_that_contradicts_an_arn_is_refused_where_the_pipeline_is_written() -> None:
    for resource in ({"table": TABLE}, {"stream_arn": f"{TABLE}/stream/2026"}):
        with pytest.raises(InvalidOptionError, match=f"is in {REGION}, and region_name='us-east-1'"):
            ReadFromDynamoDBStreams(**resource, region_name="us-east-1")


def test_the_arns_of_dynamodb_local_say_no_region() -> None:
    local = "arn:aws:dynamodb:ddblocal:000000000000:table/orders"
    assert region_for(local, "us-east-1") == "us-east-1"
    assert region_for(local, None) is None
    assert region_for(TABLE, f"fips-{REGION}") == f"fips-{REGION}"


def test_the_table_of_another_account_is_asked_for_by_its_arn(service: LocalStreams) -> None:
    other = TABLE.replace(ACCOUNT, "210987654321")
    assert len(sample(other, endpoint_url=service.endpoint_url)) == 1
    with pytest.raises(NotFoundError, match=r"210987654321:table/missing.* does not exist"):
        sample(other.replace("orders", "missing"), endpoint_url=service.endpoint_url)


@pytest.mark.parametrize(
    "table", ["", "arn:", "arn:aws:s3:::orders", f"{TABLE}/stream/2026", f"{TABLE}/index/i", TABLE[:-5]]
)
def test_what_is_neither_a_name_nor_an_arn_is_refused(table: str) -> None:
    with pytest.raises(InvalidOptionError, match="is not a table's name or ARN"):
        ReadFromDynamoDBStreams(table)


def test_progress_may_be_kept_in_a_table_of_another_account() -> None:
    location = Progress(f"dynamodb://{TABLE}/orders-export").location
    assert (location.table, location.application) == (TABLE, "orders-export")
