"""Write a table's changes to files, each change exactly once: the command `dynamodb-streams export`, with its steps.

    python -m pipelines.export --table orders --output out --format parquet --stop NOW

To filter or to change what is written, copy this file and put steps of your own into `build`.
"""

import sys
from collections.abc import Sequence

import apache_beam as beam

from beam_dynamodb_streams import ReadFromDynamoDBStreams
from beam_dynamodb_streams.commands import dead_letter_files, export


def build(
    pipeline: beam.Pipeline, read: ReadFromDynamoDBStreams, sink: beam.PTransform, dead_letters: str | None
) -> None:
    """Add the steps to the pipeline.

    Args:
        pipeline: the pipeline.
        read: the changes, as the options of the command describe them.
        sink: the files, likewise.
        dead_letters: where the dead letters go; None where the first one ends the run.
    """
    changes = pipeline | "Read" >> read
    if dead_letters is not None:
        changes, letters, _ = changes
        letters | "Write dead letters" >> beam.ParDo(dead_letter_files.WriteDeadLetters(dead_letters))
    # The elements are Arrow record batches of many changes. A step of yours goes here, such as
    # changes |= "Inserts" >> beam.Map(lambda batch: batch.filter(pc.field("event_name") == "INSERT"))
    changes | "Write" >> sink


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return export.main(argv, prog="python -m pipelines.export", build=build)


if __name__ == "__main__":
    sys.exit(main())
