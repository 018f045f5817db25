"""A gap as data: what was, or may have been, lost unread."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Loss:
    """Records of one shard that were not delivered and cannot be read any more.

    ``certain``: the service said that an unread record is gone (facts 10, 13); otherwise records may be missing.
    ``last_position``: up to where the shard was delivered; ``next_position``: where reading goes on (SHARD_END: with
    its children). ``since``: records created at or after this moment may be affected; None if nothing is known.
    """

    stream_arn: str
    shard_id: str
    last_position: str
    next_position: str
    since: datetime | None
    certain: bool
    reason: str

    def __str__(self) -> str:
        what = "changes were lost" if self.certain else "changes may have been lost"
        since = f", created since {self.since:%Y-%m-%dT%H:%M:%SZ}" if self.since else ""
        between = f"between {self.last_position} and {self.next_position} of shard {self.shard_id}"
        return f"{what} {between}{since}: {self.reason}"
