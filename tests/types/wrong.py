"""Calls that a type checker refuses: each line with a mark, and no other."""

from __future__ import annotations

from beam_dynamodb_streams import (
    CommitProgress,
    Progress,
    ReadDynamoDBExport,
    ReadFromDynamoDBStreams,
    ReadFromKinesisDataStream,
    Schema,
    WriteChangesToAvro,
    WriteChangesToJsonLines,
    WriteChangesToParquet,
    read_schema,
    sample,
)


def calls(schema: Schema) -> None:
    ReadFromDynamoDBStreams("orders", start="TRIM_HORISON")  # wrong
    ReadFromDynamoDBStreams("orders", start=17)  # wrong
    ReadFromDynamoDBStreams("orders", stop="now")  # wrong
    ReadFromDynamoDBStreams("orders", stop=1.5)  # wrong
    ReadFromDynamoDBStreams("orders", on_data_loss="ignore")  # wrong
    ReadFromDynamoDBStreams("orders", on_malformed="drop")  # wrong
    ReadFromDynamoDBStreams("orders", on_new_stream="continue")  # wrong
    ReadFromDynamoDBStreams("orders", event_names=["INSERTED"])  # wrong
    ReadFromDynamoDBStreams("orders", event_names="INSERT")  # wrong
    ReadFromDynamoDBStreams("orders", watermark_slack="5s")  # wrong
    ReadFromDynamoDBStreams("orders", poll_intervall=1)  # wrong
    ReadFromDynamoDBStreams("orders").as_batches(schema, span="1m")  # wrong
    ReadFromDynamoDBStreams("orders").as_rows({"id": "string"})  # wrong
    ReadFromKinesisDataStream("orders", start="EARLIEST")  # wrong
    ReadFromKinesisDataStream("orders", event_names={"UPDATE"})  # wrong
    ReadDynamoDBExport("exported", on_malformed="ignore")  # wrong
    WriteChangesToParquet("out", codec="deflate")  # wrong
    WriteChangesToParquet("out", partitions="day")  # wrong
    WriteChangesToParquet("out", layout="changes")  # wrong
    WriteChangesToParquet("out", window="1m")  # wrong
    WriteChangesToAvro("out", codec="zstd")  # wrong
    WriteChangesToJsonLines("out", codec="zstandard")  # wrong
    read_schema({"id": "string"}, keys=["id"], on_misfit="skip")  # wrong
    Progress("file:progress", takeover_after="30s")  # wrong
    CommitProgress("file:progress", watermark_slack="5s")  # wrong
    sample("orders", start="NEWEST")  # wrong
    sample("orders", seconds="15")  # wrong
