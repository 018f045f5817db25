"""`InvokeHandler`: a handler of a Lambda trigger as a step of a pipeline."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import apache_beam as beam
from apache_beam.pvalue import PCollection

from beam_dynamodb_streams.beam.checked_read import reads_behind
from beam_dynamodb_streams.beam.typed import OwnTransform
from beam_dynamodb_streams.durations import Duration
from beam_dynamodb_streams.errors import RunnerError
from beam_dynamodb_streams.handlers.handler_of import Handler
from beam_dynamodb_streams.handlers.invoke_bundle import ON_FAILURE, InvokeBundle
from beam_dynamodb_streams.handlers.options import parse_handler_options
from beam_dynamodb_streams.handlers.tumbling import invoke_windows
from beam_dynamodb_streams.records import ChangeRecord

HANDLED: Final = "handled"


class HandlerOutputs(NamedTuple):
    """The outputs of a handler.

    Attributes:
        handled: Each change once its batch was handled or discarded, or once it was filtered out: for `CommitProgress`.
        on_failure: The records for the on-failure destination, as dicts of JSON, with the changes as `payload`.
    """

    handled: PCollection
    on_failure: PCollection


class InvokeHandler(OwnTransform):
    """Calls a handler of a DynamoDB trigger, unchanged, with the changes of a read, and returns `HandlerOutputs`.

    The event is the one that AWS Lambda sends, field for field. Each attempt has an event and a context of its own.
    The step runs in the read's own bundles, so batches follow the order of their shard. A batch never outlives its
    bundle: what the bundle covers is handled, or discarded with a record in `on_failure`, when the bundle ends. If a
    bundle fails, the runner repeats it, and changes are handled again.

    Args:
      handler: a function of an event and a context, or where to import it: "package.module:function".
      batch_size: how many changes an event has at most, 1 to 10,000. It also has at most 6 MB.
      batching_window: how long to wait for a batch to be full, up to 300 seconds, as a timedelta or in seconds. A batch
        that is not full is invoked at the end of the bundle at the latest. So to wait for longer than the read's
        `slice_time`, raise that too.
      parallelization_factor: how many batches of a shard are invoked side by side, in threads, 1 to 10. The changes of
        one key stay in order. With 1 the handler is called in one thread at a time.
      bisect_on_error: cut a failed batch in two, or where the answer reports the failure. This is not a retry.
      maximum_retry_attempts: how often a failed batch is tried again before it goes to `on_failure`; -1 for as long as
        it exists. With -1, after some attempts in the bundle, `HandlerError` is raised, so that the runner repeats the
        bundle. A runner that does not repeat bundles (FnApiRunner, Prism) ends the pipeline with the error.
      maximum_record_age: the age, in seconds or as a timedelta, from which a change goes to `on_failure`; -1 for none.
      report_batch_item_failures: whether the answer names the changes that failed (`batchItemFailures`).
      filter_criteria: the service's event patterns; see `ReadFromDynamoDBStreams`, whose option of this name spares the
        pipeline the changes altogether.
      context: what the context says, as a dict: `function_name`, `function_version`, `invoked_function_arn`,
        `memory_limit_in_mb`, `timeout` and others. Or a function that returns the context of an attempt.
      tumbling_window: the length of a tumbling window, up to 900 seconds. The handler is given the `state` that it
        returned last, for its shard and window, and a final invocation at the end of the window. The step is keyed by
        shard then, and invokes a window's batches once the watermark has passed its end.
      event_source_arn: the ARN of the stream, for changes that come from elsewhere than a read of this pipeline.

    Raises:
      InvalidOptionError: at construction, for a wrong option.
      RunnerError: when it is applied, if a step between the read and this one may change the order of the changes.
      HandlerError: while it runs; see `maximum_retry_attempts`.
    """

    def __init__(
        self,
        handler: Handler | str,
        *,
        batch_size: int = 100,
        batching_window: Duration | None = None,
        parallelization_factor: int = 1,
        bisect_on_error: bool = False,
        maximum_retry_attempts: int = -1,
        maximum_record_age: Duration = -1,
        report_batch_item_failures: bool = False,
        filter_criteria: object = None,
        context: object = None,
        tumbling_window: Duration | None = None,
        event_source_arn: str | None = None,
        label: str | None = None,
    ) -> None:
        super().__init__(label)
        self._options = parse_handler_options(
            handler,
            batch_size=batch_size,
            batching_window=batching_window,
            parallelization_factor=parallelization_factor,
            bisect_on_error=bisect_on_error,
            maximum_retry_attempts=maximum_retry_attempts,
            maximum_record_age=maximum_record_age,
            report_batch_item_failures=report_batch_item_failures,
            filter_criteria=filter_criteria,
            context=context,
            tumbling_window=tumbling_window,
            event_source_arn=event_source_arn,
        )

    def expand(self, changes: PCollection) -> HandlerOutputs:
        source = source_of(changes, self.label)
        if self._options.tumbling is not None:
            outputs = HandlerOutputs(*invoke_windows(changes, self._options, source, HANDLED))
            outputs.on_failure.element_type = dict[str, Any]
            return outputs
        invoked = changes | "Invoke" >> beam.ParDo(InvokeBundle(self._options, source)).with_outputs(
            ON_FAILURE, main=HANDLED
        )
        outputs = HandlerOutputs(invoked[HANDLED], invoked[ON_FAILURE])
        outputs.handled.element_type = ChangeRecord
        outputs.on_failure.element_type = dict[str, Any]
        return outputs


def source_of(changes: PCollection, label: str) -> str | None:
    """Return the name of what the read delivers that the changes come from; None if they come from no read.

    Raises:
        RunnerError: A step between the read and this one is not fused to the read, or there are several reads.
    """
    reads = reads_behind(changes)
    for read, unfused in reads:
        if unfused is not None:
            raise RunnerError(
                f"{label} calls a handler with the changes in the order of their shard, and {unfused!r} between it and "
                f"{getattr(read, 'label', read)!r} does not keep this order: apply {label} right behind the read, and "
                "the other step to the same changes, or behind its outputs"
            )
    if len(reads) > 1:
        raise RunnerError(f"{label} is behind {len(reads)} reads: apply one to the changes of each")
    return getattr(reads[0][0], "source", None) if reads else None
