"""The options of `inspect`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from beam_dynamodb_streams.commands.options.parser import Parser
from beam_dynamodb_streams.reader.schedule import Pace

STDOUT: Final = ""
"""`--html` without a file."""


def parser_of(prog: str) -> Parser:
    """Return the parser of the command."""
    parser = Parser(prog, "Shows a stream's shards, their ages, and what reading them costs.")
    parser.add_table()
    parser.add_argument(
        "--sample",
        action="store_true",
        help="read some pages of every shard for the times of its records; of a table's stream this is billed, and"
        " takes one of the two readers that a shard may have (default: no record is read)",
    )
    parser.add_argument(
        "--progress",
        "--application",
        dest="progress",
        metavar="WHERE",
        help="show how far the application is whose progress is in dynamodb://TABLE/APPLICATION, file:PATH or"
        " kcl://LEASE_TABLE; --sample adds its lag (default: no application)",
    )
    parser.add_argument(
        "--stalled_after",
        type=_seconds,
        metavar="SECONDS",
        help="exit with 3 if no run of the application has read for SECONDS seconds, for an alert; 120 suits every"
        " runner (default: the exit code says nothing about it)",
    )
    parser.add_argument(
        "--watch",
        type=_seconds,
        nargs="?",
        const=5.0,
        metavar="SECONDS",
        help="repeat every SECONDS seconds, 5 if you give none (default: once)",
    )
    parser.add_output()
    parser.add_argument("--json", dest="output", action="store_const", const="json", help="the same as --output json")
    parser.add_argument(
        "--html",
        nargs="?",
        const=STDOUT,
        metavar="FILE",
        help="write one page for a browser: the shards over time, lag, headroom and cost (default: no page; without"
        " FILE: TABLE.html, or stdout if that is not a terminal)",
    )
    parser.add_argument("--svg", type=Path, metavar="FILE", help="also draw the tree of the shards into an SVG file")
    for name, seconds in (("poll_interval", Pace().poll), ("idle_poll_interval", Pace().idle)):
        parser.add_argument(
            f"--{name}",
            type=_seconds,
            default=seconds,
            metavar="SECONDS",
            help="this option of the reader whose cost is estimated, in seconds (default: %(default)s)",
        )
    parser.add_connection()
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds greater than 0")
    return seconds
