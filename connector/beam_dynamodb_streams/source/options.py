"""The options of a read, checked once where the pipeline is written. No credentials: Beam prints and stores options."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from beam_dynamodb_streams.durations import Duration, as_seconds
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.handlers.filter_criteria import FilterCriteria, parse_filter_criteria
from beam_dynamodb_streams.progress.address import Progress, parse_progress
from beam_dynamodb_streams.reader.end_of_stream import OnNewStream
from beam_dynamodb_streams.reader.page import EntryFilter, Rules, pass_all
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.shards.generations import table_of
from beam_dynamodb_streams.shards.quiet import QuietRule
from beam_dynamodb_streams.shards.start_stop import RecordCount, Start, Stop, parse_start, parse_stop
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.source.export_options import JoinedExports, parse_exports
from beam_dynamodb_streams.source.filter import ChangeFilter, Where
from beam_dynamodb_streams.source.snapshot import ScanSnapshot, parse_snapshot
from beam_dynamodb_streams.wire.arn import STREAM_ARN, TABLE_ARN, is_arn, region_for

OnDataLoss = Literal["fail", "continue"]
OnMalformed = Literal["fail", "skip"]
EventName = Literal["INSERT", "MODIFY", "REMOVE", "READ"]

_EVENT_NAMES: Final = frozenset(get_args(EventName))


@dataclass(frozen=True, slots=True)
class Connection:
    """How a worker reaches the service. botocore's default chain on that worker finds everything else."""

    region_name: str | None = None
    endpoint_url: str | None = None


@dataclass(frozen=True, slots=True)
class KinesisConnection(Connection):
    """How a worker reaches a Kinesis data stream, and which table's changes are read from it; None for the only one."""

    changes_of: str | None = None


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """The checked options of `ReadFromDynamoDBStreams`; that class documents them."""

    table: str | None
    stream_arn: str | None
    start: Start
    stop: Stop | None
    connection: Connection
    on_data_loss: OnDataLoss
    on_malformed: OnMalformed
    slice_seconds: float
    rules: Rules = field(default_factory=Rules)
    pace: Pace = field(default_factory=Pace)
    shard_groups: int | None = None
    progress: Progress | None = None
    give_up_after: float | None = None
    on_new_stream: OnNewStream = "finish"
    snapshot: ScanSnapshot | None = None
    exports: JoinedExports | None = None
    needs_new_images: bool = False  # a step behind the read has typed columns for them

    @property
    def source(self) -> str:
        """The name of what is read, for the steps that are fused to the read."""
        return f"{self.table or self.stream_arn} {self.connection.region_name} {self.connection.endpoint_url}"

    @property
    def rest_seconds(self) -> float:
        """The shortest rest that is worth ending a bundle for, in seconds.

        It is half a slice (at least half a second), so that idle shards do not end bundles much more often than busy
        ones.
        """
        return max(0.5, self.slice_seconds / 2)


def parse_options(
    *,
    table: str | None,
    stream_arn: str | None,
    start: object,
    stop: object,
    region_name: str | None,
    endpoint_url: str | None,
    on_data_loss: str,
    on_malformed: str,
    watermark_slack: Duration,
    poll_interval: Duration,
    idle_poll_interval: Duration,
    quiet_pages: int,
    quiet_time: Duration,
    max_concurrent_reads: int,
    slice_time: Duration,
    event_names: Collection[str] | None,
    where: Where | None,
    filter_criteria: object = None,
    shard_groups: int | None = None,
    progress: object = None,
    give_up_after: object = None,
    on_new_stream: object = None,
    snapshot: object = None,
    scan_segments: object = None,
    scan_read_units: object = None,
    repair: object = None,
    connection: Connection | None = None,
) -> ReadOptions:
    """Return the options of a read. `connection` is given if the table or stream is checked already.

    Raises:
      InvalidOptionError: for a wrong option; it quotes the value and names the fix.
    """
    if connection is None and (table is None) == (stream_arn is None):
        raise InvalidOptionError(
            f"table={table!r} and stream_arn={stream_arn!r}: give exactly one, the table's name or its stream's ARN"
        )
    connection = connection or connection_to(table, stream_arn, region_name, endpoint_url)
    if on_data_loss not in get_args(OnDataLoss):
        raise InvalidOptionError(f'on_data_loss={on_data_loss!r} is not known: use "fail" or "continue"')
    if on_malformed not in get_args(OnMalformed):
        raise InvalidOptionError(f'on_malformed={on_malformed!r} is not known: use "fail" or "skip"')
    slack = as_seconds("watermark_slack", watermark_slack, at_least=0.0)
    poll = as_seconds("poll_interval", poll_interval, at_least=0.01)
    idle = as_seconds("idle_poll_interval", idle_poll_interval, at_least=poll)
    parsed_start = parse_start(start)
    parsed_stop = parse_stop(stop, parsed_start)
    groups = None if shard_groups is None else _count("shard_groups", shard_groups)
    if groups is not None and groups > 1 and isinstance(parsed_stop, RecordCount):
        raise InvalidOptionError(
            f"shard_groups={groups} with stop={stop!r}: several groups cannot count together. Leave shard_groups out"
        )
    parsed_progress = parse_progress(progress, region_name=connection.region_name, endpoint_url=endpoint_url)
    exports = parse_exports(snapshot, repair, parsed_start, progress)
    return ReadOptions(
        table,
        stream_arn,
        parsed_start,
        parsed_stop,
        connection,
        "fail" if on_data_loss == "fail" else "continue",
        "fail" if on_malformed == "fail" else "skip",
        as_seconds("slice_time", slice_time, at_least=0.05),
        Rules(
            slack=slack,
            quiet=QuietRule(_count("quiet_pages", quiet_pages), as_seconds("quiet_time", quiet_time, at_least=0.0)),
            filter=_filter(event_names, where, parse_filter_criteria(filter_criteria)),
            gapless=parsed_progress is not None or isinstance(parsed_start, StreamPosition),
        ),
        Pace(poll, idle, requests=_count("max_concurrent_reads", max_concurrent_reads)),
        groups,
        parsed_progress,
        parse_give_up_after(give_up_after),
        parse_on_new_stream(on_new_stream, table),
        parse_snapshot(
            None if exports is not None else snapshot,
            segments=scan_segments,
            read_units=scan_read_units,
            table=table,
            start=parsed_start,
            groups=groups,
            event_names=event_names,
        ),
        exports,
    )


