"""What the package must know about a runner: one row of traits for each, found by the name of its class.

The names are compared as text, so no runner is imported for it and a runner that is not installed does no harm.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Final

import apache_beam as beam
from apache_beam.options.pipeline_options import FlinkRunnerOptions, PipelineOptions, PortableOptions, SetupOptions

from beam_dynamodb_streams.beam.private import (
    BUNDLE_BASED_WORKER,
    DEFAULT_ENVIRONMENT,
    EMBEDDED,
    EMBEDDED_GRPC,
    ENVIRONMENTS,
    FLAGS,
    SUBPROCESS,
    UNDERLYING_RUNNER,
)

if TYPE_CHECKING:
    from apache_beam.runners.pipeline_context import PipelineContext


@dataclass(frozen=True, slots=True)
class RunnerTraits:
    """What one runner does. The defaults are those of a runner that is not in the table.

    Args:
      name: the name of the runner's class in Beam.
      one_process: a step is never restored in another process; a failure ends the pipeline.
      finalizer_proves_delivery: once a bundle is finalized, it is over for good with all steps that are fused to it.
      passes_groupings: an unbounded PCollection passes a GroupByKey before its source ends.
      fires_last_pane: at the end of a window, what its trigger has not fired yet is fired, and not dropped.
      keeps_residuals: with several workers, what a splittable source has yet to read is not dropped.
      reads_several_elements: where one transform reads several restrictions, the records of those that lag are kept.
      runs_splittable_dofns: a splittable source runs at all.
      takes_side_inputs: a streaming job with a side input completes its checkpoints.
      resumes_unbounded_reads: a source without an end is resumed after it gave its bundle back.
      has_slots: `--parallelism` says how many elements are read at once.
      has_job_server: the driver waits for the job as long as `--job_server_timeout` allows.
    """

    name: str
    _: KW_ONLY
    one_process: bool = False
    finalizer_proves_delivery: bool = False
    passes_groupings: bool = True
    fires_last_pane: bool = True
    keeps_residuals: bool = True
    reads_several_elements: bool = True
    runs_splittable_dofns: bool = True
    takes_side_inputs: bool = True
    resumes_unbounded_reads: bool = True
    has_slots: bool = False
    has_job_server: bool = False


FN_API: Final = RunnerTraits(
    "FnApiRunner",
    one_process=True,
    finalizer_proves_delivery=True,
    passes_groupings=False,
    fires_last_pane=False,
    keeps_residuals=False,
)
PRISM: Final = RunnerTraits(
    "PrismRunner",
    one_process=True,
    finalizer_proves_delivery=True,
    reads_several_elements=False,  # it drops the records of a restriction that lags as late
    has_job_server=True,
)
#: `--runner=DirectRunner`: Prism where it can be had, else FnApiRunner or BundleBasedDirectRunner.
DIRECT: Final = replace(PRISM, name="SwitchingDirectRunner")
BUNDLE_BASED: Final = RunnerTraits("BundleBasedDirectRunner", one_process=True, runs_splittable_dofns=False)
#: Its finalizer releases all bundles under way, also those that are in no checkpoint yet.
FLINK: Final = RunnerTraits("FlinkRunner", takes_side_inputs=False, has_slots=True, has_job_server=True)
#: A job server that somebody else has started: in practice Flink's.
PORTABLE: Final = replace(FLINK, name="PortableRunner")
#: It rejects a splittable source that gives its bundle back in a streaming job (beam#19468).
SPARK: Final = RunnerTraits("SparkRunner", resumes_unbounded_reads=False, has_job_server=True)

TABLE: Final = (FN_API, PRISM, DIRECT, BUNDLE_BASED, FLINK, PORTABLE, SPARK)
_BY_NAME: Final = {traits.name: traits for traits in TABLE}
_UNKNOWN: Final = RunnerTraits("")


def traits_of(pipeline: beam.Pipeline) -> RunnerTraits:
    """Return the traits of the pipeline's runner, as far as they are known before it runs."""
    runner = pipeline.runner
    underlying = UNDERLYING_RUNNER.of(runner, None)
    if underlying is None:
        return _traits_of_class(type(runner))
    # A notebook's InteractiveRunner hands the pipeline to another runner and may run parts of it again. DirectRunner
    # never picks Prism there.
    traits = replace(_traits_of_class(type(underlying)), one_process=False)
    return traits if traits.name != DIRECT.name else replace(traits, reads_several_elements=True)


def traits_named(name: str) -> RunnerTraits:
    """Return the row of a runner's class by its name; the defaults for one that is not in the table."""
    return _BY_NAME.get(name) or replace(_UNKNOWN, name=name)


