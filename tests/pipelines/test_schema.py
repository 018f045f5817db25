"""`python -m pipelines.schema`: a schema from a table and its stream, and a report about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from beam_dynamodb_streams.columns import read_schema
from beam_dynamodb_streams.testing import LocalStreams
from pipelines.schema import main
from tests.moto_server import moto_server

Sampled = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def orders(moto: str) -> Iterator[Any]:
    """A table of 40 orders in two shapes, the newer one in conflict with the older, and its stream."""
    tables = boto3.client("dynamodb", endpoint_url=moto)
    tables.create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "line", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "line", "AttributeType": "N"},
            {"AttributeName": "id", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    for number in range(40):
        item = {
            "id": {"S": str(number)},
            "line": {"N": "1"},
            "total": {"N": f"{number}.50"},
            "signature": {"B": b"\x00\xff"},
            "tags": {"SS": ["a", "b"]},
            "note": {"S": "x"} if number < 30 else {"L": [{"N": "1"}]},
        }
        tables.put_item(TableName="orders", Item=item)
    yield tables
    tables.delete_table(TableName="orders")


@pytest.fixture
def sampled(moto: str, capsys: pytest.CaptureFixture[str]) -> Sampled:
    def run(*arguments: str, endpoint_url: str = moto) -> tuple[int, str, str]:
        code: Any
        try:
            code = main(["--table=orders", f"--endpoint_url={endpoint_url}", *arguments])
        except SystemExit as left:
            code = left.code
        return code, *capsys.readouterr()

    return run


def test_a_table_and_its_stream_yield_a_saved_schema_and_a_report(
    orders: Any, sampled: Sampled, tmp_path: Path
) -> None:
    saved = tmp_path / "schema.json"
    code, schema, printed = sampled(f"--output={saved}", "--numbers=narrow")
    assert code == 0
    assert saved.read_text("utf-8") == schema
    assert read_schema(saved) == read_schema(
        {
            "id": "string",
            "line": "int64",
            "note": "json",
            "signature": "binary",
            "tags": ["string"],
            "total": "decimal128(38, 1)",
        },
        keys=["id", "line"],
        on_misfit="text",
    )
    lines = printed.splitlines()
    assert 'id         "string"  (in 80 of 80, key)' in lines
    assert 'conflict: note was 60 S, 20 L; note is "json"' in lines
    assert "of 40 items and 40 changes, 80 fit (100 %)" in lines


def test_names_that_readers_refuse_are_reported_and_renamed_on_request(
    service: LocalStreams, sampled: Sampled, tmp_path: Path
) -> None:
    table = service.create_table("orders", keys={"order-id": "S"})
    table.put({"order-id": "o-1", "a.b": "x", "userId": "u", "userid": "v", "address": {"zip-code": "1"}})
    arguments = ("--source=stream", f"--output={tmp_path / 'schema.json'}")
    code, _, printed = sampled(*arguments, endpoint_url=service.endpoint_url)
    assert code == 0
    assert "name: order-id has '-', not only letters, digits and underscores; refused by Athena, Beam rows, " in printed
    assert "Hive; --rename safe makes it order_id in files" in printed
    assert "--rename safe makes it zip_code in files" in printed
    code, _, printed = sampled(*arguments, "--rename=safe", endpoint_url=service.endpoint_url)
    assert code == 0
    assert "it is order_id in files" in printed
    assert read_schema(tmp_path / "schema.json").rename == {
        "order-id": "order_id",
        "a.b": "a_b",
        "userid": "userid_2",
        "address.zip-code": "zip_code",
    }


@pytest.mark.parametrize("source", ["table", "stream"])
def test_each_source_alone_yields_as_many_items_as_asked(orders: Any, sampled: Sampled, source: str) -> None:
    code, _, printed = sampled(f"--source={source}", "--sample=7")
    assert code == 0
    of = "7 items and 0 changes" if source == "table" else "0 items and 7 changes"
    assert f"of {of}, 7 fit (100 %)" in printed


def test_the_stream_is_sampled_from_all_its_shards_past_runs_of_empty_pages(
    service: LocalStreams, sampled: Sampled
) -> None:
    """Trap 5. The local service stores no items, so it does not answer a scan."""
    table = service.create_table("orders", keys={"id": "S"}, shards=3)
    for number in range(30):
        table.put({"id": str(number), "kind": number})
    table.split(table.open_shard_ids[0])
    for number in range(30):
        table.delete({"id": str(number)})
    code, _, printed = sampled("--source=stream", endpoint_url=service.endpoint_url)
    assert (code, printed.splitlines()[-1]) == (0, "of 0 items and 60 changes, 60 fit (100 %)")
    code, _, printed = sampled("--source=stream", "--sample=9", endpoint_url=service.endpoint_url)
    assert (code, printed.splitlines()[-1]) == (0, "of 0 items and 9 changes, 9 fit (100 %)")


def test_a_table_without_a_stream_is_sampled_alone_unless_the_stream_was_asked_for(
    orders: Any, sampled: Sampled
) -> None:
    orders.update_table(TableName="orders", StreamSpecification={"StreamEnabled": False})
    orders.create_table(
        TableName="plain",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    try:
        code, _, printed = sampled("--table=plain")
        assert (code, printed.splitlines()) == (
            0,
            [
                'id  "string"  (not sampled, key)',
                "the stream was not sampled: table 'plain' has none",
                "of 0 items and 0 changes, 0 fit (none)",
            ],
        )
        code, schema, printed = sampled("--table=plain", "--source=stream")
        assert (code, schema) == (2, "")
        assert "table 'plain' has no stream: use --source table" in printed
    finally:
        orders.delete_table(TableName="plain")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--table=nobody"], "Requested resource not found: Table: nobody not found"),
        (["--sample=0"], "'0' is not a number of items: use 1 or more"),
        (["--sample=many"], "'many' is not a number of items"),
        (["--source=nowhere"], "invalid choice: 'nowhere'"),
        (["--numbers=float64"], "invalid choice: 'float64'"),
        (["--output=/no/such/directory/schema.json"], "cannot be written: No such file or directory"),
        (["--schema=a"], "unknown option --schema: --help lists the options"),
    ],
)
def test_a_usage_error_of_schema_is_one_line(orders: Any, sampled: Sampled, arguments: list[str], reason: str) -> None:
    code, _, printed = sampled(*arguments)
    assert code == 2
    assert reason in printed
    assert "Traceback" not in printed
