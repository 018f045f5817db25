"""What a runner stores of our coders: a name with a version, and no class that could move."""

from __future__ import annotations

import json
import os
import pickletools
import subprocess
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.coders import Coder
from apache_beam.internal import pickler
from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions
from apache_beam.transforms.environments import DockerEnvironment, ExternalEnvironment

from beam_dynamodb_streams import ChangeRecord, ReadFromDynamoDBStreams
from beam_dynamodb_streams.beam.coders import PLUGIN, URN_PREFIX, OwnCoder, coder_named
from beam_dynamodb_streams.records.beam_coders import ChangeRecordCoder, RecordBatchCoder
from beam_dynamodb_streams.records.beam_keys import NumberCoder, NumberKeyCoder
from beam_dynamodb_streams.source.restriction import FrontierCoder, WatermarkCoder
from beam_dynamodb_streams.source.stream_read import StreamPositionCoder, StreamReadCoder
from tests.runners.translated import PICKLED, compared

ROOT = Path(__file__).parents[2]
DATAFLOW = ROOT / ".build" / "dataflow" / "bin" / "python"

#: A promise: a runner that updates a job compares these.
NAMES: dict[type[OwnCoder], str] = {
    StreamReadCoder: "stream_read:v1",
    FrontierCoder: "frontier:v1",
    WatermarkCoder: "watermark:v1",
    ChangeRecordCoder: "change_record:v1",
    RecordBatchCoder: "record_batch:v1",
    StreamPositionCoder: "stream_position:v1",
    NumberCoder: "number:v1",
    NumberKeyCoder: "number_key:v1",
}


@pytest.mark.parametrize(("coder", "name"), NAMES.items(), ids=NAMES.values())
def test_a_coder_has_its_name_and_its_pickle_holds_no_class(coder: type[OwnCoder], name: str) -> None:
    assert type(coder_named(name)) is coder
    assert type(Coder.from_runner_api(translated_coder(coder()), None)) is coder  # type: ignore[arg-type]
    pickled = pickler.dumps(coder(), enable_trace=False, use_zlib=False)
    assert pickler.loads(pickled) == coder()
    import pickle

    words = [value for _, value, _ in pickletools.genops(pickle.dumps(coder())) if isinstance(value, str)]
    assert words == ["beam_dynamodb_streams.beam.coders", "coder_named", name]


def translated_coder(coder: OwnCoder) -> Any:
    from apache_beam.runners.pipeline_context import PipelineContext

    context = PipelineContext(default_environment=DockerEnvironment.from_container_image("any"))
    return coder.to_runner_api(context)


def translation(environment: beam.transforms.environments.Environment, *, batches: bool = False) -> dict[str, Any]:
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=PortableRunner", "--streaming"]))
    read = ReadFromDynamoDBStreams("orders", region_name="us-east-1", shard_groups=4)
    _ = pipeline | "Read" >> (read.as_batches() if batches else read)
    assert pipeline.options.view_as(SetupOptions).beam_plugins == [PLUGIN]
    return compared(pipeline.to_runner_api(default_environment=environment))


@pytest.mark.parametrize("batches", [False, True])
def test_the_reads_input_output_and_restriction_have_coders_of_their_own(batches: bool) -> None:
    found = translation(DockerEnvironment.from_container_image("any"), batches=batches)
    [restriction] = found["restrictions"].values()
    assert restriction == f"{URN_PREFIX}frontier:v1" or f"{URN_PREFIX}frontier:v1" in restriction
    assert found["outputs"]["Read/Start"] == [f"{URN_PREFIX}stream_read:v1"]
    assert found["outputs"]["Read/Read"] == [f"{URN_PREFIX}{'record_batch' if batches else 'change_record'}:v1"]
    assert found["pickled_of_ours"] == []


def test_workers_of_a_bare_pool_find_the_coders_without_having_imported_the_package() -> None:
    """They import no plugins, and a stage may name a coder before it loads a function of ours."""
    found = translation(ExternalEnvironment("localhost:1"))
    assert found["outputs"]["Read/Read"] == [PICKLED]
    script = """
import sys
from apache_beam.internal import pickler
coder = pickler.loads(sys.argv[1].encode())
print(type(coder).__name__)
"""
    import sys

    pickled = pickler.dumps(ChangeRecordCoder()).decode()
    done = subprocess.run(
        [sys.executable, "-c", script, pickled], check=True, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "ChangeRecordCoder"


def test_a_coder_that_the_author_names_as_a_plugin_stays_beside_ours() -> None:
    pipeline = beam.Pipeline(options=PipelineOptions(["--beam_plugins=json"]))
    for _ in range(2):
        _ = pipeline | f"Read {_}" >> ReadFromDynamoDBStreams("orders", region_name="us-east-1")
    assert pipeline.options.view_as(SetupOptions).beam_plugins == ["json", PLUGIN]


def dry_run() -> dict[str, Any]:
    if not DATAFLOW.exists():
        pytest.skip("NOT RUN: no environment for Dataflow; `make dataflow` sets one up")
    path = os.pathsep.join([str(ROOT / "connector"), str(ROOT)])
    done = subprocess.run(
        [DATAFLOW, "-m", "tests.runners.dataflow_dry_run"],
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_pipeline_is_translated_for_dataflow_with_what_an_update_compares() -> None:
    found = dry_run()
    assert found["requirements"] == [
        "beam:requirement:pardo:finalization:v1",
        "beam:requirement:pardo:splittable_dofn:v1",
        "beam:requirement:pardo:stateful:v1",
    ]
    assert {"Read", "Read/Start", "Read/Read", "Sink", "Commit", "Count"} <= set(found["names"])
    assert found["outputs"]["Read/Start"] == [f"{URN_PREFIX}stream_read:v1"]
    assert found["outputs"]["Read/Read"] == [f"{URN_PREFIX}change_record:v1"]
    assert f"{URN_PREFIX}frontier:v1" in found["restrictions"]["Read/Read"]
    assert found["pickled_of_ours"] == []
    assert dry_run() == found, "another process translates the same"


def test_the_type_of_a_change_has_the_coder() -> None:
    assert isinstance(beam.coders.registry.get_coder(ChangeRecord), ChangeRecordCoder)
