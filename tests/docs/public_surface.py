"""The public surface as a user's type checker sees it; `mypy --strict` reads this, and a test runs it.

What Beam itself leaves untyped (a PCollection's elements) is `Any` here too.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
from typing_extensions import assert_type

from beam_dynamodb_streams import (
    AsChanges,
    AsDebezium,
    AsRows,
    ChangeRecord,
    CommitProgress,
    CommitToDelta,
    CommitToIceberg,
    ConnectorError,
    DeadLetter,
    DeliveredPosition,
    InvokeHandler,
    KinesisOverStreams,
    LeaseTable,
    Loss,
    MirrorToDelta,
    Misfit,
    ProcessRecords,
    Progress,
    ReadDynamoDBExport,
    ReadFromDynamoDBStreams,
    ReadFromKinesisDataStream,
    ReadOutputs,
    Sample,
    Schema,
    SnapshotEnd,
    StreamPosition,
    WriteChangesToAvro,
    WriteChangesToDebezium,
    WriteChangesToJsonLines,
    WriteChangesToParquet,
    WriteOutputs,
    change_sequence_number,
    errors,
    read_items,
    read_schema,
    run_pipeline,
    sample,
    snapshot_end,
)
from beam_dynamodb_streams.kinesis import LostRecords
from beam_dynamodb_streams.testing import Clock, Counts, Faults, LocalStreams, Table


def a_change() -> ChangeRecord:
    change = ChangeRecord(
        event_id="1",
        event_name="INSERT",
        keys={"id": "o-1"},
        new_image={"id": "o-1", "total": Decimal("9.99")},
        sequence_number="100",
        shard_id="shardId-00000001",
        approximate_creation_time=datetime(2026, 1, 31, tzinfo=timezone.utc),
    )
    assert_type(change.event_id, str)
    assert_type(change.approximate_creation_time, datetime)
    assert_type(change.is_ttl_delete, bool)
    assert_type(change_sequence_number(change.version), str)
    assert_type(change.new_image_json, bytes | None)
    assert_type(ChangeRecord.from_json(change.to_json()), ChangeRecord)
    return change


def a_position(change: ChangeRecord) -> StreamPosition:
    position = StreamPosition().after(change)
    assert_type(StreamPosition.from_json(position.to_json()), StreamPosition)
    return position.merge(StreamPosition())


def a_schema() -> Schema:
    schema = read_schema({"id": str, "total": "decimal128(12, 2)"}, keys=["id"], on_misfit="text")
    assert_type(Schema.from_json(schema.to_json()), Schema)
    assert_type(schema.to_json(), str)
    return schema


def a_pipeline(pipeline: beam.Pipeline, service: LocalStreams, directory: Path) -> None:
    read = ReadFromDynamoDBStreams(
        table="orders",
        start=datetime(2026, 1, 31, tzinfo=timezone.utc),
        stop=timedelta(minutes=5),
        event_names={"INSERT"},
        where=lambda change: not change.is_ttl_delete,
        on_data_loss="continue",
        progress=Progress(f"file:{directory / 'progress'}", takeover_after=timedelta(seconds=30)),
        endpoint_url=service.endpoint_url,
        region_name=service.region_name,
    )
    assert_type(read.with_outputs(), ReadFromDynamoDBStreams)
    assert_type(read.as_batches(a_schema(), span=timedelta(minutes=1)), ReadFromDynamoDBStreams)
    copied = ReadFromKinesisDataStream("orders-changes", table="orders", start="LATEST", watermark_slack=timedelta(0))
    assert_type(copied.with_outputs(), ReadFromKinesisDataStream)
    for sink in (
        WriteChangesToParquet(directory, window=60, layout="latest_image", partitions="hour"),
        WriteChangesToAvro(directory),
        WriteChangesToDebezium(directory, table="orders"),
        WriteChangesToJsonLines(directory),
    ):
        assert isinstance(sink, beam.PTransform)
    lake = {"uri": f"sqlite:///{directory}/lake.db", "warehouse": f"{directory}/lake"}
    commits = (
        CommitToIceberg(lake, "db.orders", partitions="hour", every=timedelta(minutes=5)),
        CommitToDelta(directory),
    )
    assert all(isinstance(commit, beam.PTransform) for commit in commits)
    mirror = MirrorToDelta(
        directory, schema=a_schema(), window=timedelta(minutes=1), remember_deletes=timedelta(days=2)
    )
    assert_type(mirror.with_outputs(), MirrorToDelta)
    exported = ReadDynamoDBExport([directory / "full", "s3://bucket/AWSDynamoDB/1-a/"], keys=["id"])
    assert_type(exported.with_outputs().as_batches(a_schema()), ReadDynamoDBExport)
    handler = InvokeHandler(a_handler, batch_size=10, maximum_retry_attempts=3, report_batch_item_failures=True)
    processors = ProcessRecords(a_processor, on_error="continue")
    steps = (
        AsChanges(),
        AsDebezium(a_schema(), keyed=True),
        DeliveredPosition(),
        CommitProgress(f"file:{directory / 'progress'}"),
        handler,
        processors,
    )
    assert len(steps) == 6


def the_items(directory: Path, batch: pa.RecordBatch) -> pa.Table:
    end = snapshot_end(batch)
    if end is not None:
        assert_type(end, SnapshotEnd)
        assert_type(end.removes_before, str | None)
        assert_type(end.consistent_since, datetime)
    return read_items(directory)


def a_processor() -> object:
    return object()


def a_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return {"batchItemFailures": [], "seen": len(event["Records"]), "context": context}


def a_sample(service: LocalStreams) -> Sample:
    some = sample("orders", limit=10, endpoint_url=service.endpoint_url, region_name=service.region_name)
    assert_type(some[0], ChangeRecord)
    assert_type(some[:1], tuple[ChangeRecord, ...])
    assert_type(some.dead_letters, tuple[DeadLetter, ...])
    assert_type(some.losses, tuple[Loss, ...])
    table: pa.Table = some.to_arrow()
    assert table.num_rows == len(some)
    return some


def a_kinesis_client(service: LocalStreams) -> list[str]:
    with KinesisOverStreams("orders", endpoint_url=service.endpoint_url, region_name=service.region_name) as kinesis:
        assert_type(kinesis.losses, tuple[LostRecords, ...])
        names: list[str] = kinesis.list_streams()["StreamNames"]
    return names


def a_refusal() -> str:
    try:
        ReadFromDynamoDBStreams(table="orders", stop="SOON")  # type: ignore[arg-type]  # a type checker refuses it too
    except errors.InvalidOptionError as error:
        assert_type(error.stream, str | None)
        known: ConnectorError = error
        return known.message
    raise AssertionError("SOON is not a stop")


def a_program() -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    _ = pipeline | beam.Create([1])
    assert_type(run_pipeline(pipeline, prog="example"), Any)


def main(directory: Path) -> None:
    with LocalStreams(clock=Clock(datetime.now(timezone.utc)), faults=Faults(throttle={"GetRecords": 0.1})) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        assert_type(orders, Table)
        orders.put({"id": "o-1", "total": Decimal("9.99")})
        assert_type(service.counts, Counts)
        assert len(a_sample(service)) == 1
        assert a_kinesis_client(service) == ["orders"]
        a_pipeline(beam.Pipeline("FnApiRunner"), service, directory)
    assert a_position(a_change()).shards
    assert "SOON" in a_refusal()


def rows_of_a_read(pipeline: beam.Pipeline, schema: Schema) -> None:
    pipeline | "Rows" >> ReadFromDynamoDBStreams("orders").as_rows(schema)
    pipeline | "Changes" >> ReadFromDynamoDBStreams("orders") | AsRows()


def outputs_of_a_read_and_a_sink(pipeline: beam.Pipeline, schema: Schema, directory: Path) -> list[Any]:
    read = ReadFromDynamoDBStreams("orders", start=LeaseTable("my-application"), stop="NOW", on_data_loss="continue")
    outputs: ReadOutputs = pipeline | read.with_outputs()
    changes, dead_letters, losses = outputs
    assert_type(outputs.losses, beam.PCollection)
    files, misfits = changes | WriteChangesToParquet(directory, schema=schema).with_outputs()
    good, bad = pipeline | "Again" >> read.with_exception_handling()
    written: WriteOutputs = good | "Write" >> WriteChangesToAvro(directory, schema=schema).with_outputs()
    return [dead_letters, losses, files, misfits, bad, written.files]


def place_of(misfit: Misfit) -> str:
    return misfit.place
