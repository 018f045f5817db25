"""File sinks for change records: Parquet and Avro, bounded or unbounded, on any filesystem that Beam knows.

* ``write`` holds the two transforms and the steps around Beam's ``WriteToFiles``.
* ``formats`` turns records into the bytes of one file.
* ``windows`` decides which windows the files follow.
* ``output`` knows the output directory: its check, its temporary files, its file names.
"""

from connector.sinks.write import WriteChangesToAvro, WriteChangesToParquet

__all__ = ["WriteChangesToAvro", "WriteChangesToParquet"]
