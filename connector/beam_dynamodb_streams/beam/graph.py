"""The steps of a pipeline, as its author composed them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import apache_beam as beam
from apache_beam.pvalue import PValue
from apache_beam.transforms.core import GroupByKey, ParDo, Windowing

from beam_dynamodb_streams.beam.private import DOFN_SIGNATURE, IS_SPLITTABLE, IS_STATEFUL, RESOURCE_HINTS

if TYPE_CHECKING:
    from apache_beam.pipeline import AppliedPTransform

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transform is applied: under which label, and what it returned there."""

    label: str
    outputs: tuple[PValue, ...]


class Graph:
    """The steps of a pipeline as it stands now, producers before consumers. It is visited once, when this is made."""

    def __init__(self, pipeline: beam.Pipeline) -> None:
        self._composites: list[AppliedPTransform] = []
        self._steps: list[AppliedPTransform] = []
        pipeline.visit(self)

    # Beam calls these four while it visits the pipeline.

    def enter_composite_transform(self, transform_node: AppliedPTransform) -> None:
        self._composites.append(transform_node)

    def leave_composite_transform(self, transform_node: AppliedPTransform) -> None: ...

    def visit_transform(self, transform_node: AppliedPTransform) -> None:
        self._steps.append(transform_node)

    def visit_value(self, value: PValue, producer_node: AppliedPTransform) -> None: ...

    def places_of(self, transform: beam.PTransform) -> list[Place]:
        """Return each place where this very composite is applied."""
        return [
            Place(node.full_label, tuple(node.outputs.values()))
            for node in self._composites
            if node.transform is transform
        ]

    def composites(self, kind: type[_T]) -> Iterator[_T]:
        """Yield the composite transforms of this kind."""
        return (node.transform for node in self._composites if isinstance(node.transform, kind))

    def dofns(self) -> Iterator[tuple[beam.DoFn, beam.PCollection]]:
        """Yield the DoFn of each ParDo with its main output."""
        return ((node.transform.dofn, node.outputs[None]) for node in self._steps if isinstance(node.transform, ParDo))

    def grouping_after(self, outputs: Collection[PValue]) -> str | None:
        """Return the label of a step behind `outputs` that waits for the end of its input; None if there is none.

        A step that takes `outputs` as a side input waits too.
        """
        return self._first_after(outputs, _groups)

    def unfused_after(self, outputs: Collection[PValue]) -> str | None:
        """Return the label of a step behind `outputs` that may run in another bundle; None if there is none.

        Prism and FnApiRunner fuse a plain ParDo with what it reads from. A grouping, a Flatten, state and timers, a
        splittable DoFn, a side input and a step with an environment of its own (resource hints) each begin a stage.
        """
        return self._first_after(outputs, lambda node: not _is_plain(node))

    def first_with_side_input(self) -> str | None:
        """Return the label of the first step with a side input, wherever it is; None if there is none."""
        return next((str(node.full_label) for node in self._steps if node.side_inputs), None)

    def _first_after(self, outputs: Collection[PValue], stops: Callable[[AppliedPTransform], bool]) -> str | None:
        """Return the label of the first step behind `outputs` that takes them as a side input or `stops`."""
        reached = set(outputs)
        for node in self._steps:
            is_aside = not reached.isdisjoint(side.pvalue for side in node.side_inputs)
            if reached.isdisjoint(node.inputs) and not is_aside:
                continue
            if is_aside or stops(node):
                return str(node.full_label)
            reached.update(node.outputs.values())
        return None


@dataclass(frozen=True, slots=True)
class Held:
    """A step that holds elements back until a moment: its label, the windows of its input, and whether it has state."""

    label: str
    windowing: Windowing
    stateful: bool


