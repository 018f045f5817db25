"""The options of the demo. They are here so that `python -m pipelines.demo --help` needs no Beam."""

from __future__ import annotations

from pathlib import Path

from beam_dynamodb_streams.commands.options.pipeline_parser import PipelineParser


def parser_of() -> PipelineParser:
    """Return the parser of the demo."""
    parser = PipelineParser(
        "python -m pipelines.demo",
        "Exports the changes of an orders table on a local service to Parquet and Avro, reads them back and checks"
        " them.",
    )
    parser.add_argument("--changes", type=int, default=8000, help="how many changes are written (default: %(default)s)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("demo-output"),
        metavar="DIR",
        help="the directory of the files (default: %(default)s)",
    )
    return parser
