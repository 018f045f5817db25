"""Names and ids are whatever their author wrote: no command passes a terminal's escapes or rich's markup on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from beam_dynamodb_streams import ChangeRecord, sample
from beam_dynamodb_streams.commands import schema, tail
from beam_dynamodb_streams.commands.exit_codes import exit_with
from beam_dynamodb_streams.commands.options.inspect import parser_of
from beam_dynamodb_streams.commands.printable import printable, printable_json, printable_lines
from beam_dynamodb_streams.errors import NotFoundError
from beam_dynamodb_streams.shards.lineage import created
from beam_dynamodb_streams.testing import LocalStreams

EVIL = "\x1b[31mred\x9b1m\x07[bold]x[/nope]\u202e\r"
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def service() -> Iterator[LocalStreams]:
    with LocalStreams() as service:
        yield service


def test_an_unsafe_character_becomes_its_escape() -> None:
    assert printable("a\x1b[0m\nb\x9c\u202e") == r"a\x1b[0m\x0ab\x9c\u202e"
    assert printable_lines("a\nb\x1b") == "a\nb\\x1b"
    assert printable("größe, 表, 🙂") == "größe, 表, 🙂"
    text = json.dumps(EVIL, ensure_ascii=False)
    assert json.loads(printable_json(text)) == EVIL
    assert not UNSAFE.search(printable_json(text))


def test_schema_prints_the_names_of_attributes_without_escapes(
    service: LocalStreams, capsys: pytest.CaptureFixture[str]
) -> None:
    service.create_table("orders", keys={"id": "S"}).put({"id": "1", EVIL: "x"})
    assert schema.main(["--table", "orders", "--endpoint_url", service.endpoint_url]) == 0
    said = capsys.readouterr()
    assert not UNSAFE.search(said.out)
    assert not UNSAFE.search(said.err)
    assert r"\x1b[31mred\x9b1m\x07[bold]x[/nope]" in said.err
    assert EVIL in _texts(json.loads(said.out))


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for key, inner in value.items() for text in (key, *_texts(inner))]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


def test_tail_prints_a_change_as_the_same_json_without_escapes(
    service: LocalStreams, capsys: pytest.CaptureFixture[str]
) -> None:
    service.create_table("orders", keys={"id": "S"}).put({"id": EVIL})
    (change,) = sample("orders", endpoint_url=service.endpoint_url, region_name="us-east-1")
    tail.print_line(change)
    out = capsys.readouterr().out
    assert not UNSAFE.search(out)
    assert ChangeRecord.from_json(out) == change


def test_inspect_shows_ids_and_owners_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from beam_dynamodb_streams.commands.overview_table import overview_table
    from beam_dynamodb_streams.inspection.stream_overview import inspect_stream
    from beam_dynamodb_streams.wire import Client

    with LocalStreams() as service:
        table = service.create_table("orders", keys={"id": "S"})
        client = Client(endpoint_url=service.endpoint_url, region_name="us-east-1")
        seen = inspect_stream(client, table.stream_arn)
        client.close()
    from dataclasses import replace

    shard = replace(seen.shards[0], shard_id=f"shardId-{EVIL}")
    console = Console(width=200, force_terminal=False)
    console.print(overview_table(replace(seen, table=EVIL, shards=(shard,))))
    out = capsys.readouterr().out
    assert not UNSAFE.search(out)
    assert "[bold]" in out


def test_an_error_shows_ids_without_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        exit_with(parser_of("inspect"), NotFoundError(EVIL, shard=EVIL))
    said = capsys.readouterr().err
    assert not UNSAFE.search(said)
    assert said.count("\n") == 1


@pytest.mark.parametrize("digits", ["00692966909863413136", "9" * 20])
def test_an_id_whose_digits_are_not_a_time_has_no_age(digits: str) -> None:
    assert created(f"shardId-{digits}-3811d130d3eb") is None
    assert created("shardId-00000001770000000000-00000001") == 1_770_000_000
