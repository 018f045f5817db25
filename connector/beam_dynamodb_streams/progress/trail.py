"""By how much the windows between a read and a step delay what is made of a change."""

from __future__ import annotations

import apache_beam as beam
from apache_beam.transforms.trigger import AfterWatermark, DefaultTrigger
from apache_beam.transforms.window import FixedWindows, SlidingWindows

from beam_dynamodb_streams.beam.graph import held_between
from beam_dynamodb_streams.errors import InvalidOptionError


def trail_of(changes: beam.PCollection, delivered: beam.PCollection, label: str) -> float:
    """Return by how many seconds at most the windows between both delay what is made of a change.

    Raises:
        InvalidOptionError: `delivered` is not made of the changes, or a step may hold elements longer than any window.
    """
    held = held_between(changes, delivered)
    if held is None:
        raise InvalidOptionError(
            f"{label} is not behind the read with this progress: put it behind the step that delivers what is made of "
            "the read's changes"
        )
    lengths: dict[object, float] = {}
    for step in held:
        windows, trigger = step.windowing.windowfn, step.windowing.triggerfn
        if isinstance(windows, FixedWindows | SlidingWindows) and isinstance(trigger, DefaultTrigger | AfterWatermark):
            lengths[windows] = float(windows.size)
            continue
        what = "keeps state" if step.stateful else "groups"
        how = f"{windows} with {trigger}" if isinstance(windows, FixedWindows | SlidingWindows) else str(windows)
        raise InvalidOptionError(
            f"{label} is behind {step.label!r}, which {what} in {how}: the watermark does not show how long that holds "
            "elements. Use fixed or sliding windows before it, with the default trigger or AfterWatermark"
        )
    return sum(lengths.values())
