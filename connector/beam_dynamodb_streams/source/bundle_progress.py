"""The progress of a read outside the runner: what each bundle delivers, and when its delivery is proven."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from beam_dynamodb_streams.progress.lease import Lease
from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.shards.encoding import scan_places
from beam_dynamodb_streams.shards.loss import MICROS
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After, AtTime, End, Position
from beam_dynamodb_streams.shards.segments import scan_name, snapshot_mark

_LINGER_SECONDS: Final = 1.0


def owner_of(run: str) -> str:
    """Return the name of a run without the number of its group: all groups of a run share one lease."""
    return run.partition("-")[0]


def has_one_group(run: str) -> bool:
    """Return whether the run has only one group."""
    return owner_of(run) == run


def delivered_positions(claim: Claim) -> Iterator[tuple[str, Position]]:
    """Yield where a later read of the claim's shard resumes once the claim is delivered. Pure.

    Nothing is yielded for a shard that ended before any of its records was as young as the start. Otherwise its
    children would begin at the trim horizon and not at the start.
    """
    if claim.scanned:
        yield from snapshot_positions(claim)
        return
    if not claim.shard and not claim.ended:
        return
    shard = claim.shard or claim.ended
    reading = claim.frontier.shards.get(shard)
    if reading is None:  # the stop is reached, and what was delivered before it counts
        if claim.records:
            yield shard, After(claim.records[-1].sequence_number)
    elif isinstance(reading.position, After) or reading.position == End(TRIM_HORIZON):
        yield shard, reading.position


def snapshot_positions(claim: Claim) -> Iterator[tuple[str, Position]]:
    """Yield how far the read's snapshot is: the places of its scan, or since when it is complete. Pure."""
    scan = claim.frontier.scan
    if scan is None:
        return
    if scan.complete:
        yield snapshot_mark(scan.epoch), AtTime(scan.consistent_since // MICROS)
    else:
        yield scan_name(scan.epoch), scan_places(scan, claim.watermark)


@dataclass(slots=True)
class BundleProgress:
    """What one bundle of a read delivers. It is passed to the run's lease once the bundle is finalized.

    A read releases the application only if it knows that no work is left. It does not know this while other groups of
    the run still read, or while a sink behind it still delivers.

    Args:
      lease: the run's lease of its application.
      run: the name of the read.
      longest: how many seconds a bundle, or the time between two, may last, so that the lease is renewed in time.
      commits: whether a finalized bundle proves that it was delivered. If not, a step behind the read writes progress.
    """

    lease: Lease
    run: str
    longest: float
    commits: bool
    _positions: dict[str, dict[str, Position]] = field(default_factory=dict)  # by stream
    _last: bool = False

    def __post_init__(self) -> None:
        if self.commits:
            self.lease.bundle_started(self.run)

    def emitted(self, elements: Iterable[Any]) -> Iterator[Any]:
        """Yield the elements, and renew the lease between them where it is due.

        A step that is fused to the read may work on one page for a long time. Each element costs one reading of the
        clock.
        """
        now = self.lease.clock.elapsed
        due = now() + self.longest
        for element in elements:
            yield element
            if now() >= due:
                self.lease.renew()
                due = now() + self.longest

    def add(self, claim: Claim) -> None:
        """Add what is claimed and emitted."""
        self.lease.renew()
        if moved := dict(delivered_positions(claim)):
            self._positions.setdefault(claim.frontier.stream_arn or self.lease.first_stream, {}).update(moved)
        if claim.begins:
            self._positions.setdefault(claim.begins, {}).update(snapshot_positions(claim))
        if claim.frontier.closed and self.lease.confirms_late:
            self.lease.read_ended(self.run)
        self._last = claim.frontier.closed and not self.lease.confirms_late

    def lingers(self) -> bool:
        """Wait a second and return True while a read that is at its end needs one more bundle; else return False.

        Where a finalized bundle proves nothing by itself, a last, empty bundle must follow late enough to prove the
        others. The second is spent here, because Flink ignores the delay that a source requests once its sources are
        shut down.
        """
        if not (self.commits and self.lease.confirms_late):
            return False
        if self.lease.awaits_confirmation(self.run):
            self.lease.clock.sleep(_LINGER_SECONDS)
            return True
        self._last = True
        return False

    def finalized(self) -> None:
        """Report to the lease what the bundle delivered, if the finalization proves the delivery."""
        if not self.commits:
            self.lease.streams_begun(list(self._positions))
            return
        one = has_one_group(self.run)
        following = dict(self._positions)
        shards = following.pop(self.lease.first_stream, {})
        self.lease.bundle_finalized(shards, read=self.run, last=self._last, following=following, reads_all=one)
        if one and self.lease.is_done(self.run):
            self.lease.release()
