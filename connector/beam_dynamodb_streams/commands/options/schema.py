"""The options of `schema`."""

from __future__ import annotations

import argparse
from pathlib import Path

from beam_dynamodb_streams.commands.options.parser import Parser


def parser_of(prog: str) -> Parser:
    """Return the parser of the command."""
    parser = Parser(prog, "Infers a schema from a table's items and changes, prints it and saves it.")
    parser.add_argument("--table", required=True, metavar="TABLE", help="the table's name or ARN")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to save the schema (default: nowhere)")
    parser.add_argument(
        "--sample",
        type=_count,
        default=1000,
        metavar="N",
        help="how many items, and how many changes, are read at most (default: %(default)s)",
    )
    parser.add_argument(
        "--source", choices=["table", "stream", "both"], default="both", help="what is read (default: %(default)s)"
    )
    parser.add_argument(
        "--numbers",
        choices=["text", "narrow"],
        default="text",
        help="the columns of numbers: text, which loses nothing, or int64 and decimal128 where all sampled numbers fit"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--rename",
        choices=["safe"],
        help="give each attribute that readers of files refuse another name in files and rows, and a column to each of"
        " those that differ only in case (default: report them)",
    )
    parser.add_connection()
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of items: use 1 or more")
    return int(text)
