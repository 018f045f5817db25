"""A schema for a table, from a sample of its items.

    python -m pipelines.schema --table orders --output schema.json

Reads up to ``--sample`` items of a scan of the table, and as many changes of its stream from the trim horizon on; both
are billed as any read. The schema goes to stdout and to the file; stderr gets what was seen: the share of the sampled
items and changes that fit it, and the attributes that had values of several types. Edit the file, and give it to the
pipelines as ``--schema``. A sample proves nothing about what it left out: what does not fit is kept as text. Exit code
0, 1 when the run failed, 2 when the command is at fault.
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
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pyarrow as pa

from beam_dynamodb_streams import ConnectorError, errors
from beam_dynamodb_streams.columns import Inferred, infer
from beam_dynamodb_streams.columns.forms import form_of
from beam_dynamodb_streams.commands.arguments import COMMAND_FAULTS, Parser
from beam_dynamodb_streams.wire import Client, DynamoDB

QUIET_PAGES: Final = 30
"""A shard that gave this many empty pages in a row has no more: runs of them stand before data."""


class Sampled(NamedTuple):
    """``inferred`` is of an image each of ``items`` items of the table and ``changes`` changes of the stream, whose
    items may be the same; ``without``: why the stream was left out though it was asked for."""

    inferred: Inferred
    items: int
    changes: int
    without: str | None = None


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser("python -m pipelines.schema", "Infers a schema from a table's items, prints it and saves it.")
    parser.epilog = None
    parser.add_argument("--table", required=True, metavar="NAME")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to save the schema")
    parser.add_argument(
        "--sample", type=_count, default=1000, metavar="N", help="items of each source (default: %(default)s)"
    )
    parser.add_argument(
        "--source", choices=["table", "stream", "both"], default="both", help="what is sampled (default: %(default)s)"
    )
    parser.add_argument(
        "--numbers",
        choices=["text", "narrow"],
        default="text",
        help="text never loses; narrow is int64 or decimal128 where all sampled numbers fit (default: %(default)s)",
    )
    parser.add_argument("--region_name", metavar="REGION", help="by default as boto3 finds it")
    parser.add_argument("--endpoint_url", metavar="URL", help="of another service than AWS, such as a local one")
    arguments = parser.parse_args(argv)
    try:
        sampled = build(arguments)
    except COMMAND_FAULTS as error:
        parser.error(parser.spelt(error))
    except ConnectorError as error:
        parser.exit(1, f"{parser.prog}: failed: {parser.spelt(error)}\n")
    text = sampled.inferred.schema.to_json() + "\n"
    sys.stdout.write(text)
    sys.stderr.writelines(f"{line}\n" for line in report(sampled))
    if arguments.output is not None:
        try:
            arguments.output.write_text(text, "utf-8")
        except OSError as error:
            parser.error(f"--output {str(arguments.output)!r} cannot be written: {error.strerror}")
        print(f"saved in {arguments.output}", file=sys.stderr)
    return 0


def build(arguments: argparse.Namespace) -> Sampled:
    items: list[bytes] = []
    changes: list[bytes] = []
    without = None
    with closing(Client(region_name=arguments.region_name, endpoint_url=arguments.endpoint_url)) as client:
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
            images = streamed(client, table.latest_stream_arn, arguments.sample)
            changes = list(islice(images, arguments.sample))
    inferred = infer([*items, *changes], table.key_types, numbers=arguments.numbers)
    inferred = replace(inferred, schema=replace(inferred.schema, on_misfit="text"))
    return Sampled(inferred, len(items), len(changes), without)


def streamed(client: Client, stream_arn: str, most: int) -> Iterator[bytes]:
    """The new image of each change, or the old one of a removal; page by page from each shard in turn."""
    shards = [shard.shard_id for page in client.listing(stream_arn) for shard in page.shards]
    limit = max(1, min(1000, most // max(1, len(shards))))
    turns: deque[tuple[str, str | None, int]] = deque((shard, None, 0) for shard in shards)
    while turns:
        shard, iterator, quiet = turns.popleft()
        try:
            iterator = iterator or client.get_shard_iterator(stream_arn, shard, "TRIM_HORIZON")
            page = client.get_records(iterator, limit=limit, stream_arn=stream_arn, shard_id=shard)
        except (errors.NotFoundError, errors.TrimmedDataError, errors.ExpiredIteratorError):
            continue  # gone between two calls: a sample goes on without it
        images = [record.dynamodb.NewImage or record.dynamodb.OldImage for record in page.records]
        yield from (bytes(image) for image in images if image is not None)
        quiet = 0 if page.records else quiet + 1
        if page.next_iterator is not None and quiet < QUIET_PAGES:
            turns.append((shard, page.next_iterator, quiet))


def report(sampled: Sampled) -> Iterator[str]:
    """What was seen, in lines."""
    inferred = sampled.inferred
    schema, images = inferred.schema, inferred.items
    columns = schema.attributes.names
    width = max(map(len, columns))
    for column in schema.attributes:
        seen = f"in {inferred.seen[column.name]:,} of {images:,}" if images else "not sampled"
        key = ", key" if column.name in schema.keys else ""
        yield f"{column.name:{width}}  {type_text(column)}  ({seen}{key})"
    if rest := [name for name in inferred.seen if name not in columns]:
        yield f"{len(rest):,} rarer attributes have no column and go to {schema.other}"
    for conflict in inferred.conflicts:
        counts = ", ".join(f"{count:,} {tag}" for tag, count in conflict.counts.items())
        yield f"conflict: {conflict.place} was {counts}; {conflict.column.name} is {type_text(conflict.column)}"
    if sampled.without is not None:
        yield sampled.without
    share = f"{math.floor(inferred.fitting / images * 1000) / 10:g} %" if images else "none"
    of = f"{_counted(sampled.items, 'item')} and {_counted(sampled.changes, 'change')}"
    yield f"of {of}, {inferred.fitting:,} fit ({share})"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def type_text(column: pa.Field) -> str:
    return msgspec.json.encode(form_of(column)).decode()


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of items: use 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
