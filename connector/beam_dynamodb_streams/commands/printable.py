"""Text of others, made safe for a terminal: names of tables and attributes and ids are whatever their author wrote."""

from __future__ import annotations

import re
from typing import Final

# Control characters, which begin a terminal's escapes; marks that change the direction of the text around them; and
# halves of surrogate pairs, which no terminal can be sent.
_UNSAFE: Final = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_IN_TEXT: Final = re.compile(f"[{_UNSAFE}]")
_IN_LINES: Final = re.compile(f"(?![\n\t])[{_UNSAFE}]")


def printable(text: str) -> str:
    """Return the text in one line, with each unsafe character as its escape, such as `\\x1b`."""
    return _IN_TEXT.sub(_escape, text)


def printable_lines(text: str) -> str:
    """Return the text as `printable` does, but with its line ends and tabs."""
    return _IN_LINES.sub(_escape, text)


def printable_json(text: str) -> str:
    """Return JSON of the same value, in which every unsafe character is an escape of JSON."""
    return _IN_LINES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
