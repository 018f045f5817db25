"""What the bookkeeping of a read costs as a stream grows: `python -m benchmarks.scaling [seconds] [shards …]`.

There is no service and no Beam. The reader runs on a clock of its own and gets answers that are made here, so that a
stream of 10,000 shards needs neither the shards nor the hours. The oldest listed shards name parents that are trimmed,
as on each stream that is older than a day. There are four tables:

- *Steps*: CPU of each pure function on a frontier of that many open shards, its stored bytes and its memory. Each
  shard has six finished ancestors that stay listed (shards live four hours, listings show 24).
- *Dealt*: the listing before there are groups.
- *Roots*: shards whose parents are all trimmed, until all are read and until the watermark moves, with one group and
  with 16.
- *Reads*: the first listing until it is settled, and the rolls after it, at 10 ms an answer: seconds of the clock,
  DescribeStream calls, how long a child waits until its parent's end is noticed, and CPU.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random

from beam_dynamodb_streams.reader.reader import Reader
from beam_dynamodb_streams.reader.requests import (
    Answer,
    FindNext,
    Found,
    Gone,
    List,
    NextFound,
    PageListed,
    PageRead,
    Probe,
    Read,
    Request,
    Scan,
)
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.shards.discovery import discover
from beam_dynamodb_streams.shards.encoding import decode_frontier, encode_frontier
from beam_dynamodb_streams.shards.frontier import EARLIEST, Finished, Frontier, Hint, Reading, begin
from beam_dynamodb_streams.shards.groups import deal
from beam_dynamodb_streams.shards.lineage import Lineage, Seen, Shard, parents_of
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After, AtTime
from beam_dynamodb_streams.source.sharing import first_frontier
from beam_dynamodb_streams.wire import ListedShard, RecordsPage, StreamPage

NOW = 1_767_225_600
ANCESTORS = 6
LIFE_SECONDS = 4 * 3600.0
ANSWER_SECONDS = 0.01
LISTED_A_PAGE = 100
GROUPS = 16
IDLE_SECONDS = 10.0
SIZES = (10, 1_000, 10_000)
ROOTS = (300, 1_000, 5_000, 10_000)
MICROS = 1_000_000


def shard_id(line: int, generation: int) -> str:
    return f"shardId-{(NOW - 100_000) * 1000 + generation * 14_400_000 + line:020d}-{line:08x}"


def number(line: int) -> str:
    return str(10**20 + line * 10**9)


def frontier_of(shards: int, *, hint: int = 0) -> Frontier:
    """Return a frontier of `shards` open shards and their finished ancestors, with iterators of `hint` characters."""
    position = {shard_id(line, ANCESTORS): After(number(line)) for line in range(shards)}
    return Frontier(
        shards={
            shard: Reading(place, (NOW - line % 7) * MICROS, Hint("i" * hint, NOW) if hint else None)
            for line, (shard, place) in enumerate(position.items())
        },
        finished={
            shard_id(line, generation): Finished(NOW - 3600 * generation, TRIM_HORIZON)
            for generation in range(ANCESTORS)
            for line in range(shards)
        },
    )


def listed(shards: int, generations: range) -> list[Shard]:
    return [
        Shard(shard_id(line, generation), (shard_id(line, generation - 1),) if generation else (), number(line))
        for generation in generations
        for line in range(shards)
    ]


def milliseconds(step: Callable[[], object], *, seconds: float = 0.3) -> float:
    """Return the CPU of one call: the least of the repeats that fit into `seconds` of CPU, of at least three."""
    times: list[float] = []
    spent = 0.0
    while len(times) < 3 or spent < seconds:
        before = time.process_time()
        step()
        times.append(time.process_time() - before)
        spent += times[-1]
    return min(times) * 1000


def steps(shards: int) -> str:
    frontier = frontier_of(shards, hint=300)
    lineage = Lineage(listed(shards, range(ANCESTORS + 1)))
    shard = shard_id(shards // 2, ANCESTORS)
    hints = {shard: Hint("j" * 300, NOW + 1) for shard in frontier.shards}
    marks = dict.fromkeys(frontier.shards, (NOW + 1) * MICROS)
    stored = encode_frontier(frontier)
    bare = len(encode_frontier(frontier_of(shards)))
    grown = Lineage([*listed(shards, range(ANCESTORS + 1)), Shard(shard_id(shards // 2, 99), (shard,))])
    costs = [
        milliseconds(lambda: frontier.advance(shard, After(number(shards)), watermark=(NOW + 1) * MICROS)),
        milliseconds(lambda: frontier.watermark),
        milliseconds(lambda: frontier.refresh(hints, marks)),
        milliseconds(lambda: frontier.end(shard)),
        milliseconds(lambda: discover(frontier, Seen(lineage, NOW))),
        milliseconds(lambda: discover(frontier.end(shard), Seen(grown, NOW))),
        milliseconds(lambda: encode_frontier(frontier)),
        milliseconds(lambda: decode_frontier(stored)),
    ]
    tracemalloc.start()
    kept = frontier_of(shards, hint=300), Lineage(listed(shards, range(ANCESTORS + 1)))
    memory = tracemalloc.get_traced_memory()[0] / 1e6
    tracemalloc.stop()
    del kept
    figures = " | ".join(f"{cost:,.3f}" if cost < 10 else f"{cost:,.0f}" for cost in costs)
    return f"| {shards:,} | {figures} | {bare / 1000:,.1f} | {len(stored) / 1000:,.1f} | {memory:,.1f} |"


@dataclass
class Stream:
    """A stream whose shards have no records, and roll once in each life. It answers as the service does.

    The parents of the oldest listed shards are trimmed. `ancestors`: the listed ancestors of each open shard.
    """

    shards: int
    ancestors: int = ANCESTORS
    now: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)
    rolls: int = 0
    waits: list[float] = field(default_factory=list)  # from a shard's end to the first page of its child
    _parents: dict[str, str | None] = field(default_factory=dict)
    _order: list[str] = field(default_factory=list)
    _place: dict[str, int] = field(default_factory=dict)
    _children: dict[str, str] = field(default_factory=dict)
    _ended: dict[str, float] = field(default_factory=dict)
    _due: list[tuple[float, str]] = field(default_factory=list)
    _trimmed: int = 0

    def __post_init__(self) -> None:
        for shard in listed(self.shards, range(ANCESTORS - self.ancestors, ANCESTORS + 1)):
            trimmed = f"shardId-{0:020d}-{shard.shard_id[-8:]}"
            self._add(shard.shard_id, next((p for p in shard.parents if p in self._parents), trimmed))
        chance = Random(7)
        for line in range(self.shards):
            heappush(self._due, (chance.random() * LIFE_SECONDS, shard_id(line, ANCESTORS)))

    def grow(self, since: float) -> None:
        """Roll what is due, counted from `since`. For each shard that begins, the oldest leaves the listing."""
        while self._due[0][0] <= self.now - since:
            due, parent = heappop(self._due)
            self.rolls += 1
            child = f"shardId-{(NOW + 100_000) * 1000 + self.rolls:020d}-{self.rolls:08x}"
            self._add(child, parent)
            heappush(self._due, (due + LIFE_SECONDS, child))
            self._trimmed += 1

    def perform(self, request: Request) -> Answer:
        match request:
            case Read(shard):
                self.calls["GetRecords"] += 1
                parent = self._parents[shard]
                if request.hint is None and parent is not None and self._ended.get(parent, 0) > 0:
                    self.waits.append(self.now - self._ended[parent])
                iterator = None if shard in self._ended else "n" * 200
                hint = None if iterator is None else Hint(iterator, int(NOW + self.now))
                return PageRead(request, NOW + self.now, RecordsPage(b"", [], [], iterator), [], hint, 0, None)
            case Probe(shard):
                self.calls["GetShardIterator"] += 1
                return Found(request) if shard in self._parents else Gone(request)
            case List(after, children_of):
                self.calls["DescribeStream"] += 1
                names, following = self._listing(after, children_of)
                shards = tuple(ListedShard(name, parents_of(self._parents[name])) for name in names)
                return PageListed(request, StreamPage("arn", "orders", "ENABLED", "KEYS_ONLY", shards, following))
            case FindNext():
                return NextFound(request, NOW + self.now, None)
            case Scan():
                raise AssertionError("no table is scanned here")

    def _add(self, shard: str, parent: str | None) -> None:
        self._parents[shard] = parent
        self._place[shard] = len(self._order)
        self._order.append(shard)
        if parent is not None and parent in self._parents:
            self._children[parent] = shard
            self._ended[parent] = self.now

    def _listing(self, after: str | None, children_of: str | None) -> tuple[list[str], str | None]:
        if children_of is not None:
            child = self._children.get(children_of)
            return [] if child is None else [child], None
        first = self._trimmed if after is None else self._place[after] + 1
        names = self._order[first : first + LISTED_A_PAGE]
        return names, names[-1] if first + LISTED_A_PAGE < len(self._order) else None


class Network:
    """A fetcher whose answers take ten milliseconds, on a clock that moves when there is nothing else to do."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._answers: deque[tuple[float, Request]] = deque()

    def submit(self, request: Request) -> None:
        self._answers.append((self._stream.now + ANSWER_SECONDS, request))

    def take(self, timeout: float) -> Answer | None:
        stream = self._stream
        if not self._answers or self._answers[0][0] > stream.now + timeout:
            stream.now += max(timeout, 0.001)
            return None
        lands, request = self._answers.popleft()
        stream.now = max(stream.now, lands)
        return stream.perform(request)

    def close(self) -> None:
        self._answers.clear()


