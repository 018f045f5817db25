"""Call a handler of a Lambda trigger with a table's changes: the command `dynamodb-streams handle`, with its steps.

    python -m pipelines.handle --table orders --handler app.handler --progress file:progress.json

To do more with the changes, copy this file and put steps of your own into `build`.
"""

import sys
from collections.abc import Sequence
from typing import Any

import apache_beam as beam

from beam_dynamodb_streams import InvokeHandler, ReadFromDynamoDBStreams
from beam_dynamodb_streams.commands import handle, on_failure_files


def build(
    pipeline: beam.Pipeline, read: ReadFromDynamoDBStreams, handler: InvokeHandler, on_failure: str | None
) -> Any:
    """Add the steps to the pipeline, and return the outputs of the handler.

    Args:
        pipeline: the pipeline.
        read: the changes, as the options of the command describe them.
        handler: the step that calls the handler, likewise.
        on_failure: where the records of discarded changes go; None where they are not kept.
    """
    changes = pipeline | "Read" >> read
    outputs = changes | "Handle" >> handler
    if on_failure is not None:
        outputs.on_failure | "Write failures" >> beam.ParDo(on_failure_files.WriteOnFailureRecords(on_failure))
    return outputs


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return handle.main(argv, prog="python -m pipelines.handle", build=build)


if __name__ == "__main__":
    sys.exit(main())
