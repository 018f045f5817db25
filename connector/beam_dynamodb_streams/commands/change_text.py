"""A change in one line for people: `MODIFY o-9  total 9 → 1009`. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import zip_longest
from typing import Any, Final

from beam_dynamodb_streams.commands.printable import printable
from beam_dynamodb_streams.records import ChangeRecord

MOST_COLUMNS: Final = 40
"""How many columns of a terminal a value takes at most. Of a longer one the part is shown that differs."""
MOST_ATTRIBUTES: Final = 12
"""How many attributes a line shows at most."""

_ARROW: Final = "→"
_CUT: Final = "…"
_COLOURS: Final = {"INSERT": "32", "MODIFY": "33", "REMOVE": "31", "READ": "36", "key": "1", "+": "32", "-": "31"}
#: A string that could be read as another value, or whose ends could not be seen.
_AMBIGUOUS: Final = re.compile(
    r"|[-+]?[\d.]+(?:[eE][-+]?\d+)?|true|false|null|\s.*|.*\s|[\"\[{<].*|.*(?:, |→).*", re.DOTALL
)
_MISSING: Final = object()


def change_text(change: ChangeRecord, *, colours: bool = False) -> str:
    """Return the change in one line: what happened, to which item, and what differs. Text of others is made printable.

    An attribute that was added begins with `+`, and one that was removed with `-`; what changed inside a map has its
    path, such as `address.city`. Without an old image nothing is known of before, and `total → 9` has the value since.
    """
    keys = "/".join(_value(value, cut=False) for value in change.keys.values())
    event = _coloured(f"{change.event_name:6}", change.event_name, colours)
    by = " (time to live)" if change.is_ttl_delete else ""
    parts = list(_differences(change, colours))
    if len(parts) > MOST_ATTRIBUTES:
        parts = [*parts[:MOST_ATTRIBUTES], f"{_CUT} and {len(parts) - MOST_ATTRIBUTES:,} more"]
    return f"{event} {_coloured(keys, 'key', colours)}{by}  {', '.join(parts)}".rstrip()


def _differences(change: ChangeRecord, colours: bool) -> Iterator[str]:
    old, new = change.old_image, change.new_image
    if old is not None and new is not None:
        yield from _between("", old, new, colours)
        return
    image = new if new is not None else old
    for name, value in ({} if image is None else image).items():
        if name not in change.keys:
            known = image is old or change.event_name != "MODIFY"  # else the value since: before is not in the stream
            yield f"{printable(name)} {_value(value)}" if known else f"{printable(name)} {_ARROW} {_value(value)}"


def _between(path: str, old: Mapping[str, Any], new: Mapping[str, Any], colours: bool) -> Iterator[str]:
    """Yield what differs between two images, or between two maps in them, in the order of the old one."""
    for name in [*old, *(name for name in new if name not in old)]:
        before, after = old.get(name, _MISSING), new.get(name, _MISSING)
        if before == after and type(before) is type(after):
            continue
        place = f"{path}{printable(name)}"
        if before is _MISSING:
            yield _coloured(f"+{place} {_value(after)}", "+", colours)
        elif after is _MISSING:
            yield _coloured(f"-{place} {_value(before)}", "-", colours)
        elif isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _between(f"{place}.", before, after, colours)
        else:
            skipped = _same_start(_text(before), _text(after))
            yield f"{place} {_value(before, skipped)} {_ARROW} {_value(after, skipped)}"


def _value(value: object, skipped: int = 0, *, cut: bool = True) -> str:
    text = _text(value)
    return _shortened(text, skipped) if cut else text


def _text(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            text = printable(value)
            return f'"{text}"' if _AMBIGUOUS.fullmatch(value) else text
        case Decimal():
            return f"{value:f}" if -20 < value.adjusted() < 20 else str(value)
        case bytes():
            return f"<{len(value):,} bytes {value[:16].hex()}{_CUT if len(value) > 16 else ''}>"
        case Mapping():
            return f"{{{', '.join(f'{printable(str(name))}: {_text(each)}' for name, each in value.items())}}}"
        case set() | frozenset():
            return f"{{{', '.join(sorted(map(_text, value)))}}}"
        case list() | tuple():
            return f"[{', '.join(map(_text, value))}]"
    return printable(str(value))


def _same_start(before: str, after: str) -> int:
    """Return how many characters to leave out at the start of two texts, where what differs would else be cut off."""
    same = next(index for index, (a, b) in enumerate(zip_longest(f"{before}\0", f"{after}\1")) if a != b)
    return max(0, same - MOST_COLUMNS // 4) if columns_of(before[: same + 1]) > MOST_COLUMNS // 2 else 0


def _shortened(text: str, skipped: int) -> str:
    """Return the text in at most `MOST_COLUMNS`, without its first characters if it is too long with them."""
    if columns_of(text) <= MOST_COLUMNS:
        return text
    start = _CUT if skipped else ""
    rest = text[skipped:]
    if columns_of(start + rest) <= MOST_COLUMNS:
        return start + rest
    taken = columns_of(start) + 1  # of the mark at the end
    for index, character in enumerate(rest):
        taken += columns_of(character)
        if taken > MOST_COLUMNS:
            return f"{start}{rest[:index]}{_CUT}"
    return start + rest


def columns_of(text: str) -> int:
    """Return how many columns of a terminal the text takes: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _coloured(text: str, style: str, colours: bool) -> str:
    return f"\x1b[{_COLOURS[style]}m{text}\x1b[0m" if colours and style in _COLOURS else text
