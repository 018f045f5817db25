"""A read that refuses, before anything is read, a pipeline that its runner cannot run.

Only the runner that really translates the pipeline is known for certain. Beam asks every composite transform for its
translation then, and that is where this check is made.
"""

from __future__ import annotations

import json
import logging
import os
from abc import abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

import apache_beam as beam
from apache_beam.options.pipeline_options import DebugOptions, DirectOptions, StandardOptions
from typing_extensions import Self

from beam_dynamodb_streams.beam.error_handling import HandlesErrors
from beam_dynamodb_streams.beam.graph import Graph, transforms_behind
from beam_dynamodb_streams.beam.runners import (
    RunnerTraits,
    traits_named,
    traits_of,
    traits_of_this_worker,
    traits_while_translated,
)
from beam_dynamodb_streams.errors import RunnerError

if TYPE_CHECKING:
    from apache_beam.portability.api import beam_runner_api_pb2
    from apache_beam.runners.pipeline_context import PipelineContext

_LOGGER: Final = logging.getLogger(__name__)

#: The read in a translated pipeline. The namespace is our own: `beam:` is Beam's.
URN: Final = "beam-dynamodb-streams:transform:read:v1"

_PRISM: Final = (
    "--runner=PrismRunner (without access to its download: build it with "
    "`go install github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0` and add --prism_location=PATH)"
)


#: The experiment that lets a step keep its side input on Flink.
SIDE_INPUTS: Final = "flink_side_inputs"


@dataclass(frozen=True, slots=True)
class ReadTraits:
    """What decides whether a runner can run a read.

    Args:
      label: where the read is applied.
      bounded: whether it ends by itself.
      grouping: the label of a step behind an unbounded read that waits for the end of its input, or None.
      workers: the option `direct_num_workers`; 0 is one for each processor.
      unfused: the label of a step that leaves only `CommitProgress` to write the progress, or None.
      engine: the name of the class of the runner that the pipeline names; DirectRunner may pick another one.
      side_input: the label of a step of a streaming job that has a side input, or None.
    """

    label: str
    bounded: bool
    grouping: str | None
    workers: int
    unfused: str | None = None
    engine: str = ""
    side_input: str | None = None

    @classmethod
    def of(cls, read: beam.PTransform, pipeline: beam.Pipeline, *, bounded: bool, needs_fusion: bool = False) -> Self:
        """Return the traits of a read in the pipeline as it stands now.

        Args:
          needs_fusion: the read writes its own progress, so all steps behind it must be in its bundles.
        """
        graph = Graph(pipeline)
        places = graph.places_of(read)
        outputs = [output for place in places for output in place.outputs]
        return cls(
            places[-1].label if places else read.label,
            bounded,
            None if bounded else graph.grouping_after(outputs),
            int(pipeline.options.view_as(DirectOptions).direct_num_workers),
            graph.unfused_after(outputs) if needs_fusion else None,
            traits_of(pipeline).name,
            None if _keeps_side_inputs(pipeline, bounded=bounded) else graph.first_with_side_input(),
        )

    def refusal_on(self, runner: RunnerTraits) -> RunnerError | None:
        """Return why the read cannot run on this runner; None if it can."""
        engine = traits_named(self.engine)
        if not (self.bounded or engine.resumes_unbounded_reads):
            return RunnerError(
                f"{self.label} is unbounded: {self.engine} rejects a streaming source that gives its bundle back "
                "between two slices (beam#19468). Use --runner=FlinkRunner or PrismRunner, or end the read with a stop="
            )
        if not engine.takes_side_inputs and self.side_input is not None and not self.bounded:
            return RunnerError(f"{self.side_input!r} has a side input: {_BREAKS_CHECKPOINTS}")
        if self.unfused is not None:
            return RunnerError(
                f"{self.label} has progress=, and {self.unfused!r} after it delivers in a bundle of its own, so the "
                "end of the read's bundle proves nothing: put CommitProgress, with the same progress, behind the step "
                "that delivers"
            )
        if not runner.keeps_residuals and (self.workers or os.cpu_count() or 1) > 1:
            return RunnerError(
                f"{self.label} on {runner.name}, which Beam picked, with direct_num_workers={self.workers}: several "
                "workers there drop what a splittable source has yet to read, and report success. Leave "
                f"direct_num_workers out (one worker reads all shards at once), or use {_PRISM}"
            )
        if not runner.passes_groupings and self.grouping is not None:
            return RunnerError(
                f"{self.label} is unbounded, and {self.grouping!r} after it groups: {runner.name}, which Beam picked, "
                f"lets nothing pass a grouping before the source ends. Use {_PRISM} or --runner=FlinkRunner, or end "
                'the read with stop="NOW"'
            )
        return None