def held_between(source: PValue, values: PValue) -> list[Held] | None:
    """Return the steps that hold elements back between a PCollection and one that is made of it.

    Return None if it is not made of it. A side input is not followed.
    """
    found: list[Held] = []
    waiting, seen, reached = [values], set[PValue](), False
    while waiting:
        value = waiting.pop()
        if value == source:
            reached = True
            continue
        node = value.producer
        if node is None or value in seen:
            continue
        seen.add(value)
        if _groups(node):
            stateful = isinstance(node.transform, ParDo)
            found += [Held(str(node.full_label), each.windowing, stateful) for each in node.inputs]
        waiting.extend(node.inputs)
    return found if reached else None


def transforms_behind(values: beam.PCollection, chosen: Callable[[object], bool]) -> list[tuple[Any, str | None]]:
    """Return each chosen transform that a PCollection comes from.

    With each is the label of a step between it and the PCollection that may run in another bundle; None if there is no
    such step. A side input is not followed.
    """
    found: list[tuple[Any, str | None]] = []
    waiting: list[tuple[PValue, str | None]] = [(values, None)]
    seen: set[tuple[PValue, bool]] = set()
    while waiting:
        value, unfused = waiting.pop()
        node = value.producer
        if node is None or (value, unfused is None) in seen:
            continue
        seen.add((value, unfused is None))
        source = _inside(node, chosen)
        if source is not None:
            found.append((source, unfused))
            continue
        if not _is_plain(node):
            unfused = unfused or str(node.full_label)
        waiting.extend((each, unfused) for each in node.inputs)
    return found


def dofns_behind(values: beam.PCollection, kind: type[_T]) -> list[tuple[_T, beam.PCollection]]:
    """Return each DoFn of this kind that a PCollection comes from, with its input. A side input is not followed."""
    found: list[tuple[_T, beam.PCollection]] = []
    waiting: list[PValue] = [values]
    seen: set[PValue] = set()
    while waiting:
        value = waiting.pop()
        node = value.producer
        if node is None or value in seen:
            continue
        seen.add(value)
        if isinstance(node.transform, ParDo) and isinstance(node.transform.dofn, kind):
            found.append((node.transform.dofn, node.inputs[0]))
        else:
            waiting.extend(node.inputs)
    return found


def _inside(node: AppliedPTransform | None, chosen: Callable[[object], bool]) -> Any | None:
    """Return the chosen transform that a step is, or is a part of."""
    while node is not None:
        if chosen(node.transform):
            return node.transform
        node = node.parent
    return None


def _groups(node: AppliedPTransform) -> bool:
    step = node.transform
    return isinstance(step, GroupByKey) or (isinstance(step, ParDo) and _is_stateful(step.dofn, unknown=False))


def _is_plain(node: AppliedPTransform) -> bool:
    step = node.transform
    return (
        isinstance(step, ParDo)
        and not node.side_inputs
        and not RESOURCE_HINTS.of(node, None)
        and not _is_stateful(step.dofn, unknown=True)
        and not _is_splittable(step.dofn)
    )


def _is_stateful(dofn: beam.DoFn, *, unknown: bool) -> bool:
    is_stateful = IS_STATEFUL.find()
    return unknown if is_stateful is None else bool(is_stateful(dofn))


def _is_splittable(dofn: beam.DoFn) -> bool:
    signature = DOFN_SIGNATURE.find()
    return IS_SPLITTABLE.find() is None or signature is None or bool(signature(dofn).is_splittable_dofn())


class CompletedParDo(beam.ParDo):
    """A ParDo whose DoFn depends on steps behind it, and is completed when the whole pipeline is translated.

    `complete` returns the DoFn to ship; the one that was given stays as it is. It is called while the step is
    translated: the author has applied all steps by then, and the bytes that workers get are not made yet.
    """

    def __init__(self, dofn: beam.DoFn, complete: Callable[[Any], beam.DoFn]) -> None:
        super().__init__(dofn)
        self._complete = complete

    def to_runner_api_parameter(self, context: Any, **extra: Any) -> Any:
        completed = copy.copy(self)
        completed.fn = self._complete(self.fn)
        return super(CompletedParDo, completed).to_runner_api_parameter(context, **extra)