def connection_to(
    table: str | None, stream_arn: str | None, region_name: str | None, endpoint_url: str | None
) -> Connection:
    """Return how to reach a table or a stream; exactly one is given. The region is that of its ARN, if it has one.

    Raises:
      InvalidOptionError: it is neither a name nor an ARN, or its region is another one than `region_name`.
    """
    if table is not None:
        check_table(table)
    if stream_arn is not None and not STREAM_ARN.fullmatch(str(stream_arn)):
        raise InvalidOptionError(
            f"stream_arn={stream_arn!r} is not a stream's ARN: it looks like "
            "arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE/stream/LABEL, or use table=…"
        )
    resource, option = (stream_arn, "stream_arn") if table is None else (table, "table")
    return Connection(region_for(resource, region_name, endpoint_url, option=option), endpoint_url)


def table_to_ask(options: ReadOptions, stream_arn: str) -> str:
    """Return the name or ARN of the table whose streams are asked for, as the endpoint takes it.

    The ARN of a stream may be of another account, so its table is asked for by ARN. Endpoints of others may know only
    names.
    """
    arn = table_of(stream_arn)
    return options.table or (arn if options.connection.endpoint_url is None else arn.rpartition("/")[2])


def check_table(table: object) -> None:
    """Raise InvalidOptionError for what is neither a table's name nor its ARN."""
    if not isinstance(table, str) or not table or (is_arn(table) and not TABLE_ARN.fullmatch(table)):
        stream = ", or stream_arn=… for a stream's ARN" if isinstance(table, str) and "/stream/" in table else ""
        raise InvalidOptionError(
            f'table={table!r} is not a table\'s name or ARN: use e.g. table="orders", or '
            f"arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE{stream}"
        )


def parse_on_new_stream(option: object, table: str | None) -> OnNewStream:
    """Return what the read does once its stream is disabled and read to its end. The default depends on `table=`.

    Raises:
      InvalidOptionError: the option is anything else.
    """
    match option:
        case None:
            return "finish" if table is None else "follow"
        case "follow" | "fail" | "finish":
            return option
    raise InvalidOptionError(
        f'on_new_stream={option!r} is not known: use "follow" (continue in the table\'s next stream), "fail" (raise '
        'where there is one) or "finish" (end with the stream)'
    )


def parse_give_up_after(option: object) -> float | None:
    """Return the seconds after which a request that keeps failing ends the read; None for never.

    Raises:
      InvalidOptionError: the option is not None, a timedelta or a number of seconds, or is not above 0.
    """
    if option is None:
        return None
    try:
        seconds = as_seconds("give_up_after", option)
    except InvalidOptionError:
        seconds = 0.0
    if not seconds:
        raise InvalidOptionError(
            f"give_up_after={option!r} is not a time to wait: use a datetime.timedelta or seconds above 0, such as "
            "timedelta(minutes=10), or None to wait for as long as it takes"
        )
    return seconds


def _filter(event_names: Collection[str] | None, where: Where | None, criteria: FilterCriteria | None) -> EntryFilter:
    names = () if event_names is None or isinstance(event_names, str) else tuple(event_names)
    if event_names is not None and (
        not names or not all(isinstance(each, str) and each in _EVENT_NAMES for each in names)
    ):
        raise InvalidOptionError(
            f"event_names={event_names!r}: give one or more of {sorted(_EVENT_NAMES)}, or leave it out for all"
        )
    if where is not None and not callable(where):
        raise InvalidOptionError(
            f"where={where!r}: give a function of a ChangeRecord that returns whether to deliver it"
        )
    if event_names is None and where is None and criteria is None:
        return pass_all
    return ChangeFilter(None if event_names is None else frozenset(event_names), where, criteria=criteria)


def _count(name: str, option: object) -> int:
    if not isinstance(option, int) or isinstance(option, bool) or option < 1:
        raise InvalidOptionError(f"{name}={option!r} is not a count: use a whole number of 1 or more")
    return option
