"""What finalized bundles moved where a finalization proves no delivery: held back until a checkpoint holds it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from connector.shards.position import Position

#: On Flink a finalization comes for bundles too that are in no checkpoint yet. What it tells is ripe so much later, and
#: once another one came: a checkpoint that holds it has completed in between.
MARGIN_SECONDS: Final = 10.0


class Trail:
    """By the read that moved it: a group's, or all of the run's."""

    def __init__(self) -> None:
        self._held: list[tuple[float, str, Mapping[str, Position]]] = []

    def finalized(
        self, shards: Mapping[str, Position], of: str, now: float, *, last: bool
    ) -> list[Mapping[str, Position]]:
        """Holds back what a bundle moved, and gives what is ripe now that another one came. ``last``: the last of its
        read is finalized too, the margin after all that moved something, so that all of the read's is ripe."""
        ripe, held = [], []
        for at, read, moved in self._held:
            if now - at >= MARGIN_SECONDS or (last and read == of):
                ripe.append(moved)
            else:
                held.append((at, read, moved))
        if shards and last:
            ripe.append(shards)
        elif shards:
            held.append((now, of, shards))
        self._held = held
        return ripe
