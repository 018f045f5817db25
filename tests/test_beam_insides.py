"""What the package knows of Beam's insides: a new Beam says here by name what moved, before a pipeline does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from threading import Thread

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.coders import VarIntCoder
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.interactive.interactive_runner import InteractiveRunner
from apache_beam.runners.pipeline_context import PipelineContext
from apache_beam.transforms.environments import EmbeddedPythonEnvironment, ProcessEnvironment
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec
from apache_beam.transforms.window import FixedWindows

from beam_dynamodb_streams import (
    ReadFromDynamoDBStreams,
    WriteChangesToAvro,
    WriteChangesToJsonLines,
    WriteChangesToParquet,
)
from beam_dynamodb_streams.beam import runners
from beam_dynamodb_streams.beam.graph import CompletedParDo, Graph
from beam_dynamodb_streams.beam.private import (
    ATTRIBUTES,
    BUNDLE_BASED_WORKER,
    DOFN_SIGNATURE,
    ENVIRONMENTS,
    FLAGS,
    IS_SPLITTABLE,
    IS_STATEFUL,
    NAMES,
    RESOURCE_HINTS,
    UNDERLYING_RUNNER,
    PrivateAttribute,
    PrivateName,
)
from beam_dynamodb_streams.beam.runners import RunnerTraits, traits_of, traits_of_this_worker, traits_while_translated
from beam_dynamodb_streams.errors import RunnerError

MISSING = object()


def applied(transform: beam.PTransform) -> beam.Pipeline:
    pipeline = beam.Pipeline("FnApiRunner")
    _ = pipeline | beam.Impulse() | "Step" >> transform
    return pipeline


class LastNode(beam.pipeline.PipelineVisitor):
    def visit_transform(self, transform_node: beam.pipeline.AppliedPTransform) -> None:
        self.node = transform_node


def a_step() -> object:
    visitor = LastNode()
    applied(beam.Map(str)).visit(visitor)
    return visitor.node


#: An instance of each class whose attribute is used.
INSTANCES: dict[PrivateAttribute, Callable[[], object]] = {
    UNDERLYING_RUNNER: InteractiveRunner,
    ENVIRONMENTS: PipelineContext,
    FLAGS: lambda: PipelineOptions([]),
    RESOURCE_HINTS: a_step,
}


@pytest.mark.parametrize("name", NAMES, ids=str)
def test_this_beam_has_the_private_name(name: PrivateName) -> None:
    assert name.find() is not None, name.without


@pytest.mark.parametrize("attribute", ATTRIBUTES, ids=str)
def test_this_beam_has_the_private_attribute(attribute: PrivateAttribute) -> None:
    assert attribute.of(INSTANCES[attribute](), MISSING) is not MISSING, attribute.without


@pytest.mark.parametrize("name", [*NAMES, *ATTRIBUTES], ids=str)
def test_a_beam_without_the_name_translates_a_read(
    name: PrivateName | PrivateAttribute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beam itself needs its names, so the look-up is what finds nothing."""
    hide(name, monkeypatch)
    pipeline = beam.Pipeline("FnApiRunner")
    _ = pipeline | ReadFromDynamoDBStreams("orders", stop="NOW", progress="file:here") | beam.Map(str)
    if name in (IS_STATEFUL, DOFN_SIGNATURE, IS_SPLITTABLE):
        with pytest.raises(RunnerError, match="'Map\\(str\\)' after it delivers in a bundle of its own"):
            pipeline.to_runner_api()
    else:
        assert pipeline.to_runner_api()


