"""The server: two versions of HTTP on one port, two protocols, errors in kind, and loopback alone."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import cbor2
import h2.config
import h2.connection
import h2.events
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from beam_dynamodb_streams import errors
from beam_dynamodb_streams.commands import main
from beam_dynamodb_streams.kinesis import KinesisOverStreams
from beam_dynamodb_streams.kinesis.interface import Interface
from beam_dynamodb_streams.kinesis.server import KinesisServer, check_host
from beam_dynamodb_streams.testing import LocalStreams, Table
from beam_dynamodb_streams.wire import Client

JSON, CBOR = "application/x-amz-json-1.1", "application/x-amz-cbor-1.1"


@pytest.fixture
def server(service: LocalStreams, orders: Table) -> Iterator[KinesisServer]:
    client = Client(endpoint_url=service.endpoint_url)
    with KinesisServer(Interface(client, [orders.stream_arn])) as started:
        yield started
    client.close()


@pytest.fixture
def boto(server: KinesisServer) -> Any:
    return boto3.client("kinesis", endpoint_url=server.endpoint_url, config=Config(retries={"total_max_attempts": 1}))


def encoded(protocol: str, members: dict[str, Any]) -> bytes:
    return json.dumps(members).encode() if protocol == JSON else cbor2.dumps(members)


def decoded(protocol: str, body: bytes) -> dict[str, Any]:
    if protocol == JSON:
        return json.loads(body)
    # A time is tag 1 with milliseconds, where RFC 8949 has seconds.
    return cbor2.loads(body, semantic_decoders={1: lambda number, *_: ("milliseconds", number)})


def post(
    server: KinesisServer, protocol: str, operation: str, members: dict[str, Any] | bytes
) -> tuple[int, dict[str, str], dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    body = members if isinstance(members, bytes) else encoded(protocol, members)
    headers = {"Content-Type": protocol, "X-Amz-Target": f"Kinesis_20131202.{operation}"}
    connection.request("POST", "/", body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    named = {name.lower(): value for name, value in answer.getheaders()}
    assert named["content-type"] == protocol
    assert len(named["x-amzn-requestid"]) == 32
    return answer.status, named, decoded(protocol, content)


@pytest.fixture
def http2(server: KinesisServer) -> Iterator[Http2Client]:
    client = Http2Client(server.port)
    yield client
    client.socket.close()


class Http2Client:
    """A client that knows beforehand that the server speaks HTTP/2, as those of KCL 2 and 3 do."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.connection = h2.connection.H2Connection(config)
        self.connection.initiate_connection()
        self.bodies: dict[int, bytearray] = {}
        self.statuses: dict[int, str] = {}
        self.ended: set[int] = set()

    def send(self, protocol: str, operation: str, members: dict[str, Any]) -> int:
        stream = self.connection.get_next_available_stream_id()
        target = f"Kinesis_20131202.{operation}"
        headers = [(":method", "POST"), (":path", "/"), (":scheme", "http"), (":authority", "localhost")]
        self.connection.send_headers(stream, [*headers, ("content-type", protocol), ("x-amz-target", target)])
        self.connection.send_data(stream, encoded(protocol, members), end_stream=True)
        self.bodies[stream] = bytearray()
        self.socket.sendall(self.connection.data_to_send())
        return stream

    def leave(self) -> None:
        """Say GOAWAY, as Node does after its last request, and still await the answers."""
        self.socket.sendall(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8))

    def answer(self, stream: int) -> tuple[str, bytes]:
        while stream not in self.ended:
            data = self.socket.recv(65536)
            assert data, "the server closed the connection"
            for event in self.connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    self.statuses[event.stream_id] = dict(event.headers)[":status"]
                elif isinstance(event, h2.events.DataReceived):
                    self.bodies[event.stream_id] += event.data
                    self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    self.ended.add(event.stream_id)
            self.socket.sendall(self.connection.data_to_send())
        return self.statuses[stream], bytes(self.bodies[stream])


def horizon(table: Table) -> dict[str, Any]:
    return {"StreamName": "orders", "ShardId": table.shard_ids[0], "ShardIteratorType": "TRIM_HORIZON"}


def fill(table: Table, count: int = 30) -> None:
    for key in table.keys_in(table.shard_ids[0], count):
        table.put({**key, "text": "é" * 300})


def test_boto3_reads_what_the_object_reads(
    boto: Any, kinesis: KinesisOverStreams, orders: Table, server: KinesisServer
) -> None:
    fill(orders)
    answers = []
    for client in (boto, kinesis):
        client.list_streams()
        shards = client.list_shards(StreamName="orders", ShardFilter={"Type": "AT_LATEST"})["Shards"]
        described = client.describe_stream(StreamName="orders")["StreamDescription"]
        summary = client.describe_stream_summary(StreamName="orders")["StreamDescriptionSummary"]
        iterator = client.get_shard_iterator(**horizon(orders))["ShardIterator"]
        answers.append((shards, described, summary, client.get_records(ShardIterator=iterator)["Records"]))
    assert answers[0] == answers[1]
    assert len(answers[0][3]) == 30


