"""What goes wrong on purpose, each by a rate, each draw repeatable by the seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from random import Random

Rate = float | Mapping[str, float]
"""A probability for each call, or one by operation name, such as ``{"GetRecords": 0.1}``."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Faults of the local service; ``service.faults = Faults(throttle=0.05)`` switches them at any time.

    Rates lie between 0 and 1. The n-th call of an operation on a shard or stream meets the same fault in
    every run with the same seed and clock, whatever other faults are set.
    """

    throttle: Rate = 0.0
    """LimitExceededException, ProvisionedThroughputExceededException or ThrottlingException (fact 15)."""
    error: Rate = 0.0
    """InternalServerError (HTTP 500) or ServiceUnavailable (HTTP 503)."""
    drop: Rate = 0.0
    """The connection closes without an answer."""
    cut_body: Rate = 0.0
    """The connection closes in the middle of the answer's body."""
    bad_crc: Rate = 0.0
    """The answer's x-amz-crc32 does not match its body."""
    hang: Rate = 0.0
    """No answer comes and the connection stays open, for ``hang_seconds``."""
    hang_seconds: float = 3600.0
    latency: Rate = 0.0
    """Real seconds, not a rate, that each answer takes; other calls are served meanwhile."""
    access_denied: Rate = 0.0
    """AccessDeniedException that names the action and the resource."""
    expired_credentials: Rate = 0.0
    """ExpiredTokenException."""
    empty_page: float = 0.0
    """GetRecords answers without records though there are some (fact 5)."""
    empty_run: int = 1
    """Once it does, it goes on doing so for up to this many calls on that shard."""
    late_end: float = 0.0
    """The last page of a closed shard goes on with an iterator, whose page is empty and the end, instead of
    ending with the records (fact 1)."""
    expire: float = 0.0
    """GetRecords answers ExpiredIteratorException to a young iterator (fact 9)."""
    list_delay: float = 0.0
    """Seconds of the service's clock until a listing shows a child of a closed shard (fact 6)."""
    list_stale: float = 0.0
    """Seconds of the service's clock for which a listing shows a closed shard as open (fact 6)."""
    list_holes: float = 0.0
    """The rate at which any one shard is left out of any one listing (fact 6)."""
    repeat_listing: float = 0.0
    """A listing page with more behind it names the shard id that it was asked for as the last one, so that
    who follows it gets the same page again (fact 6).
    """
    disorder: float = 0.0
    """A record's creation time lies up to so many seconds before its write (fact 19)."""

    def __post_init__(self) -> None:
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            for number in value.values() if isinstance(value, Mapping) else [value]:
                if number < 0 or (number > 1 and name not in _NO_RATES):
                    raise ValueError(f"{name}={value!r}: a rate lies between 0 and 1, a time is not negative")


_NO_RATES = {"hang_seconds", "latency", "empty_run", "list_delay", "list_stale", "disorder"}


@dataclass(slots=True)
class Rules:
    """The faults that hold now, the dice that decide on them, and the service's clock."""

    clock: Callable[[], float]
    seed: int
    faults: Faults = field(default_factory=Faults)
    expired_keys: set[str] = field(default_factory=set)
    _dice: dict[tuple[str, str, str], Random] = field(default_factory=dict)
    _empty: dict[str, int] = field(default_factory=dict)

    def dice(self, fault: str, operation: str, place: str) -> Random:
        """A source of chance for one fault of one operation at one place alone."""
        key = (fault, operation, place)
        if (found := self._dice.get(key)) is None:
            found = self._dice[key] = Random(f"{self.seed}/{fault}/{operation}/{place}")
        return found

    def strikes(self, fault: str, operation: str, place: str) -> bool:
        """Whether this call meets the fault."""
        chance = rate(getattr(self.faults, fault), operation)
        return chance > 0 and self.dice(fault, operation, place).random() < chance

    def serves_empty(self, shard_id: str) -> bool:
        """Whether this GetRecords on the shard keeps its records back."""
        left = self._empty.get(shard_id, 0)
        if not left and self.strikes("empty_page", "GetRecords", shard_id):
            left = self.dice("empty_run", "GetRecords", shard_id).randint(1, max(1, self.faults.empty_run))
        if left:
            self._empty[shard_id] = left - 1
        return left > 0

    def creation(self) -> tuple[float, int]:
        """The time of a write, and the creation time its record gets: floored to the second (fact 19)."""
        now = self.clock()
        disorder = self.faults.disorder
        back = self.dice("disorder", "", "").random() * disorder if disorder else 0.0
        return now, math.floor(now - back)


def rate(value: Rate, operation: str) -> float:
    """The rate, or the time, that holds for one operation."""
    return value.get(operation, 0.0) if isinstance(value, Mapping) else value
