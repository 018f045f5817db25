"""Which calls are retried, how often, and after how long (trap 15)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker
from scripted_endpoint import ScriptedEndpoint, Turn, refusal

from beam_dynamodb_streams.errors import ClosedError, ConnectorError, DelayError, ThrottledError, UnavailableError
from beam_dynamodb_streams.wire import Backoff, Client, Counts
from beam_dynamodb_streams.wire.error_codes import read_refusal

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
PAGE = Turn({"Records": [], "NextShardIterator": "next"})
MakeClient = Callable[..., Client]


@pytest.mark.parametrize(
    "code", ["LimitExceededException", "ProvisionedThroughputExceededException", "ThrottlingException", "SlowDown"]
)
def test_a_throttled_call_is_repeated_and_counted(
    code: str, endpoint: ScriptedEndpoint, make_client: MakeClient, waits: list[float]
) -> None:
    endpoint.script = [refusal(code), refusal(code), PAGE]
    client = make_client()
    assert client.get_records("iterator").next_iterator == "next"
    assert waits == [0.025, 0.05]
    assert client.calls.totals() == Counts({"GetRecords": 3}, {"GetRecords": 2}, {"GetRecords": 2})


@pytest.mark.parametrize(
    ("codes", "kind"),
    [
        (ThrottledRetryableChecker._THROTTLED_ERROR_CODES, ThrottledError),
        (TransientRetryableChecker._TRANSIENT_ERROR_CODES, DelayError),
    ],
    ids=["throttled", "transient"],
)
def test_every_code_that_botocore_repeats_is_a_delay_whatever_its_status(
    codes: list[str], kind: type[DelayError]
) -> None:
    """Trap 15. The standard mode of retries knows what AWS's services and what stands before them say."""
    assert "SlowDown" in codes or "RequestTimeout" in codes
    passed_on = [code for code in codes if not issubclass(read_refusal(400, code, "", b"{}").kind, kind)]
    assert passed_on == []


@pytest.mark.parametrize(
    "fault",
    [
        refusal("InternalServerError", status=500),
        refusal("RequestTimeout", status=400),
        Turn(b"<html>bad gateway</html>", 502),
        Turn(b"", 503),
        Turn({"Records": [], "NextShardIterator": "next"}, cut=5),
        Turn({"Records": [], "NextShardIterator": "next"}, cut=5, headers={"x-amz-crc32": ""}),
        Turn({"Records": []}, headers={"x-amz-crc32": "1"}),
        Turn(b'{"Records": [', headers={"x-amz-crc32": ""}),
        Turn(b"<html>log in to this network</html>"),
        Turn(drop=True),
    ],
    ids=[
        "500",
        "timed out there",
        "502",
        "503",
        "cut off",
        "cut off, no crc",
        "wrong crc",
        "half",
        "portal",
        "dropped",
    ],
)
def test_a_fault_on_the_way_is_repeated_until_the_page_arrives_whole(
    fault: Turn, endpoint: ScriptedEndpoint, make_client: MakeClient, waits: list[float]
) -> None:
    endpoint.script = [fault, fault, PAGE]
    client = make_client()
    assert client.get_records("iterator").next_iterator == "next"
    assert len(waits) == 2
    assert client.calls.totals() == Counts({"GetRecords": 3}, {}, {"GetRecords": 2})


def test_a_body_of_no_stated_length_that_ends_early_is_repeated(
    endpoint: ScriptedEndpoint, make_client: MakeClient
) -> None:
    bare = {"Content-Length": "", "x-amz-crc32": "", "Connection": "close"}
    endpoint.script = [Turn({"Records": [], "NextShardIterator": "next"}, cut=4, headers=bare), PAGE]
    assert make_client().get_records("iterator").next_iterator == "next"


def test_a_service_that_does_not_answer_in_time_is_asked_again(
    endpoint: ScriptedEndpoint, make_client: MakeClient
) -> None:
    endpoint.script = [Turn(hold=True), PAGE]
    client = make_client(read_timeout=0.2)
    assert client.get_records("iterator").next_iterator == "next"


def test_an_address_where_nothing_listens_is_unavailable(make_client: MakeClient, waits: list[float]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = make_client(endpoint_url=f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(UnavailableError, match="did not answer") as raised:
            client.get_records("iterator", stream_arn=ARN, shard_id="shard")
    assert (raised.value.stream, raised.value.shard, len(waits)) == (ARN, "shard", 3)


def test_after_the_last_attempt_the_delay_is_the_callers(
    endpoint: ScriptedEndpoint, make_client: MakeClient, waits: list[float]
) -> None:
    endpoint.script = [refusal("ThrottlingException", "Rate exceeded")]
    client = make_client(max_attempts=3)
    with pytest.raises(ThrottledError, match="Rate exceeded") as raised:
        client.get_records("iterator", stream_arn=ARN, shard_id="shard")
    assert (raised.value.code, raised.value.shard) == ("ThrottlingException", "shard")
    assert (len(endpoint.received), len(waits)) == (3, 2)


def test_waits_double_up_to_the_cap_and_are_spread_over_their_whole_length() -> None:
    backoff = Backoff(base=0.05, cap=3.0)
    assert [backoff.delay(n, lambda: 1.0) for n in range(8)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0]
    assert backoff.delay(10_000, lambda: 0.25) == 0.75
    assert backoff.delay(3, lambda: 0.0) == 0.0


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException", "ExpiredIteratorException"])
def test_what_a_retry_cannot_fix_is_reported_once(
    code: str, endpoint: ScriptedEndpoint, make_client: MakeClient, waits: list[float]
) -> None:
    endpoint.script = [refusal(code)]
    with pytest.raises(ConnectorError):
        make_client().get_records("iterator")
    assert (len(endpoint.received), waits) == (1, [])


def test_a_wait_ends_when_the_client_is_closed(endpoint: ScriptedEndpoint, make_client: MakeClient) -> None:
    endpoint.script = [refusal("ThrottlingException")]
    client = make_client(sleep=None, backoff=Backoff(base=600, cap=600))
    raised: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            client.get_records("iterator", stream_arn=ARN, shard_id="shard")
        except ConnectorError as error:
            raised.append(error)
        done.set()

    threading.Thread(target=read, daemon=True).start()
    while not client.calls.totals().throttles:
        pass
    client.close()
    assert done.wait(5)
    assert [type(error) for error in raised] == [ClosedError]
    assert len(endpoint.received) == 1


def test_a_closed_client_refuses_calls_and_may_be_closed_again(make_client: MakeClient) -> None:
    client = make_client()
    client.close()
    client.close()
    with pytest.raises(ClosedError, match="GetRecords: the client is closed"):
        client.get_records("iterator")


def test_counts_are_taken_once_whichever_thread_takes_them(endpoint: ScriptedEndpoint, make_client: MakeClient) -> None:
    endpoint.script = [PAGE, PAGE, refusal("ThrottlingException"), PAGE]
    client = make_client()
    client.get_records("iterator")
    assert client.calls.take() == Counts({"GetRecords": 1})
    client.get_records("iterator")
    client.get_records("iterator")
    assert client.calls.take() == Counts({"GetRecords": 3}, {"GetRecords": 1}, {"GetRecords": 1})
    assert client.calls.take() == Counts()
    assert client.calls.totals().calls == {"GetRecords": 4}