@pytest.mark.parametrize("protocol", [JSON, CBOR])
def test_each_protocol_is_answered_in_kind(server: KinesisServer, orders: Table, protocol: str) -> None:
    fill(orders)
    _, _, summary = post(server, protocol, "DescribeStreamSummary", {"StreamName": "orders"})
    created = summary["StreamDescriptionSummary"]["StreamCreationTimestamp"]
    assert isinstance(created, float) if protocol == JSON else created[0] == "milliseconds"
    _, _, started = post(server, protocol, "GetShardIterator", horizon(orders))
    status, _, page = post(server, protocol, "GetRecords", {"ShardIterator": started["ShardIterator"]})
    assert (status, len(page["Records"])) == (200, 30)
    record, change = page["Records"][0], orders.changes[0].record
    seconds = change["dynamodb"]["ApproximateCreationDateTime"]
    assert record["ApproximateArrivalTimestamp"] == (
        seconds if protocol == JSON else ("milliseconds", round(seconds * 1000))
    )
    assert record["SequenceNumber"] == change["dynamodb"]["SequenceNumber"]
    assert isinstance(record["Data"], str if protocol == JSON else bytes)
    assert page["MillisBehindLatest"] >= 0


@pytest.mark.parametrize("protocol", [JSON, CBOR])
def test_a_time_in_a_request_is_seconds_in_json_and_milliseconds_in_cbor(
    server: KinesisServer, orders: Table, protocol: str
) -> None:
    fill(orders, 3)
    late = 4_000_000_000.0  # seconds; if they were milliseconds, the moment would be in 1970
    moment = late if protocol == JSON else cbor2.CBORTag(1, round(late * 1000))
    orders.roll(orders.shard_ids[0])
    members = {"StreamName": "orders", "ShardFilter": {"Type": "AT_TIMESTAMP", "Timestamp": moment}}
    _, _, listed = post(server, protocol, "ListShards", {"StreamName": "orders"})
    _, _, found = post(server, protocol, "ListShards", members)
    leaves = [
        shard["ShardId"] for shard in listed["Shards"] if "EndingSequenceNumber" not in shard["SequenceNumberRange"]
    ]
    assert [shard["ShardId"] for shard in found["Shards"]] == leaves


@pytest.mark.parametrize("protocol", [JSON, CBOR])
@pytest.mark.parametrize(
    ("operation", "members", "status", "code"),
    [
        ("GetRecords", {"ShardIterator": "nonsense"}, 400, "InvalidArgumentException"),
        ("GetRecords", {}, 400, "ValidationException"),
        ("GetRecords", {"ShardIterator": 5}, 400, "SerializationException"),
        ("GetRecords", {"ShardIterator": "a", "Limit": 0}, 400, "ValidationException"),
        ("ListShards", {"StreamName": "others"}, 400, "ResourceNotFoundException"),
        ("SubscribeToShard", {}, 400, "InvalidArgumentException"),
        ("PutRecord", {}, 400, "InvalidArgumentException"),
        ("MakeCoffee", {}, 400, "UnknownOperationException"),
    ],
)
def test_an_error_has_its_type_in_the_protocol_of_the_request(
    server: KinesisServer, protocol: str, operation: str, members: dict[str, Any], status: int, code: str
) -> None:
    found, headers, body = post(server, protocol, operation, members)
    assert (found, body["__type"], headers["x-amzn-errortype"]) == (status, code, code)
    assert body["message"]


@pytest.mark.parametrize("protocol", [JSON, CBOR])
def test_a_body_that_cannot_be_decoded_is_refused(server: KinesisServer, protocol: str) -> None:
    status, _, body = post(server, protocol, "GetRecords", b"\xff{")
    assert (status, body["__type"]) == (400, "SerializationException")


def test_fan_out_is_refused_with_what_to_use(boto: Any) -> None:
    with pytest.raises(ClientError, match="use polling"):
        boto.register_stream_consumer(
            StreamARN="arn:aws:kinesis:us-east-1:000000000000:stream/orders", ConsumerName="a"
        )


def test_http_2_with_prior_knowledge_is_on_the_same_port(http2: Http2Client, orders: Table) -> None:
    fill(orders)
    status, body = http2.answer(http2.send(CBOR, "GetShardIterator", horizon(orders)))
    iterator = decoded(CBOR, body)["ShardIterator"]
    streams = [http2.send(protocol, "GetRecords", {"ShardIterator": iterator}) for protocol in (CBOR, JSON) * 5]
    pages = [decoded((CBOR, JSON)[place % 2], http2.answer(stream)[1]) for place, stream in enumerate(streams)]
    assert status == "200"
    assert [len(page["Records"]) for page in pages] == [30] * 10
    status, body = http2.answer(http2.send(JSON, "GetRecords", {"ShardIterator": "nonsense"}))
    assert (status, json.loads(body)["__type"]) == ("400", "InvalidArgumentException")


