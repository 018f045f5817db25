"""The options of `tail`."""

from __future__ import annotations

from beam_dynamodb_streams.commands.options.pipeline_parser import PipelineParser


def parser_of(prog: str) -> PipelineParser:
    """Return the parser of the command."""
    parser = PipelineParser(prog, "Prints a table's changes as JSON lines, until it is interrupted.")
    parser.add_stream(start="LATEST")
    return parser
