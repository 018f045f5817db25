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
            "s3": "run pip install 'apache-beam[aws]', here and on every worker",
            "gs": "run pip install 'apache-beam[gcp]', here and on every worker",
            "azfs": "run pip install 'apache-beam[azure]', here and on every worker",
            "s3a": "write s3:// in place of s3a://",
            "s3n": "write s3:// in place of s3n://",
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
        raise InvalidOptionError(f"path={directory!r} cannot be written {_cause(error)}") from error


_CAUSES: Final = (
    ("NoSuchBucket", "the bucket does not exist: create it, or check its name and the region"),
    ("form s3://", "write s3://BUCKET/FOLDER"),
    ("AccessDenied", "access denied: allow s3:PutObject, GetObject, DeleteObject and ListBucket there"),
    ("Forbidden", "access denied: allow s3:PutObject, GetObject, DeleteObject and ListBucket there"),
    ("InvalidAccessKeyId", "the access key is unknown: check the credentials, or the profile"),
    ("SignatureDoesNotMatch", "the secret key is wrong: check the credentials, or the profile"),
    ("ExpiredToken", "the credentials have expired: renew them"),
    ("Unable to locate credentials", "no AWS credentials were found: set them up as for the AWS command line"),
    ("PermanentRedirect", "the bucket is in another region: set AWS_DEFAULT_REGION or --s3_region_name to its region"),
    ("AuthorizationHeaderMalformed", "the bucket is in another region: set AWS_DEFAULT_REGION or --s3_region_name"),
    ("Could not connect", "the endpoint does not answer: check the network and --s3_endpoint_url"),
)
"""What a text of S3 or of Beam's client for it means, with the fix."""


def _cause(error: Exception) -> str:
    said = f"({type(error).__name__}: {error})"
    fix = next((fix for sign, fix in _CAUSES if sign in str(error)), None)
    return f"{said}: " + (fix or "use a directory in which this process may create, rename and delete files")
