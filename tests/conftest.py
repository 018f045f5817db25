"""What every test may ask for: a running local service, and the runners that this machine has."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from apache_beam.runners.portability.prism_runner import PrismRunner
from apache_beam.utils.shared import Shared

from beam_dynamodb_streams.source.stall_watch import STALL_WATCH
from beam_dynamodb_streams.testing import KinesisStream, LocalKinesis, LocalStreams, Table

# Before any test imports boto3's sessions: the tests never reach for real credentials or a real region, unless an
# endpoint of your own is to be tested with them.
if "CONNECTOR_TEST_ENDPOINT" not in os.environ:
    os.environ.update(
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    )
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL"):
        os.environ.pop(name, None)
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

# A law must not fail because a shared machine is busy.
hypothesis.settings.register_profile("shared", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("nightly", hypothesis.settings.get_profile("shared"), print_blob=True)
hypothesis.settings.load_profile("shared")  # --hypothesis-profile=nightly comes after this, and wins

# Beam says at exit, after pytest closed the stream, that it stops the prism it started.
logging.getLogger("apache_beam.utils.subprocess_server").setLevel(logging.ERROR)

BUILT_PRISM = Path(__file__).parent.parent / ".build" / "prism" / "prism"


@pytest.fixture
def service() -> Iterator[LocalStreams]:
    """A local service on the machine's clock."""
    with LocalStreams() as started:
        yield started


@pytest.fixture
def orders(service: LocalStreams) -> Table:
    """A table of the local service."""
    return service.create_table("orders", keys={"id": "S"})


@pytest.fixture
def kinesis() -> Iterator[LocalKinesis]:
    """A local service of data streams, on the machine's clock."""
    with LocalKinesis() as started:
        yield started


@pytest.fixture
def copy(kinesis: LocalKinesis) -> KinesisStream:
    """A data stream for the changes of a table."""
    return kinesis.create_stream("copy", shards=2)


@pytest.fixture(autouse=True)
def no_prism_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beam keeps the prism that a run started for all later runs of the process, whatever they ask for: DirectRunner
    would find it, where a machine without one falls back to FnApiRunner."""
    monkeypatch.setattr(PrismRunner, "shared_handle", Shared())


@pytest.fixture(autouse=True)
def no_read_of_another_test() -> Iterator[None]:
    """A read whose pipeline failed or was left behind would be reported as stalled in the middle of another test."""
    yield
    STALL_WATCH.clear()


@pytest.fixture(scope="session")
def prism() -> str:
    """The path of the prism binary: CONNECTOR_PRISM, or what `make prism` built. Named as not run without either."""
    found = os.environ.get("CONNECTOR_PRISM") or (str(BUILT_PRISM) if BUILT_PRISM.exists() else shutil.which("prism"))
    if not found:
        pytest.skip("NOT RUN: no prism binary; `make prism` builds it where Go is installed")
    return found
