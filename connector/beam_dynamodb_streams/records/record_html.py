"""A change as a small HTML table, for notebooks."""

from __future__ import annotations

from beam_dynamodb_streams.display import html_table, short
from beam_dynamodb_streams.records.values import Image, same_values


def change_table(keys: Image, old: Image, new: Image, *, title: str, note: str) -> str:
    """Return a table of the attributes, each with its old and new value, and a mark where they differ."""
    rows = [
        (
            f"{name} (key)" if name in keys else name,
            short(old[name], 200) if name in old else "",
            short(new[name] if name in new else keys[name] if name in keys and not old else "", 200),
            "" if name in keys or (name in old and name in new and same_values(old[name], new[name])) else "●",
        )
        for name in dict.fromkeys([*keys, *old, *new])
    ]
    return html_table(("attribute", "old", "new", "changed"), rows, title=title, note=note)


def malformed_table(reason: str, *, title: str, note: str) -> str:
    """Return the table of a change whose keys or images cannot be decoded."""
    return html_table((), [(reason,)], title=title, note=note)
