"""The arguments of a YAML transform: their names, JSON values only, and texts that become values of the library."""

from __future__ import annotations

import difflib
import functools
import inspect
import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final, TypeVar

import apache_beam as beam

from beam_dynamodb_streams.columns import Schema, read_schema
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.progress.address import Progress

_DURATION: Final = re.compile(r"(?=\d)(?:(?P<hours>\d+)h)?(?:(?P<minutes>\d+)m)?(?:(?P<seconds>\d+)s)?")

_Made = TypeVar("_Made", bound=Callable[..., beam.PTransform])


def json_arguments(make: _Made) -> _Made:
    """Return `make` with a check of its arguments before it is called: their names, and that JSON can hold them.

    The signature stays, because Beam reads the schema of the configuration from it.
    """
    known = list(inspect.signature(make).parameters)

    @functools.wraps(make)
    def checked(**arguments: Any) -> beam.PTransform:
        for name, value in arguments.items():
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"the arguments are {', '.join(known)}"
                raise InvalidOptionError(f"{name} is not an argument: {hint}")
            _check_json(name, value)
        return make(**arguments)

    return checked  # type: ignore[return-value]  # `wraps` keeps the signature


def _check_json(name: str, value: object) -> None:
    if isinstance(value, datetime | date):
        raise InvalidOptionError(f'{name}={value}: YAML reads this as a date; put it in quotes, as in "{_iso(value)}"')
    if isinstance(value, Mapping):
        for key, each in value.items():
            _check_json(f"{name}.{key}", each)
    elif isinstance(value, list):
        for each in value:
            _check_json(name, each)
    elif value is not None and not isinstance(value, str | int | float):
        raise InvalidOptionError(f"{name}={value!r}: give a text, a number, true, false, a list or a mapping")


def _iso(moment: date) -> str:
    text = moment.isoformat()
    if not isinstance(moment, datetime):
        return f"{text}T00:00:00Z"
    return text.replace("+00:00", "Z") if moment.tzinfo is not None else f"{text}Z"


def start_of(value: Any) -> Any:
    """Return `start` as a read takes it: a moment is text here, and a saved position may be a mapping."""
    if isinstance(value, Mapping):
        return json.dumps(dict(value))
    return _moment("start", value)


def stop_of(value: Any) -> Any:
    """Return `stop` as a read takes it: a moment and a duration such as "10m" are text here, and a count may be."""
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return _moment("stop", duration_of("stop", value))


def duration_of(name: str, value: Any) -> Any:
    """Return a timedelta for a text such as "10m" or "1h30m", and any other value as it is.

    Raises:
        InvalidOptionError: The text is a duration of nothing.
    """
    if not isinstance(value, str) or not (parts := _DURATION.fullmatch(value)):
        return value
    duration = timedelta(**{unit: int(number) for unit, number in parts.groupdict().items() if number})
    if not duration:
        raise InvalidOptionError(f'{name}={value!r} is not a duration: use a second or more, such as "10m"')
    return duration


def _moment(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(f"{value[:-1]}+00:00" if value.endswith("Z") else value)
    except ValueError:
        return value
    if moment.tzinfo is None:
        raise InvalidOptionError(f'{name}={value!r} has no timezone: write "{moment.isoformat()}Z" for UTC')
    return moment


def schema_of(schema: Any, keys: Any, rename: Any) -> Schema | None:
    """Return the `Schema` of the arguments `schema`, `keys` and `rename`; None without one.

    Raises:
        InvalidOptionError: They are not a schema.
    """
    if schema is None:
        if keys is not None:
            raise InvalidOptionError(f"keys={keys!r} without schema: they are the key attributes of a schema")
        if rename is not None:
            raise InvalidOptionError(f"rename={rename!r} without schema: it gives the columns of a schema other names")
        return None
    if not isinstance(schema, str | Mapping):
        raise InvalidOptionError(
            f"schema={schema!r}: give a mapping of attributes to types, a saved schema, or the path of a file with one"
        )
    if keys is not None and (isinstance(keys, str) or not all(isinstance(each, str) for each in keys)):
        raise InvalidOptionError(f"keys={keys!r}: give the names of the table's key attributes in a list")
    return read_schema(schema, keys=keys) if rename is None else read_schema(schema, keys=keys, rename=rename)


def progress_of(value: Any) -> Any:
    """Return `progress` as a read takes it: a mapping has the arguments of `Progress`."""
    if not isinstance(value, Mapping):
        return value
    known = ("address", "region_name", "endpoint_url", "takeover_after", "commit_every")
    unknown = [name for name in value if name not in known]
    if unknown or "address" not in value:
        raise InvalidOptionError(f"progress={dict(value)!r}: give an address, or a mapping of {', '.join(known)}")
    return Progress(**{name: duration_of(name, each) for name, each in value.items()})


def errors_of(error_handling: Any) -> str | None:
    """Return the name of the error output; None without one.

    Raises:
        InvalidOptionError: `error_handling` is anything but a mapping with an output.
    """
    if error_handling is None:
        return None
    output = error_handling.get("output") if isinstance(error_handling, Mapping) else None
    if not isinstance(output, str) or not output or output == MAIN or set(error_handling) != {"output"}:
        raise InvalidOptionError(
            f"error_handling={error_handling!r}: use {{output: NAME}}, with the name of the output for errors"
        )
    return output


#: The name of the main output beside one for errors, as in Beam's own transforms.
MAIN: Final = "good"
