"""Whether the runner that Beam picks can run a read as asked: refused before reading, judged by facts.

DirectRunner runs Prism if it can be had, and silently falls back to FnApiRunner, where nothing passes a GroupByKey
until the source ends, which an unbounded one does not, and where several workers drop what a splittable source has yet
to read (both run, Beam 2.77). The runner that really translates the pipeline shows itself by the environment it brings
along; Beam asks every composite transform for its translation just then, and that is where this check sits.
"""

from __future__ import annotations

import json
import logging
import os
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions
from apache_beam.pipeline import AppliedPTransform, Pipeline, PipelineVisitor
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.pvalue import PValue
from apache_beam.runners.pipeline_context import PipelineContext
from apache_beam.transforms.core import GroupByKey, ParDo
from apache_beam.transforms.userstate import is_stateful_dofn

from beam_dynamodb_streams.errors import RunnerError

_LOGGER: Final = logging.getLogger(__name__)

URN: Final = "beam:transform:dynamodb_streams_read:v1"

#: The environments of FnApiRunner: in memory, in threads, in processes of its own.
_FN_API_RUNNER: Final = frozenset(
    {python_urns.EMBEDDED_PYTHON, python_urns.EMBEDDED_PYTHON_GRPC, python_urns.SUBPROCESS_SDK}
)
_PRISM: Final = (
    "--runner=PrismRunner (without access to its download: build it with "
    "`go install github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0` and add --prism_location=PATH)"
)


@dataclass(frozen=True, slots=True)
class ReadFacts:
    """What decides whether a read can run. ``grouping``: the label of a step after an unbounded read that waits for the
    end of its input, or None. ``workers``: the option direct_num_workers; 0 is one for each processor. ``unfused``: the
    label of a step in whose place a CommitProgress would have to tell what is delivered, or None."""

    label: str
    bounded: bool
    grouping: str | None
    workers: int
    unfused: str | None = None

    @classmethod
    def of(
        cls, label: str, pipeline: Pipeline, outputs: list[PValue], *, bounded: bool, unfused: str | None = None
    ) -> Self:
        workers = pipeline.options.view_as(DirectOptions).direct_num_workers
        return cls(label, bounded, None if bounded else grouped_after(pipeline, outputs), int(workers), unfused)

    def unproven(self) -> RunnerError | None:
        """Why nothing could tell how far the read was delivered; None if something can."""
        if self.unfused is None:
            return None
        return RunnerError(
            f"{self.label} has progress=, and {self.unfused!r} after it delivers in a bundle of its own, so that the "
            "end of the read's proves nothing: put CommitProgress, with the same progress, behind what delivers"
        )

    def refusal(self) -> RunnerError | None:
        """Why FnApiRunner cannot run this read; None if it can."""
        if (self.workers or os.cpu_count() or 1) > 1:
            return RunnerError(
                f"{self.label} on FnApiRunner, which Beam picked, with direct_num_workers={self.workers}: several "
                "workers there drop what a splittable source has yet to read, and report success. Leave "
                f"direct_num_workers out (one worker reads all shards at once), or use {_PRISM}"
            )
        if self.grouping is not None:
            return RunnerError(
                f"{self.label} is unbounded, and {self.grouping!r} after it groups: FnApiRunner, which Beam picked, "
                f"lets nothing pass a grouping before the source ends. Use {_PRISM} or --runner=FlinkRunner, or end "
                'the read with stop="NOW"'
            )
        return None


class CheckedRead(beam.PTransform):
    """A composite that refuses, while it is translated, a runner that cannot run it.

    Beam wraps an error of the translation itself in a RuntimeError that says nothing; display data it asks for next,
    and an error there reaches the user as it is.
    """

    _refusal: RunnerError | None = None

    @abstractmethod
    def facts(self) -> ReadFacts:
        """What the check judges by."""

    def to_runner_api_parameter(self, context: PipelineContext) -> tuple[str, str]:
        facts = self.facts()
        self._refusal = facts.unproven()
        if self._refusal is None and runs_on_fn_api_runner(context):
            self._refusal = facts.refusal()
            if self._refusal is None and not facts.bounded:
                _LOGGER.warning(
                    "%s is unbounded and runs on FnApiRunner: what is fused to it runs, nothing passes a grouping",
                    facts.label,
                )
        return URN, json.dumps(asdict(facts))

    def display_data(self) -> dict[str, Any]:
        if self._refusal is not None:
            raise self._refusal
        return {}


class TranslatedRead(CheckedRead):
    """The read in a pipeline that was made from its translation: with --streaming, DirectRunner runs such a one."""

    def __init__(self, facts: ReadFacts) -> None:
        super().__init__(facts.label)
        self._facts = facts

    def facts(self) -> ReadFacts:
        return self._facts


def _from_translation(
    translated: beam_runner_api_pb2.PTransform,  # noqa: ARG001 - Beam's signature
    payload: bytes,
    context: PipelineContext,  # noqa: ARG001
) -> TranslatedRead:
    return TranslatedRead(ReadFacts(**json.loads(payload)))


beam.PTransform.register_urn(URN, None, _from_translation)


def runs_on_fn_api_runner(context: PipelineContext) -> bool:
    environment = context.environments.get_proto_from_id(context.default_environment_id())
    return environment.urn in _FN_API_RUNNER


def grouped_after(pipeline: Pipeline, outputs: list[PValue]) -> str | None:
    """The label of a step downstream of ``outputs`` that waits for the end of its input; None if all is fused."""
    return first_after(pipeline, outputs, _groups)


def _groups(node: AppliedPTransform) -> bool:
    step = node.transform
    return isinstance(step, GroupByKey) or (isinstance(step, ParDo) and is_stateful_dofn(step.dofn))


def first_after(pipeline: Pipeline, outputs: list[PValue], stops: Callable[[AppliedPTransform], bool]) -> str | None:
    """The label of the first step that takes what comes of ``outputs`` as a side input, or that ``stops``; None if
    there is none."""
    visitor = _Downstream(set(outputs), stops)
    pipeline.visit(visitor)
    return visitor.label


class _Downstream(PipelineVisitor):
    """Beam visits producers before consumers, so one pass is enough."""

    def __init__(self, reached: set[PValue], stops: Callable[[AppliedPTransform], bool]) -> None:
        self._reached = reached
        self._stops = stops
        self.label: str | None = None

    def visit_transform(self, transform_node: AppliedPTransform) -> None:
        node = transform_node
        aside = not self._reached.isdisjoint(side.pvalue for side in node.side_inputs)
        if self._reached.isdisjoint(node.inputs) and not aside:
            return
        self._reached.update(node.outputs.values())
        if self.label is None and (aside or self._stops(node)):
            self.label = node.full_label