def _traits_of_class(runner: type) -> RunnerTraits:
    """Return the row of a class, or of its nearest base that has one."""
    for base in runner.__mro__:
        if (traits := _BY_NAME.get(base.__name__)) is not None:
            return traits
    return replace(_UNKNOWN, name=runner.__name__)


def traits_while_translated(context: PipelineContext) -> RunnerTraits:
    """Return the traits of the runner that translates a pipeline, which may not be the one that the options name.

    DirectRunner tries Prism and, without it, falls back to FnApiRunner with a log line at INFO. The default environment
    of a runner identifies it: FnApiRunner's environments are in memory, in threads, or in its own processes.
    """
    environments = ENVIRONMENTS.of(context, None)
    if DEFAULT_ENVIRONMENT.find() is None or environments is None:
        return _UNKNOWN
    urn = environments.get_proto_from_id(context.default_environment_id()).urn
    return FN_API if urn in {name.find() for name in (EMBEDDED, EMBEDDED_GRPC, SUBPROCESS)} else _UNKNOWN


#: What runs the worker: somebody's pool, which may start workers without what `--beam_plugins` names.
_EXTERNAL: Final = "beam:env:external:v1"


def workers_import_plugins(context: PipelineContext) -> bool:
    """Return whether the workers of a pipeline that is translated import what `--beam_plugins` names."""
    environments = ENVIRONMENTS.of(context, None)
    if DEFAULT_ENVIRONMENT.find() is None or environments is None:
        return False
    default = context.default_environment_id()
    return default is not None and environments.get_proto_from_id(default).urn != _EXTERNAL


def import_on_workers(pipeline: beam.Pipeline, module: str) -> None:
    """Add a module to the pipeline's `--beam_plugins`, which workers import when they start."""
    options = pipeline.options.view_as(SetupOptions)
    plugins = options.beam_plugins or []
    if module not in plugins:
        options.beam_plugins = [*plugins, module]


def traits_of_this_worker() -> RunnerTraits:
    """Return the traits of the runner whose worker this thread is, as far as a thread shows it."""
    worker = BUNDLE_BASED_WORKER.find()
    return BUNDLE_BASED if worker is not None and isinstance(threading.current_thread(), worker) else _UNKNOWN


def slots_of(pipeline: beam.Pipeline) -> int:
    """Return how many elements the runner reads at once, as far as the options say; 1 where they do not."""
    if not traits_of(pipeline).has_slots:
        return 1
    return max(1, int(pipeline.options.view_as(FlinkRunnerOptions).parallelism))


# How long Beam's driver waits for a job

_DEFAULT_TIMEOUT: Final = 300
_TIMEOUT_FLAGS: Final = frozenset({"--job_server_timeout", "--job-server-timeout"})
LONGEST_RUN_SECONDS: Final = 10 * 365 * 24 * 3600


def wait_for_long_runs(pipeline: beam.Pipeline) -> None:
    """Raise the pipeline's `--job_server_timeout`, unless its author has chosen one.

    Beam (2.77) puts that limit on the stream of a job's states. So a pipeline that runs well ends after five minutes
    with DEADLINE_EXCEEDED, though the option's help says that it does not apply to a pipeline's run time. Only the
    pipeline's own copy of the options changes. A value of 300 that was set in code cannot be distinguished from Beam's
    default; as a flag it stays.
    """
    portable = pipeline.options.view_as(PortableOptions)
    if not traits_of(pipeline).has_job_server or portable.job_server_timeout != _DEFAULT_TIMEOUT:
        return
    if _TIMEOUT_FLAGS.isdisjoint(flag.partition("=")[0] for flag in _flags_of(pipeline.options)):
        portable.job_server_timeout = LONGEST_RUN_SECONDS


def _flags_of(options: PipelineOptions) -> list[str]:
    flags = FLAGS.of(options, [])
    return sys.argv[1:] if flags is None else list(flags)


def outlives_process(pipeline: beam.Pipeline) -> bool:
    """Return whether a job of this pipeline may run on after this process has ended.

    A job whose workers are in this process (LOOPBACK) fails without it. A Flink that Beam starts for it ends with it.
    """
    traits = traits_of(pipeline)
    if traits.one_process or not traits.has_job_server:
        return False
    portable = pipeline.options.view_as(PortableOptions)
    if str(portable.environment_type).upper() == "LOOPBACK":
        return False
    master = pipeline.options.view_as(FlinkRunnerOptions).flink_master
    return bool(portable.job_endpoint) or (
        traits.name == FLINK.name and master not in ("[local]", "[auto]", "[collection]")
    )
