"""The folder of an export, read with Beam's filesystems: local, S3, or any other that Beam knows.

Checksums are compared before anything of a file is used. A data file is read whole, and decompressed in blocks.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_dynamodb_streams.errors import ExportError, InvalidOptionError
from beam_dynamodb_streams.exports.summary import DataFile, Export, export_of, files_of, matches

SUMMARY: Final = "manifest-summary"
FILES: Final = "manifest-files"
_CHECKSUMS: Final = (".checksum", ".md5", ".json.checksum", ".json.md5")  # as the service has named them over the years
_ROOT: Final = "AWSDynamoDB/"
_BLOCK: Final = 4 << 20


def export_paths(paths: object, *, option: str = "path") -> tuple[str, ...]:
    """Return the folders of exports that an option names. It touches no disk.

    Args:
        paths: The path of one folder, or several in a list.
        option: The name of the option, for errors.

    Raises:
        InvalidOptionError: A path is not text, or no filesystem for it is installed.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else paths
    if not isinstance(given, Sequence) or not given:
        raise InvalidOptionError(
            f"{option}={paths!r}: give the folder of an export, as in 's3://bucket/prefix/AWSDynamoDB/01234-abcd/', "
            "or a list: a full export and the incremental ones after it"
        )
    return tuple(_folder(path, option) for path in given)


def _folder(path: object, option: str) -> str:
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str) or not text.strip():
        raise InvalidOptionError(
            f"{option}={path!r} is not a path: give the folder AWSDynamoDB/<ExportId>/ of an export"
        )
    text = text.removesuffix(f"{SUMMARY}.json").rstrip("/")
    try:
        FileSystems.get_filesystem(text)
    except ValueError:
        scheme = FileSystems.get_scheme(text)
        fix = {"s3": ": run pip install 'apache-beam[aws]'", "gs": ": run pip install 'apache-beam[gcp]'"}.get(
            scheme or "", ""
        )
        raise InvalidOptionError(f"{option}={path!r}: no filesystem for {scheme}:// is installed{fix}") from None
    return text


def read_export(path: str) -> tuple[Export, list[DataFile]]:
    """Return the export of a folder and its data files.

    Raises:
        ExportError: A manifest is missing, damaged or of an export that is refused.
    """
    export = export_of(_manifest(path, SUMMARY), path)
    return export, files_of(_manifest(path, FILES), export)


def _manifest(path: str, name: str) -> bytes:
    try:
        body = _read(f"{path}/{name}.json")
    except FileNotFoundError:
        raise ExportError(
            f"{path}: it has no {name}.json: give the folder AWSDynamoDB/<ExportId>/ of an export that is complete "
            "(an export that still runs, or failed, has only _started and data)"
        ) from None
    for ending in _CHECKSUMS:
        try:
            checksum = _read(f"{path}/{name}{ending}").decode(errors="replace")
        except FileNotFoundError:
            continue
        if not matches(checksum, body):
            raise ExportError(
                f"{path}: the checksum in {name}{ending} does not fit its {name}.json, so one of them was changed or "
                "cut off: copy the export again"
            )
    return body


def data_path(path: str, file: DataFile) -> str:
    """Return where a data file is, beside the manifest that names it, wherever the folder was copied to.

    A full export has its data in its own folder, and incremental exports share the folder `data` beside theirs.
    """
    parent, _, export_id = path.rpartition("/")
    inside = file.key.rpartition(_ROOT)[2]
    first, _, rest = inside.partition("/")
    if first == "data" and rest:
        return f"{parent}/{inside}" if parent else inside
    return f"{path}/{rest}" if rest and (first == export_id or rest.startswith("data/")) else f"{path}/{inside}"


def read_data(path: str, file: DataFile) -> bytes:
    """Return the bytes of a data file, compressed as they are.

    Raises:
        ExportError: The file is missing, or its checksum does not fit.
    """
    where = data_path(path, file)
    try:
        data = _read(where)
    except FileNotFoundError:
        raise ExportError(
            f"{path}: the data file {where} does not exist, though its manifest names it: copy the export again, with "
            "its data (that of incremental exports is in the folder data beside theirs)"
        ) from None
    if file.md5 is not None and not matches(file.md5, data):
        raise ExportError(
            f"{path}: the checksum of the data file {where} does not fit: the manifest says {file.md5}, so the file "
            "was changed or cut off: copy it again"
        )
    return data


def blocks_of_lines(data: bytes, where: str) -> Iterator[bytes]:
    """Yield blocks of whole lines of a data file, decompressed.

    Raises:
        ExportError: The data cannot be decompressed.
    """
    if not data.startswith(b"\x1f\x8b"):
        yield data
        return
    rest = b""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            while block := file.read(_BLOCK):
                end = block.rfind(b"\n") + 1
                if end:
                    yield rest + block[:end]
                    rest = block[end:]
                else:
                    rest += block
    except (OSError, EOFError, zlib.error) as fault:
        raise ExportError(f"the data file {where} cannot be decompressed ({fault}): copy it again") from None
    if rest:
        yield rest


def _read(path: str) -> bytes:
    """Return the bytes of a file. Raises FileNotFoundError, or ExportError if it cannot be read."""
    try:
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            return bytes(file.read())
    except FileNotFoundError:
        raise
    except Exception as fault:  # each filesystem raises what its client raises
        if is_missing(path, fault):
            raise FileNotFoundError(path) from fault
        raise ExportError(f"{path} cannot be read ({type(fault).__name__}: {fault})") from fault


def is_missing(path: str, fault: Exception) -> bool:
    """Return whether a fault of opening a file means that there is no such file."""
    if getattr(fault, "code", None) == 404:
        return True
    try:
        return not FileSystems.exists(path)
    except (BeamIOError, OSError, ValueError):
        return False
