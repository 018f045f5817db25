"""When to list, and what listings have shown so far. No I/O: it returns the request that is due and takes the answer.

Listings leave shards out (trap 6), so they are repeated (`reader.settling`), as often as the service allows
(`reader.call_budget`). Shards that no listing shows are probed in between (`reader.unlisted`). What listings and probes
have shown is one frozen value, `Seen`. The pages of one listing are followed in `reader.whole_listing`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from math import inf
from typing import Final

from beam_dynamodb_streams.reader.call_budget import CallBudget
from beam_dynamodb_streams.reader.probes import Probes
from beam_dynamodb_streams.reader.requests import Found, Gone, List, NoShardFilter, PageListed, Probe
from beam_dynamodb_streams.reader.settling import RELIST_SECONDS, SETTLED_LISTINGS, EndedShards, Settling
from beam_dynamodb_streams.reader.stream import ShardPage
from beam_dynamodb_streams.reader.unlisted import Unlisted
from beam_dynamodb_streams.reader.waiting import WAIT_SECONDS, Waiting
from beam_dynamodb_streams.reader.whole_listing import WholeListing
from beam_dynamodb_streams.shards.lineage import Lineage, Seen, Shard
from beam_dynamodb_streams.shards.loss import RETENTION_SECONDS

#: The answers of many probes are looked at together, this many seconds after the first of them.
PROBES_SECONDS: Final = 0.5

#: How often to look which ended shards of a disabled stream are to be asked after: it takes time for each of them.
LEAVES_SECONDS: Final = 0.1

#: After this many listings of one frontier, all other frontiers of the stream have listed it once.
CONFIRMING_LISTINGS: Final = 3

#: How long a finished shard is remembered after the retention has passed, in seconds.
REMEMBER_SECONDS: Final = 3600


@dataclass(slots=True)
class Listings:
    """Schedules DescribeStream and probes. `retention`: for how many seconds the stream keeps a record."""

    retention: float = RETENTION_SECONDS
    budget: CallBudget = field(default_factory=CallBudget)
    probes: Probes = field(default_factory=Probes)
    unlisted: Unlisted = field(init=False)
    _lineage: Lineage = field(default_factory=Lineage)
    _gone: set[str] = field(default_factory=set)
    _status: str = "UNKNOWN"
    _changed: bool = True  # something was shown that no look has seen
    _answered: float = inf  # when the first answer came to a probe that no look has seen
    _knows_shard_filter: bool = True
    _leaves_due: float = 0.0
    _recent: set[str] = field(default_factory=set)  # shown since `settle`, and not before
    _ended: EndedShards = field(init=False)
    _start: Settling | None = None
    _disabled_since: float | None = None  # when an answer first said so: all shards are closed since then
    _whole_began: deque[float] = field(default_factory=lambda: deque(maxlen=SETTLED_LISTINGS))
    _whole: WholeListing = field(default_factory=WholeListing)
    _in_flight: bool = False

    def __post_init__(self) -> None:
        self._ended = EndedShards(self._lineage)
        self.unlisted = Unlisted(self.probes, self._whole, self._ended, self._lineage)

    # What is known

    def changed(self, now: float) -> bool:
        """Return whether listings or probes showed something new since the last `look`.

        The answers of probes count once all have arrived, or some time after the first one. A discovery takes time in
        proportion to the shards, so a discovery for each of thousands of answers would take minutes.
        """
        return self._changed or now >= self.answers_due or (self._answered <= now and not self.probes.busy(now))

    @property
    def answers_due(self) -> float:
        """When to look at the answers of probes even if others are still in flight."""
        return self._answered + PROBES_SECONDS

    def look(self, now: float, second: float) -> Seen:
        """Return what listings and probes have shown, and mark it as seen. `second`: the service's clock."""
        self._changed, self._answered = False, inf
        return self.seen(now, second)

    def seen(self, now: float, second: float) -> Seen:
        """Return what the listings have shown. `second`: the service's clock."""
        return Seen(
            self._lineage,
            int(second),
            self._whole.listed,
            frozenset(self._gone),
            frozenset(self.unlisted.found),
            frozenset(self.unlisted.roots),
            tuple(self._ended.leaves(now, self._gone)),
            settled=self.settled(now),
            forget_before=int(second) - int(self.retention) - REMEMBER_SECONDS,
            confirm_before=int(second) - int(CONFIRMING_LISTINGS * self._whole.interval),
            retention=self.retention,
        )

    @property
    def lineage(self) -> Lineage:
        return self._lineage

    @property
    def listed(self) -> frozenset[str]:
        """The shards of the latest whole listing."""
        return self._whole.listed

    @property
    def disabled(self) -> bool:
        """Whether the stream is disabled, or gone."""
        return self._status == "DISABLED"

    def settled(self, now: float) -> bool:
        """Return whether the listings since `settle` prove that there is no other shard, and no parent is in doubt."""
        return self._start is not None and self._start.settled(now) and not self.unlisted.doubts

    def held_watermarks(self) -> list[int]:
        """Return the watermarks of parents whose children may not all be known yet.

        They are held, so that a child that is found late has no late records.
        """
        return self._ended.watermarks

    def waiting(self, now: float) -> Waiting:
        """Return the shards that are waited for, unless what they wait for is certain to come."""
        return Waiting([] if self.disabled else self._ended.childless(now), self.unlisted.waiting(now))

    def give_up_children(self, *, past_stop: bool) -> None:
        """Wait no longer than `WAIT_SECONDS` for the children of an ended shard if the read is past its stop."""
        self._ended.patience = WAIT_SECONDS if past_stop else inf

    # What is wanted

    def settle(self, now: float) -> None:
        """Begin to prove, from now on, that there is no shard that was not listed before."""
        self._start = Settling(now, now)
        self._whole.begin_by(now)
        self._recent.clear()

    def is_recent(self, shard: str) -> bool:
        """Return whether a shard was shown since `settle`, and not before."""
        return shard in self._recent

    def start_over(self, now: float) -> None:
        """Begin to serve another frontier.

        Forget which shards wait, and for which parents, because that differs between frontiers.
        """
        self._ended.clear()
        self.unlisted.start_over(now)
        self._changed = True
        self.settle(now)

    def await_children(self, parent: str, watermark: int, now: float) -> bool:
        """Look for the children of an ended shard.

        Return whether the shard is new; listings may have shown its children already.
        """
        closed = now if self._disabled_since is None else self._disabled_since
        listings = sum(began >= closed for began in self._whole_began)
        new = self._ended.add(parent, watermark, now, closed=closed, listings=listings)
        if new:
            self.probes.ask(parent, now + RELIST_SECONDS)
        return new

    def left(self, shard: str) -> None:
        """Stop looking for children of an ended shard that left the frontier without any."""
        self._ended.remove(shard)
        self.unlisted.drop(shard)

    def denied(self, shard: str) -> None:
        """Record that the shard does not exist in the service."""
        self._gone.add(shard)

    def _ask_after_leaves(self, now: float) -> None:
        """Probe the ended shards of a disabled stream that seem to have no children: the answers prove it."""
        if self.disabled and now >= self._leaves_due:
            self._leaves_due = now + LEAVES_SECONDS
            for leaf in self._ended.unproven_leaves(now, self._gone):
                self.probes.ask(leaf, now)

    def settles(self, now: float) -> float:
        """Return when time alone proves something that no answer will."""
        start = inf if self._start is None or self._start.settles <= now else self._start.settles
        return min(start, self._ended.settles(now))

    def due(self, now: float) -> float:
        """Return when to make the next request for a listing; never before the call budget allows it."""
        self._ask_after_leaves(now)
        if self._in_flight:
            return inf
        wanted = self._whole.due(now)
        if self._start is not None and not self._start.settled(now):
            wanted = min(wanted, self._start.due)
        return max(min(wanted, self._ended.due()), self.budget.allowed(now))

    def request(self, now: float) -> List:
        """Return the page of a listing that is due. Call it only when `due` is not after `now`."""
        self._in_flight = True
        self.budget.call(now)
        parents = self._ended.to_list(now)
        if (parent := self._worth_a_filter(parents, now)) is not None:
            return List(after=self._ended.cursor(parent), children_of=parent)
        return self._whole.request(now)

    def _listing_is_due(self, now: float) -> bool:
        start_is_due = self._start is not None and not self._start.settled(now) and self._start.due <= now
        return not self._whole.under_way and (start_is_due or self._whole.due(now) <= now)

    def _worth_a_filter(self, parents: list[str], now: float) -> str | None:
        """Return a parent whose children to list alone, if that is cheaper or more urgent than a whole listing."""
        if not self._knows_shard_filter:
            return None
        fresh = [parent for parent in parents if not self._ended.was_asked(parent)]
        if fresh and len(fresh) <= self._whole.pages and not self._lineage.children(fresh[0]):
            return fresh[0]  # does not wait for the rest of a listing, or for other shards to be confirmed
        if self._whole.under_way or self._listing_is_due(now) or not parents or len(parents) > self._whole.pages:
            return None
        return parents[0]

    # What was answered

    def take(self, answer: PageListed | Found | Gone | NoShardFilter, now: float) -> bool:
        """Take the answer to a request. Return whether a whole listing is over with it."""
        if isinstance(answer.request, Probe):
            self._take_probe(answer.request.shard, now, gone=isinstance(answer, Gone))
            return False
        self._in_flight = False
        listed = self._whole.listed
        match answer:
            case PageListed(request, page):
                self._take_page(request, page, now)
            case NoShardFilter():
                self._knows_shard_filter = False
            case Gone(request=List(children_of=str(parent))):  # says nothing of the stream
                self._ended.listed(parent, now)
            case Gone(request=List(after=str())):  # the shard of the cursor is gone: list from the beginning
                self._finish_listing(now, whole=False)
            case Gone():  # the stream itself is gone: the open shards will be reported as gone one by one
                self._status, self._changed = "DISABLED", True
                self._whole.shown.clear()
                self._finish_listing(now, whole=True)
        self._changed |= self._ended.drop_settled(now, self._gone)
        return self._whole.listed is not listed

    def delayed(self, request: List | Probe, now: float, back_off: Callable[[int], float]) -> None:
        """Make a request again later, since it failed. `back_off` returns the seconds after that many failures."""
        if isinstance(request, Probe):
            self.probes.failed(request.shard, now, back_off)
            return
        self._in_flight = False
        self.budget.wait(now + back_off(3))
        if self._whole.failed():
            self._finish_listing(now, whole=False)

    def keep(self, shards: Container[str]) -> None:
        """Forget shards that are neither listed nor in `shards`, so that memory does not grow with the run."""
        old = [shard for shard in self._lineage if shard not in self._whole.listed and shard not in shards]
        self._lineage.forget(old)
        parents = {parent for shard in self._lineage for parent in self._lineage.parents(shard)}
        self._gone = {shard for shard in self._gone if shard in parents or shard in shards}
        self.unlisted.roots.intersection_update(self._lineage)
        self._recent.difference_update(old)

    def _take_probe(self, shard: str, now: float, *, gone: bool) -> None:
        if self.disabled:
            self._ended.probed(shard)
        if gone:
            self._gone.add(shard)
        read_as_root = self.unlisted.answered(shard, now, gone=gone)
        if read_as_root or gone or (self.disabled and shard in self._ended):
            self._answered = min(self._answered, now)

    def _take_page(self, request: List, page: ShardPage, now: float) -> None:
        self._status = page.status
        if not self.disabled:
            self._disabled_since = None
        elif self._disabled_since is None:
            self._disabled_since = now
        self._whole.answered()
        shards = [
            Shard(s.shard_id, s.parents, s.starting_sequence_number, s.ending_sequence_number) for s in page.shards
        ]
        self._recent.update(shard.shard_id for shard in shards if shard.shard_id not in self._lineage)
        self._changed |= self._lineage.add(shards)
        if request.children_of is not None:
            if any(request.children_of not in shard.parents for shard in shards):
                self._knows_shard_filter = False  # the endpoint ignored the filter: this was a page of everything
            else:
                self._ended.listed(request.children_of, now, after=page.last_evaluated_shard_id)
            return
        over = self._whole.take(shards, page.last_evaluated_shard_id)
        if over is not None:
            self._finish_listing(now, whole=over)

    def _finish_listing(self, now: float, *, whole: bool) -> None:
        self._whole.finish(now, whole=whole, disabled=self.disabled)
        if whole:
            self._whole_began.append(self._whole.began)
        if self._start is not None:
            self._start.listed(now, whole=whole)
        self._ended.all_listed(now, began=self._whole.began, whole=whole)
        self.unlisted.after_listing(now)