def test_a_page_larger_than_the_windows_of_http_2_arrives_after_goaway(http2: Http2Client, orders: Table) -> None:
    """Node's client says GOAWAY behind its last request, and then reads the answer."""
    fill(orders, 700)
    _, body = http2.answer(http2.send(JSON, "GetShardIterator", horizon(orders)))
    stream = http2.send(JSON, "GetRecords", {"ShardIterator": json.loads(body)["ShardIterator"]})
    http2.leave()
    _, body = http2.answer(stream)
    assert len(body) > 4 * 65535
    assert len(json.loads(body)["Records"]) == 700


def test_a_connection_of_http_1_serves_one_request_after_the_other(server: KinesisServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    for _ in range(3):
        connection.request("POST", "/", b"{}", {"X-Amz-Target": "Kinesis_20131202.ListStreams"})
        assert json.loads(connection.getresponse().read())["StreamNames"] == ["orders"]
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert answer.status == 400
    answer.read()
    connection.request("POST", "/", b" " * (2 * 1024 * 1024))
    assert connection.getresponse().status == 413


def test_what_is_not_http_is_closed(server: KinesisServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(b"\x16\x03\x01 this is TLS\r\n\r\n")
        with client.makefile("rb") as answer:
            assert b"400" in answer.read().splitlines()[0]  # read up to the end of the connection
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(64))
        while client.recv(4096):
            pass


def test_many_consumers_at_once_are_answered(boto: Any, orders: Table, service: LocalStreams) -> None:
    fill(orders, 100)
    iterator = boto.get_shard_iterator(**horizon(orders))["ShardIterator"]
    with ThreadPoolExecutor(10) as pool:
        pages = list(pool.map(lambda _: boto.get_records(ShardIterator=iterator)["Records"], range(50)))
    assert all(page == pages[0] for page in pages)
    assert service.counts.calls["GetRecords"] == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "example.com"])  # noqa: S104 - refused
def test_an_address_that_others_reach_is_refused_unless_allowed(host: str) -> None:
    with pytest.raises(errors.InvalidOptionError, match="allow_remote"):
        check_host(host, allow_remote=False)
    check_host(host, allow_remote=True)
    for loopback in ("127.0.0.1", "127.0.0.2", "::1", "localhost"):
        check_host(loopback, allow_remote=False)


def test_the_command_serves_until_a_signal(service: LocalStreams, orders: Table) -> None:
    command = [sys.executable, "-m", "beam_dynamodb_streams.kinesis", "--table", "orders", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--endpoint_url", service.endpoint_url, "--data", "kinesis-data-streams"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        fill(orders)
        client = boto3.client("kinesis", endpoint_url=url)
        iterator = client.get_shard_iterator(**horizon(orders))["ShardIterator"]
        data = json.loads(client.get_records(ShardIterator=iterator)["Records"][0]["Data"])
        assert (data["tableName"], data["recordFormat"]) == ("orders", "application/json")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert "0 losses" in process.stdout.read()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "--table"),
        (["--table", "orders", "--host", "192.168.1.4"], "--allow_remote"),
        (["--table", "others"], "does not exist"),
        (["--table", "orders", "--data", "avro"], "kinesis-data-streams"),
    ],
)
def test_a_wrong_option_of_the_command_is_one_line_with_the_fix(
    service: LocalStreams, orders: Table, words: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["kinesis", "--endpoint_url", service.endpoint_url, *words])
    assert ended.value.code == 2
    assert part in capsys.readouterr().err


def test_a_port_that_is_taken_is_one_line(
    service: LocalStreams, orders: Table, server: KinesisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["kinesis", "--endpoint_url", service.endpoint_url, "--table", "orders", "--port", str(server.port)])
    assert ended.value.code == 1
    assert f"--port {server.port}" in capsys.readouterr().err


def test_one_server_serves_several_tables(
    service: LocalStreams, orders: Table, capsys: pytest.CaptureFixture[str]
) -> None:
    service.create_table("customers", keys={"id": "S"})
    found: list[list[str]] = []

    def ask() -> None:
        lines = capsys.readouterr().out.split()
        url = next((word for word in lines if word.startswith("http")), None)
        if url is None:
            threading.Timer(0.2, ask).start()
            return
        found.append(boto3.client("kinesis", endpoint_url=url).list_streams()["StreamNames"])
        os.kill(os.getpid(), signal.SIGINT)

    threading.Timer(0.3, ask).start()
    words = ["--table", "orders", "--table", "customers", "--port", "0"]
    assert main(["kinesis", "--endpoint_url", service.endpoint_url, *words]) == 0
    assert found == [["customers", "orders"]]
