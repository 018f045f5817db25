"""The API reference is built from docstrings without a warning, and has every public name."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import beam_dynamodb_streams
from docs.reference import MODULES, build


def test_the_reference_is_built_without_a_warning_and_has_the_whole_public_surface(tmp_path: Path) -> None:
    build(tmp_path)
    page = (tmp_path / "beam_dynamodb_streams.html").read_text("utf-8")
    assert not [name for name in beam_dynamodb_streams.__all__ if f'id="{name}"' not in page and name != "errors"]
    for module in (*MODULES[1:], "beam_dynamodb_streams.errors"):
        assert (tmp_path / f"{module.replace('.', '/')}.html").exists()


def test_everything_public_says_what_it_is() -> None:
    silent = []
    for module in map(importlib.import_module, MODULES):
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if (inspect.isclass(thing) or inspect.isfunction(thing)) and not inspect.getdoc(thing):
                silent.append(f"{module.__name__}.{name}")
    assert not silent
