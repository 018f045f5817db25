"""`ProcessRecords`: record processors of the KCL, unchanged, with checkpoints that `CommitProgress` saves."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from beam_dynamodb_streams import CommitProgress, ProcessRecords, Progress, ReadFromDynamoDBStreams
from beam_dynamodb_streams.errors import HandlerError, InvalidOptionError, RunnerError
from beam_dynamodb_streams.handlers.kcl_messages import OwnCheckpointError
from beam_dynamodb_streams.handlers.process_records import PROCESSORS
from beam_dynamodb_streams.testing import LocalStreams
from tests.handlers.made import change

KCLPY = Path(__file__).parents[2] / ".build" / "kcl" / "kclpy3" / "lib"


class Log:
    """What happened to the processors of this process, in order."""

    lines: ClassVar[list[tuple[str, Any]]] = []


@pytest.fixture(autouse=True)
def log() -> Iterator[list[tuple[str, Any]]]:
    Log.lines.clear()
    yield Log.lines
    PROCESSORS.close()
    Log.lines.clear()


class ThirdVersion:
    """A processor of version 3, as amazon_kclpy's samples are written."""

    version = 3

    def initialize(self, initialize_input: Any) -> None:
        self._shard = initialize_input.shard_id
        Log.lines.append(("initialize", self._shard))

    def process_records(self, process_records_input: Any) -> None:
        for record in process_records_input.records:
            data = json.loads(record.binary_data)
            Log.lines.append(("record", int(data["dynamodb"]["NewImage"]["number"]["N"])))
        assert process_records_input.millis_behind_latest >= 0
        last = process_records_input.records[-1]
        process_records_input.checkpointer.checkpoint(last.sequence_number, last.sub_sequence_number)

    def lease_lost(self, lease_lost_input: Any) -> None:  # noqa: ARG002 - the names are the interface's
        Log.lines.append(("lease_lost", self._shard))

    def shard_ended(self, shard_ended_input: Any) -> None:
        Log.lines.append(("shard_ended", self._shard))
        shard_ended_input.checkpointer.checkpoint()

    def shutdown_requested(self, shutdown_requested_input: Any) -> None:
        Log.lines.append(("shutdown_requested", self._shard))
        shutdown_requested_input.checkpointer.checkpoint()


class SecondVersion(ThirdVersion):
    version = 2
    lease_lost = None  # type: ignore[assignment]
    shard_ended = None  # type: ignore[assignment]

    def shutdown(self, shutdown_input: Any) -> None:
        Log.lines.append((f"shutdown {shutdown_input.reason}", self._shard))
        if shutdown_input.reason == "TERMINATE":
            shutdown_input.checkpointer.checkpoint()


def reading(service: LocalStreams, **options: Any) -> ReadFromDynamoDBStreams:
    return ReadFromDynamoDBStreams(
        table="orders",
        endpoint_url=service.endpoint_url,
        region_name=service.region_name,
        quiet_pages=5,
        quiet_time=timedelta(seconds=0.5),
        watermark_slack=timedelta(seconds=1),
        **options,
    )


@pytest.mark.parametrize(
    ("processor", "ended"), [(ThirdVersion, "shard_ended"), (SecondVersion, "shutdown TERMINATE")], ids=["v3", "v2"]
)
def test_each_shard_has_a_processor_and_a_child_begins_after_its_parents_end(
    service: LocalStreams, log: list[tuple[str, Any]], processor: type, ended: str
) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.put_many({"id": "o-1", "number": number} for number in range(5))
    (parent,) = orders.open_shard_ids
    orders.roll(parent)
    (child,) = orders.open_shard_ids
    orders.put_many({"id": "o-1", "number": number} for number in range(5, 8))
    with beam.Pipeline("FnApiRunner") as pipeline:
        checkpoints = pipeline | reading(service, stop=8) | ProcessRecords(processor)
        numbers = checkpoints | beam.Map(lambda each: (each.shard_id, int(each.new_image["number"])))
        assert_that(numbers, equal_to([(parent, 4), (child, 7)]))
    assert log == [
        ("initialize", parent),
        *(("record", number) for number in range(5)),
        (ended, parent),
        ("initialize", child),
        *(("record", number) for number in range(5, 8)),
        ("shutdown_requested", child),
    ]


class EveryThird(ThirdVersion):
    """Checkpoints only changes whose number is a multiple of three, and never at an end."""

    def process_records(self, process_records_input: Any) -> None:
        for record in process_records_input.records:
            number = int(json.loads(record.binary_data)["dynamodb"]["NewImage"]["number"]["N"])
            Log.lines.append(("record", number))
            if number % 3 == 0:
                process_records_input.checkpointer.checkpoint(record.sequence_number)

    def shutdown_requested(self, shutdown_requested_input: Any) -> None: ...


