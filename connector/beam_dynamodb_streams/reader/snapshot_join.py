"""The rows of a snapshot between the changes of the stream: which page of them is claimed next. No I/O.

The rule that makes the join right is in `reader.table_scan`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf

from beam_dynamodb_streams import metrics
from beam_dynamodb_streams.reader.answers import Answers
from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.reader.requests import PageScanned, Scan
from beam_dynamodb_streams.reader.schedule import Schedule
from beam_dynamodb_streams.reader.stream import Entry
from beam_dynamodb_streams.reader.table_scan import TableScanner, event_second
from beam_dynamodb_streams.reader.watermark import ReadWatermark
from beam_dynamodb_streams.shards.frontier import Frontier
from beam_dynamodb_streams.shards.loss import MICROS
from beam_dynamodb_streams.shards.segments import TableScan, segment_name


@dataclass(slots=True)
class SnapshotJoin:
    """The scan of one read; it does nothing where the read has no snapshot.

    Args:
        scanner: The pages that were requested and not delivered yet; None where the read has no snapshot.
        watermark: The watermark of the read.
        answers: The answers that no claim has stored yet.
        tally: Counts what happens, by the names of `metrics`.
    """

    scanner: TableScanner | None
    watermark: ReadWatermark
    answers: Answers
    tally: Counter[str]

    def resume(self, scan: TableScan | None) -> None:
        """Begin at the places of a frontier."""
        if self.scanner is not None:
            self.scanner.resume(scan)

    def ask(self, now: float, schedule: Schedule) -> float:
        """Request the pages that are due. Return when the next one is, or when to look whether one can be claimed."""
        if self.scanner is None:
            return inf
        free = schedule.pace.requests - schedule.unanswered
        return min(self.scanner.ask(now, free, schedule.submit), self.scanner.due(now))

    def take(self, answer: PageScanned) -> None:
        """Keep a page until it can be claimed."""
        if self.scanner is not None:
            self.scanner.take(answer)

    def delayed(self, request: Scan, now: float, back_off: Callable[[int], float]) -> None:
        """Request a page again later. `back_off` returns the seconds after that many failures."""
        if self.scanner is not None:
            self.scanner.delayed(request, now, back_off)

    def touch(self, entries: Iterable[Entry]) -> None:
        """Drop the rows of all items that these changes change."""
        if self.scanner is not None:
            self.scanner.touch(entries)

    def claim(self, frontier: Frontier, now: float, *, drained: bool) -> Claim | None:
        """Return the claim of the next page of rows whose answer the watermark has passed; None if there is none.

        Args:
            frontier: Where the read stands.
            now: The time on the clock of the reader.
            drained: Whether no change will be delivered any more.
        """
        scanner, scan = self.scanner, frontier.scan
        if scanner is None or scan is None or not scanner.waiting:
            return None
        if drained:
            watermark = self.watermark.drained()
            released = scanner.release(inf)
        else:
            watermark = self.watermark.current(self.answers.joined(frontier), now)
            released = scanner.release(watermark / MICROS)
        if released is None:
            return None
        moment = event_second(max(watermark, self.watermark.published))
        name = segment_name(released.segment, scan.total)
        entries = scanner.table.entries(released.rows, scan, moment)
        records, malformed = scanner.filter(entries, name)
        place = released.last
        if frontier.remaining is not None and len(records) > frontier.remaining:
            records = records[: frontier.remaining]
            place = next(row.keys for row, entry in zip(released.rows, entries, strict=True) if entry is records[-1])
        scan = scan.delivered(released.segment, place, rows=len(records), replaced=released.replaced, moment=moment)
        scanner.delivered(scan)
        self.tally[metrics.SNAPSHOT_ROWS_REPLACED] += released.replaced
        after = frontier.deliver_rows(scan, len(records))
        return Claim(after, shard=name, records=records, malformed=malformed, scanned=True)
