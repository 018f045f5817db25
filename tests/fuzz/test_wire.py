"""The law of every answer: delivered, a dead letter, a loss, or an error that says so within a bounded time.

`CONNECTOR_FUZZ_SECONDS` is how long the test with random changes runs; `make soak` runs it for an hour.
"""

from __future__ import annotations

import http.server
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest

from beam_dynamodb_streams import sample
from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.shards.quiet import QuietRule
from beam_dynamodb_streams.source.filter import well_formed
from beam_dynamodb_streams.testing import Clock
from beam_dynamodb_streams.wire import Client
from tests.fuzz.answers import ARN, Change, FuzzedService, answer_to, changed, draw
from tests.inline import DrivenRead, session

SEEDS = 250
BOUND = 240.0  # seconds of the reader's clock
ALL = 10


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def warnings_logged() -> Iterator[list[str]]:
    handler, logger = _Lines(), logging.getLogger("beam_dynamodb_streams")
    logger.addHandler(handler)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)


def outcome(change: Change | None) -> tuple[str, str]:
    """Read the fuzzed stream. Return what became of it, in one word, and the detail."""
    clock = Clock(1_767_225_700.0)
    client = Client(
        endpoint_url=FuzzedService.url,
        region_name="us-east-1",
        session=session(),
        clock=clock,
        sleep=lambda seconds: clock.advance(seconds) and None,
        random=lambda: 0.5,
        max_attempts=2,
    )
    urls = client._caller._by_url
    for url in urls:
        urls[url] = FuzzedService(change, clock)  # type: ignore[assignment]
    read = DrivenRead(
        None,  # type: ignore[arg-type]  # the client is given
        clock,
        ARN,
        rules=Rules(slack=0.0, quiet=QuietRule(3, 1.0)),
        client=client,
    )
    with warnings_logged() as lines:
        try:
            read.go(BOUND)
            dead = sum(len(claim.malformed) for claim in read.claims)
            dead += sum(len(well_formed(claim.records, claim.shard)[1]) for claim in read.claims)  # type: ignore[arg-type]
        except ConnectorError as error:
            return "error", str(error)
        finally:
            client.close()
    if len(set(read.delivered)) + dead >= ALL:
        return "delivered", ""
    if dead:
        return "dead letter", f"{dead} dead letters"
    if read.losses:
        return "loss", str(read.losses[0])
    if lines:
        return "reported", lines[0]
    return "silence", f"{len(read.ids)} delivered, {dead} dead letters, closed={read.frontier.closed}"


def check(change: Change) -> None:
    word, detail = outcome(change)
    assert word != "silence" or change.legal, f"{change}: {detail}"
    assert word == "delivered" or detail.strip()


def test_without_a_change_all_is_delivered() -> None:
    assert outcome(None) == ("delivered", "")


@pytest.mark.parametrize("block", range(10))
def test_no_change_of_an_answer_is_met_by_silence(block: int) -> None:
    """With fixed seeds, so that each run of the tests tries the same."""
    for seed in range(block, SEEDS, 10):
        check(draw(Random(seed)))


def test_no_change_drawn_at_random_is_met_by_silence() -> None:
    _fuzz(float(os.environ.get("CONNECTOR_FUZZ_SECONDS", "10")))


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_no_change_is_met_by_silence_for_an_hour() -> None:
    _fuzz(float(os.environ.get("CONNECTOR_FUZZ_SECONDS", "3600")))


def _fuzz(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        check(draw(Random()))


END_TO_END = [
    Change("GetRecords", None, body=b'{"message":"Endpoint request timed out"}'),
    Change("GetRecords", None, cut=0.5),
    Change("GetRecords", None, ("Records", 0, "dynamodb", "NewImage"), "SURROGATE"),
    Change("GetRecords", 2, body=b"<html></html>", status=502),
    Change("GetShardIterator", None, ("ShardIterator",), ""),
]


@pytest.mark.parametrize("change", END_TO_END, ids=repr)
def test_the_same_over_http(change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with served(change) as url:
        try:
            got = sample("orders", endpoint_url=url, region_name="us-east-1", seconds=6)
        except ConnectorError:
            return  # an error that says so
    if len(got) + len(got.dead_letters) < ALL:
        assert not got.complete
        assert got.unanswered


@contextmanager
def served(change: Change) -> Iterator[str]:
    counts: dict[str, int] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            request: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            counts[operation] = counts.get(operation, 0) + 1
            answer, status = answer_to(operation, request, time.time()), 200
            if change.operation == operation and change.only in (None, counts[operation]):
                body, status = changed(answer, change), change.status
            else:
                body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
