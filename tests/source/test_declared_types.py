"""No step of the package infers `Any`, and Beam converts no annotation of its functions to `Any` (and logs so)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from apache_beam.typehints import typehints

import beam_dynamodb_streams
from beam_dynamodb_streams import (
    AsChanges,
    AsRows,
    ChangeRecord,
    CommitProgress,
    DeliveredPosition,
    InvokeHandler,
    ProcessRecords,
    ReadDynamoDBExport,
    ReadFromDynamoDBStreams,
    ReadFromKinesisDataStream,
    WriteChangesToAvro,
    WriteChangesToJsonLines,
    WriteChangesToParquet,
    read_schema,
)
from beam_dynamodb_streams.beam import typed
from beam_dynamodb_streams.yaml import read_from_dynamodb_cdc, write_changes_to_parquet

FOLDER = "AWSDynamoDB/0-a"
SCHEMA = read_schema({"id": "string"}, keys=["id"])
ERRORS = {"error_handling": {"output": "errors"}}

#: Steps whose elements the author decides: what a handler returns.
AUTHORS_OWN = ("InvokeHandler", "ProcessRecords")


def read() -> ReadFromDynamoDBStreams:
    return ReadFromDynamoDBStreams("orders", stop=1)


def export() -> ReadDynamoDBExport:
    return ReadDynamoDBExport("exported", keys=["id"])


Build = Callable[[beam.Pipeline, Path], Any]
PIPELINES: dict[str, Build] = {
    "read": lambda p, _: p | read(),
    "outputs": lambda p, _: p | read().with_outputs(),
    "unbounded": lambda p, _: p | ReadFromDynamoDBStreams("orders").with_outputs(),
    "batches": lambda p, _: p | read().as_batches(SCHEMA).with_outputs(),
    "rows": lambda p, _: p | read().as_rows(SCHEMA).with_outputs(),
    "rows of text": lambda p, _: p | read().as_rows(),
    "as rows": lambda p, _: p | read() | AsRows(SCHEMA).with_outputs(),
    "as changes": lambda p, _: p | read().as_batches() | AsChanges(),
    "scan": lambda p, _: p | ReadFromDynamoDBStreams("orders", snapshot="scan", stop=1),
    "export snapshot": lambda p, _: p | ReadFromDynamoDBStreams("orders", snapshot=FOLDER).with_outputs(),
    "batches of a snapshot": lambda p, _: p | ReadFromDynamoDBStreams("orders", snapshot=FOLDER).as_batches(),
    "kinesis": lambda p, _: p | ReadFromKinesisDataStream("orders", stop=1).with_outputs(),
    "export": lambda p, _: p | export().with_outputs(),
    "batches of an export": lambda p, _: p | export().as_batches(SCHEMA),
    "position": lambda p, _: p | read() | DeliveredPosition(),
    "parquet": lambda p, to: p | read() | WriteChangesToParquet(to, schema=SCHEMA).with_outputs(),
    "avro": lambda p, to: p | ReadFromDynamoDBStreams("orders").as_batches() | WriteChangesToAvro(to),
    "json lines": lambda p, to: p | read() | WriteChangesToJsonLines(to),
    "progress": lambda p, _: p | ReadFromDynamoDBStreams("orders", progress="file:x") | CommitProgress("file:x"),
    "handler": lambda p, _: p | read() | InvokeHandler(print),
    "handler of windows": lambda p, _: p | read() | InvokeHandler(print, tumbling_window=60),
    "processor": lambda p, _: p | read() | ProcessRecords(object),
    "yaml": lambda p, to: (
        (p | read_from_dynamodb_cdc(table="orders", **ERRORS))["good"]
        | write_changes_to_parquet(path=str(to), **ERRORS)
    ),
}


class Undeclared(PipelineVisitor):
    """Collects each step of the package, or of a step of it, that returns elements of `Any`."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def enter_composite_transform(self, transform_node: AppliedPTransform) -> None:
        self.visit_transform(transform_node)

    def visit_transform(self, transform_node: AppliedPTransform) -> None:
        step = transform_node.transform
        ours = is_ours(step) or is_ours(getattr(step, "fn", None)) or isinstance(step, beam.Flatten)
        for tag, output in transform_node.outputs.items():
            if ours and isinstance(output, beam.PCollection) and has_any(output.element_type):
                self.found.append(f"{transform_node.full_label}[{tag}]: {output.element_type}")


def is_ours(step: object) -> bool:
    return type(step).__module__.startswith(beam_dynamodb_streams.__name__)


def has_any(kind: Any) -> bool:
    """Return whether a type is `Any`, or has it inside. A type variable stands for nothing here."""
    if kind in (Any, typehints.Any, object):
        return True
    return isinstance(kind, typehints.TupleHint.TupleConstraint) and any(map(has_any, kind.tuple_types))


@pytest.mark.parametrize("name", PIPELINES)
def test_no_step_infers_any(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    with caplog.at_level(logging.INFO, "apache_beam"):
        PIPELINES[name](pipeline, tmp_path / "out")
        undeclared = Undeclared()
        pipeline.visit(undeclared)
    assert [each for each in undeclared.found if not any(step in each for step in AUTHORS_OWN)] == []
    assert [line for line in caplog.messages if "string literal" in line] == []


def test_a_postponed_annotation_of_a_plain_dofn_is_what_beam_logs(caplog: pytest.LogCaptureFixture) -> None:
    """So the test above sees what it looks for; and the package's base classes are why it sees nothing."""

    class Plain(beam.DoFn):
        def process(self, element: ChangeRecord) -> Iterator[ChangeRecord]:
            yield element

    class Own(typed.OwnDoFn):
        def process(self, element: ChangeRecord) -> Iterator[ChangeRecord]:
            yield element

    with caplog.at_level(logging.INFO, "apache_beam"):
        beam.ParDo(Own()).get_type_hints()
        assert caplog.messages == []
        beam.ParDo(Plain()).get_type_hints()
    assert "Converting string literal" in caplog.text
