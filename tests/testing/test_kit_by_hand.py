"""`python -m beam_dynamodb_streams.testing` and the clock."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path

import boto3
import pytest

import beam_dynamodb_streams.testing
from beam_dynamodb_streams.testing import Clock

_ROOT = Path(beam_dynamodb_streams.testing.__file__).parents[2]
_FAST = ["--port", "0", "--table", "orders:id", "--table", "lines:order,line", "--write-rate", "400"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_service_can_be_run_by_hand_and_ends_cleanly(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "beam_dynamodb_streams.testing", *_FAST, "--roll-every", "0.1"]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            shown = [child.stdout.readline() for _ in range(5)]
            endpoint = shown[0].split()[-1]
            assert f"--endpoint-url {endpoint}" in shown[3]
            client = boto3.client(
                "dynamodbstreams",
                endpoint_url=endpoint,
                region_name="us-east-1",
                aws_access_key_id="local",
                aws_secret_access_key="local",
            )
            streams = client.list_streams()["Streams"]
            assert [stream["TableName"] for stream in streams] == ["lines", "orders"]
            while len(client.describe_stream(StreamArn=streams[0]["StreamArn"])["StreamDescription"]["Shards"]) < 8:
                continue
            client.close()
        finally:
            child.send_signal(number)
            rest, errors = child.communicate(timeout=30)
    assert child.returncode == 0
    assert "Traceback" not in errors
    assert rest.startswith("stopped: ")


def test_a_table_without_a_key_is_refused_with_an_example() -> None:
    command = [sys.executable, "-m", "beam_dynamodb_streams.testing", "--port", "0", "--table", "orders"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "write NAME:KEY, such as orders:id" in done.stderr


def test_a_clock_stands_still_until_it_is_advanced() -> None:
    clock = Clock(datetime(2026, 2, 3, 4, 5, tzinfo=timezone.utc))
    before = clock()
    assert clock() == before
    assert clock.advance(1.5) == clock() == before + 1.5
    assert repr(clock) == "Clock(2026-02-03T04:05:01.500000+00:00)"


def test_a_clock_never_moves_back_and_knows_its_zone() -> None:
    with pytest.raises(ValueError, match="cannot move back"):
        Clock().advance(-1)
    with pytest.raises(ValueError, match="no time zone"):
        Clock(datetime(2026, 1, 1))  # noqa: DTZ001


def test_a_clock_may_be_advanced_from_several_threads() -> None:
    clock = Clock(0.0)
    threads = [threading.Thread(target=lambda: [clock.advance(1) for _ in range(2000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock() == 8000
