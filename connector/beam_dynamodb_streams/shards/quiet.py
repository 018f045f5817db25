"""The quiet rule: when a run of empty pages proves that a shard is caught up.

One empty page proves nothing, because real shards return runs of them before data (trap 5). A shard counts as caught up
after `pages` empty pages in a row, requested over at least `seconds` seconds. The pages prove that nothing is left
behind the iterator, and the time that what was written has become visible. For a read with a stop, only what was
written up to the stop counts, so the time begins at the stop.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QuietRule:
    pages: int = 30
    seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class QuietRun:
    """Empty pages in a row: their number, and when the first and last were requested (seconds, the service's clock)."""

    pages: int = 0
    first: float = 0.0
    last: float = 0.0

    def empty_page(self, asked: float) -> QuietRun:
        return QuietRun(self.pages + 1, self.first if self.pages else asked, asked)

    def proves(self, rule: QuietRule, *, written: float | None = None) -> bool:
        """Return whether the run proves that nothing was unread when its last page was requested.

        `written`: when everything had been written that is to be read; None if that may be until now.
        """
        began = self.first if written is None else written
        return self.pages >= rule.pages and self.last - began >= rule.seconds


NOT_QUIET = QuietRun()
