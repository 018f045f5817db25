"""The data files of exports as elements: the manifests are read and checked, and each file becomes one element."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Final

import apache_beam as beam
import msgspec
from apache_beam import coders

from beam_dynamodb_streams.beam.coders import OwnCoder
from beam_dynamodb_streams.beam.typed import OwnDoFn
from beam_dynamodb_streams.exports.folder import blocks_of_lines, read_data, read_export
from beam_dynamodb_streams.exports.rows import FileContext, RowDecoder
from beam_dynamodb_streams.exports.summary import DataFile, Export, check_chain

_LOGGER: Final = logging.getLogger(__name__)


class ExportFile(msgspec.Struct, frozen=True):
    """The element: one data file of an export, and what its rows need to know.

    Attributes:
        path: The folder of the export.
        arn: The ARN of the export.
        key: The key of the data file.
        items: How many rows it has; None where unknown.
        md5: Its checksum; None where unknown.
        table_id: This and the next five are as in `exports.rows.FileContext`.
    """

    path: str
    arn: str
    key: str
    items: int | None
    md5: str | None
    table_id: str
    epoch: int
    moment: int
    view: str
    incremental: bool
    keys: tuple[str, ...]

    @property
    def context(self) -> FileContext:
        return FileContext(
            self.key, self.table_id, self.epoch, self.moment, self.view, self.incremental, tuple(self.keys)
        )


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(ExportFile).decode


class ExportFileCoder(OwnCoder):
    hint = ExportFile
    name = "export_file:v1"

    def encode(self, value: ExportFile) -> bytes:
        return _encode(value)

    def decode(self, encoded: bytes) -> ExportFile:
        return _decode(encoded)


coders.registry.register_coder(ExportFile, ExportFileCoder)


@beam.typehints.with_output_types(ExportFile)
class ListExports(OwnDoFn):
    """Turns one element into the data files of exports, once their manifests have passed every check."""

    def __init__(self, paths: Sequence[str], keys: tuple[str, ...] = (), table_id: str | None = None) -> None:
        self._paths = paths
        self._keys = keys
        self._table_id = table_id

    def process(self, element: object) -> Iterator[ExportFile]:  # noqa: ARG002 - an impulse says nothing
        yield from files_of_exports(read_exports(self._paths, self._table_id), self._keys)


def read_exports(paths: Sequence[str], table_id: str | None = None) -> list[tuple[Export, list[DataFile]]]:
    """Return the exports with their data files, checked one by one and together. Raises `ExportError`."""
    found = [read_export(path) for path in paths]
    check_chain([export for export, _ in found], table_id)
    return found


def files_of_exports(
    found: Sequence[tuple[Export, list[DataFile]]], keys: tuple[str, ...], epoch: int | None = None
) -> Iterator[ExportFile]:
    """Yield an element for each data file. `epoch` is that of all rows; by default each export has its own."""
    if not keys:
        keys = _keys_in(found)
    if not keys and any(export.since is None for export, _ in found):
        _LOGGER.warning(
            "%s does not say which attributes are the key of its table, so each whole item is taken as its key: give "
            "keys=[…], the partition key first",
            found[0][0],
        )
    for export, files in found:
        incremental = export.since is not None
        for file in files:
            yield ExportFile(
                export.path,
                export.arn,
                file.key,
                file.items,
                file.md5,
                export.table_id,
                export.epoch if epoch is None else epoch,
                export.moment,
                export.view if incremental else "NEW_IMAGE",
                incremental,
                keys,
            )


def _keys_in(found: Sequence[tuple[Export, list[DataFile]]]) -> tuple[str, ...]:
    """Return the names of the keys that the first row of an incremental export has; none without such a row."""
    if all(export.since is not None for export, _ in found):
        return ()  # nobody needs them
    for export, files in found:
        for file in files if export.since is not None else ():
            for block in blocks_of_lines(read_data(export.path, file), file.key):
                context = FileContext(file.key, export.table_id, export.epoch, export.moment, "", True)
                for key in RowDecoder(context).rows(block).fields.keys:
                    return tuple(msgspec.json.decode(key, type=dict[str, Any]))
    return ()
