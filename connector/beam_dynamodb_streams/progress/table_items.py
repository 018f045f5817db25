"""The items of an application in a table. Their form is a promise: `tests/compat` has golden items.

The key is `application` (S, hash) and `item` (S, range). The items are `lease`, `STREAM_ARN|` with the start of a
stream, and `STREAM_ARN|SHARD` for each shard of it, so two streams of one table share no item.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.progress.store import (
    TAKEOVER_SECONDS,
    Application,
    LeaseRecord,
    SavedProgress,
    SavedShard,
    rank,
    seconds_of,
)
from beam_dynamodb_streams.shards.position import AtTime, Position
from beam_dynamodb_streams.shards.stream_position import StreamPosition, position_of, position_text, second_of, start_of
from beam_dynamodb_streams.wire import Item

VERSION: Final = 1
LEASE: Final = "lease"


def lease_item(lease: LeaseRecord) -> Item:
    """Return the attributes of a lease. `takeover_after` is left out where it is the default."""
    silent = lease.takeover_after
    takeover = {} if silent == TAKEOVER_SECONDS else {"takeover_after": number(silent)}
    return {
        "owner": {"S": lease.owner},
        "stream": {"S": lease.stream_arn},
        "renewed_at": number(lease.renewed_at),
        **takeover,
        **version(),
    }


def start_item(position: StreamPosition) -> Item:
    """Return the attributes of a stream's start. `until` is left out where it is not known."""
    until = {} if position.until is None else {"until": {"S": position_text(AtTime(position.until))}}
    return {"start": {"S": position_text(position.start)}, **until, **version()}


def shard_item(position: Position, second: int) -> Item:
    """Return the attributes of a shard, as values of an update expression."""
    return {
        ":position": {"S": position_text(position)},
        ":rank": {"S": rank(position)},
        ":moved_at": {"N": str(second)},
    }


def application_of(items: Sequence[Item]) -> Application:
    """Return the application that is saved in its items.

    Raises:
        ConnectorError: The items have a version that is not known, or are damaged.
    """
    try:
        return _application_of(items)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        if isinstance(error, ConnectorError):
            raise
        raise ConnectorError(
            f"an item of the progress is not what this package wrote, or it is damaged ({error!r:.200}): restore it, or"
            " remove the items of this application to begin without progress"
        ) from error


def _application_of(items: Sequence[Item]) -> Application:
    lease: LeaseRecord | None = None
    starts: dict[str, Item] = {}
    shards: dict[str, dict[str, SavedShard]] = {}
    for item in items:
        if "version" in item and item["version"] != version()["version"]:
            raise ConnectorError(
                f"progress of version {item['version'].get('N')}, this release reads {VERSION}: "
                "use the release that wrote it, or a newer one"
            )
        stream_arn, found, shard = item["item"]["S"].partition("|")
        if not found:
            silent = seconds_of(item["takeover_after"]["N"]) if "takeover_after" in item else TAKEOVER_SECONDS
            lease = LeaseRecord(item["owner"]["S"], item["stream"]["S"], seconds_of(item["renewed_at"]["N"]), silent)
        elif not shard:
            starts[stream_arn] = item
        else:
            saved = SavedShard(position_of(item["position"]["S"]), int(item["moved_at"]["N"]))
            shards.setdefault(stream_arn, {})[shard] = saved
    streams = {
        arn: SavedProgress(start_of(item["start"]["S"]), shards.get(arn, {}), second_of(item.get("until", {}).get("S")))
        for arn, item in starts.items()
    }
    return Application(lease, streams)


def number(seconds: float) -> dict[str, str]:
    return {"N": f"{seconds:.6f}"}


def version() -> dict[str, dict[str, str]]:
    return {"version": {"N": str(VERSION)}}
