"""Shards that the read waits for, and that may never come: reported in the log while it waits. No I/O.

An ended shard waits for its children, which a listing may show late (trap 6). On an endpoint that ends a shard without
children, although its stream is enabled, they never come (trap 27).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

#: What is waited for is reported after this long, and again after each `AGAIN_SECONDS`.
WAIT_SECONDS: Final = 30.0
AGAIN_SECONDS: Final = 60.0

_LOGGER: Final = logging.getLogger(__name__)

_CHILDREN: Final = (
    "Shard %s of %s%s ended %.0f s ago, and no listing shows a child of it, although the stream is enabled: the read "
    "waits for the children and holds its watermark. If the endpoint ends shards without children, give the read a "
    "stop=, or disable the stream; else check what DescribeStream of the endpoint returns"
)
_LISTING: Final = (
    "Shard %s of %s%s has been asked after for %.0f s: it exists, and no listing shows it. Its children wait until it "
    "is listed or gone. Check what DescribeStream of the endpoint returns"
)
_WITHOUT: Final = (
    "Shard %s of %s ended, and no listing shows a child of it, although the stream is enabled: the read is past its "
    "stop, and ends without the children. If there are any, what was written to them until the stop was not "
    "delivered; a read that resumes from here delivers it"
)


@dataclass(slots=True)
class Waiting:
    """What is waited for: the ended shards without a known child, and the unlisted parents, each with its seconds."""

    childless: Sequence[tuple[str, float]] = ()
    unlisted: Sequence[tuple[str, float]] = ()


@dataclass(slots=True)
class WaitingReport:
    """Reports what is waited for, once for each kind and minute."""

    _reported: dict[str, float] = field(default_factory=dict)

    def report(self, waiting: Waiting, stream_arn: str, now: float) -> None:
        for text, shards in (_CHILDREN, waiting.childless), (_LISTING, waiting.unlisted):
            if not shards:
                self._reported.pop(text, None)
                continue
            shard, seconds = max(shards, key=lambda each: each[1])
            if seconds >= WAIT_SECONDS and now - self._reported.get(text, -inf) >= AGAIN_SECONDS:
                self._reported[text] = now
                others = f" (and {len(shards) - 1:,} others)" if len(shards) > 1 else ""
                _LOGGER.warning(text, shard, stream_arn, others, seconds)

    def left_without(self, shard: str, stream_arn: str) -> None:
        """Report that the read ends without the children of a shard."""
        _LOGGER.warning(_WITHOUT, shard, stream_arn)
