"""Every public option that is a duration takes a timedelta and seconds alike, and refuses what is neither."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

import beam_dynamodb_streams
from beam_dynamodb_streams.durations import as_seconds, as_timedelta
from beam_dynamodb_streams.errors import InvalidOptionError

FIRST_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "CommitProgress": ("file:progress",),
    "CommitToDelta": ("lake",),
    "CommitToIceberg": ({"uri": "sqlite:///lake.db", "warehouse": "lake"}, "db.orders"),
    "InvokeHandler": (print,),
    "MirrorToDelta": ("lake",),
    "Progress": ("file:progress",),
    "ReadFromDynamoDBStreams": ("orders",),
    "ReadFromKinesisDataStream": ("orders",),
    "WriteChangesToAvro": ("out",),
    "WriteChangesToDebezium": ("out",),
    "WriteChangesToJsonLines": ("out",),
    "WriteChangesToParquet": ("out",),
}


def durations() -> Iterator[Any]:
    """Yield each public constructor that has options of durations, with each such option."""
    for name in beam_dynamodb_streams.__all__:
        public = getattr(beam_dynamodb_streams, name)
        if isinstance(public, type):
            for option, parameter in inspect.signature(public).parameters.items():
                if "Duration" in str(parameter.annotation):
                    yield pytest.param(public, option, id=f"{name}-{option}")


OPTIONS = list(durations())


def test_every_constructor_with_a_duration_is_tried() -> None:
    assert {each.values[0].__name__ for each in OPTIONS} == set(FIRST_ARGUMENTS)  # type: ignore[union-attr]
    assert len(OPTIONS) >= 19


@pytest.mark.parametrize(("constructor", "option"), OPTIONS)
def test_an_option_takes_seconds_as_it_takes_a_timedelta(constructor: Callable[..., Any], option: str) -> None:
    length = {"maximum_record_age": 60, "takeover_after": 60, "poll_interval": 1}.get(option, 4)
    first = FIRST_ARGUMENTS[constructor.__name__]
    made = [constructor(*first, **{option: each}) for each in (length, float(length), timedelta(seconds=length))]
    shown = [str({name: str(value) for name, value in vars_of(each).items()}) for each in made]
    assert shown[0] == shown[1] == shown[2]


@pytest.mark.parametrize(("constructor", "option"), OPTIONS)
@pytest.mark.parametrize("wrong", ["4", True, [4], float("nan")], ids=str)
def test_anything_else_is_refused(constructor: Callable[..., Any], option: str, wrong: object) -> None:
    with pytest.raises(InvalidOptionError, match=option):
        constructor(*FIRST_ARGUMENTS[constructor.__name__], **{option: wrong})


def vars_of(made: Any) -> dict[str, Any]:
    if not hasattr(made, "__dict__"):
        return {name: getattr(made, name) for name in made.__slots__ if not name.startswith("_")}
    return {name: value for name, value in vars(made).items() if name not in ("_files",)}


def test_a_duration_that_is_too_short_or_too_long_is_refused() -> None:
    assert as_seconds("window", timedelta(minutes=1)) == as_seconds("window", 60) == 60.0
    assert as_timedelta("window", 1.5) == timedelta(seconds=1.5)
    with pytest.raises(InvalidOptionError, match=r"window=-1 is too short: use at least 0 seconds"):
        as_seconds("window", -1)
    with pytest.raises(InvalidOptionError, match=r"longer than a timedelta"):
        as_timedelta("window", 1e300)
