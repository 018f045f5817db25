"""Credentials that are easy to find: they sign every call, and must not appear anywhere else."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from beam_dynamodb_streams.source.worker_cache import client

ACCESS_KEY = "AKIACANARYOFTHEACCESS"
CANARIES = ("canary-of-the-secret-key", "canary-of-the-session-token")


#: The loggers that could know a secret. Beam's own log a pipeline's every bundle at DEBUG, which takes minutes.
KNOWING = ("beam_dynamodb_streams", "botocore", "urllib3")


def set_canaries(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, loggers: Sequence[str | None] = (None,)
) -> None:
    """Let every caller sign with the canaries, and keep everything that is logged, at DEBUG."""
    for name, value in zip(("SECRET_ACCESS_KEY", "SESSION_TOKEN"), CANARIES, strict=True):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    client.cache_clear()
    for logger in loggers:
        caplog.set_level(logging.DEBUG, logger)


def assert_clean(*seen: bytes | str) -> None:
    for text in seen:
        found = text if isinstance(text, bytes) else text.encode()
        assert not [canary for canary in CANARIES if canary.encode() in found]


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """From every logger, botocore's too, at any level."""
    assert caplog.records
    return "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records)
