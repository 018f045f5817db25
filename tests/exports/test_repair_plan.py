"""The incremental exports that mend a loss: windows that the service accepts, and without a hole."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.exports.repair import (
    LONGEST,
    SHORTEST,
    export_command,
    repair_windows,
    windows_between,
)

MINUTE = 60_000_000
NOW = 1_769_864_400_000_000


@given(st.integers(0, NOW), st.integers(0, 40 * LONGEST))
def test_windows_follow_each_other_and_the_service_accepts_each(since: int, length: int) -> None:
    until = since + length
    windows = windows_between(since, until)
    assert windows[0].since <= since
    assert until - MINUTE < windows[-1].until <= until
    for window in windows:
        assert SHORTEST <= window.until - window.since <= LONGEST
        assert window.since % MINUTE == window.until % MINUTE == 0
    assert all(one.until == other.since for one, other in itertools.pairwise(windows))


def test_a_loss_is_covered_from_a_minute_before_it() -> None:
    windows = repair_windows(NOW - 30 * 3600 * 1_000_000, NOW)
    assert [str(window) for window in windows] == [
        "2026-01-30T06:59:00Z to 2026-01-31T06:59:00Z",
        "2026-01-31T06:59:00Z to 2026-01-31T13:00:00Z",
    ]


def test_a_loss_that_is_too_old_needs_a_full_export() -> None:
    with pytest.raises(InvalidOptionError, match="35 days back: start over with a full export"):
        repair_windows(NOW - 36 * LONGEST, NOW)


def test_the_command_is_that_of_the_aws_command_line() -> None:
    (window,) = windows_between(NOW - 3600 * 1_000_000, NOW)
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
    assert " ".join(export_command(arn, window, bucket="b", prefix="p")) == (
        f"aws dynamodb export-table-to-point-in-time --table-arn {arn} --s3-bucket b --s3-prefix p "
        "--export-format DYNAMODB_JSON --export-type INCREMENTAL_EXPORT --incremental-export-specification "
        "ExportFromTime=2026-01-31T12:00:00Z,ExportToTime=2026-01-31T13:00:00Z,ExportViewType=NEW_AND_OLD_IMAGES"
    )
