"""Beam's convention for errors: `with_exception_handling` and `with_error_handler`, as its own transforms have them.

An element of the errors is what Beam's ParDo returns for a failed element: the pair of the element, and of the error's
class, its text and the lines of a traceback. Here the element is a dead letter, a loss or a misfit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import apache_beam as beam
from apache_beam import typehints
from apache_beam.pvalue import PCollection
from typing_extensions import Self

from beam_dynamodb_streams.beam.typed import OwnTransform, no_annotations
from beam_dynamodb_streams.errors import ConnectorError, InvalidOptionError

if TYPE_CHECKING:
    from apache_beam.transforms.error_handling import ErrorHandler

_INFO = typehints.Tuple[type, str, typehints.List[str]]


class FailedElement(Protocol):
    """An element of an output for errors, which knows the error that it would be without such an output."""

    def to_error(self) -> ConnectorError: ...


class ErrorOutputs(tuple[PCollection, ...]):
    """The two outputs of `with_exception_handling`, by position and by name: `good, bad = …`, or `outputs["bad"]`."""

    names: tuple[str, str]

    def __new__(cls, good: PCollection, bad: PCollection, names: tuple[str, str]) -> Self:
        made = super().__new__(cls, (good, bad))
        made.names = names
        return made

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            if key not in self.names:
                raise KeyError(f"{key!r} is not an output: the outputs are {self.names[0]!r} and {self.names[1]!r}")
            return super().__getitem__(self.names.index(key))
        return super().__getitem__(key)


@dataclass(frozen=True)
class ErrorHandling:
    """Where the errors of a transform go: to an error handler, or to an output of its own."""

    names: tuple[str, str]
    handler: ErrorHandler | None

    def result(self, elements: PCollection, *errors: PCollection) -> PCollection | ErrorOutputs:
        """Return the result of a transform with these elements and errors."""
        made = [
            each | f"{getattr(each.element_type, '__name__', 'Error')}Errors" >> _as_errors(each.element_type)
            for each in errors
        ]
        if self.handler is not None:
            for each in made:
                self.handler.add_error_pcollection(each)
            return elements
        bad = made[0] if len(made) == 1 else made | "Errors" >> beam.Flatten()
        return ErrorOutputs(elements, bad, self.names)


class HandlesErrors(OwnTransform):
    """A transform with outputs for errors, which may go to an error handler of Beam instead."""

    _handling: ErrorHandling | None = None

    def with_exception_handling(
        self,
        main_tag: str = "good",
        dead_letter_tag: str = "bad",
        *,
        error_handler: ErrorHandler | None = None,
        **others: Any,
    ) -> Self:
        """Return the same transform with its errors as data, as Beam's own transforms have it.

        ```python
        good, bad = pipeline | read.with_exception_handling()
        ```

        An element of `bad` is `(element, (error class, text, traceback lines))`. The element is a `DeadLetter`, a
        `Loss` (with `on_data_loss="continue"`) or a `Misfit`, as in `with_outputs()`. This transform is not changed.

        Args:
            main_tag: The name of the first output.
            dead_letter_tag: The name of the second output.
            error_handler: Where the errors go instead of an output; the result is then the first output alone.
            others: Beam's other arguments are about exceptions of a function of the author. They are refused.

        Raises:
            InvalidOptionError: For an argument that has no meaning here, or two equal names.
        """
        if others:
            raise InvalidOptionError(
                f"with_exception_handling({', '.join(others)}=…): {type(self).__name__} calls no function that could "
                "raise, so it takes main_tag, dead_letter_tag and error_handler alone"
            )
        if main_tag == dead_letter_tag:
            raise InvalidOptionError(f"main_tag and dead_letter_tag are both {main_tag!r}: give two names")
        return self._with_handling(ErrorHandling((main_tag, dead_letter_tag), error_handler))

    def with_error_handler(self, error_handler: ErrorHandler | None, **others: Any) -> Self:
        """Return the same transform, whose errors go to an error handler of Beam; None leaves it as it is.

        ```python
        with beam.transforms.error_handling.ErrorHandler(WriteErrors()) as handler:
            changes = pipeline | read.with_error_handler(handler)
        ```
        """
        return self if error_handler is None else self.with_exception_handling(error_handler=error_handler, **others)

    def _with_handling(self, handling: ErrorHandling) -> Self:
        """Return a copy with this handling of errors, and the outputs that it needs."""
        raise NotImplementedError  # each transform copies itself in its own way; Beam's base class is no ABC


def _as_errors(kind: Any) -> beam.PTransform:
    return beam.Map(_as_error).with_output_types(typehints.Tuple[kind, _INFO])


@no_annotations
def _as_error(element: FailedElement) -> tuple[FailedElement, tuple[type, str, list[str]]]:
    error = element.to_error()
    kind = type(error)
    return element, (kind, repr(error), [f"{kind.__module__}.{kind.__qualname__}: {error}\n"])
