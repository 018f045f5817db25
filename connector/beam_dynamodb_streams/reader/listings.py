"""When to list, and what listings have proven so far. Pure of I/O: it says which request is due and takes the answer.

Listings lie by omission (fact 6), so everything rests on repetition (:mod:`reader.settling`), within what the
service allows (:mod:`reader.call_budget`).
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Final

from beam_dynamodb_streams.reader.call_budget import CallBudget
from beam_dynamodb_streams.reader.requests import Found, Gone, List, NoShardFilter, PageListed, Probe
from beam_dynamodb_streams.reader.settling import RELIST_SECONDS, Endings, Proof
from beam_dynamodb_streams.shards.lineage import Lineage, Shard
from beam_dynamodb_streams.wire import StreamPage

PROBE_SECONDS: Final = 2.0
DOUBT_SECONDS: Final = 60.0
PATIENT_DOUBT_SECONDS: Final = 3600.0  # while a shard is read that may turn out to be its ancestor
FAILED_PAGES: Final = 5


@dataclass(slots=True)
class Listings:
    """Schedules DescribeStream and probes; ``lineage`` is what they have shown, ``gone`` what the service denies."""

    lineage: Lineage = field(default_factory=Lineage)
    gone: set[str] = field(default_factory=set)
    found: set[str] = field(default_factory=set)  # asked after, and there
    status: str = "UNKNOWN"
    dirty: bool = True  # it showed what no discovery has seen
    ended: bool = False  # a shard has ended since the last discovery
    knows_shard_filter: bool = True
    fading: set[str] = field(default_factory=set)  # to be forgotten, once the service denies them
    budget: CallBudget = field(default_factory=CallBudget)
    _endings: Endings = field(init=False)
    _start: Proof | None = None
    _doubts: dict[str, tuple[float, float]] = field(default_factory=dict)  # parent: (since, next probe)
    _seen: set[str] = field(default_factory=set)
    _listed: frozenset[str] = frozenset()
    _page_starts: list[str | None] = field(default_factory=list)  # where this listing's pages began
    _pass_began: float = 0.0
    _whole_began: float = 0.0  # the latest whole listing
    _passing: bool = False
    _pages: int = 1
    _next_pass: float = 0.0
    _in_flight: int = 0
    _probed: bool = False  # the latest request was a probe
    _patient: bool = False
    _shared: bool = False
    _failed_pages: int = 0

    def __post_init__(self) -> None:
        self._endings = Endings(self.lineage)

    # What is known

    @property
    def listed(self) -> frozenset[str]:
        """The shards of the latest whole listing."""
        return self._listed

    def settled(self, now: float) -> bool:
        """Whether the listings since :meth:`settle` are enough to believe that nothing else is there."""
        return self._start is not None and self._start.holds(now)

    def held_watermarks(self) -> list[int]:
        """Of parents whose children may not all be known yet: a late sibling's records must not come late."""
        return self._endings.watermarks

    def leaves(self, now: float) -> list[str]:
        """Ended shards that are settled to have no children: their stream is disabled, or they are gone themselves."""
        return self._endings.leaves(now, self.gone)

    def _childless(self, now: float) -> list[str]:
        return self._endings.childless(now, self.gone) if self.status == "DISABLED" else []

    @property
    def interval(self) -> float:
        """Seconds from one whole listing to the next, while nothing asks for one."""
        return max(RELIST_SECONDS, 2.0 * self._pages)

    @property
    def doubts(self) -> int:
        """How many unlisted parents keep shards waiting."""
        return len(self._doubts)

    # What is wanted

    def settle(self, now: float) -> None:
        """From now on, look whether there is anything that was not listed before."""
        self._start = Proof(now, now)
        self._next_pass = min(self._next_pass, now)

    def begin_anew(self, now: float) -> None:
        """For a frontier to which nothing was shown yet: who waits, and for whom, is its own affair."""
        self._endings.clear()
        self._doubts, self.found = {}, set()
        self.dirty = True
        self.settle(now)

    def await_children(self, parent: str, watermark: int, now: float) -> None:
        if self._endings.add(parent, watermark, now):
            self.ended = True  # the listings so far may show them already

    def doubt(self, parents: set[str], now: float, *, patient: bool, shared: bool = False) -> None:
        """The parents that keep a shard waiting, and nothing else. ``patient``: shards are read that may be older.

        ``shared``: other frontiers read this stream, and an unlisted parent may be theirs: it is waited for until it
        is listed or gone.
        """
        self._patient, self._shared = patient, shared
        self._doubts = {parent: self._doubts.get(parent, (now, now)) for parent in sorted(parents)}

    def due(self, now: float) -> float:
        """When the next request should be made; never before ``now`` + the spacing since the last one."""
        if self._in_flight:
            return float("inf")
        wanted = self._next_pass if not self._passing else now
        if self._start is not None and not self._start.holds(now):
            wanted = min(wanted, self._start.due)
        wanted = min(wanted, self._endings.due())
        if self._childless(now):
            wanted = now
        if not self._passing:
            wanted = min([wanted, *(probe for _, probe in self._doubts.values()), *[now for _ in self.fading]])
        return max(wanted, self.budget.allowed(now))

    def request(self, now: float) -> List | Probe:
        """The request that is due. Call only when :meth:`due` is not after ``now``."""
        self._in_flight += 1
        self.budget.call(now)
        parents = self._endings.parents(now)
        pages_wait = self._listing_is_due(now) or (self._probed and (self._passing or bool(parents)))
        probed = None if pages_wait else self._probe(now)
        self._probed = probed is not None
        if probed is not None:
            return Probe(probed)
        self.budget.listing()
        if (parent := self._worth_a_filter(parents, now)) is not None:
            return List(after=self._endings.came_to(parent), children_of=parent)
        if not self._passing:
            self._passing, self._pass_began, self._page_starts, self._seen = True, now, [None], set()
        return List(after=self._page_starts[-1])

    def _listing_is_due(self, now: float) -> bool:
        start_is_due = self._start is not None and not self._start.holds(now) and self._start.due <= now
        return not self._passing and (start_is_due or self._next_pass <= now)

    def _worth_a_filter(self, parents: list[str], now: float) -> str | None:
        """The parent whose children are listed alone, where that is cheaper than, or more urgent than, all shards."""
        if not self.knows_shard_filter:
            return None
        fresh = [parent for parent in parents if not self._endings.was_asked(parent)]
        if fresh and len(fresh) <= self._pages and not self.lineage.children(fresh[0]):
            return fresh[0]  # waits neither for the rest of a listing nor for confirmations of others
        if self._passing or self._listing_is_due(now) or not parents or len(parents) > self._pages:
            return None
        return parents[0]

    def _probe(self, now: float) -> str | None:
        """The shard to ask after. Never before a listing that is due, and in turn with the pages of one under way: many
        would put it off for ever, each asked for again before the last one's turn."""
        if self._doubts and not self._passing:  # the rest of a listing may still show it
            parent, (since, probe) = min(self._doubts.items(), key=lambda doubt: doubt[1][1])
            if probe <= now:
                self._doubts[parent] = (since, now + PROBE_SECONDS)
                return parent
        if (ended := self._endings.probe(now)) is not None:
            return ended
        for shard in self._childless(now):
            return shard
        return self.fading.pop() if self.fading and not self._passing else None

    # What came

    def take(self, answer: PageListed | Found | Gone | NoShardFilter, now: float) -> None:
        self._in_flight -= 1
        if isinstance(answer.request, Probe) and self.status == "DISABLED":
            self._endings.probed(answer.request.shard)
        match answer:
            case PageListed(request, page):
                self._take_page(request, page, now)
            case NoShardFilter():
                self.knows_shard_filter = False
            case Found(request):
                self.found.add(request.shard)
                since, _ = self._doubts.get(request.shard, (now, now))
                if (
                    now - since >= (PATIENT_DOUBT_SECONDS if self._patient else DOUBT_SECONDS)
                    and not self._shared
                    and request.shard not in self.lineage
                ):
                    if now - self._whole_began > RELIST_SECONDS:  # nobody looked for long: look again, then believe
                        self._next_pass = min(self._next_pass, now)
                    else:  # it exists but no listing shows it: read it as a root, its own parent cannot be known
                        self.dirty |= self.lineage.add([Shard(request.shard)])
            case Gone(request=Probe(shard)):
                self.gone.add(shard)
                self.dirty = True
            case Gone(request=List(children_of=str(parent))):  # says nothing of the stream
                self._endings.listed(parent, now)
            case Gone(request=List(after=str())):  # the shard that the listing had come to is gone: begin anew
                self._finish_pass(now, whole=False)
            case Gone():  # the stream itself: what is left to read will be denied shard by shard
                self.status, self.dirty = "DISABLED", True
                self._seen = set()
                self._finish_pass(now, whole=True)
        self.dirty |= self._endings.settle(now, self.gone)

    def delayed(self, now: float, seconds: float) -> None:
        """A request failed for now."""
        self._in_flight -= 1
        self.budget.wait(now + seconds)
        self._failed_pages += 1
        if self._passing and self._failed_pages >= FAILED_PAGES:
            self._finish_pass(now, whole=False)

    def _take_page(self, request: List, page: StreamPage, now: float) -> None:
        self.status = page.status
        self._failed_pages = 0
        shards = [
            Shard(s.shard_id, s.parent_shard_id, s.starting_sequence_number, s.ending_sequence_number)
            for s in page.shards
        ]
        self.dirty |= self.lineage.add(shards)
        if request.children_of is not None:
            if any(shard.parent != request.children_of for shard in shards):
                self.knows_shard_filter = False  # the endpoint ignored the filter: this was a page of everything
            else:
                self._endings.listed(request.children_of, now, after=page.last_evaluated_shard_id)
            return
        self._seen.update(shard.shard_id for shard in shards)
        following = page.last_evaluated_shard_id
        if following is None or following in self._page_starts:  # None is the only end; a repeat would go in circles
            self._finish_pass(now, whole=following is None)
        else:
            self._page_starts.append(following)

    def _finish_pass(self, now: float, *, whole: bool) -> None:
        self._passing = False
        self._pages = max(1, len(self._page_starts))
        self._next_pass = now + self.interval
        if whole:
            self._listed, self._whole_began = frozenset(self._seen), self._pass_began
        if self._start is not None:
            self._start.listed(now, whole=whole)
        self._endings.all_listed(now, began=self._pass_began, whole=whole)

    def keep(self, shards: Container[str]) -> None:
        """Forgets what is neither listed any more nor one of ``shards``: memory follows the stream, not the run."""
        old = [shard for shard in self.lineage if shard not in self._listed and shard not in shards]
        self.lineage.forget(old)
        parents = {self.lineage.parent(shard) for shard in self.lineage}
        self.gone = {shard for shard in self.gone if shard in parents or shard in shards}

    def left(self, shard: str) -> None:
        """The ended shard left the frontier without children."""
        self._endings.remove(shard)
