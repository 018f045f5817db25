"""The shards that a read must know of and that no listing shows: they are probed. No I/O.

The parents of the oldest listed shards are one kind (trap 8): while such a parent is in doubt, its children wait. A
probe answers whether it is gone, or there and left out by the listings.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field
from typing import Final

from beam_dynamodb_streams.reader.probes import Probes
from beam_dynamodb_streams.reader.settling import RELIST_SECONDS, EndedShards
from beam_dynamodb_streams.reader.whole_listing import WholeListing
from beam_dynamodb_streams.shards.lineage import Lineage, Shard

DOUBT_SECONDS: Final = 60.0
PATIENT_DOUBT_SECONDS: Final = 3600.0  # while a shard is read that may turn out to be its ancestor


@dataclass(slots=True)
class Unlisted:
    """The unlisted shards of one stream that are probed, and those that probes have found.

    Args:
        probes: The probes that are due.
        whole: Listings of the whole stream.
        ended: The ended shards whose children are looked for.
        lineage: The shards that are known. One that is read as a root is added to it.

    Attributes:
        found: The shards that were probed and exist.
        roots: The shards that exist and are read as roots, since no listing shows them.
    """

    probes: Probes
    whole: WholeListing
    ended: EndedShards
    lineage: Lineage
    found: set[str] = field(default_factory=set)
    roots: set[str] = field(default_factory=set)
    _doubts: dict[str, float] = field(default_factory=dict)  # parent: since when
    _once: set[str] = field(default_factory=set)  # probed once
    _postponed: set[str] = field(default_factory=set)  # probed once the listing that is under way is over
    _patient: bool = False
    _shared: bool = False

    @property
    def doubts(self) -> int:
        """The number of unlisted parents whose children wait."""
        return len(self._doubts)

    def waiting(self, now: float) -> list[tuple[str, float]]:
        """Return the parents that exist and are in doubt, each with the seconds for which its children wait."""
        return [(parent, now - since) for parent, since in self._doubts.items() if parent in self.found]

    def start_over(self, now: float) -> None:
        """Forget which shards wait and for which parents: that differs between frontiers."""
        self.doubt(set(), now, patient=self._patient)
        self.found = set()

    def doubt(self, parents: set[str], now: float, *, patient: bool, shared: bool = False) -> None:
        """Probe the unlisted parents for which a shard waits, and no others.

        `patient`: shards that may be their ancestors are being read. `shared`: other frontiers read this stream. An
        unlisted parent may then be theirs, so its children wait until it is listed or gone.
        """
        self._patient, self._shared = patient, shared
        before, self._doubts = self._doubts, {parent: self._doubts.get(parent, now) for parent in sorted(parents)}
        for parent in self._doubts.keys() - before.keys():
            self._ask_after(parent, now)
        for parent in before.keys() - self._doubts.keys():
            self.drop(parent)

    def probe_only(self, shards: Set[str], now: float) -> None:
        """Probe each of these shards once, and no others any more."""
        dropped, self._once = self._once - shards, set(shards)
        for shard in shards:
            self._ask_after(shard, now)
        for shard in dropped:
            self.drop(shard)

    def probe_also(self, shards: Set[str], now: float) -> None:
        """Probe each of these shards once, in addition to others."""
        self._once |= shards
        for shard in shards:
            self._ask_after(shard, now)

    def drop(self, shard: str) -> None:
        """Probe a shard no more, unless something else still needs the answer."""
        if shard not in self._doubts and shard not in self._once and shard not in self.ended:
            self.probes.drop(shard)

    def after_listing(self, now: float) -> None:
        """Probe what waited for the end of a listing."""
        for shard in self._postponed:
            if shard in self._doubts or shard in self._once:
                self.probes.ask(shard, now)
        self._postponed.clear()

    def answered(self, shard: str, now: float, *, gone: bool) -> bool:
        """Take the answer to a probe. Return whether the shard is to be read as a root from now on."""
        self.probes.answered(shard)
        self._once.discard(shard)
        if gone:
            return False
        self.found.add(shard)
        if shard in self._doubts:
            self.probes.repeat(shard, now, len(self._doubts))
        elif shard in self.ended:
            self.probes.ask(shard, now + RELIST_SECONDS)
        return self._read_as_root(shard, now)

    def _read_as_root(self, shard: str, now: float) -> bool:
        """Read an unlisted parent as a root once it was in doubt for long enough: its own parents cannot be known."""
        doubted = now - self._doubts.get(shard, now) >= (PATIENT_DOUBT_SECONDS if self._patient else DOUBT_SECONDS)
        if not doubted or self._shared or shard in self.lineage:
            return False
        if now - self.whole.listed_at > RELIST_SECONDS:  # the last listing is old: list again before relying on it
            self.whole.begin_by(now)
            return False
        if not self.lineage.add([Shard(shard)]):
            return False
        self.roots.add(shard)
        return True

    def _ask_after(self, shard: str, now: float) -> None:
        """Probe an unlisted shard, after the current listing, because its other pages may still show the shard."""
        if self.whole.under_way:
            self._postponed.add(shard)
        else:
            self.probes.ask(shard, now)
