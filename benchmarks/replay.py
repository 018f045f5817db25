"""A service that only replays pages. Every page is made before the first request, so the service is not the limit.

`with Replay(pages=25, shards=4) as endpoint_url:` serves a table "orders" from a process of its own. The table's
stream is disabled, and its shards are closed: each has `pages` pages of 1,000 changes of about 1 KB, with both images.
With `distinct=`, pages repeat the items of that many pages, under sequence numbers of their own, so that a large table
needs little memory. `requests_of` returns the requests so far.
"""

from __future__ import annotations

import json
import multiprocessing
import time
import urllib.request
import zlib
from contextlib import AbstractContextManager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from benchmarks.records import ORDER_KEYS, order_changes

ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-01T00:00:00.000"
CREATED = 1_790_000_000

_KEY_SCHEMA = [
    {"AttributeName": name, "KeyType": kind} for name, kind in zip(ORDER_KEYS, ("HASH", "RANGE"), strict=True)
]


def shard_id(number: int) -> str:
    return f"shardId-{CREATED:020d}-{number:08x}"


def page_body(shard: int, page: int, pages: int) -> bytes:
    changes = order_changes(1000, seed=shard * 1000 + page)
    for number, change in enumerate(changes):
        change["dynamodb"]["SequenceNumber"] = f"{_number_prefix(page)}{number:03d}"
    answer: dict[str, Any] = {"Records": changes}
    if page + 1 < pages:
        answer["NextShardIterator"] = _iterator(shard, page + 1)
    return json.dumps(answer, separators=(",", ":")).encode()


def _number_prefix(page: int) -> str:
    return f"{page + 1:018d}"


def _iterator(shard: int, page: int) -> str:
    return f"{shard}:{page}".ljust(300, ".")


def _again(body: bytes, place: tuple[int, int], at: tuple[int, int], pages: int) -> bytes:
    """Return the body of the page `place` as that of the page `at`."""
    (shard, page), (_, new_page) = place, at
    body = body.replace(f'"{_number_prefix(page)}'.encode(), f'"{_number_prefix(new_page)}'.encode())
    old, new = _iterator(shard, page + 1).encode(), _iterator(shard, new_page + 1).encode()
    return body.replace(old, new) if new_page + 1 < pages else body.replace(b',"NextShardIterator":"%s"' % old, b"")


def requests_of(url: str) -> list[tuple[float, str]]:
    """Return the moment (`time.monotonic`, one clock for all processes) and the operation of each request so far."""
    with urllib.request.urlopen(f"{url}/requests") as answer:  # noqa: S310 - it is ours
        return [(moment, operation) for moment, operation in json.loads(answer.read())]


class Replay(AbstractContextManager[str]):
    """The service, with `pages` pages in each of `shards` shards, for as long as the block lasts."""

    def __init__(self, *, pages: int, shards: int, distinct: int | None = None) -> None:
        ours, theirs = multiprocessing.Pipe()
        self._ready = ours
        served = (theirs, pages, shards, distinct or pages)
        self._process = multiprocessing.get_context("spawn").Process(target=_serve, args=served)
        self._process.daemon = True

    def __enter__(self) -> str:
        self._process.start()
        return f"http://127.0.0.1:{self._ready.recv()}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join()


def _serve(ready: Connection, pages: int, shards: int, distinct: int) -> None:
    made = pages if distinct >= pages else pages + 1  # no page of a template is the last
    bodies = {
        (shard, page): page_body(shard, page, made) for shard in range(shards) for page in range(min(pages, distinct))
    }
    sums = {place: str(zlib.crc32(body)) for place, body in bodies.items()}
    requests: list[tuple[float, str]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            """Log nothing: a line for each request would be work of its own."""

        def do_GET(self) -> None:
            self._send(json.dumps(requests).encode())

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            requests.append((time.monotonic(), operation))
            if operation == "GetRecords":
                shard, page = map(int, request["ShardIterator"].rstrip(".").split(":"))
                place = (shard, page % distinct)
                if distinct >= pages:
                    self._send(bodies[place], sums[place])
                else:
                    self._send(_again(bodies[place], place, (shard, page), pages))
            else:
                self._send(json.dumps(_answer(operation, request, shards)).encode())

        def _send(self, body: bytes, checksum: str | None = None) -> None:
            self.send_response_only(200)
            self.send_header("Date", formatdate(usegmt=True))
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("x-amz-crc32", checksum or str(zlib.crc32(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ready.send(server.server_address[1])
    server.serve_forever()


def _answer(operation: str, request: dict[str, Any], shards: int) -> dict[str, Any]:
    if operation == "DescribeTable":
        specification = {"StreamEnabled": False, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        return {
            "Table": {
                "TableName": "orders",
                "LatestStreamArn": ARN,
                "StreamSpecification": specification,
                "KeySchema": _KEY_SCHEMA,
                "AttributeDefinitions": [
                    {"AttributeName": name, "AttributeType": kind} for name, kind in ORDER_KEYS.items()
                ],
            }
        }
    if operation == "GetShardIterator":
        number = int(request["ShardId"].rpartition("-")[2], 16)
        return {"ShardIterator": f"{number}:0".ljust(300, ".")}
    listed = [
        {
            "ShardId": shard_id(number),
            "SequenceNumberRange": {"StartingSequenceNumber": f"{1:021d}", "EndingSequenceNumber": f"{10**12:021d}"},
        }
        for number in range(shards)
    ]
    if "ShardFilter" in request:
        listed = []
    return {
        "StreamDescription": {
            "StreamArn": ARN,
            "StreamStatus": "DISABLED",
            "StreamViewType": "NEW_AND_OLD_IMAGES",
            "TableName": "orders",
            "KeySchema": _KEY_SCHEMA,
            "Shards": listed,
        }
    }