def hide(name: PrivateName | PrivateAttribute, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(name, PrivateAttribute):
        of = PrivateAttribute.of
        monkeypatch.setattr(
            PrivateAttribute, "of", lambda each, at, default: default if each == name else of(each, at, default)
        )
    else:
        find = PrivateName.find
        monkeypatch.setattr(PrivateName, "find", lambda each: None if each == name else find(each))


def test_an_import_of_the_package_looks_for_no_private_name() -> None:
    """So a Beam that lacks one can be imported with it."""
    script = """
from beam_dynamodb_streams.beam import private
def found(*at):
    raise SystemExit(f"an import looks for {at}")
private._find = found
import beam_dynamodb_streams, beam_dynamodb_streams.commands.export
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# The table of runners


@pytest.mark.parametrize("traits", runners.TABLE, ids=lambda traits: traits.name)
def test_this_beam_has_a_runner_of_the_name(traits: RunnerTraits) -> None:
    modules = {
        "FnApiRunner": "portability.fn_api_runner",
        "PrismRunner": "portability.prism_runner",
        "SwitchingDirectRunner": "direct.direct_runner",
        "BundleBasedDirectRunner": "direct.direct_runner",
        "FlinkRunner": "portability.flink_runner",
        "PortableRunner": "portability.portable_runner",
        "SparkRunner": "portability.spark_runner",
    }
    runner = getattr(import_module(f"apache_beam.runners.{modules[traits.name]}"), traits.name)
    assert traits_of(beam.Pipeline(runner())) == traits


def test_direct_runner_is_the_one_that_switches() -> None:
    assert traits_of(beam.Pipeline("DirectRunner")) == runners.DIRECT


def test_a_runner_that_is_not_in_the_table_promises_nothing() -> None:
    class Other(beam.runners.PipelineRunner):
        pass

    assert traits_of(beam.Pipeline(Other())) == RunnerTraits("Other")


def test_a_subclass_of_a_runner_has_its_traits() -> None:
    class Mine(beam.runners.portability.prism_runner.PrismRunner):
        pass

    assert traits_of(beam.Pipeline(Mine())) == runners.PRISM


def test_the_runner_that_translates_is_recognized_by_its_environment() -> None:
    inside = PipelineContext(default_environment=EmbeddedPythonEnvironment.default())
    outside = PipelineContext(default_environment=ProcessEnvironment("worker"))
    assert traits_while_translated(inside) == runners.FN_API
    assert traits_while_translated(outside).passes_groupings


def test_a_worker_of_bundle_based_direct_runner_is_recognized_by_its_thread() -> None:
    worker = BUNDLE_BASED_WORKER.find()
    assert worker is not None
    seen: list[RunnerTraits] = []

    class Worker(worker):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            Thread.__init__(self)

        def run(self) -> None:
            seen.append(traits_of_this_worker())

    thread = Worker()
    thread.start()
    thread.join()
    assert seen == [runners.BUNDLE_BASED]
    assert traits_of_this_worker().runs_splittable_dofns, "this one is an unknown runner's"


# The graph


class Stateful(beam.DoFn):
    STATE = ReadModifyWriteStateSpec("state", VarIntCoder())

    def process(self, element: object, state: object = beam.DoFn.StateParam(STATE)) -> None: ...


def keyed(values: beam.PCollection) -> beam.PCollection:
    return values | "Key" >> beam.Map(lambda value: ("key", value)).with_output_types(tuple[str, bytes])


@pytest.mark.parametrize(
    ("then", "grouping", "unfused"),
    [
        (lambda values: values | "Plain" >> beam.Map(str), None, None),
        (lambda values: keyed(values) | "Group" >> beam.GroupByKey(), "Group", "Group"),
        (lambda values: keyed(values) | "State" >> beam.ParDo(Stateful()), "State", "State"),
        (lambda values: (values, values) | "Flat" >> beam.Flatten(), None, "Flat"),
        (lambda values: values | "Large" >> beam.Map(str).with_resource_hints(min_ram="1GB"), None, "Large"),
    ],
    ids=["a plain step", "a grouping", "state", "a flatten", "a resource hint"],
)
def test_the_graph_says_which_step_waits_and_which_is_in_another_bundle(
    then: Callable[[beam.PCollection], object], grouping: str | None, unfused: str | None
) -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    values = pipeline | beam.Impulse()
    then(values)
    graph = Graph(pipeline)
    assert graph.grouping_after([values]) == grouping
    assert graph.unfused_after([values]) == unfused


def test_the_graph_says_where_a_transform_is_applied() -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    read = ReadFromDynamoDBStreams("orders")
    first, second = pipeline | "First" >> read, pipeline | "Second" >> read
    places = Graph(pipeline).places_of(read)
    assert [(place.label, place.outputs) for place in places] == [("First", (first,)), ("Second", (second,))]


class Says(beam.DoFn):
    def __init__(self, word: str) -> None:
        self.word = word

    def process(self, element: object) -> list[str]:  # noqa: ARG002 - an impulse says nothing
        return [self.word]


def test_a_dofn_is_completed_when_the_pipeline_is_translated_and_does_not_change() -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    words, given = ["early"], Says("given")
    said = pipeline | beam.Impulse() | CompletedParDo(given, lambda _: Says(words[-1]))
    words.append("late")
    heard: list[str] = []
    _ = said | beam.Map(lambda word: word) | beam.combiners.ToList() | beam.Map(print)
    translated = pipeline.to_runner_api(default_environment=EmbeddedPythonEnvironment.default())
    again = beam.Pipeline.from_runner_api(translated, pipeline.runner, pipeline.options)
    heard += [dofn.word for dofn, _ in Graph(again).dofns() if isinstance(dofn, Says)]
    assert heard == ["late"]
    assert given.word == "given"


# The refusal


def refused() -> tuple[beam.Pipeline, ReadFromDynamoDBStreams]:
    pipeline = beam.Pipeline("FnApiRunner")
    read = ReadFromDynamoDBStreams("orders")
    _ = keyed(pipeline | "Read" >> read | beam.WindowInto(FixedWindows(60))) | "Group" >> beam.GroupByKey()
    return pipeline, read


def test_a_refusal_reaches_the_author_as_the_error_that_it_is() -> None:
    """Beam wraps what a translation raises in a RuntimeError, and does not wrap what reading a translation raises."""
    pipeline, _ = refused()
    with pytest.raises(RunnerError, match="'Group'"):
        pipeline.run()


def test_nothing_is_refused_from_display_data() -> None:
    pipeline, read = refused()
    before = read.display_data()
    with pytest.raises(RunnerError):
        pipeline.run()
    assert {name: item.value for name, item in read.display_data().items()} == {
        name: item.value for name, item in before.items()
    }


def test_a_pipeline_that_one_runner_refuses_is_translated_for_another() -> None:
    pipeline, _ = refused()
    with pytest.raises(RunnerError):
        pipeline.run()
    assert pipeline.to_runner_api(default_environment=ProcessEnvironment("worker"))


def test_to_look_at_a_reads_traits_changes_neither_the_read_nor_its_dofns() -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    read = ReadFromDynamoDBStreams("orders", stop="NOW", progress="file:here")
    changes = pipeline | read
    dofn = next(dofn for dofn, output in Graph(pipeline).dofns() if output is changes)
    before = (dict(vars(read)), dict(vars(dofn)))
    assert read.traits() == read.traits()
    assert (vars(read), vars(dofn)) == before


# What a variant of a transform leaves as it was


def test_a_variant_of_a_read_leaves_the_read_as_it_was() -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    read = ReadFromDynamoDBStreams("orders")
    _ = pipeline | "Changes" >> read
    before = dict(vars(read))
    tagged, batches = read.with_outputs(), read.as_batches()
    assert vars(read) == before
    assert isinstance(pipeline | "Tagged" >> tagged, tuple)
    assert (pipeline | "Batches" >> batches).element_type is pa.RecordBatch
    assert (beam.Pipeline("FnApiRunner") | tagged.as_batches())[0].element_type is pa.RecordBatch


@pytest.mark.parametrize("sink", [WriteChangesToParquet, WriteChangesToAvro, WriteChangesToJsonLines])
def test_a_variant_of_a_sink_leaves_the_sink_as_it_was(sink: type, tmp_path: Path) -> None:
    given = sink(tmp_path)
    before = dict(vars(given))
    assert given.with_outputs() is not given
    assert vars(given) == before
    assert given.with_outputs().with_outputs().display_data() == given.display_data()


def test_our_urns_are_in_a_namespace_of_our_own() -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    _ = pipeline | ReadFromDynamoDBStreams("orders", stop="NOW")
    translated = pipeline.to_runner_api()
    urns = [transform.spec.urn for transform in translated.components.transforms.values()]
    assert [urn for urn in urns if "dynamodb" in urn] == ["beam-dynamodb-streams:transform:read:v1"]


def test_to_apply_a_read_changes_no_option_of_the_users() -> None:
    options = PipelineOptions(["--runner=PrismRunner"])
    before = options.get_all_options()
    _ = beam.Pipeline(options=options) | ReadFromDynamoDBStreams("orders")
    assert options.get_all_options() == before
