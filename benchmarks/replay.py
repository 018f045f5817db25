"""A service that only replays pages. Every page is made before the first request, so the service is not the limit.

`with Replay(pages=25, shards=4) as endpoint_url:` serves a table "orders" from a process of its own. The table's
stream is disabled, and its shards are closed: each has `pages` pages of 1,000 changes of about 1 KB, with both images.
"""

from __future__ import annotations

import json
import multiprocessing
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
        change["dynamodb"]["SequenceNumber"] = f"{(page + 1) * 1000 + number:021d}"
    answer: dict[str, Any] = {"Records": changes}
    if page + 1 < pages:
        answer["NextShardIterator"] = f"{shard}:{page + 1}".ljust(300, ".")
    return json.dumps(answer, separators=(",", ":")).encode()


class Replay(AbstractContextManager[str]):
    """The service, with `pages` pages in each of `shards` shards, for as long as the block lasts."""

    def __init__(self, *, pages: int, shards: int) -> None:
        ours, theirs = multiprocessing.Pipe()
        self._ready = ours
        self._process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, pages, shards))
        self._process.daemon = True

    def __enter__(self) -> str:
        self._process.start()
        return f"http://127.0.0.1:{self._ready.recv()}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join()


def _serve(ready: Connection, pages: int, shards: int) -> None:
    bodies = {(shard, page): page_body(shard, page, pages) for shard in range(shards) for page in range(pages)}
    sums = {place: str(zlib.crc32(body)) for place, body in bodies.items()}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            """Log nothing: a line for each request would be work of its own."""

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            if operation == "GetRecords":
                shard, page = map(int, request["ShardIterator"].rstrip(".").split(":"))
                body, checksum = bodies[shard, page], sums[shard, page]
            else:
                body = json.dumps(_answer(operation, request, shards)).encode()
                checksum = str(zlib.crc32(body))
            self.send_response_only(200)
            self.send_header("Date", formatdate(usegmt=True))
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("x-amz-crc32", checksum)
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
