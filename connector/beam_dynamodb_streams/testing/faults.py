"""What goes wrong on purpose. Each fault has a rate, and the seed makes each draw repeatable."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from random import Random

Rate = float | Mapping[str, float]
"""A probability for each call, or probabilities by operation name, such as `{"GetRecords": 0.1}`."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Faults of the local service. Assign `service.faults = Faults(throttle=0.05)` at any time to change them.

    Rates lie between 0 and 1. With the same seed and clock, the n-th call of an operation on a shard or stream has the
    same fault in every run, whatever other faults are set.
    """

    throttle: Rate = 0.0
    """LimitExceededException, ProvisionedThroughputExceededException or ThrottlingException (trap 15)."""
    error: Rate = 0.0
    """InternalServerError (HTTP 500) or ServiceUnavailable (HTTP 503)."""
    drop: Rate = 0.0
    """The connection closes without an answer."""
    cut_body: Rate = 0.0
    """The connection closes in the middle of the answer's body."""
    bad_crc: Rate = 0.0
    """The header x-amz-crc32 of the answer does not match its body."""
    hang: Rate = 0.0
    """The answer does not come, and the connection stays open for `hang_seconds`."""
    hang_seconds: float = 3600.0
    """Real seconds after which a hanging connection is closed."""
    latency: Rate = 0.0
    """Real seconds (not a rate) that each answer takes. Other calls are served meanwhile."""
    access_denied: Rate = 0.0
    """AccessDeniedException that names the action and the resource."""
    expired_credentials: Rate = 0.0
    """ExpiredTokenException."""
    empty_page: float = 0.0
    """GetRecords answers without records although there are some (trap 5)."""
    empty_run: int = 1
    """The most GetRecords calls in a row on a shard that one `empty_page` leaves without records."""
    late_end: float = 0.0
    """The last records of a closed shard come with a next iterator, and an empty page ends the shard (trap 1)."""
    expire: float = 0.0
    """GetRecords answers ExpiredIteratorException to a young iterator (trap 9)."""
    list_delay: float = 0.0
    """Seconds of the service's clock until a listing shows a child of a closed shard (trap 6)."""
    list_stale: float = 0.0
    """Seconds of the service's clock for which a listing shows a closed shard as open (trap 6)."""
    list_holes: float = 0.0
    """The rate at which a listing leaves out any one shard (trap 6)."""
    repeat_listing: float = 0.0
    """A page of a listing that is not the last one names the shard id of its own request as the next start, so that a
    client that follows it gets the same page again (trap 6)."""
    disorder: float = 0.0
    """The most seconds by which a record's creation time lies before its write (trap 19)."""
    stale_reads: float = 0.0
    """The most seconds by which a Scan without ConsistentRead is behind, drawn for each item. What was written before
    it was set is not remembered."""

    def __post_init__(self) -> None:
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            for number in value.values() if isinstance(value, Mapping) else [value]:
                if number < 0 or (number > 1 and name not in _NO_RATES):
                    raise ValueError(f"{name}={value!r}: rates lie between 0 and 1, times are not negative")


_NO_RATES = {"hang_seconds", "latency", "empty_run", "list_delay", "list_stale", "disorder", "stale_reads"}


@dataclass(slots=True)
class FaultRules:
    """The faults that hold now, the dice that decide on them, and the service's clock."""

    clock: Callable[[], float]
    seed: int
    faults: Faults = field(default_factory=Faults)
    expired_keys: set[str] = field(default_factory=set)
    _dice: dict[tuple[str, str, str], Random] = field(default_factory=dict)
    _empty: dict[str, int] = field(default_factory=dict)

    def dice(self, fault: str, operation: str, resource: str) -> Random:
        """Return the random source of one fault of one operation on one resource."""
        key = (fault, operation, resource)
        if (found := self._dice.get(key)) is None:
            found = self._dice[key] = Random(f"{self.seed}/{fault}/{operation}/{resource}")
        return found

    def strikes(self, fault: str, operation: str, resource: str) -> bool:
        """Draw, and return whether the fault strikes this call."""
        chance = rate(getattr(self.faults, fault), operation)
        return chance > 0 and self.dice(fault, operation, resource).random() < chance

    def serves_empty(self, shard_id: str) -> bool:
        """Draw, and return whether this GetRecords call on the shard leaves its records out."""
        left = self._empty.get(shard_id, 0)
        if not left and self.strikes("empty_page", "GetRecords", shard_id):
            left = self.dice("empty_run", "GetRecords", shard_id).randint(1, max(1, self.faults.empty_run))
        if left:
            self._empty[shard_id] = left - 1
        return left > 0

    def creation(self) -> tuple[float, int]:
        """Return the time of a write and the creation time of its record, which is floored to the second (trap 19)."""
        now = self.clock()
        disorder = self.faults.disorder
        back = self.dice("disorder", "", "").random() * disorder if disorder else 0.0
        return now, math.floor(now - back)


def rate(value: Rate, operation: str) -> float:
    """Return the rate, or the time, that holds for one operation."""
    return value.get(operation, 0.0) if isinstance(value, Mapping) else value
