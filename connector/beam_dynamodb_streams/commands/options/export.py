"""The options of `export`."""

from __future__ import annotations

from beam_dynamodb_streams.commands.options.pipeline_parser import PipelineParser


def parser_of(prog: str) -> PipelineParser:
    """Return the parser of the command."""
    parser = PipelineParser(prog, "Writes a table's changes to files, each change exactly once.")
    parser.add_stream(start="TRIM_HORIZON")
    parser.add_files()
    return parser
