"""One stream of one table: its shards, its status and its listing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from random import Random
from typing import Literal, TypedDict

from beam_dynamodb_streams.testing.shard import Shard, Shards

ViewType = Literal["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"]
Status = Literal["ENABLING", "ENABLED", "DISABLING", "DISABLED"]


#: How old a stream that is older than a day is, and how long before its retention its first listed shards began.
OLD_SECONDS = 30 * 24 * 3600.0
TRIMMED_SECONDS = 3600.0


class SequenceNumberRange(TypedDict, total=False):
    StartingSequenceNumber: str
    EndingSequenceNumber: str


class ListedShard(TypedDict, total=False):
    """A shard as DescribeStream shows it."""

    ShardId: str
    ParentShardId: str
    SequenceNumberRange: SequenceNumberRange


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long records and iterators live, in seconds of the service's clock."""

    retention: float = 24 * 3600.0
    iterator: float = 15 * 60.0


class Stream:
    """A stream from its creation until the service forgets it. The service's lock guards it."""

    def __init__(
        self,
        *,
        table_arn: str,
        table_name: str,
        key_schema: list[dict[str, str]],
        view_type: ViewType,
        created: float,
        shards: int,
        random: Random,
        lifetimes: Lifetimes,
        settled: float,
        older_than_a_day: bool = False,
    ) -> None:
        born = created
        if older_than_a_day:
            born = max(0.0, created - lifetimes.retention - TRIMMED_SECONDS)
            created = max(0.0, born - OLD_SECONDS)
        self.label = datetime.fromtimestamp(created, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        self.arn = f"{table_arn}/stream/{self.label}"
        self.table_name = table_name
        self.key_schema = key_schema  # a stream outlives its table
        self.view_type = view_type
        self.created = created
        self.disabled: float | None = None
        self.lifetimes = lifetimes
        self._settled = settled
        self.shards = Shards(random)
        self.shards.add_roots(shards, born, after_trimmed=older_than_a_day)

    def status(self, now: float) -> Status:
        if self.disabled is None:
            return "ENABLED" if now >= self._settled else "ENABLING"
        return "DISABLED" if now >= self._settled else "DISABLING"

    def is_gone(self, now: float) -> bool:
        """Return whether the stream is gone. A disabled stream stays readable while its records are kept."""
        return self.disabled is not None and now - self.disabled >= self.lifetimes.retention

    def disable(self, now: float, settling: float) -> None:
        """Close every open shard, without children (trap 14)."""
        self.disabled = now
        self._settled = now + settling
        for shard in list(self.shards.open):
            self.shards.replace(shard, now, children=0)

    def find(self, shard_id: str, now: float) -> Shard | None:
        """Return the shard, trimmed up to now, or None if it never existed or the service forgot it (trap 11)."""
        shard = self.shards.by_id.get(shard_id)
        if shard is None:
            return None
        horizon = now - self.lifetimes.retention
        shard.trim(horizon)
        return None if shard.is_gone(horizon) else shard

    def listing(
        self,
        now: float,
        *,
        after: str | None = None,
        children_of: str | None = None,
        delay: float = 0.0,
        is_missing: Callable[[str], bool] = lambda _: False,
        ends_listed_for_open: bool = False,
        stale: float = 0.0,
    ) -> list[ListedShard]:
        """Return every shard that a listing shows after the id `after`. The order is by id, not by age.

        A shard younger than `delay` is not shown yet, and one that closed less than `stale` seconds ago still looks
        open (trap 6).
        """
        horizon = now - self.lifetimes.retention
        shown = []
        for shard_id in sorted(self.shards.by_id):
            shard = self.shards.by_id[shard_id]
            shard.trim(horizon)
            if (
                (after is not None and shard_id <= after)
                or (children_of is not None and shard.parent_shard_id != children_of)
                or (shard.is_gone(horizon) and not shard.ghost)
                or shard.hidden
                or (now - shard.born < delay and shard.parent_shard_id in self.shards.by_id)
                or is_missing(shard_id)
            ):
                continue
            shown.append(_listed(shard, now, ends_listed_for_open, stale))
        return shown


def _listed(shard: Shard, now: float, ends_listed_for_open: bool, stale: float) -> ListedShard:
    span: SequenceNumberRange = {"StartingSequenceNumber": str(shard.starting)}
    if shard.ending is not None and shard.ended is not None and now - shard.ended >= stale:
        span["EndingSequenceNumber"] = str(shard.ending)
    elif ends_listed_for_open:
        span["EndingSequenceNumber"] = str(shard.sequence[-1] if shard.sequence else shard.starting)
    listed: ListedShard = {"ShardId": shard.shard_id, "SequenceNumberRange": span}
    if shard.parent_shard_id is not None:
        listed["ParentShardId"] = shard.parent_shard_id
    return listed
