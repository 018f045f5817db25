"""A read of a Kinesis data stream without threads, Beam or waiting, as `tests.inline` has for a table's stream."""

from __future__ import annotations

from random import Random
from typing import Any

from beam_dynamodb_streams.reader.kinesis_stream import KinesisStream
from beam_dynamodb_streams.reader.reader import Reader
from beam_dynamodb_streams.reader.resumed_shards import EarlierRun
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.reader.stream_caller import StreamCaller
from beam_dynamodb_streams.testing import Clock, LocalKinesis
from beam_dynamodb_streams.wire import KinesisClient
from tests.inline import DrivenRead, InlineFetcher, NoSockets, session


def kinesis_client(service: LocalKinesis, clock: Clock, table: str | None = None) -> KinesisClient:
    """Return a client that calls the service in this thread."""
    client = KinesisClient(
        endpoint_url="http://127.0.0.1:9",
        region_name=service.region_name,
        session=session(),
        table=table,
        clock=clock,
        sleep=lambda seconds: clock.advance(seconds) and None,
        random=lambda: 0.5,
    )
    transports = client._caller._by_url
    for url, opened in transports.items():
        transports[url] = NoSockets(service, opened.url, opened.user_agent)  # type: ignore[assignment]
    return client


class DrivenKinesisRead(DrivenRead):
    """One read of a data stream. Its arguments are those of `DrivenRead`, with a client of Kinesis."""

    def __init__(self, client: KinesisClient, clock: Clock, stream_arn: str, **options: Any) -> None:
        self._kinesis = client
        super().__init__(
            None,  # type: ignore[arg-type]
            clock,
            stream_arn,
            client=client,  # type: ignore[arg-type]
            pace=Pace(poll=0.5, page=50, least=0.2),
            **options,
        )

    def _new_reader(self) -> Reader:
        stream = KinesisStream(self._kinesis, self.frontier.stream_arn, limit=self._pace.page)
        fetcher = InlineFetcher(StreamCaller(stream).perform, self._clock, Random(len(self.fetchers)))
        self.fetchers.append(fetcher)
        return Reader(
            fetcher,
            self._clock,
            self._kinesis.service_time,
            self._random,
            self._rules,
            self._pace,
            EarlierRun(),
            tally=self.tally,
            retention=stream.traits.retention_seconds,
            trims_by_age_alone=stream.traits.trims_by_age_alone,
        )
