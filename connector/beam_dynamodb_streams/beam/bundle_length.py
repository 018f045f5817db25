"""How long to keep a bundle, so that its end does not wait for Beam."""

from __future__ import annotations

from typing import Final

_FIRST_SLEEP: Final = 0.002
_GROWTH: Final = 1.2
_LONGEST_SLEEP: Final = 0.2
_MARGIN: Final = 0.025
"""Between the start of a bundle and that of its steps, and between their end and its own. Sleeps run late, too."""


def bundle_seconds(at_most: float) -> float:
    """Return how long steps should run, of at most `at_most` seconds.

    While a bundle runs, a thread of Beam's worker samples which step it is in (2.77, `statesampler_fast.pyx`). It
    sleeps for 2 ms, then each time 1.2 times as long, up to 200 ms. The end of the bundle waits until that thread
    wakes: after a second for 0.14 s, in which nothing is read. So the steps end just before it wakes.
    """
    sleep, wakes, chosen = _FIRST_SLEEP, 0.0, 0.0
    while wakes - _MARGIN <= at_most:
        chosen = wakes - _MARGIN
        wakes += sleep
        sleep = min(sleep * _GROWTH, _LONGEST_SLEEP)
    return chosen if chosen >= 0.5 * at_most else at_most
