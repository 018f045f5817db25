"""What the listings move in a frontier: shards begin, are given up, and the read ends. No I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.reader.end_of_stream import EndOfStream
from beam_dynamodb_streams.reader.listings import Listings
from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.reader.resumed_shards import ResumedShards
from beam_dynamodb_streams.reader.waiting import WaitingReport
from beam_dynamodb_streams.shards.discovery import discover, take_over
from beam_dynamodb_streams.shards.frontier import Frontier
from beam_dynamodb_streams.shards.lineage import Seen

_LOGGER: Final = logging.getLogger(__name__)

_LOOP: Final = (
    "DescribeStream of %s lists shards that are their own ancestors (%s; %d shards): shard %s is read as one without a "
    "parent, and changes of one key may be out of order between these shards. Report it to whoever runs the endpoint"
)


@dataclass(slots=True)
class ShardDiscovery:
    """Compares one frontier with what its listings show, and returns the claims that follow.

    Args:
        listings: What the listings have shown.
        resumed: The shards of an earlier run.
        end: The end of the stream.
        rules: What is delivered.
        service_time: The service's clock, in epoch seconds.

    Attributes:
        drained: Whether no change will be delivered any more, while rows of a snapshot still are.
    """

    listings: Listings
    resumed: ResumedShards
    end: EndOfStream
    rules: Rules
    service_time: Callable[[], float]
    drained: bool = False
    _shard_ended: bool = False  # since the last discovery
    _relisted: bool = False  # a whole listing was completed that may confirm unconfirmed shards of the frontier
    _ending: bool = False
    _loops_reported: int = 0
    _gone_reported: set[str] = field(default_factory=set)
    _waiting: WaitingReport = field(default_factory=WaitingReport)
    _look_at_waiting: float = 0.0

    def start_over(self, now: float) -> None:
        """Begin to serve another frontier: whatever the listings have shown is new to it."""
        self.listings.start_over(now)
        self._ending = False
        self.resumed.start_over()
        self._gone_reported.clear()

    def await_children(self, shard: str, watermark: int, now: float) -> None:
        """Look for the children of an ended shard."""
        self._shard_ended |= self.listings.await_children(shard, watermark, now)

    def denied(self, shard: str) -> None:
        """Record that a shard does not exist in the service. The loss is reported by the claim of that answer."""
        self.listings.denied(shard)
        self._gone_reported.add(shard)

    def listed(self, frontier: Frontier) -> None:
        """Record that a whole listing is over."""
        self._relisted |= bool(frontier.unconfirmed)
        self.listings.keep(frontier.shards.keys() | frontier.finished.keys() | frontier.saved.keys())

    def claim(self, frontier: Frontier, now: float) -> Claim | None:
        """Return the claim that the listings make possible, without its watermark; None if there is none."""
        self.drained = False
        if now >= self._look_at_waiting:
            self._look_at_waiting = now + 1.0
            self._waiting.report(self.listings.waiting(now), frontier.stream_arn, now)
        return self._discover(frontier, now) or self._forget_saved(frontier, now) or self._close(frontier, now)

    def _discover(self, frontier: Frontier, now: float) -> Claim | None:
        if not self.listings.changed(now) and not self._relisted:
            return self._take_over(frontier, now) if self._shard_ended else None
        self._shard_ended = self._relisted = False
        seen = self.listings.look(now, self.service_time())
        for loop in seen.lineage.loops[self._loops_reported :]:
            _LOGGER.warning(_LOOP, frontier.stream_arn, " <- ".join(loop[:10]), len(loop), loop[0])
        self._loops_reported = len(seen.lineage.loops)
        found = discover(frontier, seen)
        patient = bool(frontier.open_shards)
        self.listings.unlisted.doubt(set(found.doubtful.values()), now, patient=patient, shared=frontier.shared)
        self.listings.unlisted.probe_only(found.fading | self.resumed.ask_after(frontier, seen), now)
        for leaf in seen.leaves:
            if leaf in frontier.shards:
                self.listings.left(leaf)
                if leaf not in seen.gone and not self.listings.disabled:
                    self._waiting.left_without(leaf, frontier.stream_arn)
        if found.frontier is frontier:
            return None
        self._ending &= not any(self._is_found(shard, seen) for shard in found.opened)
        losses = [loss for loss in found.losses if loss.shard_id not in self._gone_reported]
        return Claim(found.frontier, opened=found.opened, losses=losses)

    def _is_found(self, shard: str, seen: Seen) -> bool:
        """Return whether a shard that begins is a find, so that there may be others like it.

        One that listings showed before, and that only waited for the proof that its parents are gone, is not.
        """
        parents = seen.lineage.parents(shard)
        return self.listings.is_recent(shard) or not parents or any(parent not in seen.gone for parent in parents)

    def _take_over(self, frontier: Frontier, now: float) -> Claim | None:
        self._shard_ended = False
        found = take_over(frontier, self.listings.seen(now, self.service_time()))
        if found.frontier is frontier:
            return None
        self._ending = False
        return Claim(found.frontier, opened=found.opened)

    def _forget_saved(self, frontier: Frontier, now: float) -> Claim | None:
        if not self.resumed.is_due(frontier, now) or not self.listings.settled(now):
            return None
        seen = self.listings.seen(now, self.service_time())
        decided = self.resumed.forget(frontier, seen, now)
        self.listings.unlisted.probe_also(self.resumed.ask_after(frontier, seen), now)
        return None if decided is None else Claim(decided[0], losses=decided[1])

    def _close(self, frontier: Frontier, now: float) -> Claim | None:
        """Return the claim that ends the read, or begins the next stream: no other shard will be found in this one.

        The frontier must be empty, and the listings must have settled since it became empty and since the last shard
        was found.
        """
        self.end.reached = False
        deserted = not frontier.adopts and not frontier.shards and not frontier.awaited  # nothing can be added to it
        past_stop = self.rules.past_stop(self.service_time())
        self.listings.give_up_children(past_stop=past_stop)
        if not self.listings.disabled and not past_stop and not deserted:
            return None
        if not self._ending:
            self._ending = True
            self.listings.settle(now)
        if frontier.shards or not self.listings.settled(now):
            return None
        if self.resumed.undecided(frontier, self.listings.seen(now, self.service_time())):
            return None  # a loss may still be reported
        claim: Claim | None = Claim(frontier.close())
        if not self.end.ends_the_read and frontier.adopts and self.listings.disabled:
            self.end.reached = True  # of all groups, the one that adopts continues in the next stream
            claim = self.end.claim(frontier)
        if claim is not None and claim.frontier.closed and frontier.scan is not None and not frontier.scan.complete:
            self.drained = True
            return None  # the rows that are left are newer than every change that is delivered
        return claim
