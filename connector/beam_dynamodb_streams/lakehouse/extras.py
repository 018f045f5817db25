"""The libraries of the extras `iceberg` and `delta`, imported when they are used."""

from __future__ import annotations

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
