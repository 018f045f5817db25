"""Print a table's changes as they arrive: the command `dynamodb-streams tail`, with its steps.

    python -m pipelines.tail --table orders
    python -m pipelines.tail --table orders --raw | jq .keys

To print something else, copy this file and put steps of your own into `build`.
"""

import sys
from collections.abc import Callable, Sequence

import apache_beam as beam

from beam_dynamodb_streams import ChangeRecord, ReadFromDynamoDBStreams
from beam_dynamodb_streams.commands import tail


def build(pipeline: beam.Pipeline, read: ReadFromDynamoDBStreams, show: Callable[[ChangeRecord], None]) -> None:
    """Add the steps to the pipeline, whose elements are instances of `ChangeRecord`. `show` prints one."""
    pipeline | "Read" >> read | "Print" >> beam.Map(show)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return tail.main(argv, prog="python -m pipelines.tail", build=build)


if __name__ == "__main__":
    sys.exit(main())
