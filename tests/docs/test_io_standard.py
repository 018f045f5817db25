"""What Beam's I/O standard asks of a connector, where no other test holds it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindows

from beam_dynamodb_streams import (
    AsRows,
    ReadDynamoDBExport,
    ReadFromDynamoDBStreams,
    ReadFromKinesisDataStream,
    ReadOutputs,
    WriteChangesToAvro,
    WriteChangesToDebezium,
    WriteChangesToJsonLines,
    WriteChangesToParquet,
    WriteOutputs,
)
from beam_dynamodb_streams.rows import RowOutputs
from beam_dynamodb_streams.source.export_rows import ExportOutputs
from tests.docs.pages import ROOT

SECTIONS = [
    "Before you start",
    "DynamoDB Streams I/O basics",
    "Supported features",
    "Authentication",
    "Reading from DynamoDB Streams",
    "Writing",
    "Resource scalability",
    "Limitations",
    "Reporting an issue",
]
SOURCES: dict[Any, Any] = {
    ReadFromDynamoDBStreams: ReadOutputs,
    ReadFromKinesisDataStream: ReadOutputs,
    ReadDynamoDBExport: ExportOutputs,
}
SINKS = [WriteChangesToParquet, WriteChangesToAvro, WriteChangesToJsonLines, WriteChangesToDebezium]


def test_the_page_has_the_sections_of_the_standard_in_order() -> None:
    page = (ROOT / "docs" / "beam-io.md").read_text("utf-8")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == SECTIONS
    for feature in ("column pruning", "filter pushdown", "table statistics", "partition metadata", "metastore"):
        assert f"| {feature} |" in page


@pytest.mark.parametrize("transform", [*SOURCES, *SINKS], ids=lambda each: each.__name__)
def test_one_argument_suffices(transform: Any) -> None:
    transform("orders")
    first, *others = inspect.signature(transform).parameters.values()
    assert first.name in ("table", "stream_name", "path")
    assert all(each.default is not each.empty for each in others)


@pytest.mark.parametrize("source", SOURCES, ids=lambda each: each.__name__)
def test_every_source_returns_elements_in_the_global_window(source: Any) -> None:
    made = beam.Pipeline("FnApiRunner") | source("orders").with_outputs()
    assert all(isinstance(each.windowing.windowfn, GlobalWindows) for each in made)


def test_each_transform_has_one_class_of_result(tmp_path: Path) -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    for source, outputs in SOURCES.items():
        assert type(pipeline | f"{source.__name__}, tagged" >> source("orders").with_outputs()) is outputs
        assert type(pipeline | source.__name__ >> source("orders")) is PCollection
    changes = pipeline | "Changes" >> ReadFromDynamoDBStreams("orders", stop=1)
    assert type(changes | AsRows().with_outputs()) is RowOutputs
    for sink in SINKS:
        assert type(changes | f"{sink.__name__}, tagged" >> sink(tmp_path).with_outputs()) is WriteOutputs
        assert type(changes | sink.__name__ >> sink(tmp_path)) is PCollection


def test_the_options_of_a_pipeline_have_none_of_the_connector() -> None:
    for options in PipelineOptions.__subclasses__():
        assert not options.__module__.startswith("beam_dynamodb_streams")
