"""`FilterCriteria`: which changes a handler is given, by the service's event patterns.

A change passes if one of the patterns matches its record of the event. What a pattern says about the envelope (the
names, the keys, the identity) is decided first; an image is decoded only if a pattern that can still match looks at it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.handlers.lambda_event import decode_json, envelope
from beam_dynamodb_streams.handlers.pattern import Alternative, Pattern, compile_pattern
from beam_dynamodb_streams.handlers.pattern_match import Paths, holds, values_of
from beam_dynamodb_streams.handlers.pattern_values import PatternError
from beam_dynamodb_streams.records import ChangeRecord

_MOST: Final = 5  #: patterns, by the service's default quota
_LONGEST: Final = 4096  #: characters of a pattern
_IMAGES: Final = {"dynamodb.NewImage": "new_image_json", "dynamodb.OldImage": "old_image_json"}


@dataclass(frozen=True, slots=True)
class _Part:
    """What one alternative of a pattern says about the envelope, or about one image.

    The parts share no array, so each is decided alone.
    """

    alternative: Alternative
    paths: Paths

    @staticmethod
    def of(alternative: Alternative) -> _Part:
        return _Part(alternative, Paths.of(frozenset(alternative)))

    def holds(self, members: Mapping[str, Any], path: str | None = None) -> bool:
        return holds(self.alternative, values_of(members, self.paths, path))


@dataclass(frozen=True, slots=True)
class _Choice:
    """One alternative of a pattern, in parts. `images` has the part of each image that it looks at."""

    envelope: _Part
    images: tuple[tuple[str, _Part], ...]

    @staticmethod
    def of(alternative: Alternative) -> _Choice:
        rest = dict(alternative)
        images = []
        for path in _IMAGES:
            part = {name: rest.pop(name) for name in alternative if name.startswith(f"{path}.")}
            if part:
                images.append((path, _Part.of(part)))
        return _Choice(_Part.of(rest), tuple(images))


@dataclass(frozen=True, slots=True)
class FilterCriteria:
    """Compiled patterns. They are pickled as their texts, since a pipeline may ship them."""

    patterns: tuple[str, ...]
    _choices: tuple[_Choice, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        compiled = [_compiled(text) for text in self.patterns]
        object.__setattr__(
            self, "_choices", tuple(_Choice.of(each) for found in compiled for each in found.alternatives)
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return FilterCriteria, (self.patterns,)

    def pass_change(self, change: ChangeRecord, stream_arn: str) -> bool:
        """Return whether a change of this stream passes.

        Raises:
            MalformedRecordError: An image that a pattern looks at is not JSON.
        """
        if not self._choices:
            return True
        record = envelope(change, stream_arn)
        record["dynamodb"]["Keys"] = decode_json(change.keys_json)
        images: dict[str, Mapping[str, Any]] = {}
        return any(self._chosen(choice, change, record, images) for choice in self._choices)

    @staticmethod
    def _chosen(
        choice: _Choice, change: ChangeRecord, record: Mapping[str, Any], images: dict[str, Mapping[str, Any]]
    ) -> bool:
        if not choice.envelope.holds(record):
            return False
        for path, part in choice.images:
            if path not in images:
                raw = getattr(change, _IMAGES[path])
                images[path] = {} if raw is None else decode_json(raw)
            if not part.holds(images[path], path):
                return False
        return True


def parse_filter_criteria(option: object, *, name: str = "filter_criteria") -> FilterCriteria | None:
    """Return the criteria of an option; None for None.

    The option is as CreateEventSourceMapping takes it, `{"Filters": [{"Pattern": "…"}]}`, or its list of filters, or a
    list of patterns. A pattern is JSON text or a dict; one pattern alone needs no list. All of it may be JSON text.

    Raises:
        InvalidOptionError: The service would refuse it.
    """
    if option is None or isinstance(option, FilterCriteria):
        return option
    found = _parsed(option, name)
    if isinstance(found, Mapping) and "Filters" in found and set(found) == {"Filters"}:
        found = found["Filters"]
        if found is None:
            return None
    if isinstance(found, str | Mapping):
        found = [found]
    if not isinstance(found, Sequence):
        raise InvalidOptionError(
            f"{name}={option!r}: give {{'Filters': [{{'Pattern': '…'}}]}}, or a list of event patterns"
        )
    if len(found) > _MOST:
        raise InvalidOptionError(
            f"{name} has {len(found)} filters, and the service allows {_MOST}: join patterns with $or"
        )
    return FilterCriteria(tuple(_text_of(pattern, name) for pattern in found))


def _parsed(option: object, name: str) -> Any:
    if not isinstance(option, str):
        return option
    try:
        return json.loads(option)
    except ValueError as error:
        raise InvalidOptionError(
            f"{name}: Invalid filter pattern definition. {option!r} is not JSON: {error}"
        ) from None


def _text_of(pattern: object, name: str) -> str:
    if isinstance(pattern, Mapping) and set(pattern) == {"Pattern"} and isinstance(pattern["Pattern"], str | Mapping):
        pattern = pattern["Pattern"]
    if isinstance(pattern, Mapping):
        try:
            pattern = json.dumps(pattern)
        except (TypeError, ValueError) as error:
            raise InvalidOptionError(f"{name}: Invalid filter pattern definition. {pattern!r}: {error}") from None
    if not isinstance(pattern, str):
        raise InvalidOptionError(f"{name}: Invalid filter pattern definition. {pattern!r} is not an event pattern")
    if len(pattern) > _LONGEST:
        raise InvalidOptionError(
            f"{name}: a pattern has {len(pattern):,} characters, and the service allows {_LONGEST:,}"
        )
    return pattern


def _compiled(text: str) -> Pattern:
    try:
        return compile_pattern(text)
    except PatternError as error:
        raise InvalidOptionError(f"filter_criteria: Invalid filter pattern definition. {text}: {error}") from None
