"""How a run starts: it opens its application's store, and acquires the lease.

At most one run at a time holds the lease of an application, and only that run saves progress.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from beam_dynamodb_streams.errors import ProgressHeldError
from beam_dynamodb_streams.progress.address import Progress, TableAddress
from beam_dynamodb_streams.progress.file_store import FileStore
from beam_dynamodb_streams.progress.store import LeaseRecord, Store
from beam_dynamodb_streams.progress.table_store import TableStore
from beam_dynamodb_streams.wire import DynamoDB
from beam_dynamodb_streams.wire.arn import region_of

_LOGGER: Final = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 1.0


class ForwardTime:
    """The wall clock, except that it never goes back: where it was set back, time moves with the monotonic clock.

    Other runs take a lease for dead by the moment of its last renewal. It must not seem older than it is.
    """

    def __init__(self, wall: Callable[[], float], elapsed: Callable[[], float]) -> None:
        self._wall, self._elapsed = wall, elapsed
        self._lock = threading.Lock()
        self._last, self._read = wall(), elapsed()

    def __call__(self) -> float:
        with self._lock:
            read = self._elapsed()
            self._last = max(self._wall(), self._last + read - self._read)
            self._read = read
            return self._last


_FORWARD: Final = ForwardTime(time.time, time.monotonic)


@dataclass(frozen=True, slots=True)
class WallClock:
    """The time of stored moments, the time of intervals, and how to wait.

    Attributes:
        now: Seconds since the epoch, which machines share.
        sleep: Waits for seconds.
        elapsed: Seconds since some moment, by a clock that nobody sets.
    """

    now: Callable[[], float] = _FORWARD
    sleep: Callable[[float], object] = time.sleep
    elapsed: Callable[[], float] = time.monotonic


@cache
def store_of(progress: Progress) -> Store:
    """Return this process's store for an address. It makes no request and opens no file."""
    match progress.location:
        case TableAddress() as address:
            region = region_of(address.table) or progress.region_name  # a bare address has the stream's region
            client = DynamoDB(region_name=region, endpoint_url=progress.endpoint_url)
            return TableStore(client, address, time.sleep)
        case file:
            return FileStore(file.path)


def acquire(store: Store, owner: str, stream_arn: str, takeover_after: float, clock: WallClock) -> None:
    """Acquire the application's lease for `owner`.

    Where a killed run still holds the lease, this waits until it expires: at most that run's own `takeover_after` after
    its last renewal, or after that renewal was first seen, if the clock of its machine was ahead.

    Raises:
        ProgressHeldError: The holder renewed its lease twice meanwhile, so it is alive. A single renewal may be the
            last one of a run that is just being stopped.
    """
    seen: dict[LeaseRecord, float] = {}
    while True:
        lease, now, elapsed = store.read().lease, clock.now(), clock.elapsed()
        if lease is None or lease.owner == owner or lease.is_expired(now) or _is_unchanged(lease, seen, elapsed):
            if store.swap_lease(lease, LeaseRecord(owner, stream_arn, now, takeover_after)):
                return
            continue  # another run was faster, and is alive
        if not seen:
            ago = max(0.0, now - lease.renewed_at)
            _LOGGER.warning(
                "waiting for run %s to release %s: it renewed its lease %.0f s ago, and the lease expires %.0f s after "
                "that",
                lease.owner,
                store.name,
                ago,
                lease.takeover_after,
            )
        seen.setdefault(lease, elapsed)
        if len(seen) > 2:
            raise ProgressHeldError(
                f"{store.name} is held by run {lease.owner}, which is alive: stop it, or give this run an application "
                "of its own"
            )
        clock.sleep(min(_LOOK_SECONDS, max(0.01, lease.renewed_at + lease.takeover_after - now)))


def _is_unchanged(lease: LeaseRecord, seen: Mapping[LeaseRecord, float], elapsed: float) -> bool:
    """Return whether a lease was not renewed for so long that its run is dead, whatever its own clock said."""
    return elapsed - seen.get(lease, elapsed) >= lease.takeover_after
