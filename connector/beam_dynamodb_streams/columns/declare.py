"""`read_schema`: the schema that is declared in any of the supported forms."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, TypedDict

import msgspec
import pyarrow as pa
from typing_extensions import Unpack

from beam_dynamodb_streams.columns.from_avro import attributes_of, is_avro
from beam_dynamodb_streams.columns.schema import FILE_METADATA, OnMisfit, Rename, Schema, schema_of
from beam_dynamodb_streams.columns.type_notation import column_of
from beam_dynamodb_streams.errors import InvalidOptionError


class SchemaOptions(TypedDict, total=False):
    """The options of `Schema` beside attributes and keys."""

    other: str | None
    on_misfit: OnMisfit
    on_misfit_in: Mapping[str, OnMisfit]
    rename: Rename


def read_schema(
    source: Schema | pa.Schema | Mapping[str, Any] | str | os.PathLike[str],
    *,
    keys: Sequence[str] | None = None,
    **options: Unpack[SchemaOptions],
) -> Schema:
    """Return the schema that is declared as

    - a `Schema`, or the path of a file with the text of `Schema.to_json`,
    - the path of a Parquet or Avro file that a sink wrote with a schema: the file holds it,
    - a `pyarrow.Schema` of the attributes,
    - an Avro schema of an item, which is a record: parsed, or the path of an .avsc file,
    - a mapping of attributes to types as in `columns.type_notation`, such as
      `{"order_id": "string", "total": "decimal128(12, 2)", "tags": ["string"], "address": {"city": "string"}}`, or the
      path of a file with such a mapping in JSON.

    Args:
        source: The declaration.
        keys: The table's key attributes. A `Schema` and its saved form have their own.
        options: Options of `Schema`; they win over those of a `Schema` or of its saved form.

    Raises:
        InvalidOptionError: The source is not a declaration, or contradicts itself.
    """
    if isinstance(source, str | os.PathLike):
        source = _parsed(source)
    if isinstance(source, Mapping) and isinstance(source.get("version"), int):
        source = schema_of(dict(source))
    if isinstance(source, Schema):
        if keys is not None and set(keys) != set(source.keys):
            raise InvalidOptionError(f"keys={list(keys)!r}: the schema has the keys {list(source.keys)!r}")
        return replace(source, **options)
    if keys is None:
        raise InvalidOptionError("keys= is needed: name the table's key attributes, such as keys=['order_id']")
    if isinstance(source, pa.Schema):
        attributes = source
    elif not isinstance(source, Mapping):
        raise InvalidOptionError(
            f"schema={source!r}: give a Schema, a pyarrow.Schema, an Avro record, a mapping of attributes to types, or "
            f"the path of a file"
        )
    elif is_avro(source):
        attributes = attributes_of(source)
    else:
        attributes = pa.schema([column_of(name, notation) for name, notation in source.items()])
    return Schema(attributes, (keys,) if isinstance(keys, str) else tuple(keys), **options)


def _parsed(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    try:
        with Path(path).open("rb") as file:
            parsed = msgspec.json.decode(_saved_in(file, path) or file.read())
    except OSError as error:
        raise InvalidOptionError(f"schema {os.fspath(path)!r} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidOptionError(f"schema {os.fspath(path)!r} is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise InvalidOptionError(f"schema {os.fspath(path)!r} is not a JSON object: see read_schema for what it may be")
    return parsed


def _saved_in(file: BinaryIO, path: str | os.PathLike[str]) -> bytes | str | None:
    """Return the saved schema in the metadata of a Parquet or Avro file; None for a file of text."""
    magic = file.read(4)
    file.seek(0)
    if magic not in (b"PAR1", b"Obj\x01"):
        return None
    try:
        if magic == b"PAR1":
            import pyarrow.parquet as pq  # only here, because both take long to import

            found = (pq.read_metadata(file).metadata or {}).get(FILE_METADATA.encode())
        else:
            import fastavro

            found = fastavro.reader(file).metadata.get(FILE_METADATA)
    except (pa.ArrowException, ValueError, EOFError) as error:
        raise InvalidOptionError(f"schema {os.fspath(path)!r} is a damaged file: {error}") from error
    if found is None:
        raise InvalidOptionError(
            f"schema {os.fspath(path)!r} holds no schema of this connector: its images are text, or another program "
            "wrote it"
        )
    return found  # type: ignore[no-any-return]  # pyarrow and fastavro are untyped
