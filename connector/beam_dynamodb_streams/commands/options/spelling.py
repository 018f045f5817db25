"""Options as people write them: `--endpoint-url` is `--endpoint_url`, and `--tabel` names `--table`. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Final

_MOST_SUGGESTED: Final = 4


def respelled(words: Sequence[str], options: Iterable[str]) -> list[str]:
    """Return the words with each known option as it is in `options`, whether it was written with `_` or with `-`.

    What follows a word `--` is left as it is.
    """
    spellings = {_canonical(option): option for option in options if option.startswith("--")}
    spelled: list[str] = []
    for index, word in enumerate(words):
        if word == "--":
            return [*spelled, *words[index:]]
        name, equals, value = word.partition("=")
        known = spellings.get(_canonical(name)) if name.startswith("--") else None
        spelled.append(word if known is None else f"{known}{equals}{value}")
    return spelled


def option_names(words: Iterable[str]) -> list[str]:
    """Return the names of what looks like an option in a command line, such as `--table` of `--table=orders`."""
    names: list[str] = []
    for word in words:
        if word == "--":
            break
        name = word.partition("=")[0]
        if len(name) > 1 and name[0] == "-" and (name[1] == "-" or name[1].isalpha()) and " " not in name:
            names.append(name)
    return names


def suggestions(name: str, options: Iterable[str], *, closeness: float = 0.6) -> list[str]:
    """Return the options that somebody who wrote `name` may have meant, the most probable first; empty if none is near.

    `name` may be mistyped (`--tabel`), shortened (`--end`), a part of an option (`--arn`), or have one dash (`-table`).

    Args:
        name: what was written.
        options: the options that exist.
        closeness: how much of a mistyped name must be right, from 0 to 1.
    """
    meant = _canonical(name).strip("_").lower()
    known = {_canonical(option).strip("_"): option for option in options if option.startswith("--")}
    if not meant:
        return []
    if meant in known:
        return [known[meant]]
    near = difflib.get_close_matches(meant, known, _MOST_SUGGESTED, max(closeness, 0.75))
    shortened = sorted(each for each in known if each.startswith(meant))
    if near and not shortened:
        return [known[near[0]]]
    parts = sorted(each for each in known if _is_part(meant, each) or _is_part(each, meant))
    rough = difflib.get_close_matches(meant, known, 1, closeness)
    found = shortened or parts or rough
    return [known[each] for each in found] if len(found) <= _MOST_SUGGESTED else []


def question(options: Sequence[str]) -> str:
    """Return "did you mean --start or --stop?"."""
    *others, last = options
    return f"did you mean {', '.join(others)} or {last}?" if others else f"did you mean {last}?"


def _canonical(option: str) -> str:
    return option.replace("-", "_")


def _is_part(short: str, whole: str) -> bool:
    """Return whether all words of `short` follow one another in `whole`."""
    return len(short) > 2 and f"_{short}_" in f"_{whole}_"
