"""`sample`: a bounded read in this process, without a pipeline, for notebooks and the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Any, Final, overload

import pyarrow as pa

from beam_dynamodb_streams.columns import Columns, Schema
from beam_dynamodb_streams.display import counted, html_table, short
from beam_dynamodb_streams.durations import Duration, as_seconds
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.reader.kinesis_stream import LEAST_SECONDS
from beam_dynamodb_streams.reader.reader import Reader
from beam_dynamodb_streams.records import CHANGE_SCHEMA, ChangeRecord, to_arrow
from beam_dynamodb_streams.records.dead_letter import DeadLetter
from beam_dynamodb_streams.shards.frontier import Frontier
from beam_dynamodb_streams.shards.loss import Loss
from beam_dynamodb_streams.shards.start_stop import StartOption
from beam_dynamodb_streams.source.dofn import base_of_claim, dead_letter, reader_of
from beam_dynamodb_streams.source.elements import records_of
from beam_dynamodb_streams.source.filter import well_formed
from beam_dynamodb_streams.source.kinesis import connection_to_kinesis, read_kinesis
from beam_dynamodb_streams.source.options import EventName
from beam_dynamodb_streams.source.start import begin_read
from beam_dynamodb_streams.source.stream_read import StreamRead
from beam_dynamodb_streams.source.transform import ReadFromDynamoDBStreams
from beam_dynamodb_streams.source.worker_cache import client

if TYPE_CHECKING:
    import pandas as pd

_SHARDS: Final = 8
"""A page brings this part of the limit at most, so that several shards have a share of a sample."""

_SHOWN: Final = 5
"""The rows of a sample that a notebook shows."""


@dataclass(frozen=True, slots=True, repr=False)
class Sample(Sequence[ChangeRecord]):
    """The changes that a bounded read delivered, its dead letters and its losses. A sequence of `ChangeRecord`.

    The changes of one shard are in the stream's order. Those of different shards are in the order in which they were
    read.

    Attributes:
        stream_arn: The stream that was read; the last one if the table's stream was enabled again.
        records: The changes.
        dead_letters: The records that could not be decoded.
        losses: What was trimmed unread.
        complete: Whether the sample has everything from the start up to the moment at which the read began; False if
            the limit or the time ended the read.
        limited: Whether the limit ended it.
        unanswered: Which calls failed without a break, or were not answered, when the read ended, and for how long.
    """

    stream_arn: str
    records: tuple[ChangeRecord, ...]
    dead_letters: tuple[DeadLetter, ...] = ()
    losses: tuple[Loss, ...] = ()
    complete: bool = False
    limited: bool = False
    unanswered: tuple[str, ...] = ()

    def to_arrow(self, schema: Schema | None = None) -> pa.Table:
        """Return one row for each change, in this order.

        The columns are those of `schema.arrow`; without a schema those of `CHANGE_SCHEMA`, with images as DynamoDB JSON
        text. An attribute that does not fit its column is null there. Under `on_misfit="raise"` it raises
        `errors.MisfitError`.
        """
        rows = to_arrow(self.records) if schema is None else Columns(schema).of_records(self.records).rows
        return pa.Table.from_batches([rows])

    def to_pandas(self, schema: Schema | None = None) -> pd.DataFrame:
        """Return one row for each change, in this order. Needs pandas.

        Without a schema the columns are the record's fields, and keys and images are dicts of Python values:
        `frame.new_image.str.get("total")` is an attribute as a column.

        With a schema the columns are those of `to_arrow(schema)`, and every integer is exact. pandas itself makes a
        column of integers with a null one of floats, also inside a struct or a list, which rounds above 2**53. Pass
        `integer_object_nulls=True` to `pyarrow.Table.to_pandas`, as this method does, where you convert a table.
        """
        import pandas as pd

        if schema is not None:
            return self.to_arrow(schema).to_pandas(
                integer_object_nulls=True, types_mapper={pa.int64(): pd.Int64Dtype()}.get
            )
        return pd.DataFrame([record.to_dict() for record in self.records], columns=CHANGE_SCHEMA.names)

    @overload
    def __getitem__(self, index: int) -> ChangeRecord: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ChangeRecord, ...]: ...
    def __getitem__(self, index: int | slice) -> ChangeRecord | tuple[ChangeRecord, ...]:
        return self.records[index]

    def __iter__(self) -> Iterator[ChangeRecord]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return f"<Sample of {', '.join(self._facts())}>"

    def _facts(self) -> Iterator[str]:
        """Return what is known of the whole sample, without the content of any item."""
        shards = len({record.shard_id for record in self.records})
        yield counted(len(self.records), "change") + (f" from {counted(shards, 'shard')}" if shards else "")
        if self.records:
            times = [record.approximate_creation_time for record in self.records]
            kinds = Counter(record.event_name for record in self.records)
            yield " ".join(f"{kinds[kind]:,} {kind}" for kind in sorted(kinds))
            yield f"created {min(times):%Y-%m-%d %H:%M:%S} to {max(times):%Y-%m-%d %H:%M:%S} UTC"
        if self.dead_letters:
            yield counted(len(self.dead_letters), "dead letter")
        if self.losses:
            yield f"{len(self.losses):,} {'loss' if len(self.losses) == 1 else 'losses'}"
        if self.unanswered:
            yield f"not answered: {'; '.join(self.unanswered)}"
        yield "complete" if self.complete else "limit reached" if self.limited else "incomplete"

    def _repr_html_(self) -> str:
        rows = [
            (
                record.event_name,
                f"{record.approximate_creation_time:%Y-%m-%d %H:%M:%S}",
                short(record.keys),
                short("" if record.new_image is None else record.new_image, 160),
                record.shard_id,
            )
            for record in self.records[:_SHOWN]
        ]
        rest = len(self.records) - len(rows)
        note = f"and {rest:,} more" if rest else ""
        return html_table(
            ("event", "created (UTC)", "keys", "new image", "shard"), rows, title=", ".join(self._facts()), note=note
        )


def sample(
    table: str | None = None,
    stream_arn: str | None = None,
    *,
    kinesis_stream: str | None = None,
    changes_of: str | None = None,
    start: StartOption = "TRIM_HORIZON",
    limit: int = 1000,
    seconds: Duration = 15.0,
    where: Callable[[ChangeRecord], bool] | None = None,
    event_names: Collection[EventName] | None = None,
    region_name: str | None = None,
    endpoint_url: str | None = None,
    give_up_after: Duration | None = None,
    snapshot: str | None = None,
    scan_segments: int | None = None,
    scan_read_units: float | None = None,
) -> Sample:
    """Read some of a table's changes in this process, as `ReadFromDynamoDBStreams` would, and return them.

    The read ends after `limit` records, after `seconds`, or once everything up to the moment of the call is proven
    read, which takes about 7 seconds. With `start="LATEST"` it waits for new changes, and ends at the limit or the
    time. Losses and malformed records do not end it; they are in the sample. A record that turns out to be malformed
    counts towards the limit.

    While it runs, it is one of the two readers that the service allows for each shard. Its GetRecords calls are billed.
    Of a Kinesis data stream it takes a part of the five calls and 2 MB a second that all readers of a shard share.

    Args:
        kinesis_stream: The name or the ARN of a Kinesis data stream to read, in place of `table` and `stream_arn`, as
            `ReadFromKinesisDataStream` would.
        changes_of: The table whose changes are read from the data stream. By default it carries only one.
        table: This and `stream_arn`, `start`, `where`, `event_names`, `region_name`, `endpoint_url`, `give_up_after`,
            `snapshot`, `scan_segments` and `scan_read_units` are as in `ReadFromDynamoDBStreams`. With a snapshot the
            rows of the table count towards the limit.
        limit: How many records to read at most.
        seconds: How long to read at most: seconds or a timedelta.

    Raises:
        InvalidOptionError: An option is wrong; the message has the fix.
        ConnectorError: An error of the service that waiting does not mend.
    """
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise InvalidOptionError(f"limit={limit!r} is not a number of changes: use a whole number of 1 or more")
    longest = as_seconds("seconds", seconds)
    if not longest:
        raise InvalidOptionError(f"seconds={seconds!r} reads nothing: use more than 0")
    common: dict[str, Any] = {
        "start": start,
        "stop": None if start == "LATEST" else "NOW",
        "region_name": region_name,
        "endpoint_url": endpoint_url,
        "watermark_slack": timedelta(seconds=1),
        "idle_poll_interval": timedelta(seconds=1),
        "event_names": event_names,
        "where": where,
        "give_up_after": give_up_after,
    }
    asked: ReadFromDynamoDBStreams
    if kinesis_stream is not None:
        refused = {"table": table, "stream_arn": stream_arn, "snapshot": snapshot, "scan_segments": scan_segments}
        _refuse_beside_kinesis(**refused, scan_read_units=scan_read_units)
        connection_to_kinesis(kinesis_stream, changes_of, region_name, endpoint_url)  # its errors name these options
        asked = read_kinesis(kinesis_stream, table=changes_of, poll_interval=timedelta(seconds=LEAST_SECONDS), **common)
    elif changes_of is not None:
        raise InvalidOptionError(
            f"changes_of={changes_of!r} is of a data stream: give kinesis_stream= too, or use table="
        )
    else:
        asked = ReadFromDynamoDBStreams(
            table,
            stream_arn,
            poll_interval=timedelta(milliseconds=100),
            quiet_pages=8,
            quiet_time=timedelta(seconds=1),
            snapshot=snapshot,
            scan_segments=scan_segments,
            scan_read_units=scan_read_units,
            **common,
        )
    options = asked._options
    options = replace(options, pace=replace(options.pace, page=min(1000, ceil(limit / _SHARDS))))
    service = client(options.connection)
    read = replace(begin_read(service, options), records=limit)
    reader = reader_of(service, read, options, read.first_frontier())
    return collect(reader, read, reader.now() + longest, lambda where: reader_of(service, read, options, where))


def _refuse_beside_kinesis(**options: object) -> None:
    for name, given in options.items():
        if given is not None:
            raise InvalidOptionError(
                f"{name}={given!r} with kinesis_stream=: it is of a table's own stream. Leave one of the two out"
            )


def collect(
    reader: Reader, read: StreamRead, deadline: float, next_reader: Callable[[Frontier], Reader] | None = None
) -> Sample:
    """Return what the reader delivers until `deadline` on its own clock, or until its end, with everything decoded.

    `next_reader` returns the reader of a frontier in another stream of the table, if the read continues in one. The
    readers are closed.
    """
    frontier = read.first_frontier()
    records: list[ChangeRecord] = []
    dead_letters: list[DeadLetter] = []
    losses: list[Loss] = []
    try:
        while (claim := reader.next(frontier, deadline)) is not None:
            stream_arn, frontier = frontier.stream_arn, claim.frontier
            base = base_of_claim(claim, read, stream_arn)
            changes, malformed = well_formed(records_of(claim), claim.shard, base)
            records += changes
            dead_letters += [dead_letter(stream_arn, claim.shard, entry) for entry in (*claim.malformed, *malformed)]
            losses += claim.losses
            if frontier.stream_arn != stream_arn and next_reader is not None:
                reader.close()
                reader = next_reader(frontier)
    finally:
        reader.close(report=True)
    limited = frontier.remaining == 0
    complete = frontier.closed and not limited
    unanswered = tuple(map(str, reader.lasting_faults))
    return Sample(
        frontier.stream_arn, tuple(records), tuple(dead_letters), tuple(losses), complete, limited, unanswered
    )