def dealt(shards: int) -> str:
    """Measure from the first listing to the frontiers of all groups."""
    stream = Stream(shards)
    cpu = time.process_time()
    frontier, lineage = first_frontier(
        begin(AtTime(NOW)), Network(stream), lambda: NOW + stream.now, lambda: stream.now
    )
    parts = deal(frontier, lineage, GROUPS, second=NOW)
    cpu = time.process_time() - cpu
    sizes = [len(encode_frontier(part)) / 1000 for part in parts]
    return (
        f"| {shards:,} | {len(parts)} | {stream.now:,.0f} | {stream.calls['DescribeStream']:,} | {cpu:,.1f} "
        f"| {max(sizes):,.1f} |"
    )


def roots(shards: int, groups: int = 1) -> str:
    """Measure a read of shards whose parents are trimmed, until all are read and until the watermark moves."""
    stream = Stream(shards, ancestors=0)
    cpu = time.process_time()
    parts: tuple[Frontier, ...] = (begin(TRIM_HORIZON),)
    if groups > 1:
        frontier, lineage = first_frontier(parts[0], Network(stream), lambda: NOW + stream.now, lambda: stream.now)
        parts = deal(frontier, lineage, groups, second=NOW)
    dealt = stream.now
    begun, moved = 0.0, 0.0
    for part in parts:  # each on a worker of its own, at the same time
        stream.now = dealt
        reader = Reader(Network(stream), lambda: stream.now, lambda: NOW + stream.now, Random(1).random)
        watermark, opened = EARLIEST, 0
        while watermark == EARLIEST:
            deadline = stream.now + 1.0
            while (step := reader.next(part, deadline)) is not None:
                part, watermark = step.frontier, step.watermark
                if len(part.shards) > opened:
                    opened, begun = len(part.shards), max(begun, stream.now)
        moved = max(moved, stream.now)
    cpu = time.process_time() - cpu
    return (
        f"| {shards:,} | {len(parts)} | {begun:,.1f} | {moved:,.0f} | {stream.calls['GetShardIterator']:,} "
        f"| {stream.calls['DescribeStream']:,} | {cpu:,.1f} |"
    )


