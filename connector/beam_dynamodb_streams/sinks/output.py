"""How files get into the output directory, whole or not at all, and how they are read, listed and deleted there.

A file is written under `_temporary` inside the output directory, and renamed when it is whole. Spark, Hive, Trino and
pyarrow skip names that begin with an underscore. Unfinished files have no suffix, so a glob like `*.parquet` skips them
too. On a local disk the file is flushed to the disk before the rename, which is atomic. Object stores copy and then
delete, and show the copy only when it is whole.
"""

from __future__ import annotations

import os
import re
import sys
import uuid
from collections.abc import Iterable
from typing import Final, Protocol

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems

from beam_dynamodb_streams.errors import ConnectorError, InvalidOptionError
from beam_dynamodb_streams.sinks.directory import TEMPORARY, is_local
from beam_dynamodb_streams.sinks.manifest import FOLDERS
from beam_dynamodb_streams.sinks.unfinished import UnfinishedFile, write_errors


class Output(Protocol):
    """An output directory. Paths are relative to it, with `/` between their parts. Failures raise ConnectorError."""

    @property
    def directory(self) -> str:
        """Where it is, for errors."""

    def create(self) -> UnfinishedFile:
        """Return a new file. Errors here, and of writes to its handle, are those of the filesystem."""

    def read(self, path: str) -> bytes:
        """Return the contents of a file."""

    def local(self, path: str) -> str | None:
        """Return the path of a file on this machine's disks, None if it is elsewhere."""

    def list(self, prefix: str = "") -> list[str]:
        """Return the paths of all files that begin with `prefix`, sorted.

        It raises if the list may be incomplete: a manifest that seems to be missing would let changes be written twice.
        """

    def delete(self, paths: Iterable[str]) -> None:
        """Delete files; those that do not exist are ignored."""


_UNFINISHED: Final = re.compile(rf"{TEMPORARY}/(check-)?[\da-f]{{32}}")


def is_unfinished(path: str) -> bool:
    """Return whether a path is that of an unfinished file of ours. Spark, for one, has a `_temporary` of its own."""
    return _UNFINISHED.fullmatch(path) is not None


def write_whole(output: Output, path: str, data: bytes) -> None:
    """Write a small file, whole or not at all. Raises ConnectorError if it cannot be written."""
    with write_errors(path):
        unfinished = output.create()
        try:
            unfinished.handle.write(data)
            unfinished.publish(path)
        except BaseException:
            unfinished.discard()
            raise


def open_output(directory: str) -> Output:
    """Return the output at a directory, local or of any filesystem that Beam knows. It touches no disk."""
    return LocalOutput(directory) if is_local(directory) else BeamOutput(directory)


