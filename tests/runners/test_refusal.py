"""A runner that cannot stream what a pipeline asks is refused before reading, and the error names the fix.

Beam picks the runner: DirectRunner tries Prism and, without it, falls back to FnApiRunner or BundleBasedDirectRunner at
log level INFO. A prism that is not there stands for a machine that cannot download it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.coders import VarIntCoder
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import AsList
from apache_beam.runners.portability.prism_runner import PrismRunner
from apache_beam.transforms.environments import EmbeddedPythonEnvironment
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec
from apache_beam.transforms.window import FixedWindows

from beam_dynamodb_streams import ChangeRecord, ReadFromDynamoDBStreams, WriteChangesToAvro, WriteChangesToParquet
from beam_dynamodb_streams.beam.checked_read import URN
from beam_dynamodb_streams.errors import RunnerError
from beam_dynamodb_streams.testing import LocalStreams, Table
from tests.e2e.workload import Note, assert_each_once_and_in_order

NO_PRISM = [
    "--runner=DirectRunner",
    "--prism_location=/prism/is/not/there",
    "--experiments=disable_prism_server_singleton",  # else it runs on the prism that an earlier test started
]

Step = Callable[[beam.PCollection], object]


class CountByKey(beam.DoFn):
    """Stateful: needs its input grouped by key."""

    COUNT = ReadModifyWriteStateSpec("count", VarIntCoder())

    def process(self, element: tuple[str, int], count=beam.DoFn.StateParam(COUNT)) -> Iterator[int]:
        total = (count.read() or 0) + element[1]
        count.write(total)
        yield total


def key_of(record: ChangeRecord) -> tuple[str, int]:
    return str(record.keys["id"]), 1


def by_key(changes: beam.PCollection) -> beam.PCollection:
    return changes | "Key" >> beam.Map(key_of).with_output_types(tuple[str, int])


def sum_of(records: Iterable[object]) -> int:
    return sum(1 for _ in records)


def grouped(changes: beam.PCollection) -> object:
    return by_key(changes) | beam.WindowInto(FixedWindows(60)) | "Group" >> beam.GroupByKey()


def combined(changes: beam.PCollection) -> object:
    return changes | beam.WindowInto(FixedWindows(60)) | "Count" >> beam.CombineGlobally(sum_of).without_defaults()


def stateful(changes: beam.PCollection) -> object:
    return by_key(changes) | "State" >> beam.ParDo(CountByKey())


def reshuffled(changes: beam.PCollection) -> object:
    return changes | "Reshuffle" >> beam.Reshuffle()


def side_input(changes: beam.PCollection) -> object:
    return (
        changes.pipeline
        | beam.Create([1])
        | "Aside" >> beam.Map(lambda one, records: (one, len(records)), AsList(changes))
    )


def to_parquet(changes: beam.PCollection) -> object:
    return changes | "Sink" >> WriteChangesToParquet("output")


def to_avro(changes: beam.PCollection) -> object:
    return changes | "Sink" >> WriteChangesToAvro("output")


GROUPINGS = {
    grouped: "Group",
    combined: "Count",
    stateful: "State",
    reshuffled: "Reshuffle",
    side_input: "Aside",
    to_parquet: "Sink",
    to_avro: "Sink",
}


@pytest.fixture
def orders(service: LocalStreams) -> Table:
    """A table with a few changes on two shards, whose stream is still enabled."""
    table = service.create_table("orders", keys={"id": "S"}, shards=2)
    table.put_many({"id": f"o-{n}", "n": n} for n in range(20))
    return table


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pipeline_of(service: LocalStreams, step: Step, arguments: list[str], **options: object) -> beam.Pipeline:
    pipeline = beam.Pipeline(options=PipelineOptions(arguments))
    read = ReadFromDynamoDBStreams(
        table="orders",
        endpoint_url=service.endpoint_url,
        watermark_slack=timedelta(seconds=1),
        quiet_pages=3,
        quiet_time=timedelta(milliseconds=500),
        on_new_stream="finish",
        **options,
    )
    step(pipeline | "Read orders" >> read)
    return pipeline


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("beam_dynamodb_streams") and record.levelno >= logging.WARNING
    ]


@pytest.mark.parametrize("streaming", [[], ["--streaming"]], ids=["", "streaming"])
@pytest.mark.parametrize(("step", "label"), GROUPINGS.items(), ids=[step.__name__ for step in GROUPINGS])
def test_an_unbounded_read_before_a_grouping_is_refused_where_beam_falls_back(
    service: LocalStreams, orders: Table, step: Step, label: str, streaming: list[str]
) -> None:
    pipeline = pipeline_of(service, step, [*NO_PRISM, *streaming])
    with pytest.raises(RunnerError) as refused:
        pipeline.run()
    for part in (
        "'Read orders' is unbounded"[1:12],
        f"'{label}",
        "--runner=PrismRunner",
        "--prism_location",
        "FlinkRunner",
    ):
        assert part in str(refused.value)
    assert 'stop="NOW"' in str(refused.value)
    assert not service.counts.calls, "nothing was asked of the service"


def test_each_output_of_a_read_is_followed_to_a_grouping(service: LocalStreams, orders: Table) -> None:
    pipeline = beam.Pipeline(options=PipelineOptions(NO_PRISM))
    read = ReadFromDynamoDBStreams(table="orders", endpoint_url=service.endpoint_url, on_data_loss="continue")
    outputs = pipeline | read.with_outputs()
    _ = (
        outputs.losses
        | beam.Map(lambda loss: (loss, 1))
        | beam.WindowInto(FixedWindows(60))
        | "Losses" >> beam.GroupByKey()
    )
    with pytest.raises(RunnerError, match="'Losses'"):
        pipeline.run()


def test_a_read_applied_twice_is_judged_at_both_places(service: LocalStreams, orders: Table) -> None:
    pipeline = beam.Pipeline(options=PipelineOptions(NO_PRISM))
    read = ReadFromDynamoDBStreams(table="orders", endpoint_url=service.endpoint_url)
    grouped(pipeline | "First" >> read)
    _ = pipeline | "Second" >> read
    with pytest.raises(RunnerError, match="'Group'"):
        pipeline.run()


@pytest.mark.parametrize("streaming", [[], ["--streaming"]], ids=["", "streaming"])
def test_a_fused_unbounded_read_runs_where_beam_falls_back_with_one_warning(
    service: LocalStreams, orders: Table, tmp_path: Path, caplog: pytest.LogCaptureFixture, streaming: list[str]
) -> None:
    def note(changes: beam.PCollection) -> object:
        return changes | beam.ParDo(Note(str(tmp_path / "notes")))

    threading.Timer(1.0, orders.disable_stream).start()
    pipeline_of(service, note, [*NO_PRISM, *streaming]).run().wait_until_finish()
    assert_each_once_and_in_order(orders, tmp_path / "notes")
    [warning] = warnings_of(caplog)
    assert warning.startswith("Read orders is unbounded and runs on FnApiRunner")


def test_a_bounded_read_with_a_sink_runs_without_a_warning_where_beam_falls_back(
    service: LocalStreams, orders: Table, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline_of(service, to_parquet, [*NO_PRISM, "--streaming"], stop="NOW").run().wait_until_finish()
    assert list(Path("output").glob("*.parquet"))
    assert warnings_of(caplog) == []


@pytest.mark.parametrize("step", GROUPINGS)
def test_fn_api_runner_is_refused_no_bounded_read(service: LocalStreams, orders: Table, step: Step) -> None:
    pipeline = pipeline_of(service, step, ["--runner=FnApiRunner"], stop=10)
    translated = pipeline.to_runner_api(default_environment=EmbeddedPythonEnvironment.default())
    assert URN in {transform.spec.urn for transform in translated.components.transforms.values()}


@pytest.mark.parametrize("stop", [None, "NOW"], ids=["unbounded", "bounded"])
def test_a_pipeline_that_makes_beam_pick_bundle_based_direct_runner_is_refused(
    service: LocalStreams, orders: Table, stop: object
) -> None:
    """Trap 18: Beam's own Deduplicate does so, with its real-time timers."""

    def batches(changes: beam.PCollection) -> object:
        return by_key(changes) | beam.GroupIntoBatches(10, max_buffering_duration_secs=1)

    pipeline = pipeline_of(service, batches, ["--runner=DirectRunner"], stop=stop)
    with pytest.raises(RunnerError, match=r"BundleBasedDirectRunner.*GroupIntoBatches.*PrismRunner"):
        pipeline.run().wait_until_finish()
    assert not service.counts.calls


@pytest.mark.parametrize("mode", ["in_memory", "multi_threading", "multi_processing"])
@pytest.mark.parametrize("stop", [None, "NOW"], ids=["unbounded", "bounded"])
def test_several_workers_of_fn_api_runner_are_refused_because_they_drop_residuals(
    service: LocalStreams, orders: Table, stop: object, mode: str
) -> None:
    arguments = ["--runner=FnApiRunner", "--direct_num_workers=2", f"--direct_running_mode={mode}"]
    pipeline = pipeline_of(service, lambda _: None, arguments, stop=stop)
    with pytest.raises(RunnerError, match=r"direct_num_workers=2.*Leave direct_num_workers out"):
        pipeline.run()
    assert not service.counts.calls


def test_prism_is_refused_nothing(service: LocalStreams, orders: Table, caplog: pytest.LogCaptureFixture) -> None:
    pipeline = pipeline_of(service, grouped, ["--runner=PrismRunner", "--streaming", "--direct_num_workers=2"])
    environment = PrismRunner().default_environment(pipeline.options)
    translated = pipeline.to_runner_api(default_environment=environment)
    assert URN in {transform.spec.urn for transform in translated.components.transforms.values()}
    assert warnings_of(caplog) == []
