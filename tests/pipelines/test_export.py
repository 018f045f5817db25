"""`python -m pipelines.export`: what it writes, and what it refuses before anything runs."""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from itertools import chain
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import DeadLetter, ReadFromDynamoDBStreams, StreamPosition, errors
from beam_dynamodb_streams.commands.dead_letter_files import line_of
from beam_dynamodb_streams.commands.exit_codes import connector_error
from beam_dynamodb_streams.commands.options.argument_types import start_argument, stop_argument
from beam_dynamodb_streams.commands.options.pipeline_parser import PipelineParser
from beam_dynamodb_streams.testing import LocalStreams, Table
from pipelines import demo, export
from pipelines.compare import READERS, differences, written_files
from pipelines.orders import write_orders

# Beam's default on a machine that cannot download Prism. Nothing is downloaded, so no test waits for that.
DIRECT = ["--runner=DirectRunner", "--prism_location=/prism/is/not/there"]


@pytest.fixture
def orders(service: LocalStreams) -> Table:
    table = service.create_table("orders", keys={"id": "S"}, shards=2)
    table.put_many({"id": f"o-{n}", "n": n} for n in range(20))
    return table


def rows_of(output: Path, name: str) -> Iterable[dict[str, object]]:
    return chain.from_iterable(map(READERS[name], written_files(output, name)))


def test_20000_changes_with_splits_and_rolls_are_in_the_files_exactly_once(
    service: LocalStreams, tmp_path: Path
) -> None:
    table = service.create_table("orders", keys={"id": "S"}, shards=8)
    write_orders(table, 20_000, threads=4, turns=12, progress=lambda _: None, wait=0.01)
    assert len(table.changes) == 20_000
    assert len(table.shard_ids) == 8 + 6 * 2 + 6
    with beam.Pipeline(options=PipelineOptions(DIRECT)) as pipeline:
        read = ReadFromDynamoDBStreams(
            table="orders",
            stop="NOW",
            endpoint_url=service.endpoint_url,
            watermark_slack=timedelta(seconds=1),
            quiet_pages=5,
            quiet_time=timedelta(seconds=1),
        )
        demo.build(pipeline, read, tmp_path)
    for name in READERS:
        assert differences(table.changes, iter(rows_of(tmp_path / name, name))) == []


def export_main(service: LocalStreams, output: Path, *arguments: str) -> int:
    given = {argument.split("=")[0] for argument in arguments}
    command = [
        f"--endpoint_url={service.endpoint_url}",
        "--region_name=us-east-1",
        *(
            argument
            for argument in (f"--output={output}", "--format=parquet", "--stop=10")
            if argument.split("=")[0] not in given
        ),
        *(["--table=orders"] if not given & {"--table", "--stream_arn"} else []),
    ]
    return export.main([*command, *DIRECT, *arguments])


