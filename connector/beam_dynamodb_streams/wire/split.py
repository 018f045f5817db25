"""Splits the text of a page into its records where the decoder refuses the page as a whole. Only for that.

One record may hold what is not JSON: half of a surrogate pair, a raw control character, NaN, or values nested deeper
than the decoder can follow. The splitter looks at quotes and brackets alone, so it still finds where each record begins
and ends. It does not recurse.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Final

import msgspec

# A whole string. No part of it is matched twice: the possessive form only says so to Python 3.11 and newer.
if sys.version_info >= (3, 11):
    _STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
else:
    _STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
# A whole string, a quote without its end, or a mark of the structure.
_TOKEN: Final = re.compile(_STRING + rb'|["\[\]{},]', re.DOTALL)
_KEY: Final = re.compile(rb"\s*(" + _STRING + rb")\s*:", re.DOTALL)
_SPACE: Final = b" \t\n\r"
_CLOSING: Final = {b"[": b"]", b"{": b"}"}


class SplitError(ValueError):
    """The text is not a whole object or array: a bracket, a quote or a member is missing."""


def split_page(body: bytes, array: str) -> tuple[bytes, list[bytes]]:
    """Return the text of an object without the elements of one of its arrays, and the text of each element.

    Args:
      body: the text of the object.
      array: the name of the member that is the array.

    Raises:
      SplitError: the text is cut off, or has no such array.
    """
    found: list[bytes] | None = None
    frame: list[bytes] = []
    for key, value in _members(body):
        if _name(key) == array:
            found = list(_parts(value, b"["))
            value = b"[]"
        frame.append(key + b":" + value)
    if found is None:
        raise SplitError(f"it has no array {array}")
    return b"{" + b",".join(frame) + b"}", found


def find_member(text: bytes, *path: str) -> bytes | None:
    """Return the text of a member of an object of an object and so on; None if there is no such member.

    Raises:
      SplitError: an object on the way cannot be split.
    """
    for name in path:
        found = [value for key, value in _members(text) if _name(key) == name]
        if not found:
            return None
        text = found[-1]
    return text


def _members(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    for part in _parts(text, b"{"):
        key = _KEY.match(part)
        if key is None:
            raise SplitError("a member has no name")
        yield key[1], part[key.end() :].strip(_SPACE)


def _parts(text: bytes, opening: bytes) -> Iterator[bytes]:
    """Yield what the commas of an object or array separate."""
    text = text.strip(_SPACE)
    if not text.startswith(opening):
        raise SplitError("it is not what it should be")
    begin, open_brackets = 1, []
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if len(mark) > 1:
            continue
        if mark in _CLOSING:
            open_brackets.append(_CLOSING[mark])
        elif mark == b",":
            if len(open_brackets) == 1:
                yield text[begin : token.start()].strip(_SPACE)
                begin = token.end()
        elif mark == b'"':
            raise SplitError("a text has no end")
        elif open_brackets.pop() != mark:
            raise SplitError("a bracket does not match")
        elif not open_brackets:
            if token.end() != len(text):
                raise SplitError("something follows its end")
            last = text[begin : token.start()].strip(_SPACE)
            if last or begin > 1:
                yield last
            return
    raise SplitError("it has no end")


def _name(key: bytes) -> str | None:
    try:
        return msgspec.json.decode(key, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
