"""The API reference, made of docstrings: `python -m docs.reference DIRECTORY`. Anything doubtful is an error."""

from __future__ import annotations

import sys
import typing
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import pdoc
import pdoc.doc
import pdoc.render

import beam_dynamodb_streams
from beam_dynamodb_streams.records import fields, record
from beam_dynamodb_streams.records.values import Value

#: `beam_dynamodb_streams.errors` comes with the package, whose `__all__` names it.
MODULES = (
    *("beam_dynamodb_streams", "beam_dynamodb_streams.metrics", "beam_dynamodb_streams.testing"),
    *(
        "beam_dynamodb_streams.records",
        "beam_dynamodb_streams.columns",
        "beam_dynamodb_streams.rows",
        "beam_dynamodb_streams.sinks",
        "beam_dynamodb_streams.lakehouse",
        "beam_dynamodb_streams.wire",
    ),
)


#: What a reader looks for first. The other public names follow, by name.
FIRST = (
    *("ReadFromDynamoDBStreams", "ChangeRecord", "WriteChangesToParquet", "WriteChangesToAvro"),
    *("WriteChangesToJsonLines", "AsRows", "Schema", "read_schema", "sample"),
)


def build(directory: Path) -> None:
    _help_pdoc()
    pdoc.render.configure(docformat="google", footer_text="beam-dynamodb-streams")
    with warnings.catch_warnings(), _as_readers_look_for_it():
        warnings.simplefilter("error", UserWarning)
        pdoc.pdoc(MODULES[0], output_directory=directory)  # the submodules come with it


@contextmanager
def _as_readers_look_for_it() -> Iterator[None]:
    """Show the main class first, list the submodules, and leave out what Beam's base classes bring."""
    public = beam_dynamodb_streams.__all__
    submodules = [name.rpartition(".")[2] for name in MODULES[1:]]
    shown: typing.Any = pdoc.doc.Class
    whole_bases, whole_inherited = shown.bases, shown.inherited_members

    def bases(self: typing.Any) -> list[tuple[str, str, str]]:
        found: list[tuple[str, str, str]] = whole_bases.func(self)
        return [base for base in found if not _is_beams(base[0], base[2])]

    def inherited(self: typing.Any) -> dict[tuple[str, str], list[pdoc.doc.Doc[typing.Any]]]:
        found: dict[tuple[str, str], list[pdoc.doc.Doc[typing.Any]]] = whole_inherited.func(self)
        return {place: members for place, members in found.items() if not _is_beams(place[0], place[1])}

    vars(beam_dynamodb_streams)["__all__"] = [
        *FIRST,
        *sorted({*public} - {*FIRST, *submodules}),
        *dict.fromkeys(submodules),
    ]
    shown.bases, shown.inherited_members = property(bases), property(inherited)
    try:
        yield
    finally:
        vars(beam_dynamodb_streams)["__all__"] = public
        shown.bases, shown.inherited_members = whole_bases, whole_inherited


def _is_beams(module: str, text: str) -> bool:
    return module.startswith("apache_beam") or (module == "typing" and "InputT" in text)


def _help_pdoc() -> None:
    """What pdoc reads in another module than the one in which it was written: the text inside a recursive type, and the
    annotations of a named tuple's constructor."""
    for module in (fields, record):
        vars(module).update(Decimal=Decimal, Value=Value)
    for name in MODULES:
        for thing in list(vars(import_module(name)).values()):
            if isinstance(thing, type) and issubclass(thing, tuple) and hasattr(thing, "_fields"):
                typing.cast(typing.Any, thing.__new__).__annotations__ = typing.get_type_hints(thing)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
    print(f"{sys.argv[1]}/index.html")
