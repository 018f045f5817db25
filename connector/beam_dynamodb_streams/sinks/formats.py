"""The file formats: the options of each, and a writer of one file. Each encodes the Arrow rows of a `RowLayout`."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, ClassVar, Final, Literal, Protocol, TypeAlias, get_args

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

from beam_dynamodb_streams.columns import Schema, avro_schema_of
from beam_dynamodb_streams.columns.debezium import DebeziumSource, encode_debezium_lines
from beam_dynamodb_streams.columns.json_rows import encode_typed_lines
from beam_dynamodb_streams.columns.schema import FILE_METADATA
from beam_dynamodb_streams.columns.types import first_clash
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.records.json_columns import encode_lines
from beam_dynamodb_streams.sinks.avro_file import AvroFile
from beam_dynamodb_streams.sinks.layouts import RowLayout

ParquetCodec: TypeAlias = Literal["zstd", "snappy", "gzip", "lz4", "brotli", "none"]
AvroCodec: TypeAlias = Literal["deflate", "zstandard", "snappy", "null"]
JsonLinesCodec: TypeAlias = Literal["none", "gzip", "zstd"]

PARQUET_CODECS: Final = get_args(ParquetCodec)
AVRO_CODECS: Final = get_args(AvroCodec)
JSON_LINES_CODECS: Final = get_args(JsonLinesCodec)

_AVRO_NAMES: Final = {"change_log": "Change", "latest_image": "LatestImage"}
_AVRO_LIBRARIES: Final = {"zstandard": "backports.zstd", "snappy": "cramjam"}

ROW_GROUP_ROWS: Final = 1 << 17
ROW_GROUP_BYTES: Final = 24 << 20
"""A row group is in memory until it is written, so it also ends at this many bytes of Arrow data."""


class FileWriter(Protocol):
    """A writer of one file, for changes in batches of any size. Closing it ends the file and leaves the handle open."""

    def write(self, changes: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


class Format(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    @property
    def codec(self) -> str: ...

    def check(self, layout: RowLayout) -> None:
        """Raise `InvalidOptionError` if the format cannot hold such rows."""

    def writer(self, handle: BinaryIO, layout: RowLayout, file_bytes: int = ROW_GROUP_BYTES) -> FileWriter:
        """Return a writer of one file. It has at most about `file_bytes` of rows that are not in the handle yet."""


@dataclass(frozen=True, slots=True)
class ParquetFormat:
    """Parquet, with a column codec that this pyarrow was built with."""

    name: ClassVar[str] = "parquet"
    suffix: ClassVar[str] = ".parquet"
    codec: str
    row_group_rows: int = ROW_GROUP_ROWS

    def __post_init__(self) -> None:
        _check_codec(self.codec, PARQUET_CODECS)
        if self.codec != "none" and not pa.Codec.is_available(self.codec):
            raise InvalidOptionError(f"codec={self.codec!r} is not built into this pyarrow: use codec='zstd'")
        check_count("row_group_rows", self.row_group_rows)

    def check(self, layout: RowLayout) -> None:
        check_case(layout)

    def writer(self, handle: BinaryIO, layout: RowLayout, file_bytes: int = ROW_GROUP_BYTES) -> FileWriter:
        return _ParquetWriter(handle, layout, self, min(ROW_GROUP_BYTES, file_bytes))


class _ParquetWriter:
    def __init__(self, handle: BinaryIO, layout: RowLayout, options: ParquetFormat, group_bytes: int) -> None:
        self._layout = layout
        self._group_rows = options.row_group_rows
        self._group_bytes = group_bytes
        self._writer = pq.ParquetWriter(handle, layout.columns, compression=options.codec)
        if layout.schema is not None:
            self._writer.add_key_value_metadata(_metadata(layout.schema))
        self._group: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def write(self, changes: pa.RecordBatch) -> None:
        while len(changes):
            rows = changes.slice(0, self._group_rows - self._rows)
            changes = changes.slice(len(rows))
            self._group.append(self._layout.rows(rows))
            self._rows += len(rows)
            self._bytes += rows.nbytes
            if self._rows >= self._group_rows or self._bytes >= self._group_bytes:
                self._end_group()

    def _end_group(self) -> None:
        if self._group:
            group, self._group = self._group, []
            self._rows = self._bytes = 0
            self._writer.write_table(pa.Table.from_batches(group), self._group_rows)
            del group
            pa.default_memory_pool().release_unused()

    def close(self) -> None:
        try:
            self._end_group()
        finally:
            self._writer.close()


@dataclass(frozen=True, slots=True)
class AvroFormat:
    """Avro, with a block codec whose library is installed. `logical_types`: see `columns.avro`."""

    name: ClassVar[str] = "avro"
    suffix: ClassVar[str] = ".avro"
    codec: str
    logical_types: bool = True

    def __post_init__(self) -> None:
        _check_codec(self.codec, AVRO_CODECS)
        try:
            fastavro.writer(io.BytesIO(), {"type": "null"}, [None], codec=self.codec)
        except ValueError as error:
            raise InvalidOptionError(
                f"codec={self.codec!r} needs a library that is not installed: pip install"
                f" {_AVRO_LIBRARIES.get(self.codec, self.codec)}, or use codec='deflate'"
            ) from error

    def check(self, layout: RowLayout) -> None:
        check_case(layout)
        fastavro.parse_schema(self.schema_of(layout))

    def writer(self, handle: BinaryIO, layout: RowLayout, file_bytes: int = ROW_GROUP_BYTES) -> FileWriter:  # noqa: ARG002
        return _AvroWriter(handle, layout, self)

    def schema_of(self, layout: RowLayout) -> dict[str, Any]:
        """Return the schema of a file, as JSON."""
        return avro_schema_of(layout.columns, _AVRO_NAMES[layout.layout], logical_types=self.logical_types)


class _AvroWriter:
    def __init__(self, handle: BinaryIO, layout: RowLayout, options: AvroFormat) -> None:
        self._layout = layout
        metadata = None if layout.schema is None else _metadata(layout.schema)
        schema = options.schema_of(layout)
        self._file = AvroFile(handle, schema, options.codec, metadata, logical_types=options.logical_types)

    def write(self, changes: pa.RecordBatch) -> None:
        self._file.write(self._layout.rows(changes))

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True, slots=True)
class JsonLinesFormat:
    """JSON lines. A line of the layout `change_log` is that of `ChangeRecord.to_json` with the layout's own columns.

    `ChangeRecord.from_json` reads it. With a schema, keys and images are plain JSON (`columns.json_rows`).
    """

    name: ClassVar[str] = "jsonl"
    codec: str

    def __post_init__(self) -> None:
        _check_codec(self.codec, JSON_LINES_CODECS)

    @property
    def suffix(self) -> str:
        return ".jsonl" + {"none": "", "gzip": ".gz", "zstd": ".zst"}[self.codec]

    def check(self, layout: RowLayout) -> None:
        check_case(layout)

    def writer(self, handle: BinaryIO, layout: RowLayout, file_bytes: int = ROW_GROUP_BYTES) -> FileWriter:  # noqa: ARG002
        schema = layout.schema

        def lines(changes: pa.RecordBatch) -> bytes:
            rows = layout.rows(changes)
            return encode_lines(rows) if schema is None else encode_typed_lines(rows, layout.columns, schema.other)

        return _LinesWriter(handle, lines, self.codec)


@dataclass(frozen=True, slots=True)
class DebeziumFormat:
    """JSON lines in the form of Debezium's change events (`columns.debezium`), for the layout `change_log` alone."""

    name: ClassVar[str] = "debezium"
    codec: str
    source: DebeziumSource

    def __post_init__(self) -> None:
        _check_codec(self.codec, JSON_LINES_CODECS)

    @property
    def suffix(self) -> str:
        return JsonLinesFormat(self.codec).suffix

    def check(self, layout: RowLayout) -> None:
        if layout.layout != "change_log":
            raise InvalidOptionError(
                f"layout={layout.layout!r}: Debezium's form has an event for each change: use layout='change_log'"
            )
        check_case(layout)

    def writer(self, handle: BinaryIO, layout: RowLayout, file_bytes: int = ROW_GROUP_BYTES) -> FileWriter:  # noqa: ARG002
        return _LinesWriter(
            handle, partial(encode_debezium_lines, source=self.source, schema=layout.schema), self.codec
        )


