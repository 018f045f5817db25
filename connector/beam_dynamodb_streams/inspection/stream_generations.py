"""All streams of a table that can still be read: a stream that is enabled again is another one (trap 14)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from beam_dynamodb_streams.errors import NotFoundError
from beam_dynamodb_streams.reader.table_streams import list_generations
from beam_dynamodb_streams.wire import Client


@dataclass(frozen=True, slots=True)
class StreamGeneration:
    """One stream of a table.

    Attributes:
        stream_arn: the stream.
        status: ENABLED, DISABLED or on the way there.
        view_type: which images its records have.
        created: when it was created, according to its label; None if that does not say.
    """

    stream_arn: str
    status: str
    view_type: str
    created: datetime | None


def stream_generations(client: Client, stream_arn: str) -> tuple[StreamGeneration, ...]:
    """Return the streams of the table of this stream, the oldest first.

    Without the permission dynamodb:ListStreams only this stream is known.
    """
    listed, _ = list_generations(client, stream_arn, None)
    found = []
    for each in listed:
        try:
            page = client.describe_stream(each.stream_arn, limit=1)
        except NotFoundError:  # gone since it was listed
            continue
        created = None if each.created is None else datetime.fromtimestamp(each.created, timezone.utc)
        found.append(StreamGeneration(each.stream_arn, page.status, page.view_type, created))
    return tuple(found)
