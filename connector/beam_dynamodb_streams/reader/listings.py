"""When to list, and what listings have shown so far. No I/O: it returns the request that is due and takes the answer.

Listings leave shards out (trap 6), so they are repeated (`reader.settling`), as often as the service allows
(`reader.call_budget`). Shards that no listing shows are probed in between (`reader.probes`). What listings and probes
have shown is one frozen value, `Seen`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Set
from dataclasses import dataclass, field
from math import inf
from typing import Final

from beam_dynamodb_streams.reader.call_budget import CallBudget
from beam_dynamodb_streams.reader.probes import Probes
from beam_dynamodb_streams.reader.requests import Found, Gone, List, NoShardFilter, PageListed, Probe
from beam_dynamodb_streams.reader.settling import RELIST_SECONDS, EndedShards, Settling
from beam_dynamodb_streams.reader.stream import ShardPage
from beam_dynamodb_streams.reader.waiting import WAIT_SECONDS, Waiting
from beam_dynamodb_streams.shards.lineage import Lineage, Seen, Shard
from beam_dynamodb_streams.shards.loss import RETENTION_SECONDS

DOUBT_SECONDS: Final = 60.0
PATIENT_DOUBT_SECONDS: Final = 3600.0  # while a shard is read that may turn out to be its ancestor
FAILED_PAGES: Final = 5

#: How soon a stream that lists no shard is listed again: one that was just enabled has its first shards soon.
EMPTY_RELIST_SECONDS: Final = 2.0

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
    _lineage: Lineage = field(default_factory=Lineage)
    _gone: set[str] = field(default_factory=set)
    _found: set[str] = field(default_factory=set)  # asked after, and there
    _unlinked: set[str] = field(default_factory=set)  # found, and read as roots since nothing lists them
    _status: str = "UNKNOWN"
    _changed: bool = True  # something was shown that no look has seen
    _answered: float = inf  # when the first answer came to a probe that no look has seen
    _knows_shard_filter: bool = True
    _once: set[str] = field(default_factory=set)  # asked after, and not again
    _postponed: set[str] = field(default_factory=set)  # asked after once the listing that is under way is over
    _leaves_due: float = 0.0
    _recent: set[str] = field(default_factory=set)  # shown since `settle`, and not before
    _ended: EndedShards = field(init=False)
    _start: Settling | None = None
    _doubts: dict[str, float] = field(default_factory=dict)  # parent: since when
    _shown: set[str] = field(default_factory=set)  # by the listing that is under way
    _listed: frozenset[str] = frozenset()
    _page_starts: list[str | None] = field(default_factory=list)  # the cursors of this listing's pages
    _pass_began: float = 0.0
    _whole_began: float = 0.0  # the latest whole listing
    _passing: bool = False
    _pages: int = 1
    _next_pass: float = 0.0
    _in_flight: bool = False
    _patient: bool = False
    _shared: bool = False
    _failed_pages: int = 0

    def __post_init__(self) -> None:
        self._ended = EndedShards(self._lineage)

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
            self._listed,
            frozenset(self._gone),
            frozenset(self._found),
            frozenset(self._unlinked),
            tuple(self._ended.leaves(now, self._gone)),
            settled=self.settled(now),
            forget_before=int(second) - int(self.retention) - REMEMBER_SECONDS,
            confirm_before=int(second) - int(CONFIRMING_LISTINGS * self._interval),
            retention=self.retention,
        )

    @property
    def lineage(self) -> Lineage:
        return self._lineage

    @property
    def listed(self) -> frozenset[str]:
        """The shards of the latest whole listing."""
        return self._listed

    @property
    def disabled(self) -> bool:
        """Whether the stream is disabled, or gone."""
        return self._status == "DISABLED"

    def settled(self, now: float) -> bool:
        """Return whether the listings since `settle` prove that there is no other shard, and no parent is in doubt."""
        return self._start is not None and self._start.settled(now) and not self._doubts

    def held_watermarks(self) -> list[int]:
        """Return the watermarks of parents whose children may not all be known yet.

        They are held, so that a child that is found late has no late records.
        """
        return self._ended.watermarks

    @property
    def doubts(self) -> int:
        """The number of unlisted parents whose children wait."""
        return len(self._doubts)

    def waiting(self, now: float) -> Waiting:
        """Return the shards that are waited for, unless what they wait for is certain to come."""
        unlisted = [(parent, now - since) for parent, since in self._doubts.items() if parent in self._found]
        return Waiting([] if self.disabled else self._ended.childless(now), unlisted)

    def give_up_children(self, *, past_stop: bool) -> None:
        """Wait no longer than `WAIT_SECONDS` for the children of an ended shard if the read is past its stop."""
        self._ended.patience = WAIT_SECONDS if past_stop else inf

    @property
    def _interval(self) -> float:
        """The seconds from one whole listing to the next while nothing needs one sooner."""
        return max(RELIST_SECONDS, 2.0 * self._pages)

    # What is wanted

    def settle(self, now: float) -> None:
        """Begin to prove, from now on, that there is no shard that was not listed before."""
        self._start = Settling(now, now)
        self._next_pass = min(self._next_pass, now)
        self._recent.clear()

    def is_recent(self, shard: str) -> bool:
        """Return whether a shard was shown since `settle`, and not before."""
        return shard in self._recent

    def start_over(self, now: float) -> None:
        """Begin to serve another frontier.

        Forget which shards wait, and for which parents, because that differs between frontiers.
        """
        self._ended.clear()
        self.doubt(set(), now, patient=self._patient)
        self._found = set()
        self._changed = True
        self.settle(now)

    def await_children(self, parent: str, watermark: int, now: float) -> bool:
        """Look for the children of an ended shard.

        Return whether the shard is new; listings may have shown its children already.
        """
        new = self._ended.add(parent, watermark, now)
        if new:
            self.probes.ask(parent, now + RELIST_SECONDS)
        return new

    def left(self, shard: str) -> None:
        """Stop looking for children of an ended shard that left the frontier without any."""
        self._ended.remove(shard)
        self._drop_probe(shard)

    def denied(self, shard: str) -> None:
        """Record that the shard does not exist in the service."""
        self._gone.add(shard)

    def doubt(self, parents: set[str], now: float, *, patient: bool, shared: bool = False) -> None:
        """Probe the unlisted parents for which a shard waits, and no others.

        `patient`: shards that may be their ancestors are being read. `shared`: other frontiers read this stream. An
        unlisted parent may then be theirs, so its children wait until it is listed or gone.
        """
        self._patient, self._shared = patient, shared
        before, self._doubts = self._doubts, {parent: self._doubts.get(parent, now) for parent in sorted(parents)}
        for parent in self._doubts.keys() - before.keys():
            self._ask_after(parent, now)
        for parent in before.keys() - self._doubts.keys():
            self._drop_probe(parent)

    def probe_only(self, shards: Set[str], now: float) -> None:
        """Probe each of these shards once, and no others any more."""
        dropped, self._once = self._once - shards, set(shards)
        for shard in shards:
            self._ask_after(shard, now)
        for shard in dropped:
            self._drop_probe(shard)

    def probe_also(self, shards: Set[str], now: float) -> None:
        """Probe each of these shards once, in addition to others."""
        self._once |= shards
        for shard in shards:
            self._ask_after(shard, now)

    def _ask_after(self, shard: str, now: float) -> None:
        """Probe an unlisted shard, after the current listing, because its other pages may still show the shard."""
        if self._passing:
            self._postponed.add(shard)
        else:
            self.probes.ask(shard, now)

    def _drop_probe(self, shard: str) -> None:
        if shard not in self._doubts and shard not in self._once and shard not in self._ended:
            self.probes.drop(shard)

    def _ask_after_leaves(self, now: float) -> None:
        """Probe the ended shards of a disabled stream that seem to have no children: the answers prove it."""
        if self.disabled and now >= self._leaves_due:
            self._leaves_due = now + LEAVES_SECONDS
            for leaf in self._ended.unproven_leaves(now, self._gone):
                self.probes.ask(leaf, now)

    def due(self, now: float) -> float:
        """Return when to make the next request for a listing; never before the call budget allows it."""
        self._ask_after_leaves(now)
        if self._in_flight:
            return inf
        wanted = self._next_pass if not self._passing else now
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
        if not self._passing:
            self._passing, self._pass_began, self._page_starts, self._shown = True, now, [None], set()
        return List(after=self._page_starts[-1])

    def _listing_is_due(self, now: float) -> bool:
        start_is_due = self._start is not None and not self._start.settled(now) and self._start.due <= now
        return not self._passing and (start_is_due or self._next_pass <= now)

    def _worth_a_filter(self, parents: list[str], now: float) -> str | None:
        """Return a parent whose children to list alone, if that is cheaper or more urgent than a whole listing."""
        if not self._knows_shard_filter:
            return None
        fresh = [parent for parent in parents if not self._ended.was_asked(parent)]
        if fresh and len(fresh) <= self._pages and not self._lineage.children(fresh[0]):
            return fresh[0]  # does not wait for the rest of a listing, or for other shards to be confirmed
        if self._passing or self._listing_is_due(now) or not parents or len(parents) > self._pages:
            return None
        return parents[0]

    # What was answered

    def take(self, answer: PageListed | Found | Gone | NoShardFilter, now: float) -> bool:
        """Take the answer to a request. Return whether a whole listing is over with it."""
        if isinstance(answer.request, Probe):
            self._take_probe(answer.request.shard, now, gone=isinstance(answer, Gone))
            return False
        self._in_flight = False
        listed = self._listed
        match answer:
            case PageListed(request, page):
                self._take_page(request, page, now)
            case NoShardFilter():
                self._knows_shard_filter = False
            case Gone(request=List(children_of=str(parent))):  # says nothing of the stream
                self._ended.listed(parent, now)
            case Gone(request=List(after=str())):  # the shard of the cursor is gone: list from the beginning
                self._finish_pass(now, whole=False)
            case Gone():  # the stream itself is gone: the open shards will be reported as gone one by one
                self._status, self._changed = "DISABLED", True
                self._shown = set()
                self._finish_pass(now, whole=True)
        self._changed |= self._ended.drop_settled(now, self._gone)
        return self._listed is not listed

    def delayed(self, request: List | Probe, now: float, back_off: Callable[[int], float]) -> None:
        """Make a request again later, since it failed. `back_off` returns the seconds after that many failures."""
        if isinstance(request, Probe):
            self.probes.failed(request.shard, now, back_off)
            return
        self._in_flight = False
        self.budget.wait(now + back_off(3))
        self._failed_pages += 1
        if self._passing and self._failed_pages >= FAILED_PAGES:
            self._finish_pass(now, whole=False)

    def keep(self, shards: Container[str]) -> None:
        """Forget shards that are neither listed nor in `shards`, so that memory does not grow with the run."""
        old = [shard for shard in self._lineage if shard not in self._listed and shard not in shards]
        self._lineage.forget(old)
        parents = {parent for shard in self._lineage for parent in self._lineage.parents(shard)}
        self._gone = {shard for shard in self._gone if shard in parents or shard in shards}
        self._unlinked.intersection_update(self._lineage)
        self._recent.difference_update(old)

    def _take_probe(self, shard: str, now: float, *, gone: bool) -> None:
        self.probes.answered(shard)
        self._once.discard(shard)
        if self.disabled:
            self._ended.probed(shard)
        if gone:
            self._gone.add(shard)
        else:
            self._found.add(shard)
            self._take_found(shard, now)
        if gone or (self.disabled and shard in self._ended):
            self._answered = min(self._answered, now)

    def _take_found(self, shard: str, now: float) -> None:
        """Read an unlisted parent as a root once it was in doubt for long enough: its own parents cannot be known."""
        if shard in self._doubts:
            self.probes.repeat(shard, now, len(self._doubts))
        elif shard in self._ended:
            self.probes.ask(shard, now + RELIST_SECONDS)
        doubted = now - self._doubts.get(shard, now) >= (PATIENT_DOUBT_SECONDS if self._patient else DOUBT_SECONDS)
        if not doubted or self._shared or shard in self._lineage:
            return
        if now - self._whole_began > RELIST_SECONDS:  # the last listing is old: list again before relying on it
            self._next_pass = min(self._next_pass, now)
        elif self._lineage.add([Shard(shard)]):
            self._unlinked.add(shard)
            self._answered = min(self._answered, now)

    def _take_page(self, request: List, page: ShardPage, now: float) -> None:
        self._status = page.status
        self._failed_pages = 0
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
        self._shown.update(shard.shard_id for shard in shards)
        cursor = page.last_evaluated_shard_id
        if cursor is None or cursor in self._page_starts:  # None is the only end; a repeated cursor would never end
            self._finish_pass(now, whole=cursor is None)
        else:
            self._page_starts.append(cursor)

    def _finish_pass(self, now: float, *, whole: bool) -> None:
        self._passing = False
        self._pages = max(1, len(self._page_starts))
        self._next_pass = now + self._interval
        if whole:
            self._listed, self._whole_began = frozenset(self._shown), self._pass_began
            if not self._listed and not self.disabled:
                self._next_pass = now + EMPTY_RELIST_SECONDS
        if self._start is not None:
            self._start.listed(now, whole=whole)
        self._ended.all_listed(now, began=self._pass_began, whole=whole)
        for shard in self._postponed:
            if shard in self._doubts or shard in self._once:
                self.probes.ask(shard, now)
        self._postponed.clear()
