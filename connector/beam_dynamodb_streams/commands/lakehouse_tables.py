"""`--iceberg` and `--delta` of `export`: the steps behind its sink."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import apache_beam as beam

from beam_dynamodb_streams.beam.typed import OwnTransform
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.lakehouse import CommitToDelta, CommitToIceberg

_FORMS = "CATALOG:NAMESPACE.TABLE, or uri=sqlite:///lake.db,warehouse=lake:NAMESPACE.TABLE"


def tables_of(arguments: argparse.Namespace) -> list[CommitToIceberg | CommitToDelta]:
    """Return the steps that commit the files of the export.

    Raises:
        InvalidOptionError: The library is not installed, or an option is invalid, or the files are not Parquet files.
    """
    found: list[CommitToIceberg | CommitToDelta] = []
    if arguments.iceberg is not None:
        found.append(CommitToIceberg(*parse_iceberg(arguments.iceberg)))
    if arguments.delta is not None:
        found.append(CommitToDelta(arguments.delta))
    if found and arguments.format != "parquet":
        option = "--iceberg" if arguments.iceberg is not None else "--delta"
        raise InvalidOptionError(
            f"{option} with --format {arguments.format}: such tables hold Parquet files, so use --format parquet"
        )
    return found


def parse_iceberg(text: str) -> tuple[str | dict[str, str], str]:
    """Return the catalog and the table of `--iceberg`."""
    catalog, colon, table = text.rpartition(":")
    if not colon or not catalog or "." not in table or "/" in table:
        raise InvalidOptionError(f"--iceberg={text} is not a table in a catalog: use {_FORMS}")
    if "=" not in catalog:
        return catalog, table
    members = [member.partition("=") for member in catalog.split(",")]
    if not all(name.strip() and equals for name, equals, _ in members):
        raise InvalidOptionError(f"--iceberg={text} has a property without a value: use {_FORMS}")
    return {name.strip(): value for name, _, value in members}, table


class WriteAndCommit(OwnTransform):
    """A sink, and the steps that commit its files. It returns the files."""

    def __init__(self, sink: Any, commits: Sequence[CommitToIceberg | CommitToDelta]) -> None:
        super().__init__()
        self._sink = sink
        self._commits = commits

    def expand(self, changes: beam.PCollection) -> beam.PCollection:
        files = changes | "Files" >> self._sink
        for commit in self._commits:
            files | commit
        return files
