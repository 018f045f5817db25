"""The output directory: what it may be, how it is checked, and how the files in it are named.

Readers see complete files only. A file is written under ``_temporary`` inside the output directory and
renamed when it is whole; Spark, Hive and pyarrow skip names that begin with an underscore, and unfinished
files lack the suffix, so a ``*.parquet`` glob skips them too. The rename is atomic on a local disk; object
stores copy, then delete, and show the copy only when it is whole.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from datetime import UTC, datetime, timedelta

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.transforms.window import BoundedWindow, GlobalWindow
from apache_beam.utils.timestamp import Timestamp

from connector.errors import InvalidOptionError

TEMPORARY = "_temporary"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def output_directory(path: str | os.PathLike[str]) -> str:
    """``path`` as text; refuses one whose scheme no installed Beam filesystem serves. Touches no disk."""
    if not isinstance(path, str | os.PathLike):
        raise InvalidOptionError(f"path={path!r} is not a path: give the output directory as text or os.PathLike")
    directory = os.fspath(path)
    if not isinstance(directory, str) or not directory.strip():
        raise InvalidOptionError(
            f"path={path!r} names no directory: give the output directory, as in 's3://bucket/changes'"
        )
    try:
        FileSystems.get_filesystem(directory)
    except ValueError as error:
        scheme = FileSystems.get_scheme(directory)
        fix = {
            "s3": "install beam-dynamodb-streams[aws]",
            "gs": "install apache-beam[gcp]",
            "azfs": "install apache-beam[azure]",
            "file": "give a local path without a scheme",
        }.get(scheme or "", "give a local path, or one of a filesystem that Beam knows")
        raise InvalidOptionError(f"path={directory!r}: no filesystem for {scheme}:// is installed: {fix}") from error
    return directory


def is_local(directory: str) -> bool:
    return FileSystems.get_scheme(directory) is None


def check_writable(directory: str) -> None:
    """Creates the directory if need be, and a hidden or temporary file in it, gone on return.

    Raises InvalidOptionError if any of that fails, so that a pipeline ends before it reads, not after.
    """
    try:
        if is_local(directory):
            os.makedirs(directory, exist_ok=True)
            with tempfile.TemporaryFile(dir=directory, prefix=".check-"):
                pass
        else:
            probe = FileSystems.join(directory, TEMPORARY, f"check-{uuid.uuid4().hex}")
            with FileSystems.create(probe, compression_type=CompressionTypes.UNCOMPRESSED) as file:
                file.write(b"-")  # Beam's S3 writer fails on a file of no bytes
            FileSystems.delete([probe])
    except Exception as error:  # each filesystem raises what its client raises
        raise InvalidOptionError(
            f"path={directory!r} cannot be written ({type(error).__name__}: {error}): give a directory in"
            " which this process may create, rename and delete files"
        ) from error


class FileNaming:
    """``changes-<start>-<end>-<stamp>[-<index>]<suffix>``; globally windowed files have no start and end.

    The stamp is unique to the bundle that wrote the file, so no pane, window, bundle, worker or restart
    repeats a name, and a retried rename names the same file. ``index`` is above 0 only if a runner cut a
    stamped bundle in two before the write. Names sort by window, and hold no character that an object store
    or Windows refuses.
    """

    def __init__(self, suffix: str) -> None:
        self._suffix = suffix

    def __call__(
        self,
        window: BoundedWindow,
        pane: object,  # noqa: ARG002 - WriteToFiles gives None
        index: int,
        total: int,  # noqa: ARG002
        compression: str,  # noqa: ARG002
        stamp: str,
    ) -> str:
        span = "" if isinstance(window, GlobalWindow) else f"{_instant(window.start)}-{_instant(window.end)}-"
        return f"changes-{span}{stamp}{f'-{index}' if index else ''}{self._suffix}"


def _instant(timestamp: Timestamp) -> str:
    instant = _EPOCH + timedelta(microseconds=timestamp.micros)
    fraction = f".{instant.microsecond:06d}" if instant.microsecond else ""
    return f"{instant:%Y%m%dT%H%M%S}{fraction}Z"
