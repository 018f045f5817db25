"""The quiet proof: when a run of empty pages may be believed.

One empty page proves nothing, real shards give runs of them before data (fact 5). A shard counts as caught up after
``pages`` empty pages in a row that were asked for over at least ``seconds`` seconds.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QuietRule:
    pages: int = 30
    seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class QuietRun:
    """Empty pages in a row: how many, and when the first and the last were asked for (seconds, the service's clock)."""

    pages: int = 0
    first: float = 0.0
    last: float = 0.0

    def empty_page(self, asked: float) -> QuietRun:
        return QuietRun(self.pages + 1, self.first if self.pages else asked, asked)

    def proves(self, rule: QuietRule) -> bool:
        """Whether the shard held nothing unread when the last page of the run was asked for."""
        return self.pages >= rule.pages and self.last - self.first >= rule.seconds


NOT_QUIET = QuietRun()
