"""Losses: records that were trimmed, or may have been trimmed, before they were read. Pure.

Only the last five functions make a `Loss`. Each returns None where the read had promised nothing:

| what happened | maker |
|---|---|
| the service refused a position as trimmed | `records_trimmed` |
| a shard was known, and not begun, for longer than the retention | `waited_too_long` |
| the service no longer knows a shard that was not read to its end | `shard_gone` |
| a shard was read to its end, but its children were trimmed before a listing showed them | `children_missed` |
| the stream was disabled, and the next one of its table was enabled later | `between_streams` |
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final

from beam_dynamodb_streams.errors import DataLossError
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier, Reading
from beam_dynamodb_streams.shards.generations import Generation
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, AtTime, Horizon

MICROS: Final = 1_000_000

#: DynamoDB Streams keeps a record for 24 hours.
RETENTION_SECONDS: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class Loss:
    """Records of one shard that were not delivered and can no longer be read, or changes that are in no stream.

    `certain`: the service said that an unread record is gone (traps 10 and 13); otherwise records may be missing.
    `last_position`: the position up to which the shard was delivered. `next_position`: where the read resumes
    (SHARD_END: with the shard's children). `since`: records created at or after this moment may be affected; None if
    that is not known. `until`: records created at or after this moment are not affected; None if that is not known.

    Between two streams of a table (`shard_id` is empty) the positions are the ARNs of the streams.
    """

    stream_arn: str
    shard_id: str
    last_position: str
    next_position: str
    since: datetime | None
    certain: bool
    reason: str
    until: datetime | None = None

    def to_error(self) -> DataLossError:
        """Return the error that this is with `on_data_loss="fail"`."""
        return DataLossError(str(self), stream=self.stream_arn, shard=self.shard_id or None)

    def __str__(self) -> str:
        what = "changes were lost" if self.certain else "changes may have been lost"
        since = f", created since {self.since:%Y-%m-%dT%H:%M:%SZ}" if self.since else ""
        until = f" and before {self.until:%Y-%m-%dT%H:%M:%SZ}" if self.until else ""
        between = f"between {self.last_position} and {self.next_position}"
        if self.shard_id:
            between += f" of shard {self.shard_id}"
        return f"{what} {between}{since}{until}: {self.reason}"


def records_trimmed(
    stream_arn: str, shard: str, reading: Reading, *, certain: bool, retention: float = RETENTION_SECONDS
) -> Loss | None:
    """Return the loss of a shard that resumes at the trim horizon: the records before it are gone (trap 10).

    Return None for a root that was to be read from the horizon and was never read. The horizon has moved, and such a
    read promises only what the service still has.
    """
    if isinstance(reading.position, Horizon) and reading.watermark == EARLIEST:
        return None
    return Loss(
        stream_arn,
        shard,
        str(reading.position),
        str(TRIM_HORIZON),
        _since(reading),
        certain,
        f"records older than {retention / 3600:g} hours were trimmed before they were read; read more often, or from "
        "more workers",
    )


def waited_too_long(
    stream_arn: str, shard: str, reading: Reading, *, asked: float, retention: float = RETENTION_SECONDS
) -> Loss | None:
    """Return the loss of a shard that was known, and not begun, for longer than the service keeps records (trap 13).

    Its oldest records are gone without an error, because the service accepts the horizon and a moment as positions at
    any time. `asked`: when the shard's page was requested (epoch seconds, the service's clock).
    """
    unread = isinstance(reading.position, Horizon | AtTime) and reading.watermark != EARLIEST
    if unread and reading.watermark < (asked - retention) * MICROS:
        return records_trimmed(stream_arn, shard, reading, certain=False, retention=retention)
    return None


def shard_gone(
    stream_arn: str,
    shard: str,
    reading: Reading,
    *,
    now: float,
    promised: bool = False,
    retention: float = RETENTION_SECONDS,
) -> Loss | None:
    """Return the loss of a shard that the service no longer knows (trap 11).

    Return None if the shard cannot have held a change of this read. A shard is gone once all its records are older than
    the retention, so a read from a younger start moment lost nothing. Neither did a root that was to be read from the
    horizon and was never read: such a read promises only what the service still has, unless an earlier run `promised`
    the shard.
    """
    if isinstance(reading.position, AtTime) and reading.position.second > now - retention:
        return None
    if isinstance(reading.position, Horizon) and reading.watermark == EARLIEST and not promised:
        return None
    return Loss(
        stream_arn,
        shard,
        str(reading.position),
        "its children",
        _since(reading),
        False,
        "the shard is gone: its records were trimmed, or the stream was deleted, before it was read to its end",
    )


def children_missed(stream_arn: str, shard: str, reading: Reading, *, retention: float = RETENTION_SECONDS) -> Loss:
    """Return the loss of a shard that was read to its end, but whose children were trimmed unseen (trap 13)."""
    return Loss(
        stream_arn,
        shard,
        str(reading.position),
        "the oldest shards that are left",
        _since(reading),
        False,
        "its children were trimmed before any listing showed them; the read was away for more than "
        f"{retention / 3600:g} hours",
    )


def between_streams(frontier: Frontier, following: Generation, *, complete: bool) -> Loss:
    """Return the loss between a stream that was read to its end and the next one of its table (trap 14).

    Changes that are written while a table has no stream are in none.

    Args:
        frontier: The frontier at the end of the stream.
        following: The next stream that is read.
        complete: Whether all streams of the table could be listed. If not, others may have been between the two.
    """
    others = "" if complete else "; streams between the two are not known either, for want of dynamodb:ListStreams"
    return Loss(
        frontier.stream_arn,
        "",
        frontier.stream_arn,
        following.stream_arn,
        _moment(max(frontier.floor, frontier.read_to)),
        False,
        "the stream was disabled and another one enabled; changes that were written in between are in no stream"
        + others,
        None if following.created is None else _moment(int(following.created * MICROS)),
    )


def _since(reading: Reading) -> datetime | None:
    return _moment(reading.watermark)


def _moment(micros: int) -> datetime | None:
    return None if micros == EARLIEST else datetime.fromtimestamp(0, timezone.utc) + timedelta(microseconds=micros)
