"""Beam's base classes for steps whose types are declared where they are applied.

Beam (2.77) takes an annotation that is text, as in every module with `from __future__ import annotations`, for `Any`,
and logs each: "Converting string literal type hint to Any". These classes leave annotations to type checkers. A step
says what Beam must know with `with_input_types` and `with_output_types`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.typehints.decorators import IOTypeHints, get_type_hints, no_annotations

__all__ = ["OwnCombineFn", "OwnDoFn", "OwnTransform", "no_annotations"]


class OwnDoFn(beam.DoFn):
    """A DoFn whose annotations are not read by Beam."""

    def default_type_hints(self) -> IOTypeHints:
        return IOTypeHints.empty()


class OwnCombineFn(beam.CombineFn):
    """A CombineFn whose annotations are not read by Beam."""

    def default_type_hints(self) -> IOTypeHints:
        return get_type_hints(type(self))


class OwnTransform(beam.PTransform):
    """A composite transform whose annotations are not read by Beam."""

    if TYPE_CHECKING:
        # What Beam's own types say of `pcollection | transform` cannot be unpacked, and has no fields: pyright would
        # refuse `changes, dead_letters, losses = pipeline | read.with_outputs()`.
        def __ror__(self, left: Any, label: str | None = None) -> Any: ...

    def default_type_hints(self) -> IOTypeHints:
        return get_type_hints(type(self))
