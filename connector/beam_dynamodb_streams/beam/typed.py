"""Beam's base classes for steps whose types are declared where they are applied.

Beam (2.77) takes an annotation that is text, as in every module with `from __future__ import annotations`, for `Any`,
and logs each: "Converting string literal type hint to Any". These classes leave annotations to type checkers. A step
says what Beam must know with `with_input_types` and `with_output_types`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import apache_beam as beam
from apache_beam.transforms.core import get_function_args_defaults
from apache_beam.typehints.decorators import IOTypeHints, get_type_hints, no_annotations

__all__ = ["OwnCombineFn", "OwnDoFn", "OwnTransform", "no_annotations"]


_Parameters: TypeAlias = tuple[list[str], list[Any]]
_PARAMETERS: Final[dict[tuple[type, str], _Parameters]] = {}
_INSPECT: Final = "_inspect_"


class OwnDoFn(beam.DoFn):
    """A DoFn whose annotations are not read by Beam, and whose signatures are read once.

    Beam (2.77) reads the signatures of all methods of a step about ten times until it runs. Before it does, it asks the
    step for `_inspect_<method>`.
    """

    def default_type_hints(self) -> IOTypeHints:
        return IOTypeHints.empty()

    def __getattr__(self, name: str) -> Callable[[], _Parameters]:
        method = name.removeprefix(_INSPECT)
        if method == name or not hasattr(type(self), method):
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}", name=name, obj=self)
        return lambda: self._parameters_of(method)

    def _parameters_of(self, method: str) -> _Parameters:
        found = _PARAMETERS.get((type(self), method))
        if found is None:
            found = _PARAMETERS[type(self), method] = get_function_args_defaults(getattr(self, method))
        return found


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
