"""A reader without threads, Beam or waiting: time moves when there is nothing else to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from functools import cache
from random import Random

import botocore.session
from typing_extensions import Self

from beam_dynamodb_streams.errors import UnavailableError
from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.reader.dynamodb_streams import DynamoDBStream
from beam_dynamodb_streams.reader.end_of_stream import OnNewStream
from beam_dynamodb_streams.reader.items import ItemTable
from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.reader.read_budget import ReadBudget
from beam_dynamodb_streams.reader.reader import Reader
from beam_dynamodb_streams.reader.requests import Answer, Delayed, Read, Request
from beam_dynamodb_streams.reader.resumed_shards import EarlierRun
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.reader.stream import Entry
from beam_dynamodb_streams.reader.stream_caller import StreamCaller
from beam_dynamodb_streams.reader.table_scan import TableScanner
from beam_dynamodb_streams.reader.table_streams import TableStreams
from beam_dynamodb_streams.shards.encoding import decode_frontier, encode_frontier
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier, begin
from beam_dynamodb_streams.shards.generations import table_of
from beam_dynamodb_streams.shards.loss import Loss
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, Position, StartPosition
from beam_dynamodb_streams.shards.segments import TableScan
from beam_dynamodb_streams.source.scanned_table import ScannedTable
from beam_dynamodb_streams.source.snapshot import ScanSnapshot, new_scan
from beam_dynamodb_streams.testing import Clock, LocalKinesis, LocalStreams
from beam_dynamodb_streams.testing.answers import Request as ServedRequest
from beam_dynamodb_streams.testing.calls import NoAnswer
from beam_dynamodb_streams.wire import Client, RecordsPage, StreamPage
from beam_dynamodb_streams.wire.transport import Answer as WireAnswer


@cache
def session() -> botocore.session.Session:
    """Return one session for all clients: it loads the models of AWS's services, which is slower than a small test."""
    return botocore.session.Session()


def at_once(request: Request) -> float:
    return 0.0


@dataclass
class InlineFetcher:
    """A fetcher without threads: a request is performed when it is submitted, and its answer arrives `seconds` later.

    Answers that have arrived are taken in random order, as over a network. `take` advances the clock if no answer
    waits. `most` is the highest number of unanswered reads of one shard.
    """

    perform: Callable[[Request], Answer]
    clock: Clock
    random: Random
    seconds: Callable[[Request], float] = at_once
    requests: list[Request] = field(default_factory=list)
    most: int = 0
    _answers: list[tuple[float, Answer]] = field(default_factory=list)
    _unanswered: Counter[str] = field(default_factory=Counter)

    def submit(self, request: Request) -> None:
        self.requests.append(request)
        if isinstance(request, Read):
            self._unanswered[request.shard] += 1
            self.most = max(self.most, self._unanswered[request.shard])
        lands = self.clock() + self.seconds(request)
        self._answers.append((lands, self.perform(request)))

    def take(self, timeout: float) -> Answer | None:
        end = self.clock() + max(timeout, 0.0)
        first = min((lands for lands, _ in self._answers), default=None)
        if first is None or first > end:
            self.clock.advance(max(timeout, 0.001))
            return None
        if first > self.clock():
            self.clock.advance(first - self.clock())
        landed = [index for index, (lands, _) in enumerate(self._answers) if lands <= max(first, self.clock())]
        _, answer = self._answers.pop(self.random.choice(landed))
        if isinstance(answer.request, Read):
            self._unanswered[answer.request.shard] -= 1
        return answer

    def close(self) -> None:
        self._answers.clear()


@dataclass
class Network:
    """What is between a reader and its service: how many seconds of the clock an answer takes, whether every read of
    records fails, whether listings hang until they time out, and how many shards a page of a listing has at most."""

    reads: float = 0.0
    reads_fail: bool = False
    listings: float = 0.0
    listings_hang: bool = False
    listing_page: int | None = None

    def seconds(self, request: Request) -> float:
        return self.reads if isinstance(request, Read) else self.listings

    def perform(self, caller: StreamCaller, request: Request) -> Answer:
        if self.reads_fail if isinstance(request, Read) else self.listings_hang:
            return Delayed(request, UnavailableError("timed out"))
        return caller.perform(request)


