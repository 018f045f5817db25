"""`Schema`: a table's attributes as columns, and its saved form. `columns.types` says what each column holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec
import pyarrow as pa

from beam_dynamodb_streams.columns.names import (
    NameProblem,
    Path,
    name_problems,
    original_paths,
    paths_of,
    renamed_type,
    safe_names,
)
from beam_dynamodb_streams.columns.type_notation import column_of, notation_of
from beam_dynamodb_streams.columns.types import check_column, is_json, nullable, tags
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.records.text_columns import CHANGE_SCHEMA, METADATA_COLUMNS

VERSION: Final = 1  # of the saved form
FILE_METADATA: Final = "dynamodb.schema"
"""The name under which a file of the sinks holds the saved form of its schema."""
OnMisfit: TypeAlias = Literal["dead_letter", "text", "raise"]
Rename: TypeAlias = Mapping[str, str] | Literal["safe"]


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """The column of each attribute, and what happens to the other attributes.

    - `attributes`: the columns of an image. `keys`: the names of those that are the table's key.
    - `other`: the name of one more column of each image. It holds the attributes that have no column as DynamoDB JSON,
      and is null where there are none. None leaves these attributes out.
    - `on_misfit`: what happens to a misfit, which is an attribute that its column cannot hold whole (another type, too
      many digits, a member that a struct does not have). The column holds the part that fits, or null. The attribute

      - `"dead_letter"`: is returned beside the batch (`Misfit`),
      - `"text"`: is kept in the column `other` as well,
      - `"raise"`: raises `MisfitError`.

    - `on_misfit_in`: the same for single columns, by name; `on_misfit` holds for all others.

    - `rename`: the name in files and rows of each attribute that needs another one there, by its path
      (`columns.names`), such as `{"userid": "userid_2", "address.zip-code": "zip_code"}`. Or `"safe"`: every name that
      a reader refuses gets another one, and `rename` is then the mapping that was made. It is saved and stays the same.
      Only the sinks and `AsRows` rename; `arrow` and `changed_attributes` have the names of the table.
      `with_original_names` restores the names of the table in what is read from files.

    Under `"text"`, a misfit that no image can hold is a dead letter: the keys of a change without images, and an image
    that is not a JSON object.

    `arrow` is the schema of the rows: the metadata of a change, then the structs `keys`, `new_image`, `old_image`. Two
    schemas are equal if their `to_json` is equal. See `read_schema` for other ways to declare one.
    """

    attributes: pa.Schema
    keys: tuple[str, ...]
    other: str | None = "other_attributes"
    on_misfit: OnMisfit = "dead_letter"
    on_misfit_in: Mapping[str, OnMisfit] = field(default_factory=dict)
    rename: Rename = field(default_factory=dict)
    renamed: Mapping[Path, str] = field(init=False, repr=False)
    image: pa.DataType = field(init=False, repr=False)
    arrow: pa.Schema = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check(self)
        columns = [nullable(column) for column in self.attributes]
        by_name = {column.name: column for column in columns}
        image = pa.struct([*columns, *([pa.field(self.other, pa.string())] if self.other else [])])
        keys = pa.struct([by_name[name] for name in self.keys])
        rows = [CHANGE_SCHEMA.field(name) for name in METADATA_COLUMNS]
        rows += [pa.field("keys", keys, nullable=False), pa.field("new_image", image), pa.field("old_image", image)]
        object.__setattr__(self, "attributes", pa.schema(columns))
        object.__setattr__(self, "keys", tuple(self.keys))
        object.__setattr__(self, "on_misfit_in", dict(self.on_misfit_in))
        renamed = _renamed(self)
        texts = {path: text for text, path in paths_of(columns).items()}
        object.__setattr__(self, "renamed", renamed)
        object.__setattr__(self, "rename", {text: renamed[path] for path, text in texts.items() if path in renamed})
        object.__setattr__(self, "image", image)
        object.__setattr__(self, "arrow", pa.schema(rows))

    def policy(self, attribute: str) -> OnMisfit:
        """Return what happens to a misfit of this attribute."""
        return self.on_misfit_in.get(attribute, self.on_misfit)

    def in_files(self, struct: pa.DataType) -> pa.DataType:
        """Return the type of `keys` or of an image with the names of its columns in files."""
        return renamed_type(struct, lambda path: self.renamed.get(path, path[-1])) if self.renamed else struct

    def with_original_names(self, rows: pa.Table | pa.RecordBatch) -> pa.Table | pa.RecordBatch:
        """Return rows that were read from a file with the names of the table in keys and images again.

        Nothing is copied. Columns that are not the schema's, such as those of a layout, stay as they are.
        `read_schema` returns the schema of a Parquet or Avro file of the sinks.
        """
        original = original_paths(self.attributes, self.renamed)

        def kind_of(column: pa.Field) -> pa.DataType:
            if column.name not in ("keys", "new_image", "old_image", "image"):
                return column.type
            return renamed_type(column.type, lambda path: original.get(path, path[-1]))

        columns = [column.with_type(kind_of(column)) for column in rows.schema]
        arrays = [
            each if each.type == column.type else _viewed(each, column.type)
            for each, column in zip(rows.columns, columns, strict=True)
        ]
        return type(rows).from_arrays(arrays, schema=pa.schema(columns, rows.schema.metadata))

    def name_problems(self) -> tuple[NameProblem, ...]:
        """Return the names of attributes and members that readers of files refuse, renamed or not."""
        return name_problems(self.attributes, self.keys, self.other, self.renamed)

    def to_json(self) -> str:
        """Return the saved form: JSON to read, to edit and to keep beside a pipeline."""
        return encode_schema(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> Schema:
        """Return the schema of `to_json`.

        Raises:
            InvalidOptionError: The text is not such a schema.
        """
        return decode_schema(text)

    def __eq__(self, other: object) -> bool:
        return self.to_json() == other.to_json() if isinstance(other, Schema) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.to_json())


class _SavedSchema(msgspec.Struct, forbid_unknown_fields=True):
    """The saved form: attributes in the notation of `columns.type_notation`, in the order of the columns.

    `rename` is left out where it is empty.
    """

    version: int
    keys: list[str]
    attributes: dict[str, Any]
    other: str | None = "other_attributes"
    on_misfit: OnMisfit = "dead_letter"
    on_misfit_in: dict[str, OnMisfit] = {}
    rename: dict[str, str] | Literal["safe"] | msgspec.UnsetType = msgspec.UNSET


_encode: Final = msgspec.json.Encoder().encode


def encode_schema(schema: Schema) -> str:
    """Return the saved form of the schema; equal schemas have the same."""
    policies = {name: schema.on_misfit_in[name] for name in schema.attributes.names if name in schema.on_misfit_in}
    attributes = {column.name: notation_of(column) for column in schema.attributes}
    saved = _SavedSchema(VERSION, list(schema.keys), attributes, schema.other, schema.on_misfit, policies)
    if schema.rename and schema.rename != "safe":
        saved.rename = dict(schema.rename)
    return msgspec.json.format(_encode(saved), indent=2).decode()


def decode_schema(text: str | bytes) -> Schema:
    """Return the schema of a saved form. Raises as `schema_of` does."""
    try:
        return schema_of(msgspec.json.decode(text))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as fault:
        raise InvalidOptionError(f"a saved schema cannot be read: {fault}") from None


def schema_of(parsed: object) -> Schema:
    """Return the schema of a saved form that was parsed as JSON.

    Raises:
        InvalidOptionError: It has another version, or is not a saved schema.
    """
    version = parsed.get("version") if isinstance(parsed, dict) else None
    if isinstance(version, int) and version != VERSION:
        raise InvalidOptionError(
            f"a saved schema has version {version}, and this release reads version {VERSION}: read it with the release "
            f"that wrote it"
        )
    try:
        saved = msgspec.convert(parsed, _SavedSchema)
    except msgspec.ValidationError as fault:
        raise InvalidOptionError(f"a saved schema cannot be read: {fault}") from None
    attributes = pa.schema([column_of(name, notation) for name, notation in saved.attributes.items()])
    return Schema(
        attributes,
        tuple(saved.keys),
        other=saved.other,
        on_misfit=saved.on_misfit,
        on_misfit_in=saved.on_misfit_in,
        rename={} if isinstance(saved.rename, msgspec.UnsetType) else saved.rename,
    )


def check_keys(schema: Schema, key_types: Mapping[str, str]) -> None:
    """Raise `InvalidOptionError` if the schema contradicts the key of its table, such as `{"order_id": "S"}`."""
    if set(schema.keys) != set(key_types):
        raise InvalidOptionError(
            f"the schema has the keys {list(schema.keys)!r}, the table {list(key_types)!r}: name the table's in keys="
        )
    for name, tag in key_types.items():
        kind = schema.attributes.field(name).type
        if tag not in tags(kind):
            fitting = {"S": "string", "N": "a number or string", "B": "binary"}.get(tag, "another type")
            raise InvalidOptionError(
                f"key attribute {name!r} is declared {kind}, but is {tag} in the table: declare {fitting}"
            )


def _check(schema: Schema) -> None:
    if not isinstance(schema.attributes, pa.Schema):
        raise InvalidOptionError(
            f"attributes={schema.attributes!r}: give a pyarrow.Schema, or use read_schema for other forms"
        )
    names = schema.attributes.names
    if not names or len(set(names)) != len(names):
        raise InvalidOptionError(f"attributes={names!r}: give at least one attribute, each name once")
    for column in schema.attributes:
        check_column(column)
    if not schema.keys or isinstance(schema.keys, str) or not set(schema.keys) <= set(names):
        raise InvalidOptionError(f"keys={schema.keys!r}: name the table's key attributes, each among {names!r}")
    for name in schema.keys:
        if not set(tags(schema.attributes.field(name).type)) & set("SNB") or is_json(schema.attributes.field(name)):
            raise InvalidOptionError(
                f"key attribute {name!r} is declared {schema.attributes.field(name).type}: keys are S, N or B, so "
                f"declare a string, a number or binary"
            )
    if schema.other is not None and (not schema.other or schema.other in names):
        raise InvalidOptionError(f"other={schema.other!r}: give a name that no attribute has, or None")
    if not set(schema.on_misfit_in) <= set(names):
        raise InvalidOptionError(f"on_misfit_in={schema.on_misfit_in!r}: name attributes among {names!r}")
    for policy in (schema.on_misfit, *schema.on_misfit_in.values()):
        if policy not in get_args(OnMisfit):
            raise InvalidOptionError(f"on_misfit={policy!r}: use one of {', '.join(get_args(OnMisfit))}")
        if policy == "text" and schema.other is None:
            raise InvalidOptionError("on_misfit='text' keeps misfits in the column other: give other a name")


def _renamed(schema: Schema) -> dict[Path, str]:
    """Return the name in files of each path that has another one there. Raises `InvalidOptionError` for a bad one."""
    rename = schema.rename
    if rename == "safe":
        return safe_names(schema.attributes, schema.keys, schema.other)
    paths = paths_of(schema.attributes)
    if not isinstance(rename, Mapping) or not set(rename) <= set(paths):
        unknown = (
            "" if not isinstance(rename, Mapping) else f", and {min(map(str, set(rename) - set(paths)))!r} is none"
        )
        raise InvalidOptionError(
            f"rename={rename!r}: map attributes among {list(paths)!r} to their names in files{unknown}; or give 'safe'"
        )
    if not all(isinstance(name, str) and name for name in rename.values()):
        raise InvalidOptionError(f"rename={rename!r}: names in files are texts that are not empty")
    renamed = {paths[text]: name for text, name in rename.items()}
    taken: dict[Path, set[str]] = {(): {schema.other or ""}}
    for path in paths.values():
        name, siblings = renamed.get(path, path[-1]), taken.setdefault(path[:-1], set())
        if name in siblings:
            raise InvalidOptionError(f"rename={rename!r}: {name!r} is then the name of two columns; choose another one")
        siblings.add(name)
    return renamed


def _viewed(column: pa.Array | pa.ChunkedArray, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    """Return the column as this type, which has the same layout."""
    if isinstance(column, pa.ChunkedArray):
        return pa.chunked_array([chunk.view(kind) for chunk in column.chunks], kind)
    return column.view(kind)
