"""The argparse types of times, moments and durations: from the text of an argument to a value of the library."""

from __future__ import annotations

import argparse
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, cast

from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.shards.start_stop import StartOption, StopOption, parse_start
from beam_dynamodb_streams.shards.stream_position import StreamPosition

_COUNT: Final = re.compile(r"(\d+)(?: *records?)?")
_DURATION: Final = re.compile(r"(?=\d)(?:(?P<hours>\d+)h)?(?:(?P<minutes>\d+)m)?(?:(?P<seconds>\d+)s)?")


def start_argument(text: str) -> StartOption:
    """Return `--start` as the source takes it."""
    if text.startswith("@"):
        try:
            return StreamPosition.from_json(Path(text[1:]).read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise argparse.ArgumentTypeError(f"{text!r} cannot be read: {error}") from error
        except ConnectorError as error:
            raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error
    start = _time(text)
    try:
        parse_start(start)
    except ConnectorError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a start: use TRIM_HORIZON, LATEST, a time such as 2026-11-24T00:00:00Z, @FILE with a"
            " saved position, or kcl://LEASE_TABLE"
        ) from None
    return cast("StartOption", start)  # `parse_start` takes it


def stop_argument(text: str) -> StopOption:
    """Return `--stop` as the source takes it: "NOW", a number of changes, a duration or a time."""
    if count := _COUNT.fullmatch(text):
        if not int(count[1]):
            raise argparse.ArgumentTypeError(f"{text!r} reads nothing: use 1 or more")
        return int(count[1])
    if (duration := _duration(text)) is not None:
        return duration
    if text == "NOW":
        return "NOW"
    if not isinstance(moment := _time(text), str):
        return moment
    raise argparse.ArgumentTypeError(
        f"{text!r} is not a stop: use NOW, a number of changes such as 1000, a duration such as 10m, or a time such as"
        " 2026-11-24T00:00:00Z"
    )


def window_argument(text: str) -> float | timedelta:
    """Return `--window` as the sinks take it: seconds or a duration."""
    if text.isdecimal() and int(text):
        return int(text)
    if (duration := _duration(text)) is not None:
        return duration
    raise argparse.ArgumentTypeError(
        f"{text!r} is not the length of a window: use seconds such as 90, or a duration such as 5m or 1h30m"
    )


def give_up_argument(text: str) -> float | timedelta:
    """Return `--give_up_after` as the source takes it: seconds or a duration."""
    if text.isdecimal() and int(text):
        return float(text)
    if (duration := _duration(text)) is not None:
        return duration
    raise argparse.ArgumentTypeError(
        f"{text!r} is not a time to wait: use seconds such as 90, or a duration such as 10m or 1h30m"
    )


def moment_argument(text: str) -> datetime:
    """Return a time with a time zone."""
    try:
        moment = datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time with a time zone, such as 2026-01-31T12:00:00Z")
    return moment


def _duration(text: str) -> timedelta | None:
    if not (parts := _DURATION.fullmatch(text)):
        return None
    duration = timedelta(**{unit: int(number) for unit, number in parts.groupdict().items() if number})
    if not duration:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration: use a second or more, such as 10m")
    return duration


def _time(text: str) -> datetime | str:
    """Return the time, or the text itself where it is not a time."""
    try:
        moment = datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)  # Python 3.10 reads no Z
    except ValueError:
        return text
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} has no timezone: write {moment.isoformat()}Z for UTC, or {moment.isoformat()}+01:00 for an hour"
            " ahead of it"
        )
    return moment
