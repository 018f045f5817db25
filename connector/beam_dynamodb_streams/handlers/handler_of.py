"""A handler from what names it: a function, or the text that Lambda's configuration has."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from beam_dynamodb_streams.errors import InvalidOptionError

Handler = Callable[[Any, Any], Any]


def handler_of(handler: object, *, name: str = "handler") -> Handler:
    """Return the function. A text is imported, as "package.module:function" or Lambda's own "package/module.function".

    Raises:
        InvalidOptionError: It is not callable, or cannot be imported.
    """
    if callable(handler):
        return handler
    if not isinstance(handler, str):
        raise InvalidOptionError(
            f'{name}={handler!r}: give a function of (event, context), or "package.module:function"'
        )
    module, separator, function = handler.rpartition(":")
    if not separator:
        module, separator, function = handler.rpartition(".")
    if not module or not function:
        raise InvalidOptionError(f'{name}={handler!r}: write "package.module:function"')
    try:
        found: Any = import_module(module.replace("/", "."))
        for part in function.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise InvalidOptionError(
            f"{name}={handler!r} cannot be imported: {error}. Is its directory in PYTHONPATH?"
        ) from error
    if not callable(found):
        raise InvalidOptionError(f"{name}={handler!r} is a {type(found).__name__}, which is not callable")
    return found  # type: ignore[no-any-return]  # an imported object has no known type


def name_of(handler: object) -> str:
    """Return the name of a function for the context."""
    if isinstance(handler, str):
        return handler.replace(":", ".").replace("/", ".").rpartition(".")[2]
    return str(getattr(handler, "__name__", type(handler).__name__))
