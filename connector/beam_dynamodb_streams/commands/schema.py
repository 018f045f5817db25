"""Infer a schema for a table from a sample of its items and its changes.

    dynamodb-streams schema --table orders --output schema.json

The command reads at most `--sample` items in a scan of the table, and as many changes of its stream from the trim
horizon on. Both are billed as any read is. The schema goes to stdout and to the file. What was seen goes to stderr: the
share of the sampled items and changes that fit the schema, and the attributes that had values of several types.

Edit the file, and give it to `export` as `--schema`. A sample proves nothing about what it left out, so what does not
fit becomes text.

Exit code: 0 when done; 1 if the run failed; 2 for a usage error.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import Final, NamedTuple

import msgspec
import pyarrow as pa

from beam_dynamodb_streams import ConnectorError, errors
from beam_dynamodb_streams.columns import Inferred, NameProblem, infer
from beam_dynamodb_streams.columns.type_notation import notation_of
from beam_dynamodb_streams.commands.aws_profile import aws_profile
from beam_dynamodb_streams.commands.exit_codes import exit_with
from beam_dynamodb_streams.commands.options.schema import parser_of
from beam_dynamodb_streams.commands.printable import printable, printable_json
from beam_dynamodb_streams.display import counted
from beam_dynamodb_streams.records.envelope import entry_images
from beam_dynamodb_streams.source.options import connection_to
from beam_dynamodb_streams.wire import Client, DynamoDB

QUIET_PAGES: Final = 30
"""A shard that returned this many empty pages in a row has no more records. Fewer may precede data."""


class InferredFromSample(NamedTuple):
    """A schema and the size of the sample it follows from.

    Attributes:
        inferred: the schema and what was seen, from one image of each item and change.
        items: how many items of the table were sampled.
        changes: how many changes of the stream were sampled; they may be of the same items.
        without: why the stream was left out although it was requested; None if it was not left out.
    """

    inferred: Inferred
    items: int
    changes: int
    without: str | None = None


def main(argv: Sequence[str] | None = None, *, prog: str = "dynamodb-streams schema") -> int:
    """Run the command and return its exit code."""
    parser = parser_of(prog)
    arguments = parser.parse_args(argv)
    try:
        with aws_profile(arguments.profile):
            sampled = infer_from_sample(arguments)
    except ConnectorError as error:
        exit_with(parser, error)
    text = printable_json(sampled.inferred.schema.to_json()) + "\n"
    sys.stdout.write(text)
    sys.stderr.writelines(f"{printable(line)}\n" for line in report(sampled))
    if arguments.output is not None:
        try:
            arguments.output.write_text(text, "utf-8")
        except OSError as error:
            parser.error(f"--output {str(arguments.output)!r} cannot be written: {error.strerror}")
        print(f"saved in {arguments.output}", file=sys.stderr)
    return 0


def infer_from_sample(arguments: argparse.Namespace) -> InferredFromSample:
    """Read the sample and infer the schema.

    Raises:
        ConnectorError: the table or its stream cannot be read.
    """
    items: list[bytes] = []
    changes: list[bytes] = []
    without = None
    connection = connection_to(arguments.table, None, arguments.region_name, arguments.endpoint_url)
    with closing(Client(region_name=connection.region_name, endpoint_url=arguments.endpoint_url)) as client:
        table = client.describe_table(arguments.table)
        if arguments.source != "stream":
            with closing(DynamoDB(region_name=client.region_name, endpoint_url=arguments.endpoint_url)) as tables:
                items = list(islice(tables.scan(arguments.table), arguments.sample))
        if table.latest_stream_arn is None:
            if arguments.source == "stream":
                raise errors.StreamNotEnabledError(f"table {arguments.table!r} has no stream: use --source table")
            if arguments.source == "both":
                without = f"the stream was not sampled: table {arguments.table!r} has none"
        elif arguments.source != "table":
            images = stream_images(client, table.latest_stream_arn, arguments.sample)
            changes = list(islice(images, arguments.sample))
    inferred = infer([*items, *changes], table.key_types, numbers=arguments.numbers, rename=arguments.rename)
    inferred = replace(inferred, schema=replace(inferred.schema, on_misfit="text"))
    return InferredFromSample(inferred, len(items), len(changes), without)


def stream_images(client: Client, stream_arn: str, most: int) -> Iterator[bytes]:
    """Yield the new image of each change, or the old one of a removal, one page of each shard in turn."""
    shards = [shard.shard_id for page in client.listing(stream_arn) for shard in page.shards]
    limit = max(1, min(1000, most // max(1, len(shards))))
    turns: deque[tuple[str, str | None, int]] = deque((shard, None, 0) for shard in shards)
    while turns:
        shard, iterator, quiet = turns.popleft()
        try:
            iterator = iterator or client.get_shard_iterator(stream_arn, shard, "TRIM_HORIZON")
            page = client.get_records(iterator, limit=limit, stream_arn=stream_arn, shard_id=shard)
        except (errors.NotFoundError, errors.TrimmedDataError, errors.ExpiredIteratorError):
            continue  # it is gone since the last call: the sample does without it
        yield from entry_images(page.records)
        quiet = 0 if page.records else quiet + 1
        if page.next_iterator is not None and quiet < QUIET_PAGES:
            turns.append((shard, page.next_iterator, quiet))


def report(sampled: InferredFromSample) -> Iterator[str]:
    """Yield what was seen, in lines."""
    inferred = sampled.inferred
    schema, images = inferred.schema, inferred.items
    columns = schema.attributes.names
    width = max((len(printable(name)) for name in columns), default=0)
    for column in schema.attributes:
        seen = f"in {inferred.seen[column.name]:,} of {images:,}" if images else "not sampled"
        key = ", key" if column.name in schema.keys else ""
        yield f"{printable(column.name):{width}}  {type_text(column)}  ({seen}{key})"
    if rest := [name for name in inferred.seen if name not in columns]:
        yield f"{len(rest):,} rarer attributes have no column and go to {schema.other}"
    for conflict in inferred.conflicts:
        counts = ", ".join(f"{count:,} {tag}" for tag, count in conflict.counts.items())
        yield f"conflict: {conflict.place} was {counts}; {conflict.column.name} is {type_text(conflict.column)}"
    for case in inferred.case_conflicts:
        counts = ", ".join(f"{name} ({count:,})" for name, count in case.counts.items())
        yield f"names differ only in case: {counts}; Spark and DuckDB take them for one, so: {case.handling}"
    yield from (name_line(problem) for problem in inferred.name_problems)
    if sampled.without is not None:
        yield sampled.without
    share = f"{math.floor(inferred.fitting / images * 1000) / 10:g} %" if images else "none"
    of = f"{counted(sampled.items, 'item')} and {counted(sampled.changes, 'change')}"
    yield f"of {of}, {inferred.fitting:,} fit ({share})"


def name_line(problem: NameProblem) -> str:
    """Return what is wrong with a name, for whom, and what the schema does about it or could do."""
    wrong = f"name: {problem.path} {problem.reason}; refused by {', '.join(problem.refused_by)}"
    if problem.in_files != problem.name:
        return f"{wrong}; it is {problem.in_files} in files"
    return wrong if problem.safe == problem.name else f"{wrong}; --rename safe makes it {problem.safe} in files"


def type_text(column: pa.Field) -> str:
    """Return the type of a column as a schema's file has it."""
    return msgspec.json.encode(notation_of(column)).decode()
