"""Manage an application's stored progress: list it, export it, import it, or reset it.

    dynamodb-streams progress list dynamodb://progress/orders-export
    dynamodb-streams progress export dynamodb://progress/orders-export > saved.json
    dynamodb-streams progress import dynamodb://progress/orders-export saved.json
    dynamodb-streams progress reset file:/var/lib/orders.json --stream_arn arn:aws:dynamodb:…
    dynamodb-streams progress show-kcl orders-app

`export` and `show-kcl --stream_arn` print a saved position, which `import` and `--start @FILE` take.

`import` and `reset` are refused while a run of the application is alive. They ask before they change what is stored: a
position that moves forward leaves changes unread, and one that moves back delivers changes again.

Exit code: 0 when done; 1 if it was declined or failed; 2 for a usage error.
"""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from beam_dynamodb_streams import ConnectorError, Progress, StreamPosition
from beam_dynamodb_streams.commands.aws_profile import aws_profile
from beam_dynamodb_streams.commands.exit_codes import exit_with
from beam_dynamodb_streams.commands.options.progress import parser_of
from beam_dynamodb_streams.commands.printable import printable, printable_json
from beam_dynamodb_streams.errors import DelayError, InvalidOptionError
from beam_dynamodb_streams.progress.acquire import WallClock, acquire, store_of
from beam_dynamodb_streams.progress.kcl import STREAM_ARN, read_leases
from beam_dynamodb_streams.progress.store import Application, LeaseRecord, SavedProgress, Store, is_further
from beam_dynamodb_streams.shards.encoding import decode_scan
from beam_dynamodb_streams.shards.position import Position, ScanPlaces
from beam_dynamodb_streams.shards.start_stop import LeaseTable
from beam_dynamodb_streams.shards.stream_position import position_text
from beam_dynamodb_streams.source.kinesis import connection_to_kinesis
from beam_dynamodb_streams.source.options import Connection, connection_to
from beam_dynamodb_streams.source.start import resolve_start
from beam_dynamodb_streams.source.worker_cache import client
from beam_dynamodb_streams.wire.arn import KINESIS_ARN


def main(
    argv: Sequence[str] | None = None, *, prog: str = "dynamodb-streams progress", clock: WallClock | None = None
) -> int:
    """Run the command and return its exit code."""
    parser = parser_of(prog)
    arguments = parser.parse_args(argv)
    try:
        with aws_profile(arguments.profile):
            return int(COMMANDS[arguments.command](arguments, clock or WallClock()))
    except ConnectorError as error:
        exit_with(parser, error)


def _list(arguments: argparse.Namespace, clock: WallClock) -> int:
    progress = _progress(arguments)
    stored = store_of(progress).read()
    if arguments.output == "json":
        print(printable_json(json.dumps(_listed(progress.address, stored, arguments.stream_arn, clock.now()))))
        return 0
    if stored == Application():
        print(printable(f"{progress.address} is empty"))
        return 0
    if stored.lease is not None:
        print(printable(_lease_text(stored.lease, clock.now())))
    for arn in sorted(_streams(stored, arguments.stream_arn)):
        stream = stored.streams[arn]
        print(printable(f"{arn}: {len(stream.shards):,} shards, all others from {position_text(stream.start)}"))
        width = max(map(len, stream.shards), default=0)
        for shard, saved in sorted(stream.shards.items()):
            moved = datetime.fromtimestamp(saved.moved_at, timezone.utc)
            print(printable(f"  {shard:{width}}  {moved:%Y-%m-%d %H:%M:%S}  {_where(saved.position)}"))
    return 0


def _where(position: Position) -> str:
    if not isinstance(position, ScanPlaces):
        return position_text(position)
    scan = decode_scan(position.scan)
    return f"{scan.rows + scan.replaced:,} items of the table were read"


def _listed(address: str, stored: Application, stream_arn: str | None, now: float) -> dict[str, Any]:
    """Return what `list` shows, for JSON."""
    lease = stored.lease
    return {
        "application": address,
        "owner": None if lease is None or lease.renewed_at == 0 else lease.owner,
        "alive": lease is not None and lease.renewed_at != 0 and not lease.is_expired(now),
        "renewed_seconds_ago": None if lease is None or lease.renewed_at == 0 else max(0.0, now - lease.renewed_at),
        "streams": [
            {
                "stream_arn": arn,
                "start": position_text(stream.start),
                "shards": [
                    {
                        "shard_id": shard,
                        "position": _where(saved.position),
                        "moved": datetime.fromtimestamp(saved.moved_at, timezone.utc).isoformat(),
                    }
                    for shard, saved in sorted(stream.shards.items())
                ],
            }
            for arn, stream in sorted(_streams(stored, stream_arn).items())
        ],
    }


def _lease_text(lease: LeaseRecord, now: float) -> str:
    if lease.renewed_at == 0:
        return f"run {lease.owner} has ended"
    alive = not lease.is_expired(now)
    return f"run {lease.owner} {'is' if alive else 'was'} alive {max(0.0, now - lease.renewed_at):.0f} s ago"


def _export(arguments: argparse.Namespace, clock: WallClock) -> int:  # noqa: ARG001 - the signature of a command
    arn, stored = _chosen_stream(store_of(_progress(arguments)).read(), arguments)
    print(printable_json(stored.position(arn).to_json()))
    return 0


