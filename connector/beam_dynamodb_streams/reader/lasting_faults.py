"""Requests that keep failing, or are not answered: reported in the log while they last, and given up if that is asked.

A fault that passes is a delay (trap 15), which is counted. One that lasts holds its shard, so it is reported.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final

from beam_dynamodb_streams.errors import DelayError, ServiceError, UnavailableError
from beam_dynamodb_streams.reader.fetcher import Fetcher
from beam_dynamodb_streams.reader.requests import Answer, Delayed, Failed, FindNext, List, Probe, Read, Request, Scan
from beam_dynamodb_streams.shards.segments import segment_name

#: A request that fails without a break is reported after this long, and again after each `AGAIN_SECONDS`.
WARN_SECONDS: Final = 20.0
AGAIN_SECONDS: Final = 60.0

#: A body that cannot be decoded does not pass if it is the same this often and for this long.
SAME_GARBAGE: Final = 5
GARBAGE_SECONDS: Final = 10.0

#: A failure that was not tried again for this long is no longer wanted: its shard is another reader's, or is done.
FORGET_SECONDS: Final = 120.0

#: How long a request may be without an answer before the end of a read mentions it. An answer takes less.
SLOW_SECONDS: Final = 5.0

_LOGGER: Final = logging.getLogger(__name__)
_Key = tuple[str, str]


@dataclass(slots=True)
class _Pending:
    """A request that has not succeeded yet. `since`: when it was first made, without a success in between."""

    since: float
    tried: float
    in_flight: bool = True
    error: DelayError | None = None
    checksum: int | None = None
    same: int = 0


@dataclass(frozen=True, slots=True)
class LastingFault:
    """A request that keeps failing, or is not answered.

    Attributes:
        operation: The call, such as "GetRecords".
        shard: The shard, or "" for a call about the whole stream.
        seconds: How long it has lasted, without a success in between.
        error: The last error; None if no answer has come at all.
        others: How many other requests of the same operation fail as well.
    """

    operation: str
    shard: str
    seconds: float
    error: DelayError | None
    others: int = 0

    def __str__(self) -> str:
        shard = f" of shard {self.shard}" if self.shard else ""
        others = f" (and {self.others:,} other requests)" if self.others else ""
        if self.error is None:
            return f"{self.operation}{shard}{others} has not been answered for {self.seconds:.0f} s"
        return f"{self.operation}{shard}{others} has failed for {self.seconds:.0f} s without a break: {self.error}"


class LastingFaults:
    """A fetcher that watches another one.

    Args:
        fetcher: Performs the requests.
        now: The monotonic clock, in seconds.
        give_up_after: For how many seconds a request may fail before its error is raised; None for ever.
    """

    def __init__(self, fetcher: Fetcher, now: Callable[[], float], *, give_up_after: float | None = None) -> None:
        self._fetcher = fetcher
        self._now = now
        self._give_up_after = inf if give_up_after is None else give_up_after
        self._pending: dict[_Key, _Pending] = {}
        self._warned: dict[str, float] = {}  # operation: when it was reported last
        self._due = inf
        self._looked = now()
        self._gave_up = False
        self.stream_arn = ""

    def submit(self, request: Request) -> None:
        key, now = _key(request), self._now()
        pending = self._pending.get(key)
        if pending is None:
            self._pending[key] = _Pending(now, now)
            self._due = min(self._due, now + min(WARN_SECONDS, self._give_up_after))
        else:
            pending.tried, pending.in_flight = now, True
        self._fetcher.submit(request)

    def take(self, timeout: float) -> Answer | None:
        """Return the next answer, or None after `timeout` seconds, or earlier if a fault was to be reported.

        Raises:
            ServiceError: A request has failed for too long, or its answer is the same garbage each time.
        """
        now = self._resume()
        if now >= self._due:
            self._report(now)
        answer = self._fetcher.take(max(0.0, min(timeout, self._due - now)))
        self._looked = self._now()
        if answer is None:
            return None
        if isinstance(answer, Delayed):
            self._failed(answer)
        elif not isinstance(answer, Failed):
            self._passed(answer.request)
        return answer

    def close(self) -> None:
        self._fetcher.close()

    def report_end(self) -> None:
        """Report what has not answered until now, since the read ends without it."""
        self._resume()
        for fault in [] if self._gave_up else self.lasting():
            _LOGGER.warning("%s. The read ends without it", fault)

    def lasting(self) -> list[LastingFault]:
        """Return the oldest fault of each operation that fails or is slow now."""
        now = self._now()
        return self._oldest(now, lambda pending: now - pending.since >= (SLOW_SECONDS if pending.error is None else 1))

    def _resume(self) -> float:
        """Return the time, and leave out a pause in which nobody took answers: they may have come long ago."""
        now = self._now()
        pause = now - self._looked
        if pause > SLOW_SECONDS:
            for pending in self._pending.values():
                if pending.in_flight and pending.error is None:
                    pending.since = min(now, pending.since + pause)
        self._looked = now
        return now

    def _failed(self, answer: Delayed) -> None:
        key, now = _key(answer.request), self._now()
        pending = self._pending.setdefault(key, _Pending(now, now))
        pending.in_flight, pending.error = False, answer.error
        checksum = getattr(answer.error, "body_checksum", None)
        pending.same = pending.same + 1 if checksum is not None and checksum == pending.checksum else 1
        pending.checksum = checksum
        if checksum is not None and pending.same >= SAME_GARBAGE and now - pending.since >= GARBAGE_SECONDS:
            self._gave_up = True
            raise ServiceError(
                f"{answer.error.message}; the answer was the same {pending.same} times in {now - pending.since:.0f} s, "
                "so waiting does not mend it. Check the endpoint, and what stands before it",
                stream=answer.error.stream,
                shard=answer.error.shard,
                position=answer.error.position,
            )
        if now - pending.since >= self._give_up_after:
            self._give_up(key, pending, now)

    def _passed(self, request: Request) -> None:
        key = _key(request)
        pending = self._pending.pop(key, None)
        if pending is None or key[0] not in self._warned:
            return
        now = self._now()
        if self._oldest(now, lambda other: now - other.since >= WARN_SECONDS, operation=key[0]):
            return
        del self._warned[key[0]]
        _LOGGER.warning("%s answers again, after %.0f s%s", key[0], now - pending.since, _of_shard(key[1]))

    def _report(self, now: float) -> None:
        """Report what lasts, once for each operation and minute, and compute when to look again."""
        for key, pending in list(self._pending.items()):
            if not pending.in_flight and now - pending.tried > FORGET_SECONDS:
                del self._pending[key]
            elif now - pending.since >= self._give_up_after:
                self._give_up(key, pending, now)
        for fault in self._oldest(now, lambda pending: now - pending.since >= WARN_SECONDS):
            if now - self._warned.get(fault.operation, -inf) >= AGAIN_SECONDS:
                self._warned[fault.operation] = now
                _LOGGER.warning("%s. It is retried until it succeeds; give_up_after= would end the read instead", fault)
        self._due = min((self._next_look(key, pending, now) for key, pending in self._pending.items()), default=inf)

    def _next_look(self, key: _Key, pending: _Pending, now: float) -> float:
        warned = self._warned.get(key[0])
        report = pending.since + WARN_SECONDS if warned is None else warned + AGAIN_SECONDS
        return max(min(report, pending.since + self._give_up_after), now + 1.0)

    def _oldest(
        self, now: float, counts: Callable[[_Pending], bool], *, operation: str | None = None
    ) -> list[LastingFault]:
        found: dict[str, list[tuple[float, str, DelayError | None]]] = {}
        for (called, shard), pending in self._pending.items():
            if operation in (None, called) and counts(pending):
                found.setdefault(called, []).append((pending.since, shard, pending.error))
        faults = []
        for called, pendings in found.items():
            since, shard, error = min(pendings, key=lambda each: each[0])
            faults.append(LastingFault(called, shard, now - since, error, len(pendings) - 1))
        return faults

    def _give_up(self, key: _Key, pending: _Pending, now: float) -> None:
        self._gave_up = True
        fault = LastingFault(*key, now - pending.since, None)
        limit = f"longer than give_up_after={self._give_up_after:g} s"
        if pending.error is None:
            raise UnavailableError(f"{fault}, {limit}", stream=self.stream_arn or None, shard=key[1] or None)
        error = pending.error
        error.message = f"{error.message}; it has failed for {fault.seconds:.0f} s without a break, {limit}"
        raise error


def _of_shard(shard: str) -> str:
    return f", for shard {shard}" if shard else ""


def _key(request: Request) -> _Key:
    match request:
        case Read(shard):
            return "GetRecords", shard
        case List(_, children_of):
            return "DescribeStream", children_of or ""
        case Probe(shard):
            return "GetShardIterator", shard
        case FindNext():
            return "DescribeTable", ""
        case Scan(segment, total):
            return "Scan", segment_name(segment, total)
