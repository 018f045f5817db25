"""Connections: kept, shared, trusted, by proxy; and the service's clock that their answers carry."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from scripted_endpoint import ScriptedEndpoint, Turn

from beam_dynamodb_streams.errors import CertificateError, NotFoundError, UnavailableError
from beam_dynamodb_streams.wire import Client, connection

NOW = 1_700_000_000.0
PAGE = Turn({"Records": [], "NextShardIterator": "next"}, date=NOW)
MakeClient = Callable[..., Client]


def test_one_connection_serves_call_after_call(endpoint: ScriptedEndpoint, make_client: MakeClient) -> None:
    endpoint.script = [PAGE]
    client = make_client()
    for _ in range(5):
        client.get_records("iterator")
    assert len({received.connection for received in endpoint.received}) == 1


def test_a_connection_that_the_service_has_closed_is_replaced_without_a_fault(
    endpoint: ScriptedEndpoint, make_client: MakeClient, waits: list[float]
) -> None:
    endpoint.script = [Turn(PAGE.body, headers={"Connection": "close"}), PAGE]
    client = make_client()
    client.get_records("iterator")
    client.get_records("iterator")
    assert len({received.connection for received in endpoint.received}) == 2
    assert waits == []


def test_as_many_threads_as_connections_keep_one_each(
    endpoint: ScriptedEndpoint, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.script = [PAGE]
    client = make_client(max_connections=8)
    with ThreadPoolExecutor(8) as threads:
        pages = list(threads.map(lambda _: client.get_records("iterator"), range(200)))
    assert len(pages) == 200
    assert len({received.connection for received in endpoint.received}) <= 8
    assert client.calls.totals().calls == {"GetRecords": 200}
    assert "pool is full" not in caplog.text


def test_a_proxy_of_the_environment_is_used(
    endpoint: ScriptedEndpoint, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", endpoint.url.replace("http://", "http://user:word@"))
    monkeypatch.setenv("no_proxy", "")
    endpoint.script = [PAGE]
    make_client(endpoint_url="http://streams.example.invalid:8000").get_records("iterator")
    [received] = endpoint.received
    assert received.path == "http://streams.example.invalid:8000/"
    assert received.headers["Host"] == "streams.example.invalid:8000"
    assert received.headers["Proxy-Authorization"].startswith("Basic ")


def test_an_endpoint_behind_a_path_is_called_there(endpoint: ScriptedEndpoint, make_client: MakeClient) -> None:
    endpoint.script = [PAGE]
    make_client(endpoint_url=endpoint.url + "/local/streams").get_records("iterator")
    assert endpoint.received[0].path == "/local/streams"


def test_each_service_has_its_own_address_in_the_environment(
    endpoint: ScriptedEndpoint, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint.url + "/tables")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", endpoint.url + "/streams")
    endpoint.script = [PAGE, Turn({"Table": {"TableName": "orders"}})]
    client = make_client(endpoint_url=None)
    client.get_records("iterator")
    client.describe_table("orders")
    assert [received.path for received in endpoint.received] == ["/streams", "/tables"]


def test_the_region_is_the_one_asked_for_or_the_environments() -> None:
    assert Client().region_name == "eu-west-1"
    assert Client(region_name="ap-south-1").region_name == "ap-south-1"


def certificate(directory: Path, address: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "certificate.pem", directory / "key.pem"
    certificate_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Callable[[str], tuple[ScriptedEndpoint, Path]]]:
    opened: list[ScriptedEndpoint] = []

    def open_for(address: str) -> tuple[ScriptedEndpoint, Path]:
        certificate_file, key_file = certificate(tmp_path, address)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate_file, key_file)
        endpoint = ScriptedEndpoint(context)
        opened.append(endpoint)
        return endpoint, certificate_file

    yield open_for
    for endpoint in opened:
        endpoint.close()


Secure = Callable[[str], tuple[ScriptedEndpoint, Path]]


def test_a_certificate_of_a_trusted_authority_is_accepted(
    secure: Secure, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, authority = secure("127.0.0.1")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority))
    endpoint.script = [PAGE]
    assert make_client(endpoint_url=endpoint.url).get_records("iterator").next_iterator == "next"


def test_a_certificate_that_is_not_trusted_is_refused_at_once(
    secure: Secure, make_client: MakeClient, waits: list[float]
) -> None:
    endpoint, _ = secure("127.0.0.1")
    with pytest.raises(CertificateError, match="certificate verify failed"):
        make_client(endpoint_url=endpoint.url).get_records("iterator")
    assert (endpoint.received, waits) == ([], [])


def test_a_certificate_of_another_host_is_refused_at_once(
    secure: Secure, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    endpoint, authority = secure("127.0.0.2")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority))
    with pytest.raises(CertificateError, match=r"127\.0\.0\.1"):
        make_client(endpoint_url=endpoint.url).get_records("iterator")
    assert (endpoint.received, waits) == ([], [])


def test_before_any_answer_the_services_time_is_the_local_one(make_client: MakeClient) -> None:
    assert make_client(clock=lambda: NOW).service_time() == NOW


def test_the_services_time_is_narrowed_down_by_every_answer_and_never_runs_ahead(
    endpoint: ScriptedEndpoint, make_client: MakeClient
) -> None:
    """Trap 3: `Date` is the second in which the service answered, rounded down."""
    local = [NOW - 90.0]  # a local clock that is 90 s slow
    endpoint.script = [Turn(PAGE.body, date=NOW + second) for second in (0, 0, 1, 3, 3, 4)]
    client = make_client(clock=lambda: local[0])
    client.get_records("iterator")
    assert client.service_time() == NOW
    local[0] += 0.75  # the same second of the service: the first answer in it bounds the clock best
    client.get_records("iterator")
    assert client.service_time() == NOW + 0.75
    local[0] += 0.5
    client.get_records("iterator")
    assert client.service_time() == NOW + 1.25, "which may well be: the service said that its second is NOW + 1"
    local[0] += 1.5
    client.get_records("iterator")
    assert client.service_time() == NOW + 3, "it is later there than was known"
    local[0] += 0.875
    client.get_records("iterator")
    local[0] += 0.875
    client.get_records("iterator")
    assert client.service_time() == NOW + 4.75


def test_an_error_answer_has_the_time_too_and_a_strange_date_is_ignored(
    endpoint: ScriptedEndpoint, make_client: MakeClient
) -> None:
    endpoint.script = [
        Turn({"__type": "ResourceNotFoundException"}, 400, date=NOW),
        Turn(PAGE.body, headers={"Date": "yesterday"}),
    ]
    client = make_client(clock=lambda: 0.0)
    with pytest.raises(NotFoundError):
        client.get_records("iterator")
    client.get_records("iterator")
    assert client.service_time() == NOW


@pytest.mark.parametrize("part", ["headers", "body"])
def test_an_answer_that_trickles_is_given_up_after_the_read_timeout(
    part: str, make_client: Callable[..., Client]
) -> None:
    """Trap 29: a byte arrives before each time-out of the socket's own, for 8 seconds."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n"
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(head + (b"\r\n" if part == "body" else b"X-Slow: "))
            for _ in range(80):
                if ended.wait(0.1):
                    break
                connection.sendall(b" " if part == "body" else b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: serve(server.accept()[0]), daemon=True).start()
        client = make_client(
            endpoint_url=f"http://127.0.0.1:{server.getsockname()[1]}", read_timeout=0.5, max_attempts=1
        )
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="ReadTimeoutError"):
            client.get_records("i")
        assert time.monotonic() - began < 5
        ended.set()


