"""The generations of a table's stream: a stream that is disabled and enabled again is another one (trap 14). Pure.

A table has at most one enabled stream. An earlier one stays readable for 24 hours after it was disabled. Its label is
the moment at which it was created, so labels order the generations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone

#: A table and its first stream may be created at the same moment, by clocks of several hosts.
CLOCKS_APART_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Generation:
    """One stream of a table.

    Attributes:
        stream_arn: The stream.
        created: When it was created, in epoch seconds; None if its label does not say so.
    """

    stream_arn: str
    created: float | None

    @classmethod
    def of(cls, stream_arn: str) -> Generation:
        return cls(stream_arn, created_at(stream_arn))


def table_of(stream_arn: str) -> str:
    """Return the ARN of a stream's table."""
    return stream_arn.partition("/stream/")[0]


def is_data_stream(stream_arn: str) -> bool:
    """Return whether it is the ARN of a Kinesis data stream, and not of a table's stream."""
    return stream_arn.split(":")[2:3] == ["kinesis"]


def created_at(stream_arn: str) -> float | None:
    """Return when a stream was created, in epoch seconds, as its label says; None for a label of another form."""
    label = stream_arn.partition("/stream/")[2]
    try:
        moment = datetime.fromisoformat(label)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def generations_of(stream_arn: str, listed: Iterable[str], latest: str | None) -> list[Generation]:
    """Return the streams of one table, the oldest first.

    Args:
        stream_arn: A stream of the table.
        listed: Streams that were listed under the table's name, which may be of a table of another account.
        latest: The table's latest stream, or None if it has none.
    """
    table = table_of(stream_arn)
    found = {arn for arn in (stream_arn, *listed, latest) if arn is not None and table_of(arn) == table}
    return sorted(map(Generation.of, found), key=lambda each: (each.stream_arn == latest, each.created or 0.0))


def following(stream_arn: str, generations: Iterable[Generation], latest: str | None) -> Generation | None:
    """Return the oldest stream that is younger than this one, or the latest if labels do not say which that is."""
    if latest is None or latest == stream_arn:
        return None
    began = created_at(stream_arn)
    younger = [each for each in generations if began is not None and each.created is not None and each.created > began]
    return min(younger, key=lambda each: each.created or 0.0) if younger else Generation.of(latest)


def covering(second: int, generations: list[Generation]) -> Generation:
    """Return the stream that the table had at `second`, or the oldest one that is left if all are younger."""
    began = [each for each in generations if each.created is not None and each.created <= second]
    return began[-1] if began else generations[0]


def is_replaced(stream_arn: str, known_id: str, table_id: str, table_created: float | None) -> bool:
    """Return whether the table of this name was deleted and created again since the stream was created.

    Args:
        stream_arn: The stream, of the table as it was.
        known_id: The id that the table had; "" if it is not known.
        table_id: The id that the table has; "" where the endpoint does not say.
        table_created: When the table was created, in epoch seconds; None where the endpoint does not say.
    """
    if known_id and table_id:
        return known_id != table_id
    return is_of_earlier_table(stream_arn, table_created)


def is_of_earlier_table(stream_arn: str, table_created: float | None) -> bool:
    """Return whether a stream is older than the table that has its name now, as far as the moments are known."""
    began = created_at(stream_arn)
    return began is not None and is_before(began, table_created)


def is_before(moment: float, table_created: float | None) -> bool:
    """Return whether a moment is certainly before a table was created; False where that is not known."""
    return table_created is not None and table_created > moment + CLOCKS_APART_SECONDS