def read(shards: int, seconds: float) -> str:
    """Measure until every open shard is read and the listings are settled, then `seconds` more while shards roll."""
    stream = Stream(shards)
    reader = Reader(
        Network(stream), lambda: stream.now, lambda: NOW + stream.now, Random(1).random, pace=Pace(idle=IDLE_SECONDS)
    )
    frontier, watermark, reached = begin(AtTime(NOW)), EARLIEST, 0.0
    cpu = time.process_time()

    def read_on() -> None:
        """Read a slice of one second, then store and load the frontier, as a runner does."""
        nonlocal frontier, watermark, reached
        deadline = stream.now + 1.0
        while (step := reader.next(frontier, deadline)) is not None:
            frontier, watermark = step.frontier, step.watermark
            if step.opened:
                reached = stream.now
        frontier = decode_frontier(encode_frontier(frontier))

    while watermark == EARLIEST:
        read_on()
    began, begun, first, start_cpu = stream.now, reached, stream.calls.copy(), time.process_time() - cpu
    cpu = time.process_time()
    while stream.now < began + seconds:
        stream.grow(since=began)
        read_on()
    cpu = time.process_time() - cpu
    later = stream.calls - first
    waits = sorted(stream.waits)
    return (
        f"| {shards:,} | {shards * (ANCESTORS + 1):,} | {begun:,.0f} | {began:,.0f} | {first['DescribeStream']:,} "
        f"| {start_cpu:,.1f} | {later['DescribeStream'] / seconds:.2f} | {later['GetRecords'] / seconds:,.0f} "
        f"| {waits[len(waits) // 2] if waits else 0:.1f} | {waits[len(waits) * 99 // 100] if waits else 0:.1f} "
        f"| {len(waits)} of {stream.rolls} | {100 * cpu / seconds:,.1f} |"
    )


def main(seconds: float = 600.0, *sizes: float) -> None:
    print(
        "| open shards | advance, ms | watermark | refreshed | end | discover, nothing new | discover, one child "
        "| encode | decode | stored, KB | with iterators of 300 | memory, MB |"
    )
    print("|" + "---|" * 12)
    for size in sizes or SIZES:
        print(steps(int(size)), flush=True)
    print()
    print("| open shards | groups | dealt after, s | DescribeStream | CPU, s | a group's restriction, KB |")
    print("|" + "---|" * 6)
    for size in sizes or SIZES:
        print(dealt(int(size)), flush=True)
    print()
    print("| roots | groups | all read after, s | watermark moves after | GetShardIterator | DescribeStream | CPU, s |")
    print("|" + "---|" * 7)
    for size in sizes or ROOTS:
        for groups in (1, GROUPS):
            print(roots(int(size), groups), flush=True)
    print()
    print(
        "| open shards | listed | all read after, s | settled after | DescribeStream until then | CPU until then, s "
        "| DescribeStream/s later | GetRecords/s | a child waits p50, s | p99 | of rolls | CPU, % of a core |"
    )
    print("|" + "---|" * 12)
    for size in sizes or SIZES[:-1]:  # the largest takes 45 minutes
        print(read(int(size), seconds), flush=True)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
