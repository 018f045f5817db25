"""`python -m pipelines.handle`: a trigger without Lambda, from options or from a mapping's configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from beam_dynamodb_streams import ReadFromDynamoDBStreams
from beam_dynamodb_streams.testing import LocalStreams, Table
from pipelines import handle
from tests.handlers.made import Recorded
from tests.handlers.noting import noted

HANDLER = "tests.handlers.made.record"


#: The local service gives no runs of empty pages.
QUICK = {"quiet_pages": 5, "quiet_time": timedelta(seconds=0.5), "watermark_slack": timedelta(seconds=1)}


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    Recorded.calls.clear()
    constructor = ReadFromDynamoDBStreams.__init__
    monkeypatch.setattr(constructor, "__kwdefaults__", {**constructor.__kwdefaults__, **QUICK})
    yield
    Recorded.calls.clear()


@pytest.fixture
def orders(service: LocalStreams) -> Table:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.put_many({"id": f"o-{number}", "number": number} for number in range(30))
    return orders


def asked(service: LocalStreams, *words: str, stop: str = "30") -> list[str]:
    return ["--endpoint_url", service.endpoint_url, "--stop", stop, "--runner", "FnApiRunner", *words]


def sizes() -> list[int]:
    return [len(event["Records"]) for event, _ in Recorded.calls]


def test_a_handler_is_called_with_the_tables_changes(service: LocalStreams, orders: Table) -> None:
    assert handle.main(asked(service, "--table", "orders", "--handler", HANDLER, "--batch_size", "20")) == 0
    assert sizes() == [20, 10]
    assert Recorded.calls[0][0]["Records"][0]["eventSourceARN"] == orders.stream_arn


def test_a_mapping_is_pasted_and_an_option_wins_over_it(service: LocalStreams, orders: Table, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(
        f"EventSourceArn: {orders.stream_arn}\n"
        "FunctionName: orders-handler\n"
        "StartingPosition: TRIM_HORIZON\n"
        "BatchSize: 10\n"
        "MaximumRetryAttempts: 2\n"
        "BisectBatchOnFunctionError: true\n"
        "FilterCriteria:\n"
        "  Filters:\n"
        '    - Pattern: \'{"dynamodb": {"NewImage": {"number": {"N": [{"anything-but": "3"}]}}}}\'\n'
    )
    assert handle.main(asked(service, "--handler", HANDLER, "--config", str(mapping), stop="29")) == 0
    assert sizes() == [10, 10, 9]
    assert Recorded.calls[0][1].function_name == "orders-handler"
    Recorded.calls.clear()
    assert (
        handle.main(asked(service, "--handler", HANDLER, "--config", str(mapping), "--batch_size=29", stop="29")) == 0
    )
    assert sizes() == [29]


def test_progress_is_kept_and_failures_are_written(
    service: LocalStreams, orders: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = tmp_path / "notes"
    notes.touch()
    monkeypatch.setenv("HANDLER_NOTES", str(notes))
    words = asked(
        service,
        *("--table", "orders", "--handler", "tests.handlers.noting:handle", "--bisect_on_error"),
        *("--maximum_retry_attempts", "0", "--progress", f"file:{tmp_path / 'progress.json'}"),
        *("--on_failure", str(tmp_path / "failures")),
        stop="NOW",
    )
    assert handle.main(words) == 0
    (written,) = (tmp_path / "failures").glob("*.jsonl")
    (record,) = map(json.loads, written.read_text().splitlines())
    assert record["payload"]["Records"][0]["dynamodb"]["NewImage"]["number"] == {"N": "13"}
    assert len(noted(notes)) == 29
    orders.put({"id": "o-1", "number": 30})
    assert handle.main(words) == 0
    assert [number for *_, number in noted(notes)][29:] == [30]


def test_tumbling_windows_are_invoked_and_committed(service: LocalStreams, orders: Table, tmp_path: Path) -> None:
    address = f"file:{tmp_path / 'progress.json'}"
    words = ["--table", "orders", "--handler", "tests.handlers.test_tumbling.count", "--tumbling_window", "60"]
    assert handle.main(asked(service, *words, "--progress", address)) == 0
    final = [event for event, _ in Recorded.calls if event["isFinalInvokeForWindow"]]
    assert sum(event["state"]["count"] for event in final) == 30
    saved = json.loads((tmp_path / "progress.json").read_text())
    assert saved["streams"][orders.stream_arn]["shards"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--table", "orders"], "--handler"),
        (["--handler", HANDLER], "--table"),
        (["--table", "orders", "--handler", "nowhere.handler"], "--handler='nowhere.handler' cannot be imported"),
        (["--table", "orders", "--handler", HANDLER, "--batch_size", "0"], "--batch_size=0: use a whole number"),
        (["--table", "orders", "--handler", HANDLER, "--filter_criteria", "{}"], "Invalid filter pattern definition"),
        (["--table", "orders", "--handler", HANDLER, "--config", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["--table", "orders", "--handler", HANDLER, "--filter_criteria", "@nowhere"], "cannot be read"),
    ],
    ids=str,
)
def test_a_usage_error_is_one_line_and_exit_code_2(
    words: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        handle.main([*words, "--runner", "FnApiRunner"])
    assert ended.value.code == 2
    errors = capfd.readouterr().err
    assert said in errors
    assert len(errors.splitlines()) == 1


def test_a_destination_that_cannot_be_written_to_asks_for_a_directory(
    service: LocalStreams, orders: Table, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mapping = tmp_path / "mapping.json"
    mapping.write_text(json.dumps({"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:eu:1:failed"}}}))
    with pytest.raises(SystemExit) as ended:
        handle.main(asked(service, "--table", "orders", "--handler", HANDLER, "--config", str(mapping)))
    assert ended.value.code == 2
    assert "give --on_failure=DIR" in capfd.readouterr().err


def test_a_handler_that_keeps_failing_ends_the_run_with_the_reason(
    service: LocalStreams, orders: Table, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        handle.main(asked(service, "--table", "orders", "--handler", "tests.handlers.test_invoke_handler.always_fail"))
    assert ended.value.code == 1
    assert "failed: the handler failed 6 times with the same 30 changes" in capfd.readouterr().err
