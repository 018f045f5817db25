"""Every metric's name, once. Namespace ``dynamodb_streams``; counters unless said otherwise.

Calls and throttles are counted by operation too, as ``calls_GetRecords``, ``throttles_GetRecords`` and so on.
"""

from __future__ import annotations

from typing import Final

NAMESPACE: Final = "dynamodb_streams"

RECORDS: Final = "records"  #: changes delivered
BYTES: Final = "bytes"  #: bytes of the pages that brought them
PAGES: Final = "pages"  #: pages that brought records
EMPTY_PAGES: Final = "empty_pages"  #: pages without any
CALLS: Final = "calls"  #: requests sent, retries included
THROTTLES: Final = "throttles"  #: answers that asked to slow down (fact 15)
FAULTS: Final = "service_faults"  #: other faults that passed: 5xx, dropped connections, cut-off bodies
ITERATOR_RENEWALS: Final = "iterator_renewals"  #: GetShardIterator calls, for new shards and for expired iterators
SHARDS_OPENED: Final = "shards_opened"
SHARDS_FINISHED: Final = "shards_finished"
SHARDS_LOST: Final = "shards_lost"  #: shards that vanished before they were read to their end (fact 11)
LOSSES: Final = "losses"  #: losses reported, shards and trimmed ranges together
DEAD_LETTERS: Final = "dead_letters"  #: malformed records

SHARDS_OPEN: Final = "shards_open"  #: gauge: shards being read
SHARDS_WAITING: Final = "shards_waiting"  #: gauge: shards read to their end whose children are awaited
LAG_MILLIS: Final = "lag_millis"  #: distribution: from a page's newest change to the moment it was asked for
HEADROOM_SECONDS: Final = "headroom_seconds"  #: gauge: until the oldest unread change may be trimmed
