"""A text stream in front of another one."""

from __future__ import annotations

import io
from typing import TextIO


class PassThrough(io.TextIOBase):
    """A text stream that writes to another one, and is a terminal if that one is. A subclass says what is written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()
