"""`run_pipeline`: a pipeline of one's own ends as those of the commands do."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import ReadFromDynamoDBStreams, run_pipeline
from beam_dynamodb_streams.beam.runners import outlives_process
from beam_dynamodb_streams.commands.exit_codes import USAGE_ERRORS
from beam_dynamodb_streams.errors import NotFoundError
from beam_dynamodb_streams.testing import LocalStreams, Table
from tests.pipelines.processes import interrupted, processes_of, program, until

PROGRAM = """
import sys
from beam_dynamodb_streams import ReadFromDynamoDBStreams, run_pipeline
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

def build():
    pipeline = beam.Pipeline(options=PipelineOptions(sys.argv[2:]))
    read = ReadFromDynamoDBStreams(
        table="orders", start="TRIM_HORIZON", STOP, endpoint_url=sys.argv[1], region_name="us-east-1"
    )
    pipeline | read | beam.Map(lambda change: print(change.keys["id"], flush=True))
    return pipeline

if __name__ == "__main__":
    result = run_pipeline(build)
    print(result.state)
"""


@pytest.fixture
def orders(service: LocalStreams) -> Table:
    return service.create_table("orders", keys={"id": "S"}, shards=2)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    file = tmp_path / "own.py"
    file.write_text(PROGRAM.replace("STOP, ", ""))
    return file


def test_it_runs_to_the_end_returns_the_result_and_writes_nothing_on_stderr(
    service: LocalStreams, orders: Table, own: Path
) -> None:
    own.write_text(PROGRAM.replace("STOP", "stop=2"))
    orders.put_many([{"id": "o-1"}, {"id": "o-2"}])
    with program(str(own), service.endpoint_url, "--runner=FnApiRunner") as process:
        printed, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
    assert sorted(printed.splitlines()) == ["DONE", "o-1", "o-2"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_it_without_a_traceback(
    number: signal.Signals, service: LocalStreams, orders: Table, own: Path
) -> None:
    orders.put({"id": "o-1"})
    with program(str(own), service.endpoint_url, "--runner=FnApiRunner") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "o-1\n"
        printed, said = interrupted(process, number)
    assert (printed, said.count("\n")) == ("", 1)
    assert "is unbounded and runs on FnApiRunner" in said


@pytest.mark.prism
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_on_prism_a_signal_leaves_nothing_behind(
    number: signal.Signals, service: LocalStreams, orders: Table, own: Path, prism: str
) -> None:
    orders.put({"id": "o-1"})
    words = ["--runner=PrismRunner", f"--prism_location={prism}", "--streaming"]
    with program(str(own), service.endpoint_url, *words) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "o-1\n"
        until(lambda: len(processes_of(process.pid)) == 2)
        assert interrupted(process, number) == ("", "")


@pytest.mark.parametrize("runner", ["FnApiRunner", pytest.param("PrismRunner", marks=pytest.mark.prism)])
def test_an_error_of_the_connector_is_one_line_with_the_programs_name(
    runner: str, service: LocalStreams, own: Path, request: pytest.FixtureRequest
) -> None:
    prism = [f"--prism_location={request.getfixturevalue('prism')}"] if runner == "PrismRunner" else []
    own.write_text(PROGRAM.replace("STOP", "stop=2"))
    with program(str(own), service.endpoint_url, f"--runner={runner}", *prism) as process:
        printed, said = process.communicate(timeout=60)
    assert (process.returncode, printed, said.count("\n")) == (2, "", 1)
    assert said.startswith("own.py: error: table 'orders' does not exist")


def ended(capsys: pytest.CaptureFixture[str], *arguments: object, **options: str) -> tuple[object, str]:
    with pytest.raises(SystemExit) as exit_:
        run_pipeline(*arguments, **options)  # type: ignore[arg-type]
    return exit_.value.code, capsys.readouterr().err


def test_a_bad_option_is_one_line_where_a_function_builds_the_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    def build() -> beam.Pipeline:
        pipeline = beam.Pipeline("FnApiRunner")
        _ = pipeline | ReadFromDynamoDBStreams(table="orders", on_data_loss="ignore", region_name="us-east-1")  # type: ignore[arg-type]
        return pipeline

    code, said = ended(capsys, build, prog="shop")
    assert (code, said.count("\n")) == (2, 1)
    assert said.startswith("shop: error: on_data_loss='ignore'")


def failing(error: Exception) -> beam.Pipeline:
    def fail(_: object) -> None:
        raise error

    pipeline = beam.Pipeline("FnApiRunner")
    _ = pipeline | beam.Create([1]) | beam.Map(fail)
    return pipeline


def test_what_a_new_set_up_avoids_exits_with_2_and_all_else_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert NotFoundError in USAGE_ERRORS
    assert ended(capsys, failing(NotFoundError("no such table")), prog="shop") == (2, "shop: error: no such table\n")
    from beam_dynamodb_streams.errors import DataLossError

    assert ended(capsys, failing(DataLossError("gone")), prog="shop") == (1, "shop: failed: gone\n")


def test_an_error_of_ones_own_step_is_raised() -> None:
    with pytest.raises(ZeroDivisionError, match="mine"):
        run_pipeline(failing(ZeroDivisionError("mine")))


def test_in_another_thread_it_leaves_signals_alone() -> None:
    states = []

    def run() -> None:
        pipeline = beam.Pipeline("FnApiRunner")
        _ = pipeline | beam.Create([1])
        states.append(run_pipeline(pipeline).state)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert (states, signal.getsignal(signal.SIGINT)) == (["DONE"], before)


@pytest.mark.parametrize(
    ("options", "outlives"),
    [
        (["--runner=FnApiRunner"], False),
        (["--runner=PrismRunner"], False),
        (["--runner=FlinkRunner", "--flink_master=jobs:8081"], True),
        (["--runner=FlinkRunner", "--flink_master=[local]"], False),
        (["--runner=FlinkRunner", "--flink_master=jobs:8081", "--environment_type=LOOPBACK"], False),
        (["--runner=PortableRunner", "--job_endpoint=jobs:8099", "--environment_type=DOCKER"], True),
    ],
)
def test_a_job_outlives_its_program_where_neither_server_nor_workers_are_its_own(
    options: list[str], outlives: bool
) -> None:
    assert outlives_process(beam.Pipeline(options=PipelineOptions(options))) is outlives
