"""One file's bytes: a writer for each file, and what a format may be asked for."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, Final, Protocol

import fastavro
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from fastavro.write import Writer

from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.records import records_from_batch
from beam_dynamodb_streams.sinks.layouts import Rows

PARQUET_CODECS: Final = ("zstd", "snappy", "gzip", "lz4", "brotli", "none")
AVRO_CODECS: Final = ("deflate", "zstandard", "snappy", "null")
JSON_LINES_CODECS: Final = ("none", "gzip", "zstd")

_AVRO_LIBRARIES: Final = {"zstandard": "backports.zstd", "snappy": "cramjam"}

ROW_GROUP_ROWS: Final = 1 << 17
AVRO_BLOCK_BYTES: Final = 64 << 10


class FileWriter(Protocol):
    """Writes one file: changes in batches of any size, and then its end. Neither closes the handle."""

    def write(self, changes: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


class Format(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    @property
    def codec(self) -> str: ...

    def check(self, rows: Rows) -> None:
        """Refuses what the format cannot hold."""

    def writer(self, handle: BinaryIO, rows: Rows) -> FileWriter: ...


@dataclass(frozen=True, slots=True)
class ParquetFormat:
    """Parquet with a column codec that this pyarrow was built with; others are refused."""

    name: ClassVar[str] = "parquet"
    suffix: ClassVar[str] = ".parquet"
    codec: str
    row_group_rows: int = ROW_GROUP_ROWS

    def __post_init__(self) -> None:
        _check_codec(self.codec, PARQUET_CODECS)
        if self.codec != "none" and not pa.Codec.is_available(self.codec):
            raise InvalidOptionError(f"codec={self.codec!r} is not built into this pyarrow: use codec='zstd'")
        check_count("row_group_rows", self.row_group_rows)

    def check(self, rows: Rows) -> None:
        """Parquet holds all."""

    def writer(self, handle: BinaryIO, rows: Rows) -> FileWriter:
        return _ParquetWriter(handle, rows, self)


class _ParquetWriter:
    def __init__(self, handle: BinaryIO, rows: Rows, form: ParquetFormat) -> None:
        self._rows = rows
        self._group = form.row_group_rows
        self._writer = pq.ParquetWriter(handle, rows.arrow, compression=form.codec)

    def write(self, changes: pa.RecordBatch) -> None:
        self._writer.write_batch(self._rows.to_arrow(changes), self._group)

    def close(self) -> None:
        self._writer.close()


@dataclass(frozen=True, slots=True)
class AvroFormat:
    """Avro with a block codec whose library is installed; others are refused."""

    name: ClassVar[str] = "avro"
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

    def check(self, rows: Rows) -> None:
        fastavro.parse_schema(rows.avro)

    def writer(self, handle: BinaryIO, rows: Rows) -> FileWriter:
        return _AvroWriter(handle, rows, self.codec)


class _AvroWriter:
    def __init__(self, handle: BinaryIO, rows: Rows, codec: str) -> None:
        self._rows = rows
        schema = fastavro.parse_schema(rows.avro)
        self._writer = Writer(handle, schema, codec=codec, sync_interval=AVRO_BLOCK_BYTES)

    def write(self, changes: pa.RecordBatch) -> None:
        for row in self._rows.to_avro(changes):
            self._writer.write(row)

    def close(self) -> None:
        self._writer.flush()


@dataclass(frozen=True, slots=True)
class JsonLinesFormat:
    """JSON lines: of the change log those of `ChangeRecord.to_json`, which `ChangeRecord.from_json` reads."""

    name: ClassVar[str] = "jsonl"
    codec: str

    def __post_init__(self) -> None:
        _check_codec(self.codec, JSON_LINES_CODECS)

    @property
    def suffix(self) -> str:
        return ".jsonl" + {"none": "", "gzip": ".gz", "zstd": ".zst"}[self.codec]

    def check(self, rows: Rows) -> None:
        if rows.schema is not None:
            raise InvalidOptionError(
                "a schema makes columns, and JSON lines have none: their images are DynamoDB JSON, which says the type"
                " of each value. Leave out the schema, or write Parquet or Avro"
            )

    def writer(self, handle: BinaryIO, rows: Rows) -> FileWriter:
        return _JsonLinesWriter(handle, rows, self.codec)


class _JsonLinesWriter:
    def __init__(self, handle: BinaryIO, rows: Rows, codec: str) -> None:
        self._latest = rows.layout == "latest_image"
        self._compressed = codec != "none"
        self._stream: Any = handle
        if self._compressed:
            self._stream = pa.CompressedOutputStream(pa.PythonFile(_KeptOpen(handle), "w"), codec)

    def write(self, changes: pa.RecordBatch) -> None:
        lines = [record.to_json() for record in records_from_batch(changes)]
        if self._latest:
            lines = list(map(_latest_line, lines))
        if lines:
            self._stream.write(("\n".join(lines) + "\n").encode())

    def close(self) -> None:
        if self._compressed:
            self._stream.close()


class _KeptOpen(io.RawIOBase):
    """Arrow closes what it compresses into; whoever began the file ends it."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._handle.write(data)


_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


def _latest_line(line: str) -> str:
    members = _members(line)
    del members["old_image"]
    members["image"] = members.pop("new_image")
    deleted = bytes(members["event_name"]) == b'"REMOVE"'
    return _encode({**members, "is_deleted": deleted}).decode()


def _check_codec(codec: str, known: tuple[str, ...]) -> None:
    if codec not in known:
        raise InvalidOptionError(f"codec={codec!r} is unknown: use one of {', '.join(map(repr, known))}")


def check_count(name: str, option: object) -> int:
    if not isinstance(option, int) or isinstance(option, bool) or option < 1:
        raise InvalidOptionError(f"{name}={option!r} is no count: use a whole number of 1 or more")
    return option
