"""What the lease table of a Kinesis Client Library application says about a stream. The table is only read.

An item is a lease: `leaseKey` (S), `checkpoint` (S) and more that says who holds it, which is not read. The same fields
serve all generations: KCL 1 and 2 (the serializers of leases in awslabs/amazon-kinesis-client), and KCL 3, which since
3.5 keeps other entities in the same table with another `entityType`. With several streams in one table the key is
`STREAM:SHARD`. The Streams adapter (awslabs/dynamodb-streams-kinesis-adapter, 2.x) names a stream
`ACCOUNT:REGION$ACCOUNT$TABLE$LABEL:1`, with `_` for the colons of the label. The KCL itself names a Kinesis data stream
`ACCOUNT:NAME:CREATION`.

A checkpoint is the last record that was processed, so reading resumes after it. Two fields are not read:
`checkpointSubSequenceNumber` counts inside aggregated Kinesis records, and a change of DynamoDB has no parts;
`pendingCheckpoint` was announced and not made, so its records are repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from beam_dynamodb_streams.errors import InvalidOptionError, NotFoundError
from beam_dynamodb_streams.shards.lineage import Lineage
from beam_dynamodb_streams.shards.position import SHARD_END, TRIM_HORIZON, After, AtTime, Position, StartPosition
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.wire import DynamoDB
from beam_dynamodb_streams.wire.arn import KINESIS_ARN, region_for

STREAM_ARN: Final = re.compile(r"arn:[\w-]+:dynamodb:([\w-]*):(\d*):table/([^/]+)/stream/(.+)")
_LEASE: Final = "LEASE"


@dataclass(frozen=True, slots=True)
class KclLease:
    """A lease of a KCL application, as it is stored.

    `stream` is empty where the table has leases of one stream only. `owner` is for people.
    """

    shard: str
    stream: str
    checkpoint: str
    owner: str
    counter: int


def read_leases(
    table: str, *, region_name: str | None = None, endpoint_url: str | None = None
) -> tuple[list[KclLease], float]:
    """Return the leases in a table, sorted, and the second at which the table was created.

    Raises:
      NotFoundError: the table does not exist.
      InvalidOptionError: it is a table of another kind.
    """
    region_name = region_for(table, region_name, option="lease table")
    with closing(DynamoDB(region_name=region_name, endpoint_url=endpoint_url)) as client:
        try:
            created = client.describe_table(table).created
        except NotFoundError as error:
            raise NotFoundError(
                f"lease table {table!r} does not exist in {client.region_name} at {client.url}: "
                "check the name of the application, region_name= and endpoint_url="
            ) from error
        items = [msgspec.json.decode(item) for item in client.scan(table, consistent=True)]
    return leases_of(items, table), created or 0.0


def leases_of(items: Iterable[Mapping[str, Mapping[str, Any]]], table: str) -> list[KclLease]:
    """Return the leases of a table, sorted. Raises InvalidOptionError for a table of another kind."""
    found = []
    for item in items:
        if item.get("entityType", {"S": _LEASE}).get("S") != _LEASE:
            continue
        key, checkpoint = item.get("leaseKey", {}).get("S"), item.get("checkpoint", {}).get("S")
        if key is None or checkpoint is None:
            raise InvalidOptionError(
                f"table {table!r} holds an item that is not a lease (it has {', '.join(sorted(item))}): use the table "
                "of leases, which has the name of the KCL application"
            )
        stream, _, shard = key.rpartition(":")
        owner, counter = item.get("leaseOwner", {}).get("S", ""), int(item.get("leaseCounter", {}).get("N", "0"))
        found.append(KclLease(shard, stream, checkpoint, owner, counter))
    return sorted(found, key=lambda lease: (lease.stream, lease.shard))


def position_of_leases(
    leases: Iterable[KclLease], stream_arn: str, table: str, *, latest: StartPosition = TRIM_HORIZON
) -> StreamPosition:
    """Return where the workers stopped in one stream.

    `latest` stands for LATEST, which is stored for a shard without any checkpoint and says no moment: pass one that is
    not later than the first start of the workers, and nothing is lost. AT_TIMESTAMP, whose moment is in the workers'
    configuration only, is the trim horizon. A shard that is not listed begins at the trim horizon, unless
    `with_ended_ancestors` finds that it was read.

    Raises InvalidOptionError where no lease is of this stream, and for a checkpoint of unknown form.
    """
    leases = list(leases)
    ours = [lease for lease in leases if not lease.stream or names_stream(lease.stream, stream_arn)]
    if not ours:
        streams = sorted({lease.stream for lease in leases})
        has = f"has leases of {', '.join(streams)}" if streams else "is empty"
        raise InvalidOptionError(
            f"lease table {table!r} {has}, and none of {stream_arn}: check the table's name, or start at TRIM_HORIZON"
        )
    return StreamPosition(stream_arn, TRIM_HORIZON, {lease.shard: _position(lease, table, latest) for lease in ours})


def _position(lease: KclLease, table: str, latest: StartPosition) -> Position:
    match lease.checkpoint:
        case "SHARD_END":
            return SHARD_END
        case "LATEST":
            return latest
        case "TRIM_HORIZON" | "AT_TIMESTAMP":
            return TRIM_HORIZON
        case number if number.isascii() and number.isdecimal():
            return After(number)
    raise InvalidOptionError(
        f"lease table {table!r}: the checkpoint {lease.checkpoint!r} of {lease.shard} has a form that KCL 1 to 3 "
        "do not write"
    )


def names_stream(identifier: str, stream_arn: str) -> bool:
    """Return whether a lease is of this stream.

    The Streams adapter's identifier names account, region, table and label. Another stream tracker's identifier must
    begin with the account and the table, and that of a data stream with the account and the stream's name.
    """
    if KINESIS_ARN.fullmatch(stream_arn):
        account, _, name = stream_arn.split(":", 4)[4].partition(":stream/")
        return identifier.split(":")[:2] == [account, name]
    arn = STREAM_ARN.fullmatch(stream_arn)
    if arn is None:
        return False
    region, account, table, label = arn.groups()
    parts = [part for field in identifier.split(":") for part in field.split("$")]
    if "$" in identifier:
        return parts[-5:-1] == [region, account, table, label.replace(":", "_")]
    return account in parts[:1] and table in parts[1:2]


def with_ended_ancestors(position: StreamPosition, lineage: Lineage) -> StreamPosition:
    """Return the position with the end of each ancestor that has no lease.

    KCL deletes the lease of a shard that was read to its end once the leases of its children exist. So a shard without
    a lease whose descendant has one was read.
    """
    ended = {
        ancestor: SHARD_END
        for shard in position.shards
        for ancestor in lineage.ancestors(shard)
        if ancestor not in position.shards
    }
    return replace(position, shards={**ended, **position.shards})


def position_of_workers(
    leases: Iterable[KclLease], stream_arn: str, table: str, *, created: float, lineage: Lineage
) -> StreamPosition:
    """Return where the workers of an application stopped, for all shards in `lineage`.

    `created` is the second at which their table was created: whatever moment their first LATEST was, the table was
    there before it. Raises what `position_of_leases` does.
    """
    position = position_of_leases(leases, stream_arn, table, latest=AtTime(int(created)))
    return with_ended_ancestors(position, lineage)
