"""The records for the on-failure destination as files of JSON lines."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec

from beam_dynamodb_streams.beam.typed import OwnDoFn
from beam_dynamodb_streams.sinks.directory import check_writable
from beam_dynamodb_streams.sinks.output import open_output, write_whole


class WriteOnFailureRecords(OwnDoFn):
    """Writes one file for each bundle in which changes were discarded, one line for each record.

    The name of a file follows from the changes that were discarded. A bundle that a runner repeats, in which the same
    changes are discarded again, replaces its file.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def setup(self) -> None:
        check_writable(self._directory)

    def start_bundle(self) -> None:
        self._records: list[dict[str, Any]] = []

    def process(self, record: dict[str, Any]) -> None:
        self._records.append(record)

    def finish_bundle(self) -> None:
        if self._records:
            which = msgspec.json.encode([record["DDBStreamBatchInfo"] for record in self._records], order="sorted")
            name = f"on-failure-{blake2b(which, digest_size=8).hexdigest()}.jsonl"
            data = b"".join(msgspec.json.encode(record) + b"\n" for record in self._records)
            write_whole(open_output(self._directory), name, data)
