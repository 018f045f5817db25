"""The options of `export`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from beam_dynamodb_streams.commands.options.pipeline_parser import PipelineParser


class ExportParser(PipelineParser):
    """The parser of `export`. `--iceberg` and `--delta` imply Parquet, and a Delta table can be the output itself."""

    def parse_with_beam(self, argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
        words = list(sys.argv[1:] if argv is None else argv)
        first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        for name in ("--output", "--format", "--iceberg", "--delta"):
            first.add_argument(name)
        try:
            given, _ = first.parse_known_args(words)
        except argparse.ArgumentError:  # which the parser itself reports
            return super().parse_with_beam(words)
        if given.delta is not None and given.output is None:
            words += ["--output", given.delta]
        if (given.delta is not None or given.iceberg is not None) and given.format is None:
            words += ["--format", "parquet"]
        return super().parse_with_beam(words)


def parser_of(prog: str) -> ExportParser:
    """Return the parser of the command."""
    parser = ExportParser(prog, "Writes a table's changes to files, each change exactly once.")
    parser.add_stream(start="TRIM_HORIZON")
    parser.add_files()
    parser.add_argument(
        "--iceberg",
        metavar="TABLE",
        help="add the files to this Iceberg table, each once: CATALOG:NAMESPACE.TABLE with a catalog of pyiceberg's"
        " configuration, or with its properties uri=sqlite:///lake.db,warehouse=lake:NAMESPACE.TABLE",
    )
    parser.add_argument(
        "--delta",
        metavar="DIR",
        help="add the files to the Delta table in this directory, each once: the output, or another one, which gets a"
        " link to each file or a copy (without --output it is the output)",
    )
    return parser
