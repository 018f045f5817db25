"""The options of `repair`."""

from __future__ import annotations

from beam_dynamodb_streams.commands.options.argument_types import moment_argument
from beam_dynamodb_streams.commands.options.pipeline_parser import PipelineParser


def parser_of(prog: str) -> PipelineParser:
    """Return the parser of the command."""
    parser = PipelineParser(prog, "Says which incremental exports mend a loss, and writes what they repair.")
    parser.add_argument("--table", required=True, metavar="TABLE", help="the table's name or ARN")
    parser.add_argument(
        "--since", type=moment_argument, metavar="TIME", help="when the loss began: a time such as 2026-01-31T12:00:00Z"
    )
    parser.add_argument("--loss", metavar="TEXT", help="the text of the error or of the loss, which says since when")
    parser.add_argument("--s3_bucket", default="BUCKET", metavar="BUCKET", help="where to export to (default: BUCKET)")
    parser.add_argument("--s3_prefix", metavar="PREFIX", help="the prefix there (default: none)")
    parser.add_argument(
        "--exports",
        nargs="+",
        metavar="PATH",
        help="the folders of the exports once they are complete, in the order of their times: write the repair",
    )
    parser.add_files(required=False)
    parser.add_connection()
    return parser