class _LinesWriter:
    """A writer of lines, which `encode` makes of changes."""

    def __init__(self, handle: BinaryIO, encode: Callable[[pa.RecordBatch], bytes], codec: str) -> None:
        self._encode = encode
        self._compressed = codec != "none"
        self._stream: Any = handle
        if self._compressed:
            self._stream = pa.CompressedOutputStream(pa.PythonFile(_Unclosed(handle), "w"), codec)

    def write(self, changes: pa.RecordBatch) -> None:
        self._stream.write(self._encode(changes))

    def close(self) -> None:
        if self._compressed:
            self._stream.close()


class _Unclosed(io.RawIOBase):
    """The handle without its `close`: Arrow closes what it compresses into, and the caller closes the handle."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._handle.write(data)


def _metadata(schema: Schema) -> dict[str, str]:
    return {FILE_METADATA: schema.to_json()}


def _check_codec(codec: str, known: tuple[str, ...]) -> None:
    if codec not in known:
        raise InvalidOptionError(f"codec={codec!r} is unknown: use one of {', '.join(map(repr, known))}")


def check_case(layout: RowLayout) -> None:
    """Raise `InvalidOptionError` for a schema with names that readers of the files take for one name."""
    schema = layout.schema
    clash = None if schema is None else first_clash(schema.in_files(schema.image))
    if clash is not None:
        raise InvalidOptionError(
            f"the schema has {clash}, which differ only in case: Spark, DuckDB and others take them for one name, and"
            " cannot open the files or mix up the values. Leave one attribute out, so that it goes to the column other,"
            " or give one another name in files with rename= of the schema, such as rename={'userid': 'userid_2'} or"
            " rename='safe'."
            " Declare a map around such members {'*': T} or 'json'"
        )


def check_count(name: str, option: object) -> int:
    """Return the option, or raise `InvalidOptionError` if it is not a whole number of at least 1."""
    if not isinstance(option, int) or isinstance(option, bool) or option < 1:
        raise InvalidOptionError(f"{name}={option!r} is not a count: use a whole number of at least 1")
    return option


def return_memory_soon() -> None:
    """Let Arrow allocate from jemalloc, for a program that does nothing but write files.

    Arrow's usual allocator keeps what threads have released, about 100 MB of an export, for as long as they live. The
    allocator that the environment names stays, and so does the usual one where Arrow has no other.
    """
    if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ:
        with suppress(NotImplementedError):
            pa.set_memory_pool(pa.jemalloc_memory_pool())