@dataclass
class NoSockets:
    """A transport that calls the service in this thread: sockets have tests of their own."""

    service: LocalStreams | LocalKinesis
    url: str
    user_agent: str

    def post(self, headers: dict[str, str], body: bytes) -> WireAnswer:
        calls, target = self.service._calls, headers["X-Amz-Target"]
        asked = ServedRequest(
            target, target.rpartition(".")[2], body, headers.get("Authorization", ""), headers.get("X-Amz-Date", "")
        )
        call = calls.begin(asked)
        answer = calls.answer(call)
        calls.end(call)
        if isinstance(answer, NoAnswer) or answer.cut or answer.false_crc:
            raise UnavailableError("the connection closed, or its answer was damaged")
        return WireAnswer(answer.status, answer.body, formatdate(int(calls.clock()), usegmt=True), None, "")

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class ListingInPages:
    """A client whose listings have the network's page size: 100 shards in a page are too many for a small test."""

    client: Client
    network: Network

    def describe_stream(
        self, stream_arn: str, *, exclusive_start_shard_id: str | None = None, children_of: str | None = None
    ) -> StreamPage:
        return self.client.describe_stream(
            stream_arn,
            limit=self.network.listing_page,
            exclusive_start_shard_id=exclusive_start_shard_id,
            children_of=children_of,
        )

    def get_shard_iterator(
        self,
        stream_arn: str,
        shard_id: str,
        iterator_type: str,
        *,
        sequence_number: str | None = None,
        timestamp: float | None = None,
    ) -> str:
        return self.client.get_shard_iterator(
            stream_arn, shard_id, iterator_type, sequence_number=sequence_number, timestamp=timestamp
        )

    def get_records(self, iterator: str, *, limit: int, stream_arn: str, shard_id: str) -> RecordsPage:
        return self.client.get_records(iterator, limit=limit, stream_arn=stream_arn, shard_id=shard_id)

    def service_time(self) -> float:
        return self.client.service_time()