_BREAKS_CHECKPOINTS: Final = (
    "in a streaming job on Flink no checkpoint completes then, and the job restarts without end (ClassCastException, "
    "Beam 2.62 and 2.70). Group the data with the changes by a key (CoGroupByKey), load it in the step's setup(), or, "
    f"for a global combine, add .without_defaults(). If your runner takes it, set --experiments={SIDE_INPUTS}"
)


def _keeps_side_inputs(pipeline: beam.Pipeline, *, bounded: bool) -> bool:
    """Return whether side inputs do no harm: the job does not stream, or its author says that the runner takes them."""
    streams = not bounded or bool(pipeline.options.view_as(StandardOptions).streaming)
    return not streams or bool(pipeline.options.view_as(DebugOptions).lookup_experiment(SIDE_INPUTS, False))


class CheckedRead(HandlesErrors):
    """A composite that refuses, while it is translated, a runner that cannot run it."""

    @abstractmethod
    def traits(self) -> ReadTraits:
        """Return what the check judges by, as the pipeline stands now. It changes nothing."""

    def to_runner_api(self, context: PipelineContext, has_parts: bool = False, **extra: Any) -> Any:
        traits, runner = self.traits(), traits_while_translated(context)
        refusal = traits.refusal_on(runner)
        if refusal is not None:
            return _Refused(refusal)
        if traits.bounded and traits.side_input is not None and not traits_named(traits.engine).takes_side_inputs:
            _LOGGER.warning("%r has a side input: %s", traits.side_input, _BREAKS_CHECKPOINTS)
        if not (traits.bounded or runner.passes_groupings):
            _LOGGER.warning(
                "%s is unbounded and runs on %s: what is fused to it runs, and nothing passes a grouping",
                traits.label,
                runner.name,
            )
        return super().to_runner_api(context, has_parts=has_parts, **extra)

    def to_runner_api_parameter(self, context: PipelineContext) -> tuple[str, str]:  # noqa: ARG002 - Beam's signature
        return URN, json.dumps(asdict(self.traits()))


def reads_behind(values: beam.PCollection) -> list[tuple[CheckedRead, str | None]]:
    """Return each read that a PCollection comes from.

    With each is the label of a step between both that may run in another bundle than the read; None if there is none.
    """
    return transforms_behind(values, lambda transform: isinstance(transform, CheckedRead))


class _Refused:
    """The translation of a read that is refused: it raises the refusal as soon as Beam reads it.

    Beam wraps what a translation itself raises in a RuntimeError that says only that the step cannot be translated.
    It reads the translation outside that `try`, so this error reaches the author as it is.
    """

    def __init__(self, refusal: RunnerError) -> None:
        self._refusal = refusal

    @property
    def urn(self) -> NoReturn:
        raise self._refusal


class TranslatedRead(CheckedRead):
    """The read in a pipeline that was made from its translation: with --streaming, DirectRunner runs such a one."""

    def __init__(self, traits: ReadTraits) -> None:
        super().__init__(traits.label)
        self._traits = traits

    def traits(self) -> ReadTraits:
        return self._traits


def _from_translation(
    translated: beam_runner_api_pb2.PTransform,  # noqa: ARG001 - Beam's signature
    payload: bytes,
    context: PipelineContext,  # noqa: ARG001
) -> TranslatedRead:
    return TranslatedRead(ReadTraits(**json.loads(payload)))


beam.PTransform.register_urn(URN, None, _from_translation)


def refuse_workers_without_splittable_dofns() -> None:
    """Raise `RunnerError` in a worker of a runner that never runs a splittable source, and reports no error."""
    runner = traits_of_this_worker()
    if not runner.runs_splittable_dofns:
        raise RunnerError(
            f"Beam chose {runner.name} for this pipeline, which never runs a splittable source. Beam chooses it for a "
            "real-time timer (GroupIntoBatches with a buffering duration, Deduplicate), Sessions windows, TestStream, "
            "unsafe triggers or a cross-language transform. Leave that out, or use PrismRunner or FlinkRunner"
        )