class LocalOutput:
    """A directory of this machine, or of what is mounted on it."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    @property
    def directory(self) -> str:
        return self._directory

    def _at(self, path: str) -> str:
        return os.path.join(self._directory, *path.split("/"))

    def create(self) -> UnfinishedFile:
        inside = f"{TEMPORARY}/{uuid.uuid4().hex}"
        temporary = self._at(inside)
        os.makedirs(os.path.dirname(temporary), exist_ok=True)
        handle = open(temporary, "xb")  # noqa: SIM115 - UnfinishedFile closes it

        def publish(path: str) -> FileMetadata:
            handle.flush()
            os.fsync(handle.fileno())
            handle.close()
            place = self._at(path)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.replace(temporary, place)
            _sync_directory(os.path.dirname(place))
            found = os.stat(place)
            return FileMetadata(place, found.st_size, found.st_mtime)

        return UnfinishedFile(inside, handle, publish, lambda: os.unlink(temporary))

    def local(self, path: str) -> str:
        return self._at(path)

    def read(self, path: str) -> bytes:
        try:
            with open(self._at(path), "rb") as file:
                return file.read()
        except OSError as error:
            raise ConnectorError(f"{self._at(path)} cannot be read: {error}") from error

    def list(self, prefix: str = "") -> list[str]:
        top = self._at(prefix.rpartition("/")[0])

        def failed(error: OSError) -> None:
            place = error.filename or top
            if place == top and isinstance(error, FileNotFoundError) and _was_never_made(top):
                return
            if place == top or self._inside(place).startswith(FOLDERS):
                raise ConnectorError(f"{place} cannot be listed: {error}") from error

        found = []
        for place, folders, names in os.walk(top, onerror=failed, followlinks=True):
            path = self._inside(place)
            folders[:] = [name for name in folders if self._is_listed(f"{path}{name}/", prefix)]
            found += [f"{path}{name}" for name in names if f"{path}{name}".startswith(prefix)]
        return sorted(found)

    def _inside(self, place: str) -> str:
        inside = os.path.relpath(place, self._directory)
        return "" if inside == os.curdir else f"{inside.replace(os.sep, '/')}/"

    def _is_listed(self, folder: str, prefix: str) -> bool:
        """Return whether a folder is searched.

        A link is followed only if it is one of our folders, moved to another disk. Other links may lead anywhere.
        """
        if not folder.startswith(prefix[: len(folder)]):
            return False
        return folder.startswith(FOLDERS) or not os.path.islink(self._at(folder.rstrip("/")))

    def delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            try:
                os.unlink(self._at(path))
            except FileNotFoundError:
                pass
            except OSError as error:
                raise ConnectorError(f"{self._at(path)} cannot be deleted: {error}") from error


def _was_never_made(folder: str) -> bool:
    """Return whether a folder was never created, and is not behind a broken link, as to an unmounted disk."""
    found = os.path.abspath(folder)
    while not os.path.lexists(found):
        found = os.path.dirname(found)
    return found != os.path.abspath(folder) and os.path.isdir(found)


def _sync_directory(directory: str) -> None:
    if sys.platform == "win32":
        return  # where a directory cannot be opened
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class BeamOutput:
    """Any filesystem that Beam knows."""

    def __init__(self, directory: str) -> None:
        self._directory = directory.rstrip("/")

    @property
    def directory(self) -> str:
        return self._directory

    def _at(self, path: str) -> str:
        return f"{self._directory}/{path}"

    def create(self) -> UnfinishedFile:
        inside = f"{TEMPORARY}/{uuid.uuid4().hex}"
        temporary = self._at(inside)
        handle = FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED)

        def publish(path: str) -> FileMetadata:
            size = handle.tell()
            handle.close()
            place = self._at(path)
            FileSystems.rename([temporary], [place])
            found: FileMetadata = FileSystems.get_filesystem(place).metadata(place)
            if found.size_in_bytes != size:
                raise OSError(f"{place} has {found.size_in_bytes} bytes instead of the {size} written")
            return found

        return UnfinishedFile(inside, handle, publish, lambda: FileSystems.delete([temporary]))

    def local(self, path: str) -> None:  # noqa: ARG002 - every output's signature
        return None

    def read(self, path: str) -> bytes:
        try:
            with FileSystems.open(self._at(path), compression_type=CompressionTypes.UNCOMPRESSED) as file:
                return bytes(file.read())
        except (OSError, BeamIOError) as error:
            raise ConnectorError(f"{self._at(path)} cannot be read: {error}") from error

    def list(self, prefix: str = "") -> list[str]:
        if FileSystems.get_filesystem(self._directory).has_dirs():
            raise InvalidOptionError(
                f"path={self._directory!r}: Beam lists one folder at a time there, so the contents of the output"
                " cannot be known: write without resume(), or to a local disk or an object store"
            )
        try:
            (match,) = FileSystems.match([self._at(f"{prefix}**")])
        except (OSError, BeamIOError) as error:
            raise ConnectorError(f"{self._at(prefix)} cannot be listed: {error}") from error
        paths = (found.path[len(self._directory) + 1 :] for found in match.metadata_list)
        return sorted(path for path in paths if path and not path.endswith("/"))  # some consoles mark a folder so

    def delete(self, paths: Iterable[str]) -> None:
        places = [self._at(path) for path in paths]
        try:
            if places:
                FileSystems.delete(places)
        except (OSError, BeamIOError) as error:
            raise ConnectorError(f"files in {self._directory} cannot be deleted: {error}") from error
