"""A canary as credential: it signs every call, and must not appear anywhere else."""

from __future__ import annotations

import os
import signal
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import apache_beam as beam
import pytest

from beam_dynamodb_streams import ReadFromDynamoDBStreams, StreamPosition, WriteChangesToParquet, sample
from beam_dynamodb_streams.commands import COMMANDS, export, main
from beam_dynamodb_streams.inspection.stream_overview import inspect_stream
from beam_dynamodb_streams.shards.encoding import encode_frontier
from beam_dynamodb_streams.shards.frontier import begin
from beam_dynamodb_streams.shards.position import TRIM_HORIZON
from beam_dynamodb_streams.source.dofn import reader_of
from beam_dynamodb_streams.source.start import begin_read
from beam_dynamodb_streams.source.stream_read import encode_stream_read
from beam_dynamodb_streams.source.worker_cache import client
from beam_dynamodb_streams.testing import Faults, LocalStreams, Table
from beam_dynamodb_streams.wire import Client, DynamoDB
from tests.docs.canary import ACCESS_KEY, assert_clean, logged, set_canaries


@pytest.fixture
def signed(orders: Table, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Table:
    """The table of the pages. Every caller signs with the canaries, and everything that is logged is kept."""
    set_canaries(monkeypatch, caplog)
    return orders


def asked(tmp_path: Path) -> list[str]:
    command = ["--table", "orders", "--output", str(tmp_path / "out"), "--format", "jsonl", "--stop", "NOW"]
    return [*command, "--runner", "FnApiRunner"]


def test_a_credential_is_nowhere_but_in_the_signature(
    signed: Table, service: LocalStreams, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture
) -> None:
    """Run a command through faults, and return what it prints and logs, and every file that it leaves."""
    service.faults = Faults(throttle={"GetRecords": 0.2}, error={"GetRecords": 0.1}, expire=0.2)
    assert export.main(asked(tmp_path)) == 0
    said = capfd.readouterr()
    assert_clean(said.out, said.err, logged(caplog))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 2, "data, a manifest, and what the output is"
    assert_clean(*(path.read_bytes() for path in files))


def test_what_is_sent_to_a_runner_has_no_credential_in_it(signed: Table, tmp_path: Path) -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    read = ReadFromDynamoDBStreams(table="orders")
    _ = pipeline | read | WriteChangesToParquet(tmp_path / "out")
    sent = pipeline.to_runner_api().SerializeToString()
    assert b"orders" in sent
    assert_clean(sent, str(read.display_data()), repr(read))


def test_what_a_runner_stores_has_no_credential_in_it(signed: Table, service: LocalStreams) -> None:
    options = ReadFromDynamoDBStreams(table="orders", slice_time=timedelta(seconds=0.2))._options
    wire = client(options.connection)
    read = begin_read(wire, options)
    assert_clean(encode_stream_read(read))
    reader = reader_of(wire, read, options, read.first_frontier())
    frontier, steps = begin(read.start, stream_arn=read.stream_arn), 0
    try:
        while (step := reader.next(frontier, reader.now() + 1.0)) is not None:
            frontier, steps = step.frontier, steps + 1
            assert_clean(encode_frontier(frontier))
    finally:
        reader.close()
    assert steps > 1


def test_refused_credentials_are_reported_without_them(
    signed: Table, service: LocalStreams, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture
) -> None:
    service.expire_credentials(ACCESS_KEY)
    with pytest.raises(SystemExit) as ended:
        export.main(asked(tmp_path))
    assert ended.value.code == 2
    said = capfd.readouterr()
    assert "have expired" in said.err
    assert_clean(said.out, said.err, logged(caplog))


def test_no_command_shows_or_logs_a_credential(
    signed: Table, service: LocalStreams, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture
) -> None:
    """Every command of the program, at DEBUG, and each with an endpoint that refuses the credentials."""
    saved = tmp_path / "saved.json"
    stored = f"file:{tmp_path / 'progress.json'}"
    saved.write_text(StreamPosition(signed.stream_arn, TRIM_HORIZON, {}).to_json())
    yesterday = f"{datetime.now(timezone.utc) - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    calls = {
        "inspect": [
            ["--table", "orders", "--sample"],
            ["--table", "orders", "--json", "--svg", str(tmp_path / "a.svg")],
        ],
        "schema": [["--table", "orders", "--output", str(tmp_path / "schema.json")]],
        "progress": [["import", stored, str(saved), "--yes"], ["list", stored], ["export", stored]],
        "tail": [["--table", "orders", "--start", "TRIM_HORIZON", "--stop", "NOW"]],
        "export": [asked(tmp_path)],
        "handle": [["--table", "orders", "--handler", "tests.handlers.made.record", "--stop", "NOW"]],
        "kinesis": [["--table", "orders", "--port", "0"]],
        "repair": [["--table", "orders", "--since", yesterday, "--s3_bucket", "bucket"]],
    }
    assert calls.keys() == COMMANDS.keys()
    for command, words in ((command, words) for command, each in calls.items() for words in each):
        if command == "kinesis":  # serves until a signal
            threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
        assert main([command, *words]) == 0, command
    service.expire_credentials(ACCESS_KEY)
    for command in ("inspect", "schema", "tail", "export", "handle", "kinesis"):
        with pytest.raises(SystemExit) as ended:
            main([command, *calls[command][0]])
        assert ended.value.code == 2, command
    said = capfd.readouterr()
    assert_clean(said.out, said.err, logged(caplog))
    assert_clean(*(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()))


def test_no_repr_has_a_credential_in_it(signed: Table) -> None:
    """What a notebook shows of the objects that hold or use credentials, and of the errors that they raise."""
    streams, tables = Client(), DynamoDB()
    read = ReadFromDynamoDBStreams(table="orders", progress="dynamodb://progress/a")
    shown = [streams, tables, streams._caller, streams._caller._signer, read, read._options, read._options.connection]
    shown += [sample("orders"), read._options.progress, inspect_stream(streams, signed.stream_arn)]
    for each in shown:
        html = getattr(each, "_repr_html_", str)
        assert_clean(repr(each), str(each), html() if html is not str else "")
        assert_clean(str(vars(each)) if hasattr(each, "__dict__") else "")
    streams.close()
    tables.close()
