"""Fixtures for pytest, which it finds by itself once the package is installed.

- `local_streams`: a `LocalStreams` on the machine's clock, for one test.
- `local_streams_clock`: a `LocalStreams` whose clock the test moves, and that clock.

Each sets credentials and a region in the environment, which a reader needs and the service ignores.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from beam_dynamodb_streams.testing.clock import Clock
from beam_dynamodb_streams.testing.service import LocalStreams

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture
def local_streams(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStreams]:
    """A local DynamoDB Streams service on the machine's clock."""
    _set(monkeypatch)
    with LocalStreams() as service:
        yield service


@pytest.fixture
def local_streams_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[LocalStreams, Clock]]:
    """A local DynamoDB Streams service and its clock, which stands at 2026-01-01 until the test advances it."""
    _set(monkeypatch)
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        yield service, clock


def _set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
