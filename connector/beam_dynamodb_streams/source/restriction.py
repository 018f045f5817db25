"""The restriction to Beam: a tracker and a provider that only translate. What moves a frontier is in ``shards/``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker
from apache_beam.transforms.core import RestrictionProvider

from beam_dynamodb_streams.shards.frontier import Frontier, begin
from beam_dynamodb_streams.source.coders import FrontierCoder
from beam_dynamodb_streams.source.stream_read import StreamRead


class FrontierTracker(RestrictionTracker):
    """To claim a step is to move the frontier to where it stands once the step is delivered."""

    def __init__(self, frontier: Frontier, *, bounded: bool) -> None:
        self._frontier = frontier
        self._bounded = bounded
        self._checkpointed = False

    def current_restriction(self) -> Frontier:
        return self._frontier

    def try_claim(self, position: Frontier) -> bool:
        """False once the runner took a checkpoint: the step belongs to the residual, which has not moved."""
        if self._checkpointed:
            return False
        self._frontier = position
        return True

    def try_split(self, fraction_of_remainder: float) -> tuple[Frontier, Frontier] | None:
        """A checkpoint only: all that is claimed is the primary, and nothing of it is left; the rest is the residual.
        Of a read that is at its end, the residual is at its end too: it may still have progress to write.

        Other fractions are declined: several restrictions from one element make Prism drop late data, and Flink lose
        data after a restore (``facts/beam-runners.md``).
        """
        if fraction_of_remainder != 0 or self._checkpointed:
            return None
        residual, self._frontier = self._frontier, self._frontier.close()
        self._checkpointed = True
        return self._frontier, residual

    def check_done(self) -> None:
        if not self._frontier.closed:
            raise ValueError(f"{len(self._frontier.shards)} shards are still being read: defer the remainder")

    def current_progress(self) -> RestrictionProgress:
        """The share of the known shards that are read; never 1 before all is.

        A fraction and no amounts: beside amounts Beam (2.77) puts its own estimate of the bytes sent, NaN until it has
        sampled one, and a split that Prism asks for just then fails the job.
        """
        if self._frontier.closed:
            return RestrictionProgress(fraction=1.0)
        done, left = len(self._frontier.finished), max(1, len(self._frontier.shards))
        return RestrictionProgress(fraction=done / (done + left))

    def is_bounded(self) -> bool:
        return self._bounded


class FrontierProvider(RestrictionProvider):
    """One restriction for one element. Drained, a bounded read goes on to its stop; an unbounded one ends where it is.

    What an unbounded read has claimed by then is delivered, and nothing else is read.
    """

    def __init__(self, *, bounded: bool) -> None:
        self._bounded = bounded

    def initial_restriction(self, element: StreamRead) -> Frontier:
        if element.frontier is not None:
            return element.frontier
        return begin(element.start, saved=element.saved, remaining=element.records)

    def create_tracker(self, restriction: Frontier) -> FrontierTracker:
        return FrontierTracker(restriction, bounded=self._bounded)

    def split(self, element: StreamRead, restriction: Frontier) -> Iterable[Frontier]:  # noqa: ARG002
        yield restriction

    def restriction_size(self, element: StreamRead, restriction: Frontier) -> int:  # noqa: ARG002
        """In shards to read, like the progress; 1 before the first listing."""
        return 0 if restriction.closed else max(1, len(restriction.shards))

    def truncate(self, element: StreamRead, restriction: Frontier) -> Frontier | None:  # noqa: ARG002
        return restriction if self._bounded else None

    def restriction_coder(self) -> FrontierCoder:
        return FrontierCoder()

    def __eq__(self, other: Any) -> bool:
        return type(self) is type(other) and self._bounded == other._bounded

    def __hash__(self) -> int:
        return hash((type(self), self._bounded))