class DrivenRead:
    """One read of a table's stream, which claims everything that it is given.

    Args:
        service: The local service.
        clock: The clock of the service and of the read.
        stream_arn: The stream.
        start, saved, until: Where the read begins, if `frontier` is None.
        rules, pace: The reader's options.
        frontier: Where the read begins.
        network: What happens between the reader and the service.
        sockets: False calls the service in this thread, several times faster. It need not be started then.
        client: The client of the service, which the caller closes; by default the read has its own.
        random: What spreads the reader's waits.
        scan: The scan that is joined with the stream.
        scan_units: The read units that it may consume a second.
        scanned_table: Makes the table that is scanned, for tests of wrong ones.
        scanner: What joins its rows, for tests of wrong designs.
        restarts: Whether the worker dies after every claim: the frontier goes through its stored bytes to a new reader.
        refuses_late_records: Whether a record behind the watermark fails the test.
        on_new_stream: What happens at the end of the stream.
        table_id: The id of the table when the read began.
        snapshot: What scans the table again once it was deleted and created again.

    Attributes:
        delivered: The shard and the sequence number of each change.
        rows: The rows of the table that were delivered.
        ids: The event id of each record.
        watermark: The watermark of the read, which only moves forward.
        watermarks: The watermark of each claim.
        claims: What was claimed.
    """

    def __init__(
        self,
        service: LocalStreams,
        clock: Clock,
        stream_arn: str,
        *,
        start: StartPosition = TRIM_HORIZON,
        rules: Rules | None = None,
        pace: Pace | None = None,
        saved: Mapping[str, Position] | None = None,
        until: int | None = None,
        frontier: Frontier | None = None,
        network: Network | None = None,
        sockets: bool = True,
        client: Client | None = None,
        random: Callable[[], float] = lambda: 0.5,
        restarts: bool = False,
        refuses_late_records: bool = False,
        on_new_stream: OnNewStream = "finish",
        table_id: str = "",
        scan: TableScan | None = None,
        scan_units: float | None = None,
        scanned_table: Callable[[Client, TableScan], ItemTable] | None = None,
        scanner: type[TableScanner] = TableScanner,
        snapshot: ScanSnapshot | None = None,
    ) -> None:
        self._own_client = None if client else _client(service, clock, sockets=sockets)
        self._client = client or self._own_client
        self._clock, self._first_stream = clock, stream_arn
        self._on_new_stream, self._table_id = on_new_stream, table_id
        self._snapshot, self._first_epoch = snapshot, 0 if scan is None else scan.epoch
        self._rules, self._pace = rules or Rules(slack=0.0), pace or Pace(page=50)
        self._network = network or Network()
        self._earlier = EarlierRun(saved or {}, until)
        self._scan_units, self._scanner = scan_units, scanner
        self._scanned_table = scanned_table or (lambda client, scan: ScannedTable(client, scan.table, scan.keys))
        self._random, self._restarts, self._refuses_late_records = random, restarts, refuses_late_records
        if frontier is None:
            self.frontier = begin(start, stream_arn=stream_arn, saved=saved, scan=scan)
        else:
            self.frontier = replace(frontier, stream_arn=stream_arn)
        self.delivered: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self.rows: list[Entry] = []
        self.losses: list[Loss] = []
        self.claims: list[Claim] = []
        self.watermark = EARLIEST
        self.watermarks: list[int] = []
        self.tally: Counter[str] = Counter()
        self.fetchers: list[InlineFetcher] = []
        self.reader = self._new_reader()

    def _new_reader(self) -> Reader:
        stream_arn = self.frontier.stream_arn
        scan, scanner = self.frontier.scan, None
        if scan is not None:
            budget = ReadBudget() if self._scan_units is None else ReadBudget(self._scan_units)
            scanner = self._scanner(self._scanned_table(self._client, scan), budget, self._rules.slack, self.tally)
        caller = StreamCaller(
            DynamoDBStream(ListingInPages(self._client, self._network), stream_arn, limit=self._pace.page),
            TableStreams(
                self._client,
                table_of(stream_arn).rpartition("/")[2],
                self._table_id if scan is None or scan.epoch == self._first_epoch else "",
                snapshot=lambda table, arn: new_scan(table, arn, self._snapshot, self._client.service_time()),
            ),
            None if scanner is None else scanner.table,
        )
        fetcher = InlineFetcher(
            lambda request: self._network.perform(caller, request),
            self._clock,
            Random(len(self.fetchers)),
            self._network.seconds,
        )
        self.fetchers.append(fetcher)
        return Reader(
            fetcher,
            self._clock,
            self._client.service_time,
            self._random,
            self._rules,
            self._pace,
            self._earlier if stream_arn == self._first_stream else EarlierRun(),
            tally=self.tally,
            on_new_stream=self._on_new_stream,
            scanner=scanner,
        )

    @property
    def requests(self) -> list[Request]:
        """The requests of all readers."""
        return [request for fetcher in self.fetchers for request in fetcher.requests]

    def run(self, seconds: float) -> None:
        """Read for `seconds` of the clock in one slice, or to the end."""
        for _ in self.each_claim(seconds):
            pass

    def go(self, seconds: float = 3600.0, *, slice_seconds: float = 1.0) -> Self:
        """Read for `seconds` of the clock in slices, as a DoFn does, or to the end."""
        end = self._clock() + seconds
        for _ in range(100_000):
            if self.frontier.closed or self._clock() >= end:
                return self
            left = end - self._clock()
            self.run(left if self._restarts else min(slice_seconds, left))
        raise AssertionError(f"busy without an end: {self.frontier}")

    def each_claim(self, seconds: float) -> Iterator[Claim]:
        """Read as `run` does, and yield each claim once it is made."""
        deadline = self._clock() + seconds
        while (claim := self.reader.next(self.frontier, deadline)) is not None:
            self._claim(claim)
            yield claim

    def refuse(self, seconds: float) -> Claim | None:
        """Return the next claim within `seconds`, which the runner refuses."""
        return self.reader.next(self.frontier, self._clock() + seconds)

    def _claim(self, claim: Claim) -> None:
        for record in claim.records:
            late = self.watermark - int(record.creation_time * 1_000_000)
            assert late <= 0 or not self._refuses_late_records, f"{record.event_id} is late by {late / 1e6} s"
            if claim.scanned:
                self.rows.append(record)
                continue
            self.delivered.append((claim.shard, record.sequence_number))
            self.ids.append(record.event_id)
        self.losses += claim.losses
        self.claims.append(claim)
        self.watermarks.append(claim.watermark)
        self.watermark = max(self.watermark, claim.watermark)
        before, self.frontier = self.frontier, claim.frontier
        if self._restarts:
            self.restart()
        elif before.stream_arn != self.frontier.stream_arn:
            self.reader = self._new_reader()

    def stored(self) -> bytes:
        """Return the frontier as a runner stores it."""
        return encode_frontier(self.frontier)

    def restart(self) -> None:
        """Continue in a new worker: only the stored frontier is left."""
        self.restore(self.stored())

    def restore(self, stored: bytes) -> None:
        """Continue in a new worker, from what was stored before a failure."""
        self.frontier = decode_frontier(stored)
        self.reader = self._new_reader()

    def go_back(self, stored: bytes) -> None:
        """Continue in the same worker, from what was stored before a failure that it survived."""
        before, self.frontier = self.frontier, decode_frontier(stored)
        if before.stream_arn != self.frontier.stream_arn:
            self.reader = self._new_reader()

    def finish(self) -> None:
        """End with the present stream, in a new worker."""
        self._on_new_stream = "finish"
        self.restart()

    def close(self) -> None:
        if self._own_client is not None:
            self._own_client.close()


def _client(service: LocalStreams, clock: Clock, *, sockets: bool) -> Client:
    client = Client(
        endpoint_url=service.endpoint_url if sockets else "http://127.0.0.1:9",
        region_name=service.region_name,
        session=session(),
        clock=clock,
        sleep=lambda seconds: clock.advance(seconds) and None,
        random=lambda: 0.5,
        max_attempts=2,
    )
    if not sockets:
        transports = client._caller._by_url
        for url, opened in transports.items():
            transports[url] = NoSockets(service, opened.url, opened.user_agent)
    return client
