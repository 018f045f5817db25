"""`ReadFromKinesisDataStream`: a table's changes from a Kinesis data stream."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from beam_dynamodb_streams.durations import Duration, as_seconds
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.progress.address import Progress
from beam_dynamodb_streams.reader.kinesis_stream import LEAST_SECONDS, QUIET
from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.shards.start_stop import StartOption, StopOption
from beam_dynamodb_streams.source.options import (
    EventName,
    KinesisConnection,
    OnDataLoss,
    OnMalformed,
    parse_options,
)
from beam_dynamodb_streams.source.transform import ReadFromDynamoDBStreams
from beam_dynamodb_streams.wire.arn import KINESIS_ARN, KINESIS_NAME, is_arn, region_for

PAGE_RECORDS: Final = 10_000


class ReadFromKinesisDataStream(ReadFromDynamoDBStreams):
    """Reads the changes of a table from a Kinesis data stream, as a PCollection of `ChangeRecord`.

    The table sends its changes there by "Kinesis Data Streams for DynamoDB". The elements, outputs, batches, sinks,
    positions and progress are those of `ReadFromDynamoDBStreams`. What differs:

    - Records are kept for 24 hours to a year, as the stream is configured, and a shard may have many readers.
    - **The service itself may repeat a record, and may deliver an item's changes in another order than they were
      written.** `approximate_creation_time` has milliseconds or microseconds, and `version` orders an item's states by
      it. Keep, for each key, the record with the greatest version, or drop repeats in a window by keys, creation time
      and images. See docs/kinesis.md.
    - A change has the sequence number of its Kinesis record, an `event_id` that is a UUID, and no `stream_view_type`.
    - A shard that two others were merged into begins once both have been read.
    - A page says how far it is behind, so an idle shard is known to be caught up at once.
    - A record that the Kinesis Producer Library aggregated, or that is not a change, is malformed: DynamoDB never
      writes one.

    Args:
      stream_name: the name of the data stream. Give this or `stream_arn`.
      stream_arn: its ARN, which may be of another account, and says the region.
      table: the name of the table whose changes are read; those of other tables in the stream are left out. By default
        the stream carries one table; the read ends with an error that names both where a second one appears.
      start, stop, region_name, endpoint_url, on_data_loss, on_malformed, slice_time, shard_groups, event_names, where,
        progress, give_up_after: as in `ReadFromDynamoDBStreams`. A start at a moment, and a stop, go by creation times.
      watermark_slack: how far creation times may be out of order. The stream receives changes with a delay of its own,
        and may change their order, so it is longer than that of `ReadFromDynamoDBStreams`.
      poll_interval: how often to poll a shard whose pages are not full. All readers of a shard share five calls and
        2 MB a second.
      idle_poll_interval: the same for a shard that has been read to its end.
      max_concurrent_reads: how many GetRecords calls are in flight at once. It also bounds the pages in memory, of at
        most 10 MB each.

    Raises:
      InvalidOptionError: at construction, for a wrong option.
      RunnerError: as `ReadFromDynamoDBStreams` does.
      ProgressHeldError, FencedError: while it runs, if another run of the application is alive, or has taken over.
    """

    def __init__(
        self,
        stream_name: str | None = None,
        stream_arn: str | None = None,
        *,
        table: str | None = None,
        start: StartOption = "TRIM_HORIZON",
        stop: StopOption = None,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        on_data_loss: OnDataLoss = "fail",
        on_malformed: OnMalformed = "fail",
        watermark_slack: Duration = timedelta(seconds=10),
        poll_interval: Duration = timedelta(milliseconds=500),
        idle_poll_interval: Duration = timedelta(seconds=2),
        max_concurrent_reads: int = 8,
        slice_time: Duration = timedelta(seconds=1),
        shard_groups: int | None = None,
        event_names: Collection[EventName] | None = None,
        where: Callable[[ChangeRecord], bool] | None = None,
        progress: str | Progress | None = None,
        give_up_after: Duration | None = None,
    ) -> None:
        if (stream_name is None) == (stream_arn is None):
            raise InvalidOptionError(
                f"stream_name={stream_name!r} and stream_arn={stream_arn!r}: give exactly one, the data stream's name "
                "or its ARN"
            )
        stream, option = (stream_arn, "stream_arn") if stream_name is None else (stream_name, "stream_name")
        connection = connection_to_kinesis(
            stream, table, region_name, endpoint_url, option=option, table_option="table"
        )
        poll = as_seconds("poll_interval", poll_interval)
        if poll < LEAST_SECONDS:
            raise InvalidOptionError(
                f"poll_interval={poll_interval}: Kinesis allows five calls a second for each shard, use at least "
                f"{LEAST_SECONDS:g} seconds"
            )
        options = parse_options(
            table=None,
            stream_arn=stream_arn or stream_name,
            start=start,
            stop=stop,
            region_name=region_name,
            endpoint_url=endpoint_url,
            on_data_loss=on_data_loss,
            on_malformed=on_malformed,
            watermark_slack=watermark_slack,
            poll_interval=poll_interval,
            idle_poll_interval=max(as_seconds("idle_poll_interval", idle_poll_interval), poll),
            quiet_pages=QUIET.pages,
            quiet_time=timedelta(seconds=QUIET.seconds),
            max_concurrent_reads=max_concurrent_reads,
            slice_time=slice_time,
            shard_groups=shard_groups,
            event_names=event_names,
            where=where,
            progress=progress,
            give_up_after=give_up_after,
            on_new_stream="finish",
            connection=connection,
        )
        pace = replace(options.pace, page=PAGE_RECORDS, least=LEAST_SECONDS)
        self._set_up(replace(options, pace=pace), stream_arn or stream_name)


def read_kinesis(stream: str, **options: Any) -> ReadFromKinesisDataStream:
    """Return the read of a data stream that is given by its name or its ARN. `options` are those of the class."""
    name, arn = (None, stream) if is_arn(stream) else (stream, None)
    return ReadFromKinesisDataStream(name, arn, **options)


def connection_to_kinesis(
    stream: object,
    changes_of: object,
    region_name: str | None,
    endpoint_url: str | None,
    *,
    option: str = "kinesis_stream",
    table_option: str = "changes_of",
) -> KinesisConnection:
    """Return how to reach a data stream, by its name or ARN.

    Args:
      stream: the name or the ARN.
      changes_of: the name of the table whose changes are read; None for the only one in the stream.
      region_name, endpoint_url: the user's options.
      option: the option that `stream` comes from, for errors. `stream_name` takes no ARN, and `stream_arn` no name.
      table_option: the same for `changes_of`.

    Raises:
      InvalidOptionError: for a wrong option; it quotes the value and names the fix.
    """
    forms = [KINESIS_NAME] * (option != "stream_arn") + [KINESIS_ARN] * (option != "stream_name")
    if not isinstance(stream, str) or not any(form.fullmatch(stream) for form in forms):
        raise InvalidOptionError(f"{option}={stream!r} is not {_expected(stream, option)}")
    if changes_of is not None and (not isinstance(changes_of, str) or not changes_of):
        raise InvalidOptionError(f"{table_option}={changes_of!r} is not the name of a table, such as 'orders'")
    if changes_of is not None and is_arn(changes_of):
        raise InvalidOptionError(
            f"{table_option}={changes_of!r}: the records name their table without its account, so give the name "
            f"{changes_of.rpartition('/')[2]!r}"
        )
    return KinesisConnection(region_for(stream, region_name, endpoint_url, option=option), endpoint_url, changes_of)


def _expected(stream: object, option: str) -> str:
    """Return what the option must be, for the error about what it is."""
    name = "the name of a data stream: use 1 to 128 letters, digits, dots, dashes and underscores"
    if option == "stream_name":
        return f"{name}, or stream_arn=… for an ARN"
    if option != "stream_arn" and not is_arn(str(stream)):
        return f"{name}, or its ARN"
    return (
        "the ARN of a Kinesis data stream: it looks like arn:aws:kinesis:REGION:ACCOUNT:stream/NAME. For a stream of "
        "DynamoDB Streams use ReadFromDynamoDBStreams"
    )
