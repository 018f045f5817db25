"""A stream whose last line is rewritten in place."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TextIO, cast

from beam_dynamodb_streams.commands.pass_through import PassThrough


class Terminal(PassThrough):
    """A text stream with a last line that is rewritten. What else is written to it goes above that line. Thread-safe.

    It writes carriage returns and spaces only, which every terminal supports. On a stream that is not a terminal, no
    line is shown.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lock = threading.RLock()  # a finalizer may warn while its thread holds it
        self._shown = ""
        self._mid_line = False
        self._silent = not stream.isatty()

    def show(self, text: str) -> None:
        """Replace the last line with `text`, cut to the width of the terminal."""
        with self._lock:
            if not self._silent and not self._mid_line:
                self._draw(text[: self._width() - 1])

    def write(self, text: str) -> int:
        return self._write(text, self._stream)

    def beside(self, stream: TextIO) -> TextIO:
        """Return a stream that writes to another one of the same terminal, such as stdout, above the line."""
        return cast(TextIO, _Beside(self, stream))

    def _write(self, text: str, stream: TextIO) -> int:
        with self._lock:
            self._draw("")
            self._mid_line = not text.endswith("\n") if text else self._mid_line
            written = stream.write(text)
            if stream is not self._stream:
                stream.flush()  # before the line is drawn again
            return written

    def close(self) -> None:
        """Remove the line, and show no other one. The stream stays open."""
        with self._lock:
            self._draw("")
            self._silent = True

    def _draw(self, text: str) -> None:
        if text == self._shown:
            return
        blank = " " * (len(self._shown) - len(text))
        with suppress(OSError):  # the terminal has gone, which must not end the run
            self._stream.write(f"\r{text}{blank}" + ("" if text else "\r"))
            self._stream.flush()
        self._shown = text

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except OSError:
            return 80


class _Beside(PassThrough):
    """See `Terminal.beside`."""

    def __init__(self, terminal: Terminal, stream: TextIO) -> None:
        super().__init__(stream)
        self._terminal = terminal

    def write(self, text: str) -> int:
        return self._terminal._write(text, self._stream)
