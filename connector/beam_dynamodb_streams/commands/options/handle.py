"""The options of `handle`."""

from __future__ import annotations

import argparse

from beam_dynamodb_streams.commands.options.pipeline_parser import PipelineParser


def parser_of(prog: str) -> PipelineParser:
    """Return the parser of the command."""
    parser = PipelineParser(prog, "Calls a handler of a Lambda trigger with a table's changes.")
    parser.add_argument(
        "--handler", required=True, metavar="NAME", help="the function: app.handler, or package.module:function"
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="the configuration of an event source mapping, as JSON or YAML; options of the command line win over it",
    )
    parser.add_stream(start="TRIM_HORIZON")
    parser.add_argument(
        "--progress",
        metavar="ADDRESS",
        help="where to keep how far the changes were handled: dynamodb://TABLE/APPLICATION or file:PATH (default:"
        " nowhere; each run begins at --start)",
    )
    parser.add_argument("--on_failure", metavar="DIR", help="where to write the records of discarded changes")
    parser.add_argument("--batch_size", type=int, metavar="N", help="the changes of an event, at most (default: 100)")
    parser.add_argument(
        "--batching_window", type=float, metavar="SECONDS", help="how long to wait for a full batch (default: 0)"
    )
    parser.add_argument(
        "--parallelization_factor", type=int, metavar="N", help="batches of a shard side by side (default: 1)"
    )
    parser.add_argument(
        "--bisect_on_error", action=argparse.BooleanOptionalAction, help="cut a failed batch in two (default: no)"
    )
    parser.add_argument(
        "--maximum_retry_attempts",
        type=int,
        metavar="N",
        help="retries before a batch is discarded (default: -1, never)",
    )
    parser.add_argument(
        "--maximum_record_age",
        type=float,
        metavar="SECONDS",
        help="the age at which a change is discarded (default: -1)",
    )
    parser.add_argument(
        "--report_batch_item_failures",
        action=argparse.BooleanOptionalAction,
        help="the answer names the changes that failed (default: no)",
    )
    parser.add_argument(
        "--filter_criteria", metavar="JSON", help="event patterns, as JSON or @FILE (default: all changes)"
    )
    parser.add_argument("--tumbling_window", type=float, metavar="SECONDS", help="the length of tumbling windows")
    parser.add_argument("--function_name", metavar="NAME", help="the function's name in its context")
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="the time of an attempt in its context (default: 900)"
    )
    return parser
