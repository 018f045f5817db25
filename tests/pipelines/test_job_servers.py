"""What Beam started for a command ends with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from apache_beam.utils.subprocess_server import SubprocessServer, _SharedCacheEntry

from beam_dynamodb_streams.beam.job_servers import ended_job_servers
from beam_dynamodb_streams.beam.private import STARTED_SERVERS

ASLEEP = (sys.executable, "-c", "import time; time.sleep(600)")


@contextmanager
def started(name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the cache in which Beam keeps what it starts."""
    process = subprocess.Popen(ASLEEP, stderr=subprocess.DEVNULL)
    SubprocessServer._cache._cache[name] = _SharedCacheEntry((process, "localhost:1"), set())
    try:
        yield process
    finally:
        del SubprocessServer._cache._cache[name]
        with suppress(OSError):
            process.kill()
        process.wait()


def test_a_server_that_was_started_inside_has_ended_and_another_one_goes_on() -> None:
    assert STARTED_SERVERS.find() is SubprocessServer._cache._cache
    with started("before") as before, ExitStack() as left:
        with ended_job_servers():
            inside = left.enter_context(started("inside"))
            assert inside.poll() is None
        assert inside.poll() is not None
        assert before.poll() is None
