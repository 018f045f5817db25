"""The wire: headers, errors, connections, faults and counts."""

from __future__ import annotations

import http.client
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import datetime, timezone

import pytest
from botocore.exceptions import (
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from beam_dynamodb_streams.testing import Clock, Faults, LocalStreams, Table

_SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request"}


@pytest.fixture
def table(service: LocalStreams) -> Table:
    return service.create_table("orders", keys={"id": "S"}, shards=2)


@pytest.fixture
def dial() -> Iterator[Callable[[LocalStreams], http.client.HTTPConnection]]:
    with ExitStack() as stack:

        def _dial(service: LocalStreams) -> http.client.HTTPConnection:
            host, port = service.endpoint_url.removeprefix("http://").split(":")
            connection = http.client.HTTPConnection(host, int(port), timeout=10)
            stack.callback(connection.close)
            return connection

        yield _dial


def _send(connection: http.client.HTTPConnection, operation: str, members: object, **headers: str) -> None:
    api = "DynamoDB_20120810" if operation.endswith(("Table", "Tables")) else "DynamoDBStreams_20120810"
    body = members if isinstance(members, bytes) else json.dumps(members).encode()
    connection.request("POST", "/", body, {"X-Amz-Target": f"{api}.{operation}", **_SIGNED, **headers})


def _iterator(reader, table: Table) -> str:
    return reader.iterator(table.stream_arn, table.open_shard_ids[0])


def test_an_answer_has_the_services_headers_and_its_date_is_the_services_clock(
    service, table, dial, clock: Clock
) -> None:
    clock.advance(3661.9)
    connection = dial(service)
    _send(connection, "DescribeStream", {"StreamArn": table.stream_arn})
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200
    assert answer.headers["Date"] == "Thu, 01 Jan 2026 01:01:01 GMT"
    assert answer.headers["Content-Type"] == "application/x-amz-json-1.0"
    assert int(answer.headers["x-amz-crc32"]) == zlib.crc32(body)
    assert len(answer.headers["x-amzn-RequestId"]) == 52


def test_an_error_names_its_type_in_full_and_has_status_400(service, dial) -> None:
    connection = dial(service)
    _send(connection, "DescribeTable", {"TableName": "nowhere"})
    answer = connection.getresponse()
    assert answer.status == 400
    assert json.loads(answer.read()) == {
        "__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException",
        "message": "Requested resource not found: Table: nowhere not found",
    }


@pytest.mark.parametrize(
    ("operation", "body", "kind"),
    [
        ("PutRecord", b"{}", "com.amazon.coral.service#UnknownOperationException"),
        ("ListStreams", b"[]", "com.amazon.coral.service#SerializationException"),
        ("ListStreams", b"{", "com.amazon.coral.service#SerializationException"),
        ("ListStreams", b'{"Limit":"2"}', "com.amazon.coral.service#SerializationException"),
        ("ListStreams", b'{"Limit":0}', "com.amazon.coral.validate#ValidationException"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused(service, dial, operation, body, kind) -> None:
    connection = dial(service)
    _send(connection, operation, body)
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["__type"]) == (400, kind)


def test_a_request_without_a_signature_is_refused(service, dial) -> None:
    connection = dial(service)
    connection.request("POST", "/", b"{}", {"X-Amz-Target": "DynamoDBStreams_20120810.ListStreams"})
    answer = connection.getresponse()
    assert "MissingAuthenticationToken" in json.loads(answer.read())["__type"]


def test_a_connection_serves_one_call_after_the_other(service, table, dial) -> None:
    connection = dial(service)
    connection.connect()
    port = connection.sock.getsockname()
    for _ in range(3):
        _send(connection, "ListStreams", {})
        assert len(json.loads(connection.getresponse().read())["Streams"]) == 1
        assert connection.sock.getsockname() == port


def test_a_request_may_arrive_in_pieces_and_two_at_once(service, table, dial) -> None:
    connection = dial(service)
    connection.connect()
    head = (
        "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: DynamoDBStreams_20120810.ListStreams\r\n"
        "Authorization: x\r\nContent-Length: 2\r\n\r\n"
    )
    request = head.encode() + b"{}"
    for part in (request[:20], request[20:-1], request[-1:] + request):
        connection.sock.sendall(part)
        time.sleep(0.01)  # so that the parts travel apart
    received = b""
    while received.count(b'"StreamLabel"') < 2:
        received += connection.sock.recv(65_536)
    assert received.count(b"HTTP/1.1 200 OK") == 2


def test_a_plain_get_says_that_the_service_is_there(service, dial) -> None:
    connection = dial(service)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.read().startswith(b"healthy")


# Credentials


def test_expired_credentials_are_refused_and_others_are_not(service, reader) -> None:
    service.expire_credentials("local")
    assert reader.refusal("list_streams")[0] == "ExpiredTokenException"


def test_a_signature_of_another_time_is_refused_where_dates_are_checked(start, connect) -> None:
    now = datetime.now(timezone.utc).timestamp()
    wrong, right = start(checks_date=True, clock=Clock(now - 3600)), start(checks_date=True, clock=Clock(now))
    code, text = connect(wrong).refusal("list_streams")
    assert code == "InvalidSignatureException"
    assert "not yet current" in text
    assert connect(right).streams.list_streams()["Streams"] == []


def test_access_is_denied_for_the_operations_that_a_test_names(service, table, reader) -> None:
    service.faults = Faults(access_denied={"GetRecords": 1.0})
    code, text = reader.refusal("get_records", ShardIterator=_iterator(reader, table))
    assert code == "AccessDeniedException"
    assert "not authorized to perform: dynamodb:GetRecords on resource: " in text


# Faults


def test_throttles_come_in_three_codes(service, table, reader) -> None:
    """Trap 15."""
    service.faults = Faults(throttle=1.0)
    codes = {reader.refusal("describe_stream", StreamArn=table.stream_arn)[0] for _ in range(20)}
    assert codes == {
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
    }
    assert service.counts.faults == {"throttle": 20}
    assert service.counts.refusals.total() == 20


def test_errors_of_the_service_have_status_500_or_503(service, dial) -> None:
    service.faults = Faults(error=1.0)
    connection, found = dial(service), set()
    for _ in range(20):
        _send(connection, "ListStreams", {})
        answer = connection.getresponse()
        found.add((answer.status, json.loads(answer.read())["__type"].rpartition("#")[2]))
    assert found == {(500, "InternalServerError"), (503, "ServiceUnavailable")}


def test_a_dropped_connection_has_no_answer(service, reader) -> None:
    service.faults = Faults(drop=1.0)
    with pytest.raises(ConnectionClosedError):
        reader.streams.list_streams()
    service.faults = Faults()
    assert reader.streams.list_streams()["Streams"] == []


def test_a_cut_body_is_shorter_than_it_says(service, table, dial) -> None:
    service.faults = Faults(cut_body=1.0)
    connection = dial(service)
    _send(connection, "DescribeStream", {"StreamArn": table.stream_arn})
    answer = connection.getresponse()
    with pytest.raises(http.client.IncompleteRead):
        answer.read()


def test_a_bad_checksum_does_not_match_the_body(service, table, dial) -> None:
    service.faults = Faults(bad_crc=1.0)
    connection = dial(service)
    _send(connection, "DescribeStream", {"StreamArn": table.stream_arn})
    answer = connection.getresponse()
    assert zlib.crc32(answer.read()) != int(answer.headers["x-amz-crc32"])


def test_a_call_that_hangs_gets_no_answer_until_its_connection_ends(service, table, dial) -> None:
    service.faults = Faults(hang={"ListStreams": 1.0}, hang_seconds=0.2)
    hanging, other = dial(service), dial(service)
    _send(hanging, "ListStreams", {})
    _send(other, "DescribeStream", {"StreamArn": table.stream_arn})
    assert other.getresponse().read()
    with pytest.raises(http.client.RemoteDisconnected):
        hanging.getresponse()


def test_stopping_ends_a_call_that_hangs(clock, dial) -> None:
    with LocalStreams(clock=clock, faults=Faults(hang=1.0)) as service:
        connection = dial(service)
        _send(connection, "ListStreams", {})
        while not service.counts.faults:
            time.sleep(0.001)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        connection.getresponse()


def test_a_young_iterator_may_be_answered_as_expired(service, table, reader) -> None:
    """Trap 9."""
    service.faults = Faults(expire=1.0)
    assert reader.page_refusal(_iterator(reader, table)) == "ExpiredIteratorException"


def test_rates_strike_about_that_many_calls_and_may_be_given_by_operation(service, table, reader) -> None:
    service.faults = Faults(throttle={"GetRecords": 0.3})
    iterator = _iterator(reader, table)
    refused = 0
    for _ in range(200):
        try:
            reader.page(iterator)
        except reader.streams.exceptions.ClientError:
            refused += 1
        reader.describe(table.stream_arn)
    assert 35 <= refused <= 85
    assert service.counts.faults["throttle"] == refused


def test_faults_strike_the_same_calls_in_every_run_whatever_other_faults_are_set(start, connect) -> None:
    def _run(**faults: float) -> list[bool]:
        service = start(seed=3, clock=Clock(), faults=Faults(throttle=0.3, **faults))
        table = service.create_table("orders", keys={"id": "S"})
        reader = connect(service)
        struck = []
        for _ in range(40):
            before = service.counts.faults["throttle"]
            with suppress(reader.streams.exceptions.ClientError):
                reader.describe(table.stream_arn)
            struck.append(service.counts.faults["throttle"] > before)
        return struck

    assert _run() == _run(list_holes=0.5)


@pytest.mark.parametrize("faults", [{"throttle": 1.5}, {"drop": -0.1}, {"error": {"GetRecords": 2.0}}])
def test_a_rate_out_of_range_is_refused(faults) -> None:
    with pytest.raises(ValueError, match="rates lie between 0 and 1"):
        Faults(**faults)


# Counting


def test_calls_and_pages_are_counted(service, table, reader) -> None:
    table.put_many({"id": f"o-{number}"} for number in range(50))
    for shard in table.open_shard_ids:
        reader.read(table.stream_arn, shard)
    counts = service.counts
    assert counts.calls == {"GetShardIterator": 2, "GetRecords": 4}
    assert (counts.pages, counts.empty_pages) == (4, 2)
    assert counts.page_bytes > sum(len(change.body) for change in table.changes)
    service.reset_counts()
    assert service.counts.calls == {}


def _read_at_once(service: LocalStreams, dial, iterator: str, readers: int) -> list[int]:
    """Return the statuses of `readers` GetRecords calls that are all sent before any is answered."""
    connections = [dial(service) for _ in range(readers)]
    for connection in connections:
        _send(connection, "GetRecords", {"ShardIterator": iterator})
    statuses = []
    for connection in connections:
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    return sorted(statuses)


def test_simultaneous_readers_of_a_shard_are_counted(service, table, reader, dial) -> None:
    service.faults = Faults(latency={"GetRecords": 0.2})
    iterator = _iterator(reader, table)
    assert _read_at_once(service, dial, iterator, 3) == [200] * 3
    reader.page(iterator)
    assert service.counts.readers == {table.open_shard_ids[0]: 3}


def test_more_readers_of_a_shard_than_allowed_are_throttled(start, connect, dial) -> None:
    service = start(max_readers=2, faults=Faults(latency=0.2))
    table = service.create_table("orders", keys={"id": "S"})
    iterator = _iterator(connect(service), table)
    assert _read_at_once(service, dial, iterator, 4) == [200, 200, 400, 400]
    assert service.counts.refusals == {"LimitExceededException": 2}


# Starting and stopping


def test_a_stopped_service_accepts_no_connection_and_its_tables_can_still_be_asked(clock, connect) -> None:
    with LocalStreams(clock=clock) as service:
        table = service.create_table("orders", keys={"id": "S"})
        reader = connect(service)
        reader.describe(table.stream_arn)
    with pytest.raises((EndpointConnectionError, ConnectionClosedError, ReadTimeoutError)):
        reader.describe(table.stream_arn)
    assert table.put({"id": "o-1"}) in table.changes


def test_a_port_that_is_taken_is_an_error_at_the_start(service) -> None:
    port = int(service.endpoint_url.rpartition(":")[2])
    with pytest.raises(OSError, match=str(port)):
        LocalStreams(port=port).start()


def test_stopping_twice_or_before_the_start_does_nothing() -> None:
    service = LocalStreams()
    service.stop()
    service = LocalStreams()
    service.start()
    service.stop()
    service.stop()


def test_real_time_is_the_default_clock(connect) -> None:
    with LocalStreams() as service:
        table = service.create_table("orders", keys={"id": "S"})
        change = table.put({"id": "o-1"})
    created = change.record["dynamodb"]["ApproximateCreationDateTime"]
    assert abs(created - time.time()) < 60


# Threads


def test_threads_write_and_shards_split_while_others_read_and_nothing_is_lost(start, connect) -> None:
    service = start(clock=time.time)
    table = service.create_table("orders", keys={"id": "S"}, shards=3)
    reader = connect(service)
    writers = [
        threading.Thread(target=lambda name=name: [table.put({"id": f"{name}-{n % 20}", "n": n}) for n in range(500)])
        for name in "abcd"
    ]
    for writer in writers:
        writer.start()
    read: dict[str, list[str]] = {}
    for round_ in range(12):
        shard = table.open_shard_ids[0]
        table.split(shard) if round_ % 3 == 0 else table.roll(shard)
        for each in table.shard_ids:
            read[each] = reader.read(table.stream_arn, each)
    for writer in writers:
        writer.join()
    for each in table.shard_ids:
        partial = read.get(each, [])
        read[each] = reader.read(table.stream_arn, each)
        assert read[each][: len(partial)] == partial
    assert len(table.changes) == 2000
    written: dict[str, list[str]] = {each: [] for each in table.shard_ids}
    latest: dict[str, int] = {}
    for change in table.changes:
        written[change.shard_id].append(change.sequence_number)
        key, number = str(change.keys["id"]), int(change.new_image["n"])
        assert latest.get(key, -1) < number
        latest[key] = number
    assert read == written
