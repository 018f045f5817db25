"""Where a read starts and stops: what each option means, and what each bad one is told."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest

from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.shards.encoding import decode_frontier, encode_frontier
from beam_dynamodb_streams.shards.frontier import begin
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After, AtTime
from beam_dynamodb_streams.shards.start_stop import (
    Bounds,
    ForDuration,
    Latest,
    RecordCount,
    Stop,
    UntilNow,
    UntilSecond,
    parse_start,
    parse_stop,
    resolve_bounds,
)
from beam_dynamodb_streams.shards.stream_position import StreamPosition

NOON = datetime(2026, 1, 31, 12, 0, 0, 900_000, tzinfo=timezone.utc)
SECOND = 1_769_860_800
SAVED = StreamPosition("arn:…", AtTime(SECOND - 5), {"a": After("9")})


def test_each_start_has_its_type() -> None:
    assert parse_start("TRIM_HORIZON") == TRIM_HORIZON
    assert parse_start("LATEST") == Latest()
    assert parse_start(SAVED) is SAVED
    assert parse_start(SAVED.to_json()) == SAVED


def test_a_moment_is_floored_to_the_services_second() -> None:
    """Trap 19: creation times are floored, so a change of this second would be missed by its fraction."""
    assert parse_start(NOON) == AtTime(SECOND)
    assert parse_stop(NOON, TRIM_HORIZON) == UntilSecond(SECOND)


def test_moments_of_any_timezone_are_the_same_moment() -> None:
    assert parse_start(NOON.astimezone(timezone(timedelta(hours=-7)))) == AtTime(SECOND)


@pytest.mark.parametrize(
    ("option", "stop"),
    [
        (None, None),
        ("NOW", UntilNow()),
        (NOON, UntilSecond(SECOND)),
        (timedelta(minutes=2), ForDuration(120.0)),
        (1, RecordCount(1)),
    ],
)
def test_each_stop_has_its_type(option: object, stop: Stop | None) -> None:
    assert parse_stop(option, TRIM_HORIZON) == stop


@pytest.mark.parametrize(
    ("option", "quoted", "fix"),
    [
        ("latest", "'latest'", '"LATEST"'),
        ("", "''", '"TRIM_HORIZON"'),
        (None, "None", '"TRIM_HORIZON"'),
        (1_769_860_800, "1769860800", "datetime"),
        (timedelta(hours=1), "timedelta", "datetime"),
        (datetime(2026, 1, 31), "2026-01-31T00:00:00", "tzinfo"),  # noqa: DTZ001 - the mistake that is meant
        ("{}", "'{}'", "StreamPosition.to_json()"),
        ('{"version": 9}', "9", "newer"),
    ],
)
def test_a_bad_start_is_refused_with_its_value_and_the_fix(option: object, quoted: str, fix: str) -> None:
    with pytest.raises(InvalidOptionError, match=re.escape(fix)) as refused:
        parse_start(option)
    assert quoted in str(refused.value)


@pytest.mark.parametrize(
    ("option", "quoted", "fix"),
    [
        ("now", "'now'", '"NOW"'),
        (0, "0", "1 or more"),
        (-3, "-3", "1 or more"),
        (2**63, "9223372036854775808", "leave it out"),
        (True, "True", "a number of changes"),
        (2.5, "2.5", "a number of changes"),
        (timedelta(0), "timedelta(0)", "greater than zero"),
        (timedelta(seconds=-1), "timedelta", "greater than zero"),
        (datetime(2026, 1, 31), "2026-01-31T00:00:00", "tzinfo"),  # noqa: DTZ001 - the mistake that is meant
    ],
)
def test_a_bad_stop_is_refused_with_its_value_and_the_fix(option: object, quoted: str, fix: str) -> None:
    with pytest.raises(InvalidOptionError, match=re.escape(fix)) as refused:
        parse_stop(option, TRIM_HORIZON)
    assert quoted in str(refused.value)


def test_a_stop_before_the_start_is_refused_where_the_pipeline_is_written() -> None:
    with pytest.raises(InvalidOptionError, match=r"2026-01-31T11:59:59.*before start=2026-01-31T12:00:00Z: swap"):
        parse_stop(NOON - timedelta(seconds=1), parse_start(NOON))
    assert parse_stop(NOON, parse_start(NOON)) == UntilSecond(SECOND), "the very same second is one second"


@pytest.mark.parametrize(
    "moment", [datetime.min.replace(tzinfo=timezone.utc), datetime(1969, 7, 20, tzinfo=timezone.utc)]
)
def test_a_start_before_any_change_is_a_start_at_the_epoch_in_every_stored_form(
    moment: datetime,
) -> None:
    start = parse_start(moment)
    assert start == AtTime(0)
    assert decode_frontier(encode_frontier(begin(AtTime(0)))) == begin(AtTime(0))
    assert StreamPosition.from_json(StreamPosition(start=AtTime(0)).to_json()).start == AtTime(0)


def test_the_last_moment_that_a_datetime_can_name_is_a_stop_and_no_start() -> None:
    last = datetime.max.replace(tzinfo=timezone.utc)
    assert parse_stop(last, TRIM_HORIZON) == UntilSecond(253_402_300_799)
    with pytest.raises(InvalidOptionError, match="start=9999-12-31T23:59:59Z is in the future"):
        resolve_bounds(AtTime(parse_start(last).second), None, SECOND)  # type: ignore[union-attr]


def test_the_largest_number_of_changes_that_is_taken_can_be_stored() -> None:
    stop = parse_stop(2**63 - 1, TRIM_HORIZON)
    remaining = resolve_bounds(TRIM_HORIZON, stop, SECOND).records
    frontier = begin(TRIM_HORIZON, remaining=remaining)
    assert decode_frontier(encode_frontier(frontier)).remaining == 2**63 - 1


def test_now_and_latest_are_the_services_second_when_the_pipeline_starts() -> None:
    """Trap 3: resolved once, rounded down, so that nothing of that second is lost."""
    assert resolve_bounds(Latest(), UntilNow(), SECOND + 0.99) == Bounds(AtTime(SECOND), {}, SECOND, None)


def test_a_duration_ends_so_long_after_the_pipeline_started() -> None:
    assert resolve_bounds(TRIM_HORIZON, ForDuration(1.5), SECOND + 0.75).stop_second == SECOND + 2


def test_a_number_of_changes_is_not_a_moment() -> None:
    assert resolve_bounds(TRIM_HORIZON, RecordCount(7), SECOND) == Bounds(TRIM_HORIZON, {}, None, 7)


def test_a_saved_position_brings_its_shards_and_its_start() -> None:
    assert resolve_bounds(SAVED, None, SECOND) == Bounds(AtTime(SECOND - 5), {"a": After("9")}, None, None)


def test_a_start_in_the_future_is_refused_by_the_services_clock() -> None:
    with pytest.raises(InvalidOptionError, match=r'2026-01-31T12:00:00Z is in the future .*11:59:59Z.*"LATEST"'):
        resolve_bounds(AtTime(SECOND), None, SECOND - 0.1)
    assert resolve_bounds(AtTime(SECOND), None, SECOND).start == AtTime(SECOND)


def test_a_stop_before_the_moment_of_latest_is_refused_when_the_pipeline_starts() -> None:
    with pytest.raises(InvalidOptionError, match=r"11:59:59Z is before the start at 2026-01-31T12:00:00Z"):
        resolve_bounds(Latest(), UntilSecond(SECOND - 1), SECOND)
