"""What Flink and Spark cannot run is refused from the graph, before a job server is asked for anything."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.io import fileio
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import AsDict, AsIter, AsList, AsSingleton
from apache_beam.transforms.window import FixedWindows

from beam_dynamodb_streams import (
    CommitProgress,
    ReadFromDynamoDBStreams,
    WriteChangesToAvro,
    WriteChangesToJsonLines,
    WriteChangesToParquet,
)
from beam_dynamodb_streams.beam.checked_read import SIDE_INPUTS
from beam_dynamodb_streams.errors import RunnerError

#: Nobody listens there: a pipeline that is not refused fails to connect.
NOWHERE = "--job_endpoint=localhost:1"
FLINK = ["--runner=PortableRunner", NOWHERE, "--job_server_timeout=1"]

Step = Callable[[beam.PCollection], object]


class WriteLikeWriteToFiles(beam.PTransform):
    """A user's own composite, with the side input deep inside."""

    def __init__(self, side: Callable[[beam.PCollection], object]) -> None:
        super().__init__()
        self._side = side

    def expand(self, changes: beam.PCollection) -> beam.PCollection:
        shards = changes.pipeline | "Shards" >> beam.Create([("shards", 3)])
        return changes | "Inner" >> beam.ParDo(Write(), self._side(shards))


class Write(beam.DoFn):
    def process(self, element: object, shards: object) -> None: ...


def with_defaults(changes: beam.PCollection) -> object:
    return changes | "Combine" >> beam.CombineGlobally(len_of)


def len_of(values: object) -> int:
    return 0


def to_text(changes: beam.PCollection) -> object:
    return changes | beam.Map(str) | beam.WindowInto(FixedWindows(60)) | "Text" >> beam.io.WriteToText("out")


def elsewhere(changes: beam.PCollection) -> object:
    """The step has nothing to do with the read: the job's checkpoints break all the same."""
    side = changes.pipeline | "Side" >> beam.Create([1])
    return changes.pipeline | "Other" >> beam.Create([1]) | "Aside" >> beam.Map(max, AsList(side))


SIDE_INPUTS_OF: dict[str, tuple[Step, str]] = {
    "iterable": (lambda changes: changes | "Sink" >> WriteLikeWriteToFiles(AsIter), "Sink/Inner"),
    "list": (lambda changes: changes | "Sink" >> WriteLikeWriteToFiles(AsList), "Sink/Inner"),
    "dict": (lambda changes: changes | "Sink" >> WriteLikeWriteToFiles(AsDict), "Sink/Inner"),
    "singleton": (lambda changes: changes | "Sink" >> WriteLikeWriteToFiles(AsSingleton), "Sink/Inner"),
    "WriteToText": (to_text, "Text"),
    "elsewhere": (elsewhere, "Aside"),
}

WITHOUT: dict[str, Step] = {
    "nothing": lambda _: None,
    "parquet": lambda changes: changes | WriteChangesToParquet("out"),
    "avro": lambda changes: changes | WriteChangesToAvro("out"),
    "json": lambda changes: changes | WriteChangesToJsonLines("out"),
    "combine": lambda changes: (
        changes | beam.WindowInto(FixedWindows(60)) | beam.CombineGlobally(len_of).without_defaults()
    ),
}


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pipeline_of(step: Step, arguments: list[str], **options: object) -> beam.Pipeline:
    pipeline = beam.Pipeline(options=PipelineOptions(arguments))
    step(pipeline | "Read" >> ReadFromDynamoDBStreams("orders", endpoint_url="http://localhost:1", **options))
    return pipeline


def translate(pipeline: beam.Pipeline) -> None:
    """As `run` does first, with and without --streaming."""
    beam.Pipeline.from_runner_api(pipeline.to_runner_api(), pipeline.runner, pipeline.options).to_runner_api()


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("runner", ["PortableRunner", "FlinkRunner"])
@pytest.mark.parametrize("streaming", [[], ["--streaming"]], ids=["", "streaming"])
@pytest.mark.parametrize("kind", SIDE_INPUTS_OF)
def test_a_side_input_in_an_unbounded_job_on_flink_is_refused_with_the_way_round(
    kind: str, streaming: list[str], runner: str
) -> None:
    step, label = SIDE_INPUTS_OF[kind]
    pipeline = pipeline_of(step, [f"--runner={runner}", NOWHERE, *streaming])
    with pytest.raises(RunnerError) as refused:
        pipeline.run()
    for part in (f"'{label}", "no checkpoint completes", "CoGroupByKey", "without_defaults", SIDE_INPUTS):
        assert part in str(refused.value)


@pytest.mark.parametrize("kind", WITHOUT)
def test_our_sinks_and_steps_without_a_side_input_are_not_refused_on_flink(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    translate(pipeline_of(WITHOUT[kind], [*FLINK, "--streaming"]))
    assert not [warning for warning in warnings_of(caplog) if "side input" in warning]


def test_progress_behind_a_sink_needs_no_side_input(caplog: pytest.LogCaptureFixture) -> None:
    def committed(changes: beam.PCollection) -> object:
        return changes | beam.Reshuffle() | CommitProgress("file:progress.json")

    translate(pipeline_of(committed, [*FLINK, "--streaming"], progress="file:progress.json"))
    assert not [warning for warning in warnings_of(caplog) if "side input" in warning]


@pytest.mark.parametrize("step", [with_defaults, *(step for step, _ in SIDE_INPUTS_OF.values())])
def test_a_bounded_job_that_streams_on_flink_is_warned_of(step: Step, caplog: pytest.LogCaptureFixture) -> None:
    translate(pipeline_of(step, [*FLINK, "--streaming"], stop="NOW"))
    assert any("has a side input: in a streaming job on Flink" in warning for warning in warnings_of(caplog))


def test_a_bounded_job_that_does_not_stream_may_have_side_inputs(caplog: pytest.LogCaptureFixture) -> None:
    translate(pipeline_of(with_defaults, FLINK, stop="NOW"))
    assert not [warning for warning in warnings_of(caplog) if "side input" in warning]


@pytest.mark.parametrize("arguments", [[*FLINK, f"--experiments={SIDE_INPUTS}"], ["--runner=PrismRunner"]])
def test_a_runner_that_takes_side_inputs_is_refused_nothing(arguments: list[str]) -> None:
    translate(pipeline_of(SIDE_INPUTS_OF["list"][0], arguments))


def test_beams_files_in_windows_are_written_without_a_side_input() -> None:
    """WriteToFiles lost nothing on Flink; should a new Beam give it a side input, it must be refused."""

    def files(changes: beam.PCollection) -> object:
        texts = changes | beam.Map(str) | beam.WindowInto(FixedWindows(60))
        return texts | "Files" >> fileio.WriteToFiles("out", max_writers_per_bundle=0)

    translate(pipeline_of(files, FLINK))


@pytest.mark.parametrize("streaming", [[], ["--streaming"]], ids=["", "streaming"])
def test_an_unbounded_read_on_spark_is_refused_with_the_reason(streaming: list[str]) -> None:
    pipeline = pipeline_of(WITHOUT["nothing"], ["--runner=SparkRunner", NOWHERE, *streaming])
    with pytest.raises(RunnerError, match=r"'?Read.*SparkRunner rejects.*beam#19468.*FlinkRunner.*stop="):
        pipeline.run()


def test_a_bounded_read_on_spark_is_not_refused() -> None:
    translate(pipeline_of(WITHOUT["nothing"], ["--runner=SparkRunner", NOWHERE], stop="NOW"))
