"""What a page of 1,000 records costs in the server of the Kinesis interface, beside what reading it costs.

`python -m benchmarks.kinesis [pages]`. The local service, the server and its client are processes of their own. CPU is
that of the server's process alone, in milliseconds a page of 1.1 MB: the median of pages that are read in turn. Each
consumer reads another page, so none is the second to read one.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

import cbor2
import h2.config
import h2.connection
import h2.events

from beam_dynamodb_streams.kinesis.interface import Interface
from beam_dynamodb_streams.kinesis.server import KinesisServer
from beam_dynamodb_streams.testing import LocalStreams
from beam_dynamodb_streams.wire import Client

PAGE = 1000
JSON, CBOR = "application/x-amz-json-1.1", "application/x-amz-cbor-1.1"

Post = Callable[[str, bytes, str], bytes]


def serve_streams(pages: int, pipe: Connection) -> None:
    with LocalStreams() as service:
        table = service.create_table("orders", keys={"id": "S"})
        for number in range((pages + 4) * PAGE):
            item = {"id": f"o-{number}", "total": number, "tags": {"a", "b"}, "m": {"k": [1, "x"]}, "text": "p" * 550}
            table.put(item)
        pipe.send((service.endpoint_url, table.stream_arn, table.shard_ids[0]))
        pipe.recv()


def serve_kinesis(url: str, stream_arn: str, pipe: Connection) -> None:
    with (
        closing(Client(endpoint_url=url)) as client,
        KinesisServer(Interface(client, [stream_arn], cache_bytes=1)) as server,
    ):
        pipe.send(server.port)
        while pipe.recv():
            pipe.send(time.process_time())


@contextmanager
def http1(port: int) -> Iterator[Post]:
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def post(operation: str, body: bytes, protocol: str) -> bytes:
        headers = {"Content-Type": protocol, "X-Amz-Target": f"Kinesis_20131202.{operation}"}
        connection.request("POST", "/", body, headers)
        return connection.getresponse().read()

    yield post
    connection.close()


@contextmanager
def http2(port: int) -> Iterator[Post]:
    """Yield a client with the windows of the SDK for Java: 1 MB."""
    wire = socket.create_connection(("127.0.0.1", port))
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    connection.update_settings({4: 1_048_576})
    connection.increment_flow_control_window(1_048_576)

    def post(operation: str, body: bytes, protocol: str) -> bytes:
        stream = connection.get_next_available_stream_id()
        target = f"Kinesis_20131202.{operation}"
        headers = [(":method", "POST"), (":path", "/"), (":scheme", "http"), (":authority", "localhost")]
        connection.send_headers(stream, [*headers, ("content-type", protocol), ("x-amz-target", target)])
        connection.send_data(stream, body, end_stream=True)
        wire.sendall(connection.data_to_send())
        received = bytearray()
        while True:
            for event in connection.receive_data(wire.recv(1_048_576)):
                if isinstance(event, h2.events.DataReceived):
                    received += event.data or b""
                    connection.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, h2.events.StreamEnded):
                    return bytes(received)
            wire.sendall(connection.data_to_send())

    yield post
    wire.close()


def page_reader(post: Post, protocol: str, shard: str) -> Callable[[], None]:
    """Return a function that reads the next page."""

    def call(operation: str, members: dict[str, Any]) -> dict[str, Any]:
        encode, decode = (json.dumps, json.loads) if protocol == JSON else (cbor2.dumps, _cbor)
        body = encode(members)
        answer: dict[str, Any] = decode(post(operation, body.encode() if isinstance(body, str) else body, protocol))
        return answer

    start = {"StreamName": "orders", "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = call("GetShardIterator", start)["ShardIterator"]

    def read() -> None:
        nonlocal iterator
        page = call("GetRecords", {"ShardIterator": iterator})
        assert len(page["Records"]) == PAGE
        iterator = page["NextShardIterator"]

    return read


def _cbor(body: bytes) -> Any:
    return cbor2.loads(body, semantic_decoders={1: lambda number, *_: number})


def serve_reads(url: str, stream_arn: str, shard: str, pipe: Connection) -> None:
    """Read a page each time it is asked to, as a server does: not in a loop that has everything in the caches."""
    with closing(Client(endpoint_url=url)) as client:
        iterator: str | None = client.get_shard_iterator(stream_arn, shard, "TRIM_HORIZON")
        while pipe.recv():
            assert iterator is not None
            began = time.process_time()
            iterator = client.get_records(iterator).next_iterator
            pipe.send(time.process_time() - began)


def main(pages: int = 40) -> None:
    for name, value in (("ACCESS_KEY_ID", "local"), ("SECRET_ACCESS_KEY", "local"), ("DEFAULT_REGION", "us-east-1")):
        os.environ.setdefault(f"AWS_{name}", value)
    context = multiprocessing.get_context("spawn")
    pipe, other = context.Pipe()
    service = context.Process(target=serve_streams, args=(pages, other), daemon=True)
    service.start()
    url, stream_arn, shard = pipe.recv()
    reading, far = context.Pipe()
    reader = context.Process(target=serve_reads, args=(url, stream_arn, shard, far), daemon=True)
    reader.start()
    near, far = context.Pipe()
    server = context.Process(target=serve_kinesis, args=(url, stream_arn, far), daemon=True)
    server.start()
    port = near.recv()

    def cpu() -> float:
        time.sleep(0.005)  # what follows an answer is a part of its cost
        near.send(True)
        return float(near.recv())

    with ExitStack() as open_connections:
        readers = {
            f"{version}, {'CBOR' if protocol == CBOR else 'JSON'}": page_reader(
                open_connections.enter_context(connect(port)), protocol, shard
            )
            for version, connect in (("HTTP/1.1", http1), ("HTTP/2", http2))
            for protocol in (CBOR, JSON)
        }
        for ahead, read in enumerate(readers.values()):
            for _ in range(ahead):
                read()
        ours: list[float] = []
        costs: dict[str, list[float]] = {name: [] for name in readers}
        for _ in range(pages):  # in turn: what else the machine does costs each of them as much
            reading.send(True)
            ours.append(reading.recv())
            for name, read in readers.items():
                before = cpu()
                read()
                costs[name].append(cpu() - before)
    read_cost = median(ours[1:]) * 1000
    print(f"our own read of a page: {read_cost:.1f} ms")
    print("\n| | server, ms a page | beside the read, ms |\n|---|---|---|")
    for name, found in costs.items():
        whole = median(found[1:]) * 1000
        print(f"| {name} | {whole:.1f} | {whole - read_cost:.1f} |", flush=True)
    for connection in (reading, near):
        connection.send(False)
    reader.join()
    server.join()
    pipe.send(None)
    service.join()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
