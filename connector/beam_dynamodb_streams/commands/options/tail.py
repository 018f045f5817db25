"""The options of `tail`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Final

from beam_dynamodb_streams.commands.options.pipeline_parser import PipelineParser

EVENT_NAMES: Final = ("INSERT", "MODIFY", "REMOVE", "READ")


def parser_of(prog: str) -> PipelineParser:
    """Return the parser of the command."""
    parser = PipelineParser(prog, "Prints a table's changes, one line each, until it is interrupted.")
    parser.add_argument(
        "--raw", action="store_true", help="print each change as one line of JSON, for machines (default: for people)"
    )
    parser.add_argument(
        "--event_names",
        nargs="+",
        action=_EventNames,
        metavar="NAME",
        help="only these kinds of change: INSERT, MODIFY, REMOVE; READ for items of a --snapshot (default: all)",
    )
    parser.add_stream(start="LATEST")
    return parser


class _EventNames(argparse.Action):
    """Collects names that are separated by spaces or commas, in upper or lower case."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - the signature of an action
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        words = [values] if isinstance(values, str) else values or []
        names = {name.strip().upper() for word in words for name in word.split(",") if name.strip()}
        if unknown := sorted(names.difference(EVENT_NAMES)):
            raise argparse.ArgumentError(self, f"{unknown[0]!r} is no kind of change: use {', '.join(EVENT_NAMES)}")
        setattr(namespace, self.dest, names or None)