def test_an_answer_that_trickles_fast_has_a_longest_time(
    make_client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trap 29: at 8 kB a second and more it would hold its shard for ever."""
    monkeypatch.setattr(connection, "_LONGEST_ANSWER", 1.0)
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            for _ in range(80):
                if ended.wait(0.1):
                    break
                connection.sendall(b" " * 10_000)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: serve(server.accept()[0]), daemon=True).start()
        client = make_client(
            endpoint_url=f"http://127.0.0.1:{server.getsockname()[1]}", read_timeout=0.5, max_attempts=1
        )
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="ReadTimeoutError"):
            client.get_records("i")
        assert time.monotonic() - began < 5
        ended.set()


def test_a_large_answer_may_take_longer_than_the_read_timeout_while_it_arrives(
    make_client: Callable[..., Client],
) -> None:
    body = b'{"Records": [], "NextShardIterator": "next"}' + b" " * 60_000

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            for start in range(0, len(body), 6_000):
                connection.sendall(body[start : start + 6_000])
                time.sleep(0.1)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: serve(server.accept()[0]), daemon=True).start()
        client = make_client(
            endpoint_url=f"http://127.0.0.1:{server.getsockname()[1]}", read_timeout=0.4, max_attempts=1
        )
        assert client.get_records("i").next_iterator == "next"
