"""A file that is being written where readers do not see it, and the errors of writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from apache_beam.io.filesystem import BeamIOError, FileMetadata

from beam_dynamodb_streams.errors import ConnectorError


class UnfinishedFile:
    """A file that is being written where readers do not see it.

    `handle` is open until `publish` or `discard` ends it. `path` is where it is meanwhile, inside the output.
    """

    def __init__(
        self, path: str, handle: BinaryIO, publish: Callable[[str], FileMetadata], remove: Callable[[], object]
    ) -> None:
        self.path = path
        self.handle = handle
        self._publish = publish
        self._remove = remove

    def publish(self, path: str) -> FileMetadata:
        """Put the whole file in its place, over a file of the same name. Raises ConnectorError if that fails."""
        try:
            return self._publish(path)
        except (OSError, BeamIOError) as error:
            raise ConnectorError(
                f"{path} cannot be put in its place ({type(error).__name__}: {error}): check that the output still"
                " exists, is writable and has space, and read its changes again"
            ) from error

    def discard(self) -> None:
        """Close the file after a failure, and remove it if possible."""
        with suppress(Exception):  # the failure that led here is the one to report
            self.handle.close()
        with suppress(Exception):
            self._remove()


@contextmanager
def write_errors(path: str) -> Iterator[None]:
    """Raise what a filesystem refuses as a ConnectorError that says what to do."""
    try:
        yield
    except (OSError, BeamIOError) as error:
        raise ConnectorError(
            f"{path} cannot be written ({type(error).__name__}: {error}): readers see no part of the file, and complete"
            " files are unchanged. Free some space, or use another output, and read its changes again"
        ) from error
