"""The streams of a table, as DescribeTable and ListStreams show them: which one follows another (trap 14)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from beam_dynamodb_streams.errors import AccessDeniedError, InvalidRequestError, NotFoundError, UnknownCodeError
from beam_dynamodb_streams.reader.stream import NextStream
from beam_dynamodb_streams.shards.generations import (
    Generation,
    following,
    generations_of,
    is_of_earlier_table,
    is_replaced,
)
from beam_dynamodb_streams.shards.position import Position
from beam_dynamodb_streams.shards.segments import TableScan
from beam_dynamodb_streams.wire import StreamPage, Table
from beam_dynamodb_streams.wire.decode import IncompleteAnswerError

_LOGGER: Final = logging.getLogger(__name__)


class Calls(Protocol):
    """The calls of `wire.Client` that are needed to find the streams of a table."""

    def describe_table(self, table: str) -> Table: ...
    def list_streams(self, table_name: str) -> list[str]: ...
    def describe_stream(self, stream_arn: str, *, limit: int | None = None) -> StreamPage: ...


class TableStreams:
    """The streams of one table. Thread-safe: it has no state.

    Args:
        calls: The client.
        table: The table's name or ARN.
        table_id: The id that the table had when the read began; "" if it is not known.
        refuses: Returns why a stream with this view type must not be read; "" if it may.
        saved: Returns the positions that an earlier run saved in a stream; None if it had not begun the stream.
        snapshot: Returns the scan that begins with a stream of a table that was deleted and created again; None if the
            read has no snapshot.
    """

    def __init__(
        self,
        calls: Calls,
        table: str,
        table_id: str = "",
        *,
        refuses: Callable[[str], str] = lambda _: "",
        saved: Callable[[str], Mapping[str, Position] | None] = lambda _: None,
        snapshot: Callable[[Table, str], TableScan | None] = lambda *_: None,
    ) -> None:
        self._calls, self._table, self._table_id = calls, table, table_id
        self._refuses, self._saved, self._snapshot = refuses, saved, snapshot

    def find_next(self, stream_arn: str) -> NextStream | None:
        """Return the stream that follows, or None while there is none. A table that is deleted has none yet."""
        try:
            table = self._calls.describe_table(self._table)
        except NotFoundError:
            return None
        latest = table.latest_stream_arn
        if latest is None or latest == stream_arn:
            return None
        listed, complete = list_generations(self._calls, stream_arn, latest)
        replaced = is_replaced(stream_arn, self._table_id, table.table_id, table.created)
        if replaced:  # streams of tables that were deleted say nothing about the items of this one
            listed = [each for each in listed if not is_of_earlier_table(each.stream_arn, table.created)]
        found = following(stream_arn, listed, latest)
        if found is None:
            return None
        view = self._view_type(found.stream_arn) or (table.stream_view_type or "")
        before = self._view_type(stream_arn)
        if before and view and before != view:
            _LOGGER.warning(
                "%s has the view type %s, and the stream before it, %s, had %s: an image that it lacks is None",
                *(found.stream_arn, view, stream_arn, before),
            )
        refusal = "" if not view else self._refuses(view)
        if refusal:
            refusal = f"{found.stream_arn} has the view type {view}: {refusal}"
        saved = self._saved(found.stream_arn)
        scan = self._snapshot(table, found.stream_arn) if replaced and not refusal else None
        return NextStream(found, complete, view, replaced, saved, refusal, scan)

    def _view_type(self, stream_arn: str) -> str:
        """Return the view type of a stream; "" if it is gone."""
        try:
            return self._calls.describe_stream(stream_arn, limit=1).view_type
        except NotFoundError:
            return ""


def list_generations(calls: Calls, stream_arn: str, latest: str | None) -> tuple[list[Generation], bool]:
    """Return the streams of a table, the oldest first, and whether all of them could be listed.

    Where the credentials or the endpoint allow no ListStreams, or the endpoint answers it with something else, only the
    two streams that are given are known.
    """
    try:
        listed = calls.list_streams(stream_arn.partition("/stream/")[0].rpartition("/")[2])
    except (AccessDeniedError, InvalidRequestError, UnknownCodeError, IncompleteAnswerError) as error:
        _LOGGER.warning("the streams of the table cannot be listed, so one between two others may be missed: %s", error)
        return generations_of(stream_arn, (), latest), False
    generations = generations_of(stream_arn, listed, latest)
    return generations, latest is None or latest in listed
