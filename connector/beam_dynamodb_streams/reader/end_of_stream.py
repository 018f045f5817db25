"""What happens at the end of a stream: the read ends, waits for the table's next stream, or continues in it (trap 14).

No I/O: it returns the request that is due, takes the answer, and decides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final, Literal

from beam_dynamodb_streams.errors import NewStreamError
from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.reader.requests import FindNext, NextFound
from beam_dynamodb_streams.reader.stream import NextStream
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier
from beam_dynamodb_streams.shards.loss import MICROS, between_streams

OnNewStream = Literal["follow", "fail", "finish"]

#: How often the table is asked for its next stream, in seconds.
ASK_SECONDS: Final = 5.0

#: DescribeTable is eventually consistent: a stream that it does not show may have been created this long before.
UNSEEN_SECONDS: Final = 10.0

#: How soon DescribeTable shows a stream, in seconds. Less than the listings of the old stream take to settle.
VISIBLE_SECONDS: Final = 4.0

_LOGGER: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class EndOfStream:
    """The end of the stream that a reader reads, once the reader has proven that nothing is left in it.

    Args:
        policy: Whether the read continues in the table's next stream, fails there, or ends with the old one.
        rules: What is delivered.
        reached: Whether the end is reached. It is not if a shard is found late.
    """

    policy: OnNewStream
    rules: Rules
    reached: bool = False
    _due: float = 0.0
    _in_flight: bool = False
    _absent: float | None = None  # the service's time at which the table had no next stream
    _found: NextStream | None = None
    _reported: bool = False

    @property
    def _margin(self) -> float:
        return min(self.rules.slack, VISIBLE_SECONDS)

    def _proves_absence(self, asked: float) -> bool:
        """Return whether an answer without a next stream proves that none was created up to the stop."""
        return self.rules.stop is not None and self.rules.since_stop(asked) >= self._margin

    @property
    def ends_the_read(self) -> bool:
        """Return whether the read ends with its stream, whatever follows."""
        return self.policy == "finish"

    def due(self) -> float:
        """Return when to ask for the next stream."""
        return self._due if self.reached and not self._in_flight and self._found is None else inf

    def request(self, stream_arn: str) -> FindNext:
        self._in_flight = True
        return FindNext(stream_arn)

    def take(self, answer: NextFound, now: float) -> None:
        self._in_flight, self._found = False, answer.found
        if answer.found is None:
            self._absent, self._due = answer.asked, now + ASK_SECONDS
            if (stop := self.rules.stop) is not None:  # ask again as soon as the answer decides
                self._due = min(self._due, now + max(0.1, stop + 1 + self._margin - answer.asked))
            if not self._reported and not self._proves_absence(answer.asked):
                self._reported = True
                _LOGGER.warning(
                    "%s is disabled and read to its end, and its table has no other stream yet: the read waits for one"
                    " (on_new_stream=%r)",
                    answer.request.stream_arn,
                    self.policy,
                )

    def delayed(self, now: float, back_off: Callable[[int], float]) -> None:
        """Ask again later. `back_off` returns the seconds after that many failures."""
        self._in_flight, self._due = False, now + back_off(3)

    def watermark(self) -> int:
        """Return the microseconds that no record of a stream which is not there yet precedes."""
        if self._absent is None or self._found is not None:
            return EARLIEST
        return int((self._absent - self.rules.slack - UNSEEN_SECONDS) * MICROS)

    def claim(self, frontier: Frontier) -> Claim | None:
        """Return the claim that ends the read, or that begins the next stream; None while there is nothing to claim.

        Raises:
            NewStreamError: There is a next stream, and the read must not continue in it.
        """
        found, stop = self._found, self.rules.stop
        if found is None:
            over = self._absent is not None and self._proves_absence(self._absent)
            return Claim(frontier.close()) if over else None
        following = found.generation
        if stop is not None and following.created is not None and following.created > stop + 1 + self.rules.slack:
            return Claim(frontier.close())  # it holds nothing of this read
        self._refuse(frontier.stream_arn, found)
        floor = EARLIEST
        if following.created is not None:
            floor = int((int(following.created) - self.rules.slack) * MICROS)
        # The run that had begun the stream has reported the loss before it. A new snapshot has all that is left of it.
        known = found.saved is not None or found.replaced
        after = frontier.follow(following.stream_arn, floor=floor, saved=found.saved)
        if found.replaced:
            after = after.scan_again(found.scan)
            _LOGGER.warning(
                "the table of %s was deleted and created again: its items are delivered as a new snapshot",
                frontier.stream_arn,
            )
        return Claim(
            after,
            losses=[] if known else [between_streams(frontier, following, complete=found.complete)],
            begins=following.stream_arn,
        )

    def _refuse(self, stream_arn: str, found: NextStream) -> None:
        arn = found.generation.stream_arn
        if found.refusal:
            raise NewStreamError(found.refusal, stream=arn)
        if found.replaced and found.scan is None:
            raise NewStreamError(
                f"the table of {stream_arn} was deleted and created again, and {arn} is the stream of another table: "
                "its items are not those that this read has delivered. Start a new read of it, with a new output or "
                'application, or set snapshot="scan", which continues in it with a new snapshot',
                stream=arn,
            )
        if self.policy == "fail":
            raise NewStreamError(
                f"{stream_arn} was disabled and is read to its end, and its table has the new stream {arn}: to "
                'continue there, set on_new_stream="follow"; changes that were written in between are in no stream',
                stream=arn,
            )
