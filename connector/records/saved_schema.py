"""A schema as JSON text: what is saved beside a pipeline and edited by hand. A promise: see tests/compat."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pyarrow as pa

from connector.errors import InvalidOptionError
from connector.records.forms import column_of, form_of
from connector.records.schema import OnMisfit, Schema

VERSION: Final = 1


class _Saved(msgspec.Struct, forbid_unknown_fields=True):
    """Attributes as `connector.records.forms` writes them, in the order of the columns."""

    version: int
    keys: list[str]
    attributes: dict[str, Any]
    other: str | None = "other_attributes"
    on_misfit: OnMisfit = "dead_letter"
    on_misfit_in: dict[str, OnMisfit] = {}


_encode: Final = msgspec.json.Encoder().encode


def encode_schema(schema: Schema) -> str:
    """The same text from equal schemas."""
    policies = {name: schema.on_misfit_in[name] for name in schema.attributes.names if name in schema.on_misfit_in}
    attributes = {column.name: form_of(column) for column in schema.attributes}
    saved = _Saved(VERSION, list(schema.keys), attributes, schema.other, schema.on_misfit, policies)
    return msgspec.json.format(_encode(saved), indent=2).decode()


def decode_schema(text: str | bytes) -> Schema:
    try:
        return schema_of(msgspec.json.decode(text))
    except (msgspec.DecodeError, UnicodeError) as fault:
        raise InvalidOptionError(f"a saved schema cannot be read: {fault}") from None


def schema_of(parsed: object) -> Schema:
    """The schema of the parsed text. Raises `InvalidOptionError` on another version or layout."""
    version = parsed.get("version") if isinstance(parsed, dict) else None
    if isinstance(version, int) and version != VERSION:
        raise InvalidOptionError(
            f"a saved schema has version {version}, and this release reads version {VERSION}: read it with the release "
            f"that wrote it"
        )
    try:
        saved = msgspec.convert(parsed, _Saved)
    except msgspec.ValidationError as fault:
        raise InvalidOptionError(f"a saved schema cannot be read: {fault}") from None
    attributes = pa.schema([column_of(name, form) for name, form in saved.attributes.items()])
    return Schema(
        attributes, tuple(saved.keys), other=saved.other, on_misfit=saved.on_misfit, on_misfit_in=saved.on_misfit_in
    )
