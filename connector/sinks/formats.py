"""One file's bytes: ``FileSink`` objects for Beam's ``WriteToFiles``, one object for each file."""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING, BinaryIO, ClassVar

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.fileio import FileMetadata, FileSink
from apache_beam.io.filesystem import CompressionTypes
from fastavro.write import Writer as AvroWriter

from connector.errors import InvalidOptionError
from connector.records import AVRO_SCHEMA, CHANGE_SCHEMA, to_arrow, to_avro_row

if TYPE_CHECKING:
    from connector.records import ChangeRecord

PARQUET_CODECS = ("zstd", "snappy", "gzip", "lz4", "brotli", "none")
AVRO_CODECS = ("deflate", "zstandard", "snappy", "null")

_AVRO_LIBRARIES = {"zstandard": "backports.zstd", "snappy": "cramjam"}

CHUNK_RECORDS = 1_000
"""Records are turned into Arrow this many at a time, or fewer once they are CHUNK_BYTES together."""

CHUNK_BYTES = 8 << 20
ROW_GROUP_ROWS = 1 << 17
ROW_GROUP_BYTES = 64 << 20
"""A row group ends at ROW_GROUP_ROWS rows or at this much Arrow data, which is what an open file may hold."""

AVRO_BLOCK_BYTES = 64 << 10


class _ChangeSink(FileSink):
    """What Beam hands over is ``(stamp, record)``: the stamp chose the file already."""

    def create_metadata(self, destination: str, full_file_name: str) -> FileMetadata:  # noqa: ARG002
        # AUTO would compress by the file's name; both formats compress inside.
        return FileMetadata("application/octet-stream", CompressionTypes.UNCOMPRESSED)


class ParquetSink(_ChangeSink):
    """One Parquet file in CHANGE_SCHEMA. Beam calls ``flush`` once, before it closes the handle."""

    def __init__(self, codec: str, row_group_rows: int, row_group_bytes: int) -> None:
        self._codec = codec
        self._row_group_rows = row_group_rows
        self._row_group_bytes = row_group_bytes
        self._records: list[ChangeRecord] = []
        self._record_bytes = 0
        self._batches: list[pa.RecordBatch] = []
        self._batch_rows = 0
        self._batch_bytes = 0

    def open(self, fh: BinaryIO) -> None:
        self._writer = pq.ParquetWriter(fh, CHANGE_SCHEMA, compression=self._codec)

    def write(self, record: tuple[str, ChangeRecord]) -> None:
        change = record[1]
        self._records.append(change)
        self._record_bytes += change.size_bytes or _image_bytes(change)
        if len(self._records) >= CHUNK_RECORDS or self._record_bytes >= CHUNK_BYTES:
            self._end_chunk()

    def flush(self) -> None:
        self._end_chunk()
        self._end_row_group()
        self._writer.close()

    def _end_chunk(self) -> None:
        if not self._records:
            return
        batch = to_arrow(self._records)
        self._records = []
        self._record_bytes = 0
        self._batches.append(batch)
        self._batch_rows += batch.num_rows
        self._batch_bytes += batch.nbytes
        if self._batch_rows >= self._row_group_rows or self._batch_bytes >= self._row_group_bytes:
            self._end_row_group()

    def _end_row_group(self) -> None:
        if not self._batches:
            return
        self._writer.write_table(pa.Table.from_batches(self._batches, CHANGE_SCHEMA), self._batch_rows)
        self._batches = []
        self._batch_rows = 0
        self._batch_bytes = 0


def _image_bytes(change: ChangeRecord) -> int:
    """A stand-in for an absent SizeBytes (some emulators)."""
    return sum(len(text) for text in (change.keys_json, change.new_image_json, change.old_image_json) if text)


class AvroSink(_ChangeSink):
    """One Avro object container file in AVRO_SCHEMA, written block by block."""

    def __init__(self, codec: str) -> None:
        self._codec = codec

    def open(self, fh: BinaryIO) -> None:
        self._writer = AvroWriter(fh, _PARSED_SCHEMA, codec=self._codec, sync_interval=AVRO_BLOCK_BYTES)

    def write(self, record: tuple[str, ChangeRecord]) -> None:
        self._writer.write(to_avro_row(record[1]))

    def flush(self) -> None:
        self._writer.flush()


_PARSED_SCHEMA = fastavro.parse_schema(AVRO_SCHEMA)


@dataclasses.dataclass(frozen=True)
class ParquetFormat:
    """Parquet with a column codec that this pyarrow was built with; others are refused."""

    suffix: ClassVar[str] = ".parquet"
    codec: str
    row_group_rows: int = ROW_GROUP_ROWS
    row_group_bytes: int = ROW_GROUP_BYTES

    def __post_init__(self) -> None:
        _check_codec(self.codec, PARQUET_CODECS)
        if self.codec != "none" and not pa.Codec.is_available(self.codec):
            raise InvalidOptionError(f"codec={self.codec!r} is not built into this pyarrow: use codec='zstd'")

    def sink(self, destination: str) -> ParquetSink:  # noqa: ARG002
        return ParquetSink(self.codec, self.row_group_rows, self.row_group_bytes)


@dataclasses.dataclass(frozen=True)
class AvroFormat:
    """Avro with a block codec whose library is installed; others are refused."""

    suffix: ClassVar[str] = ".avro"
    codec: str

    def __post_init__(self) -> None:
        _check_codec(self.codec, AVRO_CODECS)
        try:
            fastavro.writer(io.BytesIO(), {"type": "null"}, [None], codec=self.codec)
        except ValueError as error:
            raise InvalidOptionError(
                f"codec={self.codec!r} needs a library that is not installed: pip install"
                f" {_AVRO_LIBRARIES.get(self.codec, self.codec)}, or use codec='deflate'"
            ) from error

    def sink(self, destination: str) -> AvroSink:  # noqa: ARG002
        return AvroSink(self.codec)


def _check_codec(codec: str, known: tuple[str, ...]) -> None:
    if codec not in known:
        raise InvalidOptionError(f"codec={codec!r} is unknown: use one of {', '.join(map(repr, known))}")
