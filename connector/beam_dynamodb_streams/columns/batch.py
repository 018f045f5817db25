"""Changes to typed Arrow columns, with no Python object for an attribute: the columnar path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_dynamodb_streams.columns.parse import ImageParser
from beam_dynamodb_streams.columns.scalar import AttributeMisfit, fit_image
from beam_dynamodb_streams.columns.schema import Schema
from beam_dynamodb_streams.errors import MisfitError
from beam_dynamodb_streams.records.envelope import entry_fields
from beam_dynamodb_streams.records.text_columns import metadata_of_page, metadata_of_records

if TYPE_CHECKING:
    from beam_dynamodb_streams.records.record import ChangeRecord
    from beam_dynamodb_streams.wire import RawRecord

_Json = bytes | msgspec.Raw


@dataclass(frozen=True, slots=True)
class Misfit:
    """An attribute that its column does not hold whole, with the change that it belongs to.

    ``image`` is ``"keys"``, ``"new_image"`` or ``"old_image"``; ``attribute`` is None if the image itself is malformed;
    ``payload`` is the DynamoDB JSON of the attribute, or of the image.
    """

    event_id: str
    shard_id: str
    sequence_number: str
    image: str
    attribute: str | None
    reason: str
    payload: bytes

    @property
    def place(self) -> str:
        """The image, or the attribute in it: ``new_image``, ``new_image.total``."""
        return self.image if self.attribute is None else f"{self.image}.{self.attribute}"


@dataclass(frozen=True, slots=True)
class ColumnBatch:
    """Rows of ``schema.arrow`` in the order of the changes, and what they don't hold (empty but for dead letters)."""

    rows: pa.RecordBatch
    misfits: list[Misfit]


class Columns:
    """Turns changes into rows of a schema. Thread-safe; Arrow parses without the interpreter lock.

    Every value is what `columns.scalar` makes of it, one by one. An attribute that does not fit is found by the
    parser or by a vectorised cast; only its image is then fitted in Python.

    It learns which attributes are NULL at times, and the names of those without a column, which changes its speed and
    nothing else. Images of a few shapes are the fastest (`columns.uniform`). Attributes without a column, and
    json columns, cost about as much again. Map columns are made one by one.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._images = ImageParser(schema)

    def of_page(self, records: Sequence[RawRecord], shard_id: str) -> ColumnBatch:
        """The entries of a page that was read from this shard."""
        fields = entry_fields(records)
        return self._rows(metadata_of_page(fields, shard_id), fields.keys, fields.new_images, fields.old_images)

    def of_records(self, records: Sequence[ChangeRecord]) -> ColumnBatch:
        """Any change records, such as those that a pipeline has filtered; their images need not be decoded."""
        return self._rows(
            metadata_of_records(records),
            [record._keys_raw for record in records],
            [record._new_image_raw for record in records],
            [record._old_image_raw for record in records],
        )

    def _rows(
        self, metadata: list[pa.Array], keys: list[_Json], new: list[_Json | None], old: list[_Json | None]
    ) -> ColumnBatch:
        """``metadata`` are the columns before the keys."""
        rows = len(keys)
        # A key is the same in both images, so keys are parsed only where a change has no image (fact 17).
        sections = [new, old]
        if any(one is None and other is None for one, other in zip(new, old, strict=True)):
            changes = zip(keys, new, old, strict=True)
            sections.append([key if one is None and other is None else None for key, one, other in changes])
        images, misfits = self._parse([raw for section in sections for raw in section])
        parts = [images.slice(start * rows, rows) for start in range(len(sections))]
        batch = pa.RecordBatch.from_arrays([*metadata, self._keys(parts), *parts[:2]], schema=self.schema.arrow)
        found = [_locate(batch, place, misfit) for place, misfit in misfits]
        return ColumnBatch(batch, [misfit for misfit in found if not self._is_kept(misfit)])

    def _is_kept(self, misfit: Misfit) -> bool:
        """True if the rows hold it in the column ``other``. Raises `MisfitError` if the schema says so."""
        attribute = misfit.attribute
        policy = self.schema.on_misfit if attribute is None else self.schema.policy(attribute)
        if policy == "raise":
            raise _error(misfit)
        return policy == "text" and attribute is not None and misfit.image != "keys"

    def _parse(self, raws: list[_Json | None]) -> tuple[pa.StructArray, list[tuple[int, AttributeMisfit]]]:
        """One struct an image in their order, null for None, and the misfits by the place of their image."""
        present = [raw for raw in raws if raw is not None]
        images, odd = self._images.parse(present)
        if len(present) == len(raws) and not len(odd):
            return images, []
        places = np.flatnonzero([raw is not None for raw in raws])
        misfits: list[tuple[int, AttributeMisfit]] = []
        fitted: list[dict[str, Any] | None] = []
        for place in odd:
            row, found = fit_image(self.schema, present[place])
            fitted.append(row)
            misfits += [(int(places[place]), misfit) for misfit in found]
        sources = np.full(len(raws), -1)
        sources[places] = np.arange(len(present))
        sources[places[odd]] = len(present) + np.arange(len(odd))
        all_images = pa.concat_arrays([images, pa.array(fitted, self.schema.image)])
        return all_images.take(pa.array(sources, mask=sources < 0)), misfits

    def _keys(self, images: list[pa.StructArray]) -> pa.StructArray:
        """The keys of each row from the first of its images that is there."""
        kind = self.schema.arrow.field("keys").type
        places = [self.schema.image.get_field_index(name) for name in self.schema.keys]
        if images[0].null_count == 0:
            columns = [pc.struct_field(images[0], [place]) for place in places]
        else:
            columns = [pc.coalesce(*(pc.struct_field(image, [place]) for image in images)) for place in places]
        return pa.StructArray.from_arrays(columns, fields=list(kind))


def _locate(rows: pa.RecordBatch, place: int, misfit: AttributeMisfit) -> Misfit:
    section, row = divmod(place, len(rows))
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
