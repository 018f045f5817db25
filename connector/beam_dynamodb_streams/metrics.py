"""The name of every metric, in the namespace `dynamodb_streams`; `docs/metrics.md` explains them.

They are counters unless a comment says otherwise. Calls, throttles and retries are also counted for each operation:
`by_operation(CALLS, "GetRecords")` is `"calls_GetRecords"`.
"""

from __future__ import annotations

from typing import Final

NAMESPACE: Final = "dynamodb_streams"

RECORDS: Final = "records"  #: changes delivered
BYTES: Final = "bytes"  #: bytes of the pages that brought them
PAGES: Final = "pages"  #: pages that brought changes to deliver
EMPTY_PAGES: Final = "empty_pages"  #: pages without any record, which are billed too (trap 5)
CALLS: Final = "calls"  #: requests sent, retries included
THROTTLES: Final = "throttles"  #: answers that asked to slow down (trap 15)
RETRIES: Final = "retries"  #: requests sent again at once, after a throttle, a 5xx, a dropped or cut-off answer
DELAYS: Final = "delays"  #: requests delayed, because they failed however often they were sent again
ITERATOR_RENEWALS: Final = "iterator_renewals"  #: GetShardIterator calls, for new shards and for expired iterators
SHARDS_OPENED: Final = "shards_opened"
SHARDS_FINISHED: Final = "shards_finished"
SHARDS_LOST: Final = "shards_lost"  #: shards that vanished before they were read to their end (trap 11)
LOSSES: Final = "losses"  #: losses reported, shards and trimmed ranges together
DEAD_LETTERS: Final = "dead_letters"  #: malformed records
SNAPSHOT_ROWS: Final = "snapshot_rows"  #: rows of a snapshot delivered; they count as records too
SNAPSHOT_ROWS_REPLACED: Final = "snapshot_rows_replaced"  #: rows left out, because a newer change of the item came
SNAPSHOT_UNITS: Final = "snapshot_units"  #: read units that the scan consumed
SNAPSHOT_COMPLETE: Final = "snapshot_complete"  #: 1 once all rows are delivered: a counter, which no result leaves out

SNAPSHOT_PERCENT: Final = "snapshot_percent"  #: gauge: how much of the table was read, 100 only once it is complete
SNAPSHOT_SECONDS_LEFT: Final = "snapshot_seconds_left"  #: gauge: an estimate, 0 once it is complete
SNAPSHOT_CONSISTENT_SINCE: Final = "snapshot_consistent_since"  #: gauge: the event time of that, in seconds; 0 before

HANDLER_INVOCATIONS: Final = "handler_invocations"  #: calls of a handler, retries included
HANDLER_FAILURES: Final = "handler_failures"  #: calls of a handler that failed, in whole or in part
HANDLER_BISECTIONS: Final = "handler_bisections"  #: batches that were cut in two after a failure
HANDLER_DISCARDED: Final = "handler_discarded"  #: changes that went to the on-failure destination
HANDLER_FILTERED: Final = "handler_filtered"  #: changes that the handler's `filter_criteria` left out
HANDLER_MILLIS: Final = "handler_millis"  #: distribution: how long the attempts with one batch took, in ms

COMMITS: Final = "commits"  #: commits to lakehouse tables
COMMITTED_FILES: Final = "committed_files"  #: files added to lakehouse tables
COMMIT_CONFLICTS: Final = "commit_conflicts"  #: commits tried again, because somebody else committed meanwhile

SHARDS_OPEN: Final = "shards_open"  #: gauge: shards being read
SHARDS_WAITING: Final = "shards_waiting"  #: gauge: shards read to their end whose children are awaited
PARENTS_DOUBTED: Final = "parents_doubted"  #: gauge: parents that no listing shows, and that keep children waiting
OLDEST_FAULT_SECONDS: Final = "oldest_fault_seconds"  #: gauge: how long the oldest call has failed without a break
LAG_MILLIS: Final = "lag_millis"  #: distribution: from a page's newest change to the request for it, in ms
LAST_SLICE_SECONDS: Final = "last_slice_seconds"  #: gauge: when a slice last ended, in seconds since the epoch
HEADROOM_SECONDS: Final = "headroom_seconds"  #: gauge: until the oldest unread change may be trimmed

COUNTED_BY_OPERATION: Final = (CALLS, THROTTLES, RETRIES)


def by_operation(name: str, operation: str) -> str:
    """Return the name of a metric for one operation, which has the service's own name, such as GetRecords."""
    return f"{name}_{operation}"