def _import(arguments: argparse.Namespace, clock: WallClock) -> int:
    try:
        text = sys.stdin.read() if arguments.file == "-" else Path(arguments.file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOptionError(f"{arguments.file!r} cannot be read: {error}") from error
    position = StreamPosition.from_json(text)
    arn = arguments.stream_arn or position.stream_arn
    if arn is None or position.stream_arn not in (None, arn):
        raise InvalidOptionError(
            f"the saved position is of {position.stream_arn or 'no named stream'}: give its stream as --stream_arn"
        )
    if not STREAM_ARN.fullmatch(arn) and not KINESIS_ARN.fullmatch(arn):
        raise InvalidOptionError(
            f"stream_arn={arn!r} is not a stream's ARN: it looks like "
            "arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE/stream/LABEL, or arn:aws:kinesis:REGION:ACCOUNT:stream/NAME"
        )
    position = replace(position, stream_arn=arn)
    with _leased(arguments, arn, clock) as (store, owner):
        before = store.read().streams.get(arn)
        if before is not None and not _confirmed(arguments, _changes(before, position), store.name):
            return 1
        store.forget(owner, arn, None)
        store.begin(owner, position, int(clock.now()))
    print(printable(f"{arn}: {len(position.shards):,} shards"))
    return 0


def _changes(before: SavedProgress, after: StreamPosition) -> str:
    """Return what the new position changes, in words."""
    known = {shard: saved.position for shard, saved in before.shards.items()}
    shards = known.keys() | after.shards.keys()
    pairs = [(known.get(s, before.start), after.shards.get(s, after.start)) for s in shards]
    forward = sum(is_further(new, old) for old, new in pairs)
    back = sum(is_further(old, new) for old, new in pairs)
    return (
        f"{forward:,} shards move forward, and the changes in between are never delivered; "
        f"{back:,} move back, and their changes are delivered again"
    )


def _reset(arguments: argparse.Namespace, clock: WallClock) -> int:
    arn, stored = _chosen_stream(store_of(_progress(arguments)).read(), arguments)
    with _leased(arguments, arn, clock) as (store, owner):
        lost = (
            f"the positions of {len(stored.shards):,} shards of {arn} are deleted; the next run begins at its start=, "
            "so changes are delivered again, or, with LATEST, never"
        )
        if not _confirmed(arguments, lost, store.name):
            return 1
        store.forget(owner, arn, None)
    print(printable(f"{arn}: deleted"))
    return 0


def _show_kcl(arguments: argparse.Namespace, clock: WallClock) -> int:  # noqa: ARG001
    if arguments.stream_arn is not None:
        connection = _connection(arguments)
        position = resolve_start(LeaseTable(arguments.table), arguments.stream_arn, client(connection), connection)
        assert isinstance(position, StreamPosition)  # noqa: S101 - narrows the type: leases are a position
        print(printable_json(position.to_json()))
        return 0
    leases, _ = read_leases(arguments.table, region_name=arguments.region_name, endpoint_url=arguments.endpoint_url)
    if arguments.output == "json":
        names = ("stream", "shard", "checkpoint", "owner")
        print(printable_json(json.dumps([{name: getattr(lease, name) for name in names} for lease in leases])))
        return 0
    for stream in sorted({lease.stream for lease in leases}):
        ours = [lease for lease in leases if lease.stream == stream]
        print(printable(f"{stream or 'one stream, whose ARN is not in the table'}: {len(ours):,} leases"))
        width = max(len(lease.shard) for lease in ours)
        for lease in ours:
            print(printable(f"  {lease.shard:{width}}  {lease.checkpoint:40}  {lease.owner or 'nobody'}".rstrip()))
    return 0


def _connection(arguments: argparse.Namespace) -> Connection:
    """Return how to reach the stream that `--stream_arn` names, a table's or a data stream."""
    arn, region, url = arguments.stream_arn, arguments.region_name, arguments.endpoint_url
    if KINESIS_ARN.fullmatch(arn):
        return connection_to_kinesis(arn, None, region, url, option="stream_arn")
    return connection_to(None, arn, region, url)


def _progress(arguments: argparse.Namespace) -> Progress:
    return Progress(arguments.address, region_name=arguments.region_name, endpoint_url=arguments.endpoint_url)


def _streams(stored: Application, stream_arn: str | None) -> Mapping[str, SavedProgress]:
    return {arn: stream for arn, stream in stored.streams.items() if stream_arn in (None, arn)}


def _chosen_stream(stored: Application, arguments: argparse.Namespace) -> tuple[str, SavedProgress]:
    """Return the one stream that `--stream_arn` names, or the only one.

    Raises:
        InvalidOptionError: there are several, or none.
    """
    chosen = _streams(stored, arguments.stream_arn)
    if len(chosen) == 1:
        return next(iter(chosen.items()))
    have = ", ".join(sorted(stored.streams)) or "nothing"
    raise InvalidOptionError(f"{arguments.address} has progress in {have}: give one of them as --stream_arn")


@contextmanager
def _leased(arguments: argparse.Namespace, stream_arn: str, clock: WallClock) -> Iterator[tuple[Store, str]]:
    """Hold the application's lease meanwhile. If a run was killed, wait until its lease expires."""
    progress, owner = _progress(arguments), f"command-{uuid.uuid4().hex}"
    store = store_of(progress)
    acquire(store, owner, stream_arn, progress.takeover_seconds, clock)
    try:
        yield store, owner
    finally:
        with suppress(DelayError):
            store.release(owner)


def _confirmed(arguments: argparse.Namespace, what: str, name: str) -> bool:
    """Return whether to do it: with `--yes`, or after a "y" on the terminal."""
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        raise InvalidOptionError(f"{name}: {what}. Add --yes to do it")
    try:
        answer = input(printable(f"{name}: {what}. Do it? [y/N] "))
    except EOFError:
        print()
        return False
    return answer.strip().lower() in ("y", "yes")


COMMANDS: Mapping[str, Callable[[argparse.Namespace, WallClock], int]] = {
    "list": _list,
    "export": _export,
    "import": _import,
    "reset": _reset,
    "show-kcl": _show_kcl,
}
