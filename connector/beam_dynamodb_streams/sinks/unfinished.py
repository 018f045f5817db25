"""A file that is being written, out of readers' sight, and what is told if that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from apache_beam.io.filesystem import BeamIOError, FileMetadata

from beam_dynamodb_streams.errors import ConnectorError


class Unfinished:
    """A file that is being written, out of readers' sight. ``handle`` is open until one of the two ends it."""

    def __init__(self, handle: BinaryIO, publish: Callable[[str], FileMetadata], remove: Callable[[], object]) -> None:
        self.handle = handle
        self._publish = publish
        self._remove = remove

    def finish(self, path: str) -> FileMetadata:
        """Puts the file in its place, whole, instead of one of the same name; raises ConnectorError if it is not."""
        try:
            return self._publish(path)
        except (OSError, BeamIOError) as error:
            raise ConnectorError(
                f"{path} cannot be put in its place ({type(error).__name__}: {error}): check that the output is still"
                " there, writable and not full, and read its changes again"
            ) from error

    def give_up(self) -> None:
        """After a failure: closes the file, and removes it if that can be done."""
        with suppress(Exception):  # the failure that led here is the one to tell
            self.handle.close()
        with suppress(Exception):
            self._remove()


@contextmanager
def told(path: str) -> Iterator[None]:
    """Tells what a filesystem refuses as an error of ours, with what to do."""
    try:
        yield
    except (OSError, BeamIOError) as error:
        raise ConnectorError(
            f"{path} cannot be written ({type(error).__name__}: {error}): no part of the file is in readers'"
            " sight, and files that were complete are untouched. Make room, or give another output, and read its"
            " changes again"
        ) from error
