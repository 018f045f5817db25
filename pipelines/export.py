"""A table's changes to Parquet or Avro files.

    python -m pipelines.export --table orders --output out --format parquet --stop NOW

Exit code 0 when all is written, 1 when the run failed, 2 when the command is at fault; errors are one line on stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import StandardOptions

from connector import ReadFromDynamoDBStreams, WriteChangesToAvro, WriteChangesToParquet
from pipelines.arguments import Parser, beam_options, command, read_of

WRITERS = {"parquet": WriteChangesToParquet, "avro": WriteChangesToAvro}


def build(
    pipeline: beam.Pipeline, read: ReadFromDynamoDBStreams, outputs: Mapping[str, str]
) -> dict[str, beam.PCollection]:
    """One read to as many formats as wanted: ``outputs`` is ``{"parquet": directory}``, ``{"avro": …}`` or both.

    Gives the files written, by format. Changes without a stop go to files of one minute each.
    """
    changes = pipeline | "Read" >> read
    return {name: changes | f"Write {name}" >> WRITERS[name](directory) for name, directory in outputs.items()}


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser("python -m pipelines.export", "Writes a table's changes to files.")
    parser.add_stream(start="TRIM_HORIZON")
    parser.add_argument("--output", required=True, metavar="DIR", help="on any filesystem that Beam knows")
    parser.add_argument("--format", required=True, choices=sorted(WRITERS))
    arguments, rest = parser.parse_known_args(argv)
    options = beam_options(rest)
    if arguments.stop is None:
        options.view_as(StandardOptions).streaming = True
    with command(parser) as run:
        pipeline = beam.Pipeline(options=options)
        build(pipeline, read_of(arguments), {arguments.format: arguments.output})
        run(pipeline)
    print(f"{arguments.format} files are in {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
