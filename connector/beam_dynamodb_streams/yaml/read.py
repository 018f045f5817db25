"""`ReadFromDynamoDBCDC` of Beam YAML."""

# Beam reads these annotations at run time: no postponed ones, and `Optional` instead of `X | None`.
from typing import Any, Optional

import apache_beam as beam
from apache_beam.pvalue import PBegin, PCollection

from beam_dynamodb_streams.beam.typed import OwnTransform
from beam_dynamodb_streams.source.transform import ReadFromDynamoDBStreams
from beam_dynamodb_streams.yaml.arguments import (
    MAIN,
    duration_of,
    errors_of,
    json_arguments,
    progress_of,
    schema_of,
    start_of,
    stop_of,
)
from beam_dynamodb_streams.yaml.rows import as_error_rows


@json_arguments
def read_from_dynamodb_cdc(
    table: Optional[str] = None,
    stream_arn: Optional[str] = None,
    start: Any = "TRIM_HORIZON",
    stop: Any = None,
    schema: Any = None,
    keys: Optional[list[str]] = None,
    rename: Any = None,
    region_name: Optional[str] = None,
    endpoint_url: Optional[str] = None,
    event_names: Optional[list[str]] = None,
    filter_criteria: Any = None,
    on_data_loss: Optional[str] = None,
    on_malformed: Optional[str] = None,
    on_new_stream: Optional[str] = None,
    progress: Any = None,
    snapshot: Any = None,
    scan_segments: Optional[int] = None,
    scan_read_units: Optional[float] = None,
    repair: Any = None,
    watermark_slack: Any = None,
    poll_interval: Any = None,
    idle_poll_interval: Any = None,
    quiet_pages: Optional[int] = None,
    quiet_time: Any = None,
    slice_time: Any = None,
    give_up_after: Any = None,
    max_concurrent_reads: Optional[int] = None,
    shard_groups: Optional[int] = None,
    error_handling: Any = None,
) -> beam.PTransform:
    """Reads the changes of a DynamoDB table from its stream, as rows.

    The fields are event_id, event_name, sequence_number, version, shard_id, approximate_creation_time, size_bytes,
    stream_view_type, user_identity, keys, new_image and old_image. Without a schema the last three are DynamoDB JSON as
    text; with one they are rows of its attributes.

    Args:
      table: The name or ARN of the table. Give this or stream_arn.
      stream_arn: The ARN of a stream.
      start: TRIM_HORIZON, LATEST, a moment such as "2026-01-31T12:00:00Z" in quotes, "kcl://LEASE_TABLE", or a saved
        position.
      stop: Without it the read is unbounded. NOW, a moment in quotes, a number of changes, or a duration such as 10m.
      schema: A mapping of attributes to types, a saved schema, or the path of a file with one.
      keys: The key attributes of the table, for a mapping of attributes.
      rename: safe, or a mapping of attributes to the names of their fields.
      region_name: As in boto3.
      endpoint_url: As in boto3.
      event_names: The kinds of change to deliver, of INSERT, MODIFY and REMOVE.
      filter_criteria: The service's event patterns, as in a Lambda trigger.
      on_data_loss: fail, or continue; then each loss is a row of the error output.
      on_malformed: fail or skip, for a malformed record where there is no error output.
      on_new_stream: follow, fail or finish.
      progress: "dynamodb://TABLE/APPLICATION", "file:PATH", or a mapping with the arguments of Progress.
      snapshot: scan, or the folder of an export, or a list of folders.
      scan_segments: Into how many segments a scan divides the table.
      scan_read_units: How many read units a second a scan may consume.
      repair: The folders of incremental exports that mend a loss.
      watermark_slack: Seconds, or a duration such as 5s, as all durations here.
      poll_interval: How often to poll a shard whose pages are not full.
      idle_poll_interval: The same for a shard that is proven quiet.
      quiet_pages: After how many empty pages a shard counts as caught up.
      quiet_time: Over how long these pages come.
      slice_time: How long the source keeps a bundle.
      give_up_after: How long a call may fail before its error ends the read.
      max_concurrent_reads: How many GetRecords calls are in flight at once.
      shard_groups: The number of elements over which the stream is spread.
      error_handling: The name of an output for malformed records, losses and misfits, as {output: NAME}. Its rows have
        the fields element, msg, stack, kind, stream_arn, shard_id and sequence_number.
    """
    errors = errors_of(error_handling)
    options = {
        "region_name": region_name,
        "endpoint_url": endpoint_url,
        "event_names": event_names,
        "filter_criteria": filter_criteria,
        "on_data_loss": on_data_loss,
        "on_malformed": on_malformed,
        "on_new_stream": on_new_stream,
        "progress": progress_of(progress),
        "snapshot": snapshot,
        "scan_segments": scan_segments,
        "scan_read_units": scan_read_units,
        "repair": repair,
        "watermark_slack": duration_of("watermark_slack", watermark_slack),
        "poll_interval": duration_of("poll_interval", poll_interval),
        "idle_poll_interval": duration_of("idle_poll_interval", idle_poll_interval),
        "quiet_pages": quiet_pages,
        "quiet_time": duration_of("quiet_time", quiet_time),
        "slice_time": duration_of("slice_time", slice_time),
        "give_up_after": duration_of("give_up_after", give_up_after),
        "max_concurrent_reads": max_concurrent_reads,
        "shard_groups": shard_groups,
    }
    given = {name: value for name, value in options.items() if value is not None}
    read = ReadFromDynamoDBStreams(table, stream_arn, start=start_of(start), stop=stop_of(stop), **given)
    read = read.as_rows(schema_of(schema, keys, rename))
    return _ReadRows(read.with_outputs(), errors, losses=on_data_loss == "continue") if errors else read


class _ReadRows(OwnTransform):
    """A read whose dead letters and losses are rows of one output for errors."""

    def __init__(self, read: ReadFromDynamoDBStreams, errors: str, *, losses: bool) -> None:
        super().__init__()
        self._read, self._errors, self._losses = read, errors, losses

    def expand(self, pbegin: PBegin) -> dict[str, PCollection]:
        outputs = pbegin | "Read" >> self._read
        errors = outputs.dead_letters | "DeadLetters" >> as_error_rows()
        if self._losses:
            errors = (errors, outputs.losses | "Losses" >> as_error_rows()) | "Errors" >> beam.Flatten()
        return {MAIN: outputs.changes, self._errors: errors}
