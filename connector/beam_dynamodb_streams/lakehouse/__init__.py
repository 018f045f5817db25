"""Lakehouse tables: the finished files of a sink committed to Iceberg or Delta, and a mirror of the table in Delta.

- `commit` groups files, and `committer` commits them in batches; `iceberg` and `delta` know the tables, and `catalogs`
  opens the catalogs of Iceberg. `columns` compares columns.
- `journal` knows which files a table has; `finished`, which files of an output are finished.
- `mirror` merges changes by key and version. `mirror_rows` says what is merged, and `deletes` remembers deleted items.

The libraries are imported when they are used: `pyiceberg` (extra `iceberg`) and `deltalake` (extra `delta`).
"""

from beam_dynamodb_streams.lakehouse.committer import Committed
from beam_dynamodb_streams.lakehouse.delta import CommitToDelta
from beam_dynamodb_streams.lakehouse.iceberg import CommitToIceberg
from beam_dynamodb_streams.lakehouse.mirror import MirrorOutputs, MirrorToDelta

__all__ = ["CommitToDelta", "CommitToIceberg", "Committed", "MirrorOutputs", "MirrorToDelta"]
