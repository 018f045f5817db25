"""The libraries of the extras `iceberg` and `delta`, imported when they are used."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any, Final

from beam_dynamodb_streams.errors import InvalidOptionError

_LIBRARIES: Final = {"iceberg": "pyiceberg", "delta": "deltalake"}


def require(extra: str, step: str) -> Any:
    """Return the library of an extra.

    Raises:
        InvalidOptionError: It is not installed. The message has the command that installs it.
    """
    library = _LIBRARIES[extra]
    try:
        return import_module(library)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] != library:
            raise
        raise InvalidOptionError(
            f"{step} needs {library}, which is not installed: run pip install '.[{extra}]' in the source tree of"
            " beam-dynamodb-streams (it is not on PyPI yet), here and on every worker"
        ) from error


def said(error: BaseException) -> str:
    """Return an error in one line, without the colours that deltalake gives it."""
    text = " ".join(re.sub(r"\x1b\[[\d;]*m", "", str(error)).split())
    return f"{type(error).__name__}: {text[:400]}" if text else type(error).__name__
