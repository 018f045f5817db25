"""Changes to typed Arrow columns, without a Python object for an attribute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_dynamodb_streams.columns.parse import ImageParser
from beam_dynamodb_streams.columns.scalar import AttributeMisfit, convert_image
from beam_dynamodb_streams.columns.schema import Schema
from beam_dynamodb_streams.errors import MisfitError
from beam_dynamodb_streams.records.envelope import EntryFields, entry_fields
from beam_dynamodb_streams.records.text_columns import metadata_of_page, metadata_of_records
from beam_dynamodb_streams.records.versions import UNKNOWN_BASE

if TYPE_CHECKING:
    from beam_dynamodb_streams.records.record import ChangeRecord
    from beam_dynamodb_streams.wire import RawRecord

_Json = bytes | msgspec.Raw


@dataclass(frozen=True, slots=True)
class Misfit:
    """An attribute that its column does not hold whole, with the change that it belongs to.

    `image` is `"keys"`, `"new_image"` or `"old_image"`. `attribute` is None if the image itself is malformed.
    `payload` is the DynamoDB JSON of the attribute, or of the image.
    """

    event_id: str
    shard_id: str
    sequence_number: str
    image: str
    attribute: str | None
    reason: str
    payload: bytes

    def to_error(self) -> MisfitError:
        """Return the error that this is without an output for misfits."""
        return MisfitError(
            f"{self.place} does not fit its column: {self.reason}", shard=self.shard_id, position=self.sequence_number
        )

    @property
    def place(self) -> str:
        """The image, or the attribute in it: `new_image`, `new_image.total`."""
        return self.image if self.attribute is None else f"{self.image}.{self.attribute}"


@dataclass(frozen=True, slots=True)
class ColumnBatch:
    """Rows of `schema.arrow` in the order of the changes, and the misfits of them that are dead letters."""

    rows: pa.RecordBatch
    misfits: list[Misfit]


class Columns:
    """Converts changes to rows of a schema. Thread-safe; Arrow parses without the interpreter lock.

    Every value is that of `columns.scalar`, which converts one by one. The parser or a vectorised cast finds an
    attribute that does not fit; then only its image is converted in Python.

    The converter learns which attributes are sometimes NULL, and the names of those without a column. That changes only
    its speed. Images of a few shapes are fastest (`columns.uniform`). Attributes without a column, and json columns,
    take about as much time again. Map columns are converted one by one.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._images = ImageParser(schema)

    def of_page(self, records: Sequence[RawRecord], shard_id: str, version_base: str = UNKNOWN_BASE) -> ColumnBatch:
        """Return the rows of the entries of a page that was read from this shard."""
        return self.of_fields(entry_fields(records), shard_id, version_base)

    def of_fields(self, fields: EntryFields, shard_id: str, version_base: str | pa.Array) -> ColumnBatch:
        """Return the rows of the fields of entries. `version_base` is that of all entries, or of each."""
        metadata = metadata_of_page(fields, shard_id, version_base)
        return self._rows(metadata, fields.keys, fields.new_images, fields.old_images)

    def of_records(self, records: Sequence[ChangeRecord]) -> ColumnBatch:
        """Return the rows of change records, such as those that a pipeline filtered. No image is decoded."""
        return self._rows(
            metadata_of_records(records),
            [record._keys_raw for record in records],
            [record._new_image_raw for record in records],
            [record._old_image_raw for record in records],
        )

    def _rows(
        self, metadata: list[pa.Array], keys: list[_Json], new: list[_Json | None], old: list[_Json | None]
    ) -> ColumnBatch:
        """Return the rows of changes. `metadata` are the columns before the keys."""
        rows = len(keys)
        # A key is the same in both images, so keys are parsed only where a change has no image (trap 17).
        sections = [new, old]
        if any(one is None and other is None for one, other in zip(new, old, strict=True)):
            changes = zip(keys, new, old, strict=True)
            sections.append([key if one is None and other is None else None for key, one, other in changes])
        images, misfits = self._parse([raw for section in sections for raw in section])
        parts = [images.slice(start * rows, rows) for start in range(len(sections))]
        batch = pa.RecordBatch.from_arrays([*metadata, self._keys(parts), *parts[:2]], schema=self.schema.arrow)
        found = [_with_change(batch, index, misfit) for index, misfit in misfits]
        return ColumnBatch(batch, [misfit for misfit in found if not self._is_in_rows(misfit)])

    def _is_in_rows(self, misfit: Misfit) -> bool:
        """Return whether the rows hold the misfit in the column `other`. Raises `MisfitError` if the schema says so."""
        attribute = misfit.attribute
        policy = self.schema.on_misfit if attribute is None else self.schema.policy(attribute)
        if policy == "raise":
            raise _error(misfit)
        return policy == "text" and attribute is not None and misfit.image != "keys"

    def _parse(self, raws: list[_Json | None]) -> tuple[pa.StructArray, list[tuple[int, AttributeMisfit]]]:
        """Return a struct for each image, null for None, and the misfits with the index of their image."""
        present = [raw for raw in raws if raw is not None]
        images, recheck = self._images.parse(present)
        if len(present) == len(raws) and not len(recheck):
            return images, []
        indices = np.flatnonzero([raw is not None for raw in raws])
        misfits: list[tuple[int, AttributeMisfit]] = []
        converted: list[dict[str, Any] | None] = []
        for index in recheck:
            row, found = convert_image(self.schema, present[index])
            converted.append(row)
            misfits += [(int(indices[index]), misfit) for misfit in found]
        sources = np.full(len(raws), -1)
        sources[indices] = np.arange(len(present))
        sources[indices[recheck]] = len(present) + np.arange(len(recheck))
        all_images = pa.concat_arrays([images, pa.array(converted, self.schema.image)])
        return all_images.take(pa.array(sources, mask=sources < 0)), misfits

    def _keys(self, images: list[pa.StructArray]) -> pa.StructArray:
        """Return the keys of each row, from the first image that it has."""
        kind = self.schema.arrow.field("keys").type
        indices = [self.schema.image.get_field_index(name) for name in self.schema.keys]
        if images[0].null_count == 0:
            columns = [pc.struct_field(images[0], [index]) for index in indices]
        else:
            columns = [pc.coalesce(*(pc.struct_field(image, [index]) for image in images)) for index in indices]
        return pa.StructArray.from_arrays(columns, fields=list(kind))


def _with_change(rows: pa.RecordBatch, index: int, misfit: AttributeMisfit) -> Misfit:
    section, row = divmod(index, len(rows))
    event_id, shard_id, sequence_number = (
        rows.column(name)[row].as_py() for name in ("event_id", "shard_id", "sequence_number")
    )
    image = ("new_image", "old_image", "keys")[section]
    return Misfit(event_id, shard_id, sequence_number, image, misfit.attribute, misfit.reason, misfit.payload)


def _error(misfit: Misfit) -> MisfitError:
    return MisfitError(
        f"{misfit.place} does not fit its column: {misfit.reason}. Declare another type for it, or choose "
        f"on_misfit='dead_letter' or 'text'",
        shard=misfit.shard_id,
        position=misfit.sequence_number,
    )
