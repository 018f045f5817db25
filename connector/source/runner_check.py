"""Whether the runner that Beam picks can run an unbounded read as asked: refused before reading, judged by facts.

DirectRunner runs Prism if it can be had, and silently falls back to FnApiRunner, where nothing passes a GroupByKey
until the source ends, which an unbounded one does not (``facts/beam-runners.md``). The runner that really translates
the pipeline shows itself by the environment it brings along; Beam asks every composite transform for its translation
just then, and that is where this check sits.
"""

from __future__ import annotations

from typing import Any, Final

from apache_beam.pipeline import AppliedPTransform, Pipeline, PipelineVisitor
from apache_beam.portability import python_urns
from apache_beam.pvalue import PValue
from apache_beam.runners.pipeline_context import PipelineContext
from apache_beam.transforms.core import GroupByKey, ParDo
from apache_beam.transforms.userstate import is_stateful_dofn

from connector.errors import RunnerError

#: The environments of FnApiRunner: in memory, in threads, in processes of its own.
_CANNOT_STREAM: Final = frozenset(
    {python_urns.EMBEDDED_PYTHON, python_urns.EMBEDDED_PYTHON_GRPC, python_urns.SUBPROCESS_SDK}
)


def runs_on_fn_api_runner(context: PipelineContext) -> bool:
    environment = context.environments.get_proto_from_id(context.default_environment_id())
    return environment.urn in _CANNOT_STREAM


def grouped_after(pipeline: Pipeline, outputs: list[PValue]) -> str | None:
    """The label of a step downstream of ``outputs`` that waits for the end of its input; None if all is fused."""
    visitor = _Downstream(set(outputs))
    pipeline.visit(visitor)
    return visitor.grouping


class _Downstream(PipelineVisitor):
    """Beam visits producers before consumers, so one pass is enough."""

    def __init__(self, reached: set[PValue]) -> None:
        self._reached = reached
        self.grouping: str | None = None

    def enter_composite_transform(self, transform_node: AppliedPTransform) -> None:
        self._visit(transform_node)

    def visit_transform(self, transform_node: AppliedPTransform) -> None:
        self._visit(transform_node)

    def _visit(self, node: AppliedPTransform) -> None:
        if self._reached.isdisjoint(node.inputs):
            return
        if not node.parts:
            self._reached.update(node.outputs.values())
        transform: Any = node.transform
        stateful = isinstance(transform, ParDo) and is_stateful_dofn(transform.dofn)
        if self.grouping is None and (isinstance(transform, GroupByKey) or stateful):
            self.grouping = node.full_label


def refuse(label: str, grouping: str) -> RunnerError:
    return RunnerError(
        f"{label} is unbounded, and {grouping!r} after it groups: FnApiRunner, which Beam picked, lets nothing pass a "
        "GroupByKey before the source ends. Use --runner=PrismRunner (without access to its download: build it with "
        "`go install github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0` and add --prism_location=PATH) or "
        '--runner=FlinkRunner, or end the read with stop="NOW"'
    )
