"""A reader driven by hand: no threads, no Beam, no waiting. Time moves when nothing else is to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cache
from random import Random

import botocore.session

from beam_dynamodb_streams.errors import UnavailableError
from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.reader.reader import Reader
from beam_dynamodb_streams.reader.requests import Answer, Delayed, Read, Request, StreamCaller
from beam_dynamodb_streams.reader.resumed_shards import EarlierRun
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.shards.encoding import decode_frontier, encode_frontier
from beam_dynamodb_streams.shards.frontier import Frontier, begin
from beam_dynamodb_streams.shards.loss import Loss
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, Position, StartPosition
from beam_dynamodb_streams.testing import Clock, LocalStreams
from beam_dynamodb_streams.testing.answers import Request as ServedRequest
from beam_dynamodb_streams.testing.calls import NoAnswer
from beam_dynamodb_streams.wire import Client, RecordsPage, StreamPage
from beam_dynamodb_streams.wire.transport import Answer as WireAnswer


@cache
def session() -> botocore.session.Session:
    """One for all clients: it reads the models of AWS's services, which takes longer than a small test."""
    return botocore.session.Session()


def at_once(request: Request) -> float:
    return 0.0


@dataclass
class InlineFetcher:
    """The fetcher's contract without threads: a request is performed when it is submitted, and its answer lands
    ``seconds`` of the clock later. What has landed comes in an order of its own, as over a network.

    ``take`` moves the clock on where no answer waits. ``most`` is how many reads of one shard were ever unanswered.
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
    """Between a reader and its service: how many seconds of the clock an answer takes, whether no page of records comes
    through, whether listings hang until they time out, and how many shards a listing's page has at most."""

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
class _NoSockets:
    """The service's own answers, handed over in one thread: sockets have tests of their own."""

    service: LocalStreams
    url: str

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
    """The client, whose listings come in the network's pages: 100 shards to a page are too many for a small test."""

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
    """One read of a table's stream: what it delivered, lost and where it stands. Claims every step that it is given.

    ``sockets=False`` calls the service in this thread, several times faster: it need not be started then.
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
    ) -> None:
        self._client = Client(
            endpoint_url=service.endpoint_url if sockets else "http://127.0.0.1:9",
            region_name=service.region_name,
            session=session(),
            clock=clock,
            sleep=lambda seconds: clock.advance(seconds) and None,
            random=lambda: 0.5,
            max_attempts=2,
        )
        if not sockets:
            transports = self._client._caller._transports
            transports["dynamodbstreams"] = _NoSockets(service, transports["dynamodbstreams"].url)
        self._clock, self._stream = clock, stream_arn
        self._rules, self._pace = rules or Rules(slack=0.0), pace or Pace(page=50)
        self._network = network or Network()
        self._earlier = EarlierRun(saved or {}, until)
        self.frontier = begin(start, stream_arn=stream_arn, saved=saved) if frontier is None else frontier
        self.delivered: list[tuple[str, str]] = []
        self.losses: list[Loss] = []
        self.watermarks: list[int] = []
        self.fetchers: list[InlineFetcher] = []
        self.reader = self._reader()

    def _reader(self) -> Reader:
        caller = StreamCaller(ListingInPages(self._client, self._network), self._stream, limit=self._pace.page)
        fetcher = InlineFetcher(
            lambda request: self._network.perform(caller, request),
            self._clock,
            Random(len(self.fetchers)),
            self._network.seconds,
        )
        self.fetchers.append(fetcher)
        return Reader(
            fetcher, self._clock, self._client.service_time, lambda: 0.5, self._rules, self._pace, self._earlier
        )

    def run(self, seconds: float) -> None:
        """Reads for so many seconds of the clock, or to the end."""
        for _ in self.steps(seconds):
            pass

    def steps(self, seconds: float) -> Iterator[Claim]:
        """The same, step by step, each already claimed."""
        deadline = self._clock() + seconds
        while (step := self.reader.next(self.frontier, deadline)) is not None:
            self._claim(step)
            yield step

    def refuse(self, seconds: float) -> Claim | None:
        """The next step within so many seconds, which the runner does not let us claim."""
        return self.reader.next(self.frontier, self._clock() + seconds)

    def _claim(self, step: Claim) -> None:
        self.frontier = step.frontier
        self.delivered += [(step.shard, record.sequence_number) for record in step.records]
        self.losses += step.losses
        self.watermarks.append(step.watermark)

    def stored(self) -> bytes:
        return encode_frontier(self.frontier)

    def restore(self, stored: bytes) -> None:
        """As after a failure: a new reader, from what was stored."""
        self.frontier = decode_frontier(stored)
        self.reader = self._reader()

    def go_back(self, stored: bytes) -> None:
        """As after a failure that the worker survived: the same reader, from what was stored."""
        self.frontier = decode_frontier(stored)

    def close(self) -> None:
        self._client.close()
