"""The option `path` of a sink: which directories are accepted, and whether one can be written before anything is read.

`output` reads and writes what is in the directory.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from typing import Final

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_dynamodb_streams.errors import InvalidOptionError

#: Inside the output directory: where unfinished files are.
TEMPORARY: Final = "_temporary"


def output_directory(path: str | os.PathLike[str]) -> str:
    """Return `path` as text. Raises InvalidOptionError if no filesystem for it is installed. It touches no disk."""
    if not isinstance(path, str | os.PathLike):
        raise InvalidOptionError(f"path={path!r} is not a path: pass the output directory as text or os.PathLike")
    directory = os.fspath(path)
    if not isinstance(directory, str) or not directory.strip():
        raise InvalidOptionError(
            f"path={path!r} names no directory: pass the output directory, as in 's3://bucket/changes'"
        )
    try:
        FileSystems.get_filesystem(directory)
    except ValueError as error:
        scheme = FileSystems.get_scheme(directory)
        fix = {
            "s3": "install beam-dynamodb-streams[aws]",
            "gs": "install apache-beam[gcp]",
            "azfs": "install apache-beam[azure]",
            "file": "use a local path without a scheme",
        }.get(scheme or "", "use a local path, or one of a filesystem that Beam knows")
        raise InvalidOptionError(f"path={directory!r}: no filesystem for {scheme}:// is installed: {fix}") from error
    if not is_local(directory) and set("[*?") & set(directory):
        raise InvalidOptionError(
            f"path={directory!r}: Beam's filesystems read '[', '*' and '?' as a pattern, which may match other outputs"
            " too: use a path without them"
        )
    return directory


def is_local(directory: str) -> bool:
    return FileSystems.get_scheme(directory) is None


def check_writable(directory: str) -> None:
    """Create the directory if it does not exist, and create and remove a hidden or temporary file in it.

    Raises InvalidOptionError if any of that fails, so that a pipeline fails before it reads, not after.
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
            f"path={directory!r} cannot be written ({type(error).__name__}: {error}): use a directory in"
            " which this process may create, rename and delete files"
        ) from error
