"""Beam's conventions for sources and sinks: error handlers, exceptions as data, lineage, and copies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.metrics.metric import Lineage
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.error_handling import CollectingErrorHandler, ErrorHandler

from beam_dynamodb_streams import (
    AsRows,
    DeadLetter,
    Loss,
    ReadDynamoDBExport,
    ReadFromDynamoDBStreams,
    ReadFromKinesisDataStream,
    StreamPosition,
    WriteChangesToAvro,
    WriteChangesToJsonLines,
    WriteChangesToParquet,
    read_schema,
)
from beam_dynamodb_streams.columns import Misfit
from beam_dynamodb_streams.errors import DataLossError, InvalidOptionError, MalformedRecordError, MisfitError
from beam_dynamodb_streams.source.reporting import lineage_of
from beam_dynamodb_streams.testing import LocalStreams
from tests.e2e.collected import read_orders
from tests.e2e.test_dead_letters import entry

SCHEMA = read_schema({"id": "string", "n": "int64"}, keys=["id"])
TRANSFORMS: list[Any] = [
    ReadFromDynamoDBStreams("orders"),
    ReadFromKinesisDataStream("orders"),
    ReadDynamoDBExport("exported"),
    AsRows(SCHEMA),
    WriteChangesToParquet("out", schema=SCHEMA),
    WriteChangesToAvro("out"),
    WriteChangesToJsonLines("out"),
]


def name_of(transform: object) -> str:
    return type(transform).__name__


@pytest.fixture
def malformed(service: LocalStreams) -> LocalStreams:
    """Three changes; the second has an image that is not one, and the attribute `n` of the third is not a number."""
    orders = service.create_table("orders", keys={"id": "S"})
    orders.put({"id": "a", "n": 1})
    orders.append(orders.open_shard_ids[0], json.dumps(entry({"id": {"S": "o"}, "n": {"X": "1"}})).encode())
    orders.put({"id": "b", "n": "many"})
    return service


def kinds(errors: beam.PCollection, label: str = "Kinds") -> beam.PCollection:
    return errors | label >> beam.Map(lambda error: (type(error[0]), error[1][0], len(error[1][2])))


def test_errors_of_a_read_go_to_an_error_handler(malformed: LocalStreams) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        with ErrorHandler(beam.Map(lambda error: (type(error[0]), error[1][0], len(error[1][2])))) as handler:
            changes = pipeline | read_orders(malformed, stop=3).with_error_handler(handler)
        assert isinstance(changes, beam.PCollection)
        assert_that(changes | beam.Map(lambda change: change.keys["id"]), equal_to(["a", "b"]))
        assert_that(handler.output(), equal_to([(DeadLetter, MalformedRecordError, 1)]), "errors")


def test_exceptions_of_a_read_are_its_second_output_by_position_and_by_name(malformed: LocalStreams) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        outputs = pipeline | read_orders(malformed, stop=3).as_rows(SCHEMA).with_exception_handling()
        good, bad = outputs
        assert (outputs["good"], outputs["bad"], outputs[1]) == (good, bad, bad)
        with pytest.raises(KeyError, match="'ugly' is not an output: the outputs are 'good' and 'bad'"):
            outputs["ugly"]
        assert_that(good | beam.Map(lambda row: row.keys.id), equal_to(["a", "o", "b"]))
        misfits = (DeadLetter, MalformedRecordError, 1)
        assert_that(kinds(bad), equal_to([misfits, misfits]), "errors")


def test_transforms_of_beam_and_of_ours_share_an_error_handler(malformed: LocalStreams, tmp_path: Path) -> None:
    def refuse(change: Any) -> Any:
        raise ValueError("refused")

    with beam.Pipeline("FnApiRunner") as pipeline:
        with CollectingErrorHandler() as handler:
            changes = pipeline | read_orders(malformed, stop=3).with_error_handler(handler)
            _ = changes | beam.Map(refuse).with_exception_handling(error_handler=handler)
            rows = changes | AsRows(SCHEMA).with_error_handler(handler)
            sink = WriteChangesToParquet(tmp_path, schema=SCHEMA).with_error_handler(handler)
            files = changes | sink
        assert isinstance(files, beam.PCollection)
        assert_that(rows | beam.Map(lambda row: row.keys.id), equal_to(["a", "b"]))
        found = handler.output() | beam.Map(lambda error: error[1][0])
        assert_that(found, equal_to([MalformedRecordError, ValueError, ValueError, MisfitError, MisfitError]), "found")


def test_a_loss_is_an_error_where_it_does_not_end_the_read(service: LocalStreams) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    first = orders.put({"id": "a"})
    assert first is not None
    orders.trim()
    orders.put({"id": "b"})
    start = StreamPosition(orders.stream_arn).after(first)
    with beam.Pipeline("FnApiRunner") as pipeline:
        read = read_orders(service, start=start, stop=1, on_data_loss="continue")
        good, errors = pipeline | read.with_exception_handling("changes", "errors")
        assert_that(good | beam.Map(lambda change: change.keys["id"]), equal_to(["b"]))
        assert_that(kinds(errors), equal_to([(Loss, DataLossError, 1)]), "errors")


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name_of)
def test_a_variant_is_another_instance_and_changes_nothing(transform: Any) -> None:
    before = dict(vars(transform))
    variants = [transform.with_outputs(), transform.with_exception_handling(), transform.with_error_handler(object())]
    assert vars(transform) == before
    assert len({id(each) for each in (transform, *variants)}) == 4
    assert all(type(each) is type(transform) for each in variants)
    assert transform.with_error_handler(None) is transform


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name_of)
def test_what_has_no_meaning_here_is_refused(transform: Any) -> None:
    with pytest.raises(InvalidOptionError, match="it takes main_tag, dead_letter_tag and error_handler alone"):
        transform.with_exception_handling(threshold=0.1)
    with pytest.raises(InvalidOptionError, match="are both 'x': give two names"):
        transform.with_exception_handling("x", "x")


def test_each_failed_element_knows_its_error() -> None:
    letter = DeadLetter("arn", "shard", "7", b"{", "not JSON")
    misfit = Misfit("id", "shard", "7", "new_image", "n", "S is not int64", b"{}")
    loss = Loss("arn", "shard", "1", "2", None, True, "trimmed")
    for failed, kind in ((letter, MalformedRecordError), (misfit, MisfitError), (loss, DataLossError)):
        error = failed.to_error()
        assert type(error) is kind
        assert error.shard == "shard"
    assert letter.to_error().payload == b"{"


def lineage(result: Any, label: str) -> set[str]:
    return Lineage.query(result.metrics(), label)


def test_a_read_and_a_sink_are_in_the_lineage_of_the_run(service: LocalStreams, tmp_path: Path) -> None:
    service.create_table("orders", keys={"id": "S"}).put({"id": "a"})
    pipeline = beam.Pipeline("FnApiRunner")
    _ = pipeline | read_orders(service, stop=1) | WriteChangesToParquet(tmp_path)
    result = pipeline.run()
    result.wait_until_finish()
    assert lineage(result, Lineage.SOURCE) == {"dynamodb:us-east-1.000000000000.orders"}
    (file,) = tmp_path.glob("*.parquet")
    assert lineage(result, Lineage.SINK) == {f"filesystem:localhost.{file}"}


def test_an_export_and_a_data_stream_have_a_lineage(service: LocalStreams, tmp_path: Path) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.put({"id": "a"})
    folder = orders.export_full(tmp_path)
    pipeline = beam.Pipeline("FnApiRunner")
    _ = pipeline | ReadDynamoDBExport(folder, keys=["id"])
    result = pipeline.run()
    result.wait_until_finish()
    assert {each.rstrip("/") for each in lineage(result, Lineage.SOURCE)} == {
        f"filesystem:localhost.{folder.rstrip('/')}"
    }
    arn = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders.changes"
    assert lineage_of(arn) == ("kinesis", "eu-central-1", "123456789012", "orders.changes")


def test_a_name_with_dots_is_one_segment() -> None:
    _, *segments = lineage_of("arn:aws:dynamodb:us-east-1:000000000000:table/my.orders/stream/2026-01-31T12:00:00.000")
    assert [Lineage.wrap_segment(each) for each in segments] == ["us-east-1", "000000000000", "`my.orders`"]
