"""Durations as options take them: a timedelta or a number of seconds."""

from __future__ import annotations

from datetime import timedelta
from math import isfinite
from typing import TypeAlias

from beam_dynamodb_streams.errors import InvalidOptionError

#: What every public option of a duration takes: a `timedelta`, or seconds.
Duration: TypeAlias = timedelta | float


def as_seconds(name: str, option: object, *, at_least: float = 0.0) -> float:
    """Return the seconds of an option.

    Args:
        name: The name of the option.
        option: What was given for it.
        at_least: The shortest duration that is accepted.

    Raises:
        InvalidOptionError: It is neither a timedelta nor a number of seconds, or it is too short.
    """
    seconds = option.total_seconds() if isinstance(option, timedelta) else option
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not isfinite(seconds):
        raise InvalidOptionError(
            f"{name}={option!r} is not a duration: use a datetime.timedelta, such as timedelta(seconds=2), or seconds"
        )
    if seconds < at_least:
        raise InvalidOptionError(f"{name}={option!r} is too short: use at least {at_least:g} seconds")
    return float(seconds)


def as_timedelta(name: str, option: object, *, at_least: float = 0.0) -> timedelta:
    """Return an option as a timedelta. Raises as `as_seconds` does."""
    seconds = as_seconds(name, option, at_least=at_least)
    if isinstance(option, timedelta):
        return option
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        raise InvalidOptionError(f"{name}={option!r} is longer than a timedelta can be") from None
