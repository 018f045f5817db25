"""The API reference, made of docstrings: `python -m docs.reference DIRECTORY`. Anything doubtful is an error."""

from __future__ import annotations

import sys
import typing
import warnings
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import pdoc
import pdoc.render

from beam_dynamodb_streams.records import fields, record
from beam_dynamodb_streams.records.values import Value

#: `beam_dynamodb_streams.errors` comes with the package, whose `__all__` names it.
MODULES = (
    *("beam_dynamodb_streams", "beam_dynamodb_streams.metrics", "beam_dynamodb_streams.testing"),
    *(
        "beam_dynamodb_streams.records",
        "beam_dynamodb_streams.columns",
        "beam_dynamodb_streams.sinks",
        "beam_dynamodb_streams.wire",
    ),
)


def build(directory: Path) -> None:
    _help_pdoc()
    pdoc.render.configure(docformat="google", footer_text="beam-dynamodb-streams")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        pdoc.pdoc(*MODULES, output_directory=directory)


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
