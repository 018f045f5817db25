"""What happens to a batch after an attempt: retries, bisecting, age and the end of patience. Pure.

A batch is a range of a list of changes. After a failed attempt it is one of these:

| what | when | does the attempt count? |
|---|---|---|
| cut at the reported change | partial failures are reported, and bisecting is on | no |
| cut in halves | bisecting is on, and the whole batch of two or more changes failed | no |
| tried again from the reported change, or whole | attempts are left | yes |
| discarded, with a record for the on-failure destination | no attempts are left | yes |

Before an attempt, changes at the beginning of the batch that are too old are discarded, with such a record too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

ENDLESS: Final = -1
EXHAUSTED: Final = "RetryAttemptsExhausted"
TOO_OLD: Final = "RecordAgeExceeded"
Condition = Literal["RetryAttemptsExhausted", "RecordAgeExceeded"]

_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 10.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How failures are met.

    Attributes:
        retries: How often a batch is tried again; -1 for as long as its changes exist.
        record_age: The age, in seconds, from which a change is discarded; None for never.
        bisects: Whether a failed batch is cut in two.
        reports_failures: Whether an answer names the changes that failed.
    """

    retries: int = ENDLESS
    record_age: float | None = None
    bisects: bool = False
    reports_failures: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """The changes from `first` to before `end`. `failed` counts the attempts that failed and count."""

    first: int
    end: int
    failed: int = 0

    @property
    def size(self) -> int:
        return self.end - self.first


@dataclass(frozen=True, slots=True)
class Discarded:
    """Changes that are not tried again."""

    batch: Batch
    condition: Condition


@dataclass(frozen=True, slots=True)
class Next:
    """What is left of a batch, in order, and what was discarded of it."""

    batches: tuple[Batch, ...] = ()
    discarded: Discarded | None = None


def after_failure(batch: Batch, failed_at: int, policy: RetryPolicy) -> Next:
    """Return what follows an attempt in which the change at index `failed_at` of the batch was not handled."""
    rest = replace(batch, first=batch.first + failed_at)
    if policy.bisects and failed_at:
        return Next((rest,))
    if policy.bisects and rest.size > 1:
        middle = rest.first + rest.size // 2
        return Next((replace(rest, end=middle), replace(rest, first=middle)))
    rest = replace(rest, failed=batch.failed + 1)
    if policy.retries != ENDLESS and rest.failed > policy.retries:
        return Next(discarded=Discarded(rest, EXHAUSTED))
    return Next((rest,))


def before_attempt(batch: Batch, created: Sequence[float], now: float, policy: RetryPolicy) -> Next:
    """Return the batch without the changes at its beginning that are too old.

    Args:
        batch: The batch.
        created: When each change of the list was made, in epoch seconds.
        now: The time, in epoch seconds.
        policy: How old a change may be.
    """
    first = batch.first
    if policy.record_age is not None:
        while first < batch.end and now - created[first] > policy.record_age:
            first += 1
    if first == batch.first:
        return Next((batch,))
    discarded = Discarded(replace(batch, end=first), TOO_OLD)
    rest = (replace(batch, first=first),) if first < batch.end else ()
    return Next(rest, discarded)


def delay(failures: int, jitter: float) -> float:
    """Return the seconds to wait after that many failures without progress.

    Args:
        failures: At least 1.
        jitter: A random number from 0 to 1.
    """
    longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(failures - 1, 10))
    return longest * (0.5 + 0.5 * jitter)