@pytest.mark.parametrize("name", sorted(READERS))
def test_the_command_writes_as_many_changes_as_it_is_asked_for_and_says_where(
    name: str, service: LocalStreams, orders: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export_main(service, tmp_path, f"--format={name}", "--stop=15 records") == 0
    ids = Counter(row["event_id"] for row in rows_of(tmp_path, name))
    assert len(ids) == ids.total() == 15
    assert ids.keys() <= {change.event_id for change in orders.changes}
    assert capsys.readouterr().out == f"15 changes in 1 new file in {tmp_path}\n"


def test_it_starts_from_a_position_saved_in_a_file(service: LocalStreams, orders: Table, tmp_path: Path) -> None:
    covered: dict[str, str] = {}
    for change in orders.changes[:12]:
        covered[change.shard_id] = change.sequence_number
    saved = tmp_path / "position.json"
    saved.write_text(StreamPosition.delivered(covered).to_json())
    assert export_main(service, tmp_path / "out", f"--start=@{saved}", "--stop=8") == 0
    ids = sorted(row["event_id"] for row in rows_of(tmp_path / "out", "parquet"))
    assert ids == sorted(change.event_id for change in orders.changes[12:])


def refused(capsys: pytest.CaptureFixture[str], service: LocalStreams, output: Path, *arguments: str) -> str:
    """Return the one line on stderr."""
    with pytest.raises(SystemExit) as exit_:
        export_main(service, output, *arguments)
    assert exit_.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error:" in line or "Traceback" in line]
    assert len(lines) == 1
    assert lines[0].startswith("python -m pipelines.export: error: ")
    return lines[0]


ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-01T00:00:00.000"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--table=orders", f"--stream_arn={ARN}"], "not allowed with argument --table"),
        (["--table="], "--table='' is not a table's name"),
        (["--stream_arn=arn:aws:dynamodb:orders"], "not a stream's ARN"),
        (["--format=csv"], "invalid choice: 'csv'"),
        (["--start=2026-01-01T00:00:00"], "has no timezone"),
        (["--stop=2026-01-01T00:00:00"], "has no timezone"),
        (["--stop=2026-01-01"], "2026-01-01T00:00:00Z for UTC"),
        (["--start=yesterday"], "'yesterday' is not a start: use TRIM_HORIZON, LATEST, a time such as"),
        (["--stop=never"], "'never' is not a stop: use NOW, a number of changes such as 1000, a duration such as 10m"),
        (["--stop=0"], "reads nothing"),
        (["--stop=0s"], "is not a duration"),
        (["--start=2026-01-02T00:00:00Z", "--stop=2026-01-01T00:00:00Z"], "is before --start="),
        (["--start=@/position/is/not/there"], "cannot be read"),
        (["--output=/proc/out"], "--output='/proc/out' cannot be written"),
        (["--output=out", "--dead_letters=out/dead"], "is inside --output=out"),
        (["--strat=LATEST"], "unknown option --strat: did you mean --start?"),
        (["--partition", "date"], "did you mean --partitions?"),
        (["--runner=FlinkRunner", "--formt=avro"], "did you mean --format?"),
        (["--nothing_like_it"], "unknown option --nothing_like_it, here and in Beam: --help"),
        (["stray"], "'stray' belongs to no option"),
        (["--output=nowhere://out"], "no filesystem for nowhere://"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value).replace("/", "|"),
)
def test_a_bad_option_is_refused_in_one_line_before_anything_is_asked_of_the_service(
    arguments: list[str],
    says: str,
    service: LocalStreams,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert says in refused(capsys, service, tmp_path, *arguments)
    assert not service.counts.calls


def test_neither_a_table_nor_a_stream_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        export.main([f"--output={tmp_path}", "--format=avro"])
    assert exit_.value.code == 2
    assert "one of the arguments --table --stream_arn is required" in capsys.readouterr().err


def test_a_mistyped_required_option_is_reported_as_mistyped(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        export.main(["--table", "orders", "--output", "out", "--formt", "avro"])
    assert exit_.value.code == 2
    assert "unknown option --formt: did you mean --format?" in capsys.readouterr().err


def test_options_of_beam_and_of_its_job_servers_are_passed_on() -> None:
    parser = PipelineParser("export")
    parser.add_stream(start="LATEST")
    mine = ["--table=orders", "--stop=1000"]
    beams = ["--runner=FlinkRunner", "--parallelism", "2", "--experiment=one", "--streaming", "--no_use_public_ips"]
    beams += ["--setup_file=./setup.py", "--checkpointing_interval", "1000"]  # the last one the job server knows alone
    arguments, rest = parser.parse_with_beam([*beams, *mine])
    assert (arguments.table, arguments.stop) == ("orders", 1000)
    assert rest == beams
    assert parser.parse_with_beam([*mine, "--runner", "DirectRunner", "--direct_num_workers=1"])[1][0] == "--runner"


def test_a_file_that_is_not_a_saved_position_is_refused(
    service: LocalStreams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "position.json"
    file.write_text("{}")
    assert "is not a saved position" in refused(capsys, service, tmp_path, f"--start=@{file}")


def test_a_table_that_does_not_exist_is_refused_at_the_start(
    service: LocalStreams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "a" / "out"
    says = refused(capsys, service, output, f"--dead_letters={tmp_path / 'dead'}")
    assert "table 'orders' does not exist in us-east-1: check the name, --region_name and the account" in says
    assert not list(tmp_path.iterdir())


def test_a_table_without_a_stream_is_refused_at_the_start(
    service: LocalStreams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.create_table("orders", keys={"id": "S"}, view_type=None)
    assert "table 'orders' has no stream: enable one" in refused(capsys, service, tmp_path)


def test_a_stream_that_does_not_exist_is_refused_at_the_start(
    service: LocalStreams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "ResourceNotFoundException" in refused(capsys, service, tmp_path, f"--stream_arn={ARN}")


def test_a_start_in_the_future_is_refused_at_the_start(
    service: LocalStreams, orders: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tomorrow = datetime.now(timezone.utc) + timedelta(days=1)
    says = refused(capsys, service, tmp_path, f"--start={tomorrow.isoformat()}")
    assert "is in the future" in says


def test_an_unbounded_export_is_refused_where_beam_cannot_stream(
    service: LocalStreams, orders: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        export.main(
            [
                "--table=orders",
                f"--output={tmp_path}",
                "--format=avro",
                f"--endpoint_url={service.endpoint_url}",
                *DIRECT,
            ]
        )
    assert exit_.value.code == 2
    assert "is unbounded" in capsys.readouterr().err


def test_a_run_that_fails_is_reported_in_one_line_with_exit_code_1(
    service: LocalStreams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.append(orders.open_shard_ids[0], b'{"eventID":"1","dynamodb":{"SequenceNumber":"%SEQUENCE%"}}')
    with pytest.raises(SystemExit) as exit_:
        export_main(service, tmp_path, "--stop=1000")
    assert exit_.value.code == 1
    said = capsys.readouterr().err
    assert "python -m pipelines.export: failed: malformed record" in said
    assert "To continue, use --dead_letters DIR [" in said


def test_a_malformed_record_goes_to_the_dead_letters_unchanged(service: LocalStreams, tmp_path: Path) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.put({"id": "o-1"})
    record = b'{"eventID":"1","dynamodb":{"SequenceNumber":"%SEQUENCE%"}}'
    orders.append(orders.open_shard_ids[0], record)
    orders.put({"id": "o-2"})
    output, dead = tmp_path / "out", tmp_path / "dead"
    assert export_main(service, output, "--stop=2", f"--dead_letters={dead}") == 0
    assert len(list(rows_of(output, "parquet"))) == 2
    (line,) = [json.loads(line) for file in dead.glob("*.jsonl") for line in file.read_text().splitlines()]
    assert line["payload"]["eventID"] == "1"
    assert line["payload"]["dynamodb"]["SequenceNumber"] == line["sequence_number"]
    assert line["shard_id"] in orders.shard_ids


def test_a_dead_letter_that_is_not_json_is_one_line_too() -> None:
    line = json.loads(line_of(DeadLetter("arn", "shard", None, b"{\xff\n", "no object")))
    assert base64.b64decode(line["payload_base64"]) == b"{\xff\n"
    assert line_of(DeadLetter("arn", "shard", "1", b'{"N": "1.0"}', "r")).endswith(b'"payload":{"N": "1.0"}}')


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("NOW", "NOW"),
        ("1000", 1000),
        ("1000 records", 1000),
        ("1 record", 1),
        ("10m", timedelta(minutes=10)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("45s", timedelta(seconds=45)),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=timezone.utc)),
    ],
)
def test_a_stop_is_now_a_time_a_number_of_changes_or_a_duration(text: str, means: object) -> None:
    assert stop_argument(text) == means


def test_a_start_is_a_word_or_a_time() -> None:
    assert start_argument("LATEST") == "LATEST"
    assert start_argument("2026-01-31T12:00:00+01:00") == datetime(2026, 1, 31, 11, tzinfo=timezone.utc)
    with pytest.raises(argparse.ArgumentTypeError, match="cannot be read"):
        start_argument("@")


def test_an_error_is_found_in_the_text_of_a_worker_on_another_runner() -> None:
    """As Prism and Flink report it: a RuntimeError with the worker's traceback."""
    text = (
        "Pipeline failed: Traceback (most recent call last):\n  File …\n"
        "beam_dynamodb_streams.errors.ThrottledError: slow down\n\nThe above exception was the direct cause …\n"
        "beam_dynamodb_streams.errors.NotFoundError: table 'x' does not exist [while running 'Read/Start']\n\n"
        "goroutine 1"
    )
    error = connector_error(RuntimeError(text))
    assert type(error) is errors.NotFoundError
    assert str(error) == "table 'x' does not exist"
    assert connector_error(RuntimeError("a failure of the user's own")) is None


def test_a_run_leaves_nothing_in_the_temporary_directory(service: LocalStreams, orders: Table, tmp_path: Path) -> None:
    """Beam leaves 2 to 4 directories there."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = ["--table", orders.name, "--output", str(tmp_path / "out"), "--format=jsonl", "--stop=NOW", *DIRECT]
    command += ["--endpoint_url", service.endpoint_url, "--region_name", "us-east-1"]
    run = subprocess.run(
        [sys.executable, "-m", "pipelines.export", *command],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert list(temporary.iterdir()) == []


def test_an_export_in_debeziums_form_names_its_table(service: LocalStreams, orders: Table, tmp_path: Path) -> None:
    assert export_main(service, tmp_path, "--format=debezium", f"--table={orders.name}") == 0
    lines = [line for path in tmp_path.glob("*.jsonl") for line in path.read_text().splitlines()]
    events = [json.loads(line) for line in lines]
    assert {event["source"]["table"] for event in events} == {orders.name}
    assert {event["op"] for event in events} <= {"c", "u", "d"}
    assert all(event["after"] is not None or event["op"] == "d" for event in events)
    assert len(events) > 1