def test_a_later_run_resumes_after_the_last_checkpoint(
    service: LocalStreams, log: list[tuple[str, Any]], tmp_path: Path
) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.put_many({"id": "o-1", "number": number} for number in range(1, 9))
    progress = Progress(
        f"file:{tmp_path / 'progress.json'}", takeover_after=timedelta(seconds=1), commit_every=timedelta(seconds=0.3)
    )
    for _ in range(2):
        with beam.Pipeline("FnApiRunner") as pipeline:
            checkpoints = pipeline | reading(service, stop="NOW", progress=progress) | ProcessRecords(EveryThird)
            _ = checkpoints | CommitProgress(progress, watermark_slack=timedelta(seconds=1))
    numbers = [given for what, given in log if what == "record"]
    assert numbers == [1, 2, 3, 4, 5, 6, 7, 8, 7, 8]


class Failing(ThirdVersion):
    def process_records(self, process_records_input: Any) -> None:  # noqa: ARG002
        raise ValueError("no")


def test_an_error_fails_the_bundle_or_is_passed_over(log: list[tuple[str, Any]]) -> None:
    with (
        pytest.raises(HandlerError, match="failed in process_records: ValueError"),
        beam.Pipeline("FnApiRunner") as pipeline,
    ):
        _ = pipeline | beam.Create([change(1)]) | ProcessRecords(Failing)
    assert log == [("initialize", "shardId-0001"), ("lease_lost", "shardId-0001")]
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([change(1)]) | ProcessRecords(Failing, on_error="continue")


class Wrong(ThirdVersion):
    def process_records(self, process_records_input: Any) -> None:
        with pytest.raises(OwnCheckpointError, match="InvalidArgumentException"):
            process_records_input.checkpointer.checkpoint("7")
        process_records_input.checkpointer.checkpoint()
        Log.lines.append(("checkpointed", len(process_records_input.records)))


def test_a_checkpoint_at_a_number_that_was_not_delivered_is_refused(log: list[tuple[str, Any]]) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([change(1)]) | ProcessRecords(Wrong)
    assert ("checkpointed", 1) in log


class FirstVersion:
    version = 1

    def initialize(self, shard_id: str) -> None:
        Log.lines.append(("initialize", shard_id))

    def process_records(self, records: Any, checkpointer: Any) -> None:
        Log.lines.append(("data", json.loads(__import__("base64").b64decode(records[0].get("data")))["eventName"]))
        checkpointer.checkpoint(records[-1].get("sequenceNumber"))

    def shutdown(self, checkpointer: Any, reason: str) -> None:  # noqa: ARG002
        Log.lines.append((f"shutdown {reason}", None))


def test_a_processor_of_the_first_version_is_called_as_it_expects(log: list[tuple[str, Any]]) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([change(1)]) | ProcessRecords("tests.handlers.test_process_records:FirstVersion")
    PROCESSORS.close()
    assert log == [("initialize", "shardId-0001"), ("data", "INSERT"), ("shutdown ZOMBIE", None)]


def test_a_processor_derived_from_amazon_kclpys_own_class_works(
    log: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = list(KCLPY.glob("python*/site-packages"))
    if not installed or not (installed[0] / "amazon_kclpy").exists():
        pytest.skip("NOT RUN: amazon_kclpy is not there; `make kcl` installs it where Java is")
    monkeypatch.syspath_prepend(str(installed[0]))
    from amazon_kclpy.kcl import CheckpointError
    from amazon_kclpy.v3 import processor

    class Own(processor.RecordProcessorBase):  # type: ignore[misc]
        def initialize(self, initialize_input: Any) -> None: ...
        def lease_lost(self, lease_lost_input: Any) -> None: ...
        def shard_ended(self, shard_ended_input: Any) -> None: ...
        def shutdown_requested(self, shutdown_requested_input: Any) -> None: ...

        def process_records(self, process_records_input: Any) -> None:
            try:
                process_records_input.checkpointer.checkpoint("7")
            except CheckpointError as error:
                Log.lines.append(("refused", error.value))

    step = ProcessRecords(Own)
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([change(1)]) | step
    sys.modules.pop("amazon_kclpy", None)


def test_the_data_of_a_record_is_the_adapters() -> None:
    from beam_dynamodb_streams.handlers.record_processor import kinesis_record

    record = kinesis_record(change(7, old_image={"id": "a"}), "eu-central-1")
    assert json.loads(record.binary_data) == {
        "eventID": "event-7",
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-central-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1769860807000,
            "Keys": {"id": {"S": "a"}},
            "NewImage": {"id": {"S": "a"}, "number": {"N": "7"}},
            "OldImage": {"id": {"S": "a"}},
            "SequenceNumber": "100000000000000000007",
            "SizeBytes": 40,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
    }
    assert record["sequenceNumber"] == record.sequence_number == "100000000000000000007"
    assert record.timestamp_millis == 1769860807000
    assert record.sub_sequence_number == 0


def test_wrong_options_and_a_shuffle_are_refused() -> None:
    for options in ({"max_records": 0}, {"on_error": "ignore"}):
        with pytest.raises(InvalidOptionError):
            ProcessRecords(ThirdVersion, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidOptionError, match="processor_factory="):
        ProcessRecords("nowhere:Processor")
    pipeline = beam.Pipeline("FnApiRunner")
    changes = pipeline | ReadFromDynamoDBStreams(table="orders", stop="NOW") | beam.Reshuffle()
    with pytest.raises(RunnerError, match="right behind the read"):
        _ = changes | ProcessRecords(ThirdVersion)
