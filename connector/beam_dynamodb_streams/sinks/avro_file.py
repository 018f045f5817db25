"""A writer of one Avro object container file, from Arrow rows."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, BinaryIO, Final

import fastavro
import numpy as np
import pyarrow as pa
from fastavro.write import Writer

from beam_dynamodb_streams.columns import encode_avro

BLOCK_BYTES: Final = 64 << 10
_ENCODED_BYTES: Final = 8 << 20  # of Arrow data at once: what fits a cache is encoded fastest, and all below 2 GiB


class AvroFile:
    """Writes rows in blocks of about `BLOCK_BYTES`, by fastavro. Its own encoder, row by row, takes 30 times as long.

    Args:
        handle: Where the file is written. It stays open.
        schema: The Avro schema of the rows, as JSON.
        codec: The codec of the blocks.
        metadata: More entries for the header of the file.
        logical_types: As in the schema.
    """

    def __init__(
        self,
        handle: BinaryIO,
        schema: dict[str, Any],
        codec: str,
        metadata: Mapping[str, str] | None,
        *,
        logical_types: bool,
    ) -> None:
        self._writer = Writer(
            handle, fastavro.parse_schema(schema), codec=codec, metadata=None if metadata is None else dict(metadata)
        )
        self._logical_types = logical_types
        self._block = bytearray()
        self._records = 0

    def write(self, rows: pa.RecordBatch) -> None:
        for part in _parts(rows):
            encoded = encode_avro(part, logical_types=self._logical_types)
            _, offsets, content = encoded.buffers()
            limits = np.frombuffer(offsets, np.int32, len(encoded) + 1, encoded.offset * 4)
            records, start = memoryview(content), 0
            while start < len(encoded):
                full = int(np.searchsorted(limits, limits[start] + BLOCK_BYTES - len(self._block)))
                end = min(max(full, start + 1), len(encoded))
                self._block += records[limits[start] : limits[end]]
                self._records += end - start
                start = end
                if len(self._block) >= BLOCK_BYTES:
                    self._end_block()

    def close(self) -> None:
        """End the last block. The handle stays open."""
        if self._records:
            self._end_block()
        self._writer.flush()

    def _end_block(self) -> None:
        # What `write_block` reads of a block that fastavro's own reader made.
        self._writer.write_block(SimpleNamespace(num_records=self._records, bytes_=io.BytesIO(self._block)))
        self._block.clear()
        self._records = 0


def _parts(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    if len(rows) > 1 and rows.nbytes > _ENCODED_BYTES:
        half = len(rows) // 2
        yield from _parts(rows.slice(0, half))
        yield from _parts(rows.slice(half))
    elif len(rows):
        yield rows
