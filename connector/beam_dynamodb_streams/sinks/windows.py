"""Which windows the files follow: the input's own, or fixed ones of the length that `window=` sets."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

import apache_beam as beam
from apache_beam.transforms.core import Windowing
from apache_beam.transforms.trigger import (
    AccumulationMode,
    AfterAll,
    AfterAny,
    AfterCount,
    AfterEach,
    AfterWatermark,
    DefaultTrigger,
    OrFinally,
    Repeatedly,
    TriggerFn,
)
from apache_beam.transforms.window import FixedWindows, GlobalWindows, NonMergingWindowFn
from apache_beam.utils.timestamp import Duration as BeamDuration

from beam_dynamodb_streams.beam.runners import DIRECT, RunnerTraits, traits_of
from beam_dynamodb_streams.durations import Duration
from beam_dynamodb_streams.errors import InvalidOptionError, RunnerError

DEFAULT_SECONDS = 60.0
"""The default length of windows for unbounded input in the global window."""

LONGEST_SECONDS = 253_402_300_799
"""Seconds up to the year 9999: the end of a window of at most this length is a valid date."""

LATENESS_SECONDS = 25 * 3600
"""The allowed lateness of windows made by the sinks: the 24 hours that a stream keeps a change, and an hour of slack.

A change is at most as old as the retention when it is read, and the watermark is never ahead of the clock. So no runner
drops a change as too late before the sink receives it.
"""

_LOGGER = logging.getLogger(__name__)


def window_seconds(window: Duration | None) -> float | None:
    """Return the length in seconds of `window=`, None for the default. Raises InvalidOptionError for anything else."""
    if window is None:
        return None
    if isinstance(window, timedelta):
        seconds = window.total_seconds()
    elif isinstance(window, int | float) and not isinstance(window, bool):
        seconds = float(window)
    else:
        raise InvalidOptionError(
            f"window={window!r} is neither a number of seconds nor a timedelta: for other windows"
            " put beam.WindowInto(...) before the sink, which keeps the windows of its input"
        )
    if not 1e-6 <= seconds <= LONGEST_SECONDS:
        raise InvalidOptionError(
            f"window={window!r} is not between a microsecond and the year 9999: pass seconds, as in window=300"
        )
    return seconds


def has_default_windows(changes: beam.PCollection) -> bool:
    """Return whether the input has neither windows nor a trigger of its own."""
    windowing = changes.windowing
    return isinstance(windowing.windowfn, GlobalWindows) and isinstance(windowing.triggerfn, DefaultTrigger)


def sink_windows(changes: beam.PCollection, seconds: float | None) -> beam.WindowInto | None:
    """Return the windowing to apply to `changes`, or None to keep what they have.

    Input with windows or a trigger of its own keeps them: trigger, accumulation and allowed lateness are then the
    user's. Other input goes to fixed windows of `seconds`. Without `seconds`, unbounded input goes to windows of one
    minute, and bounded input stays in the global window.
    """
    windowing = changes.windowing
    if not isinstance(windowing.windowfn, NonMergingWindowFn):
        raise InvalidOptionError(
            f"{type(windowing.windowfn).__name__} merges its windows, and until they merge each change is in"
            " a window of its own, so each change would get a file: put beam.WindowInto(FixedWindows(60)) before the"
            " sink"
        )
    if not has_default_windows(changes):
        if seconds is not None:
            raise InvalidOptionError(
                f"window={seconds:g} was given, but the input has {type(windowing.windowfn).__name__} with"
                f" {windowing.triggerfn!r} already, which the sink keeps: leave out window=, or the"
                " WindowInto before the sink"
            )
        if not changes.is_bounded:
            _warn_of_drops(windowing)
        _refuse_lost_panes(windowing, traits_of(changes.pipeline))
        return None
    if seconds is None:
        if changes.is_bounded:
            return None
        seconds = DEFAULT_SECONDS
    return beam.WindowInto(
        FixedWindows(BeamDuration.of(seconds)),
        accumulation_mode=AccumulationMode.DISCARDING,
        allowed_lateness=BeamDuration.of(LATENESS_SECONDS),
    )


def unfired(trigger: TriggerFn) -> AfterCount | None:
    """Return the count above 1 that may keep a trigger from firing again before its window ends; None if it fires.

    The sink groups chunks of many changes, so a window has few of them. Those that do not reach the count stay unfired.
    """
    return None if _fires_by_the_end(trigger) else next(_counts(trigger), None)


def _fires_by_the_end(trigger: TriggerFn) -> bool:
    """Return whether a trigger fires for whatever arrived since it last fired, once the watermark passes the window."""
    match trigger:
        case AfterCount():
            return bool(trigger.count == 1)
        case Repeatedly():
            return _fires_by_the_end(trigger.underlying)
        case AfterAny() | OrFinally():
            return any(map(_fires_by_the_end, trigger.triggers))
        case AfterAll() | AfterEach():
            return all(map(_fires_by_the_end, trigger.triggers))
    return isinstance(trigger, DefaultTrigger | AfterWatermark)


def _counts(trigger: TriggerFn) -> Iterator[AfterCount]:
    match trigger:
        case AfterCount(count=count) if count > 1:
            yield trigger
        case Repeatedly():
            yield from _counts(trigger.underlying)
        case AfterAny() | OrFinally() | AfterAll() | AfterEach():
            for each in trigger.triggers:
                yield from _counts(each)


def _refuse_lost_panes(windowing: Windowing, runner: RunnerTraits) -> None:
    count = unfired(windowing.triggerfn)
    if count is None:
        return
    what = (
        f"the trigger {windowing.triggerfn!r} before the sink counts chunks of many changes, and drops the changes of"
        f" the last ones where they do not reach {count!r}"
    )
    fix = (
        "leave the trigger out, or use Repeatedly(AfterAny(AfterCount(1), AfterWatermark())), or PrismRunner or"
        " FlinkRunner, which fire them when their window ends"
    )
    if not runner.fires_last_pane:
        raise RunnerError(f"{what}, without an error, on {runner.name}: {fix}")
    if runner == DIRECT:
        _LOGGER.warning("On FnApiRunner, which DirectRunner falls back to without Prism, %s: %s.", what, fix)


def _warn_of_drops(windowing: Windowing) -> None:
    # The global window never ends, so nothing is late for it.
    lateness = BeamDuration.of(windowing.allowed_lateness)
    if isinstance(windowing.windowfn, GlobalWindows) or lateness >= LATENESS_SECONDS:
        return
    _LOGGER.warning(
        "The windows before the sink allow a lateness of %g s, and the runner drops changes that are later. A"
        " stream can deliver changes up to 24 h late. To lose none, pass allowed_lateness=%d to that WindowInto.",
        lateness.micros / 1_000_000,
        LATENESS_SECONDS,
    )
