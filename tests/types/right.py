"""Calls that a type checker accepts: mypy and pyright read this file, and nothing runs it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import apache_beam as beam

from beam_dynamodb_streams import (
    AsRows,
    CommitProgress,
    LeaseTable,
    ReadDynamoDBExport,
    ReadFromDynamoDBStreams,
    ReadFromKinesisDataStream,
    StreamPosition,
    WriteChangesToAvro,
    WriteChangesToJsonLines,
    WriteChangesToParquet,
    read_schema,
    sample,
)

SCHEMA = read_schema({"id": "string"}, keys=["id"], on_misfit="text")

STARTS = (
    ReadFromDynamoDBStreams("orders", start="TRIM_HORIZON"),
    ReadFromDynamoDBStreams("orders", start="LATEST", stop="NOW"),
    ReadFromDynamoDBStreams("orders", start=datetime(2026, 1, 31, tzinfo=timezone.utc), stop=1000),
    ReadFromDynamoDBStreams("orders", start=StreamPosition(), stop=timedelta(minutes=5)),
    ReadFromDynamoDBStreams("orders", start=LeaseTable("my-application"), stop=None),
    ReadFromDynamoDBStreams("orders", event_names={"INSERT", "REMOVE"}, on_data_loss="continue", on_malformed="skip"),
    ReadFromDynamoDBStreams("orders", event_names=["MODIFY"], on_new_stream="follow", snapshot="scan"),
    ReadFromDynamoDBStreams("orders", watermark_slack=5, poll_interval=0.2, slice_time=timedelta(seconds=1)),
    ReadFromKinesisDataStream("orders", start="LATEST", on_data_loss="fail", poll_interval=1),
    ReadDynamoDBExport(["s3://bucket/AWSDynamoDB/0-a/"], on_malformed="skip"),
    WriteChangesToParquet("out", codec="snappy", layout="latest_image", partitions="hour", window=60),
    WriteChangesToAvro("out", codec="null", partitions="date"),
    WriteChangesToJsonLines("out", codec="gzip", window=timedelta(minutes=1)),
    CommitProgress("file:progress", watermark_slack=5),
)

SOME = sample("orders", start="LATEST", event_names=["INSERT"], seconds=5)


def outputs(pipeline: beam.Pipeline) -> None:
    changes, dead_letters, losses = pipeline | ReadFromDynamoDBStreams("orders").with_outputs()
    files, misfits = changes | WriteChangesToParquet("out", schema=SCHEMA).with_outputs()
    named, letters, lost = pipeline | "Named" >> ReadFromDynamoDBStreams("orders").with_outputs()
    good, bad = pipeline | ReadFromDynamoDBStreams("orders").with_exception_handling()
    rows = pipeline | ReadFromDynamoDBStreams("orders").as_rows(SCHEMA)
    typed, unfit = named | AsRows(SCHEMA).with_outputs()
    copied = pipeline | ReadFromKinesisDataStream("orders").as_batches(SCHEMA, span=60).with_outputs()
    for each in (dead_letters, losses, files, misfits, letters, lost, good, bad, rows, typed, unfit, *copied):
        _ = each | beam.Map(print)
