"""Serve a table's stream with the interface of Kinesis, for unmodified consumers such as the Kinesis Client Library.

    dynamodb-streams kinesis --table orders --port 4567

It serves until SIGINT or SIGTERM. Exit code: 0 after a signal; 1 if the service failed; 2 for a usage error.
"""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Sequence
from contextlib import closing

from beam_dynamodb_streams import ConnectorError
from beam_dynamodb_streams.commands.aws_profile import aws_profile
from beam_dynamodb_streams.commands.exit_codes import exit_with
from beam_dynamodb_streams.commands.options.kinesis import parser_of
from beam_dynamodb_streams.commands.printable import printable
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.kinesis.interface import Interface
from beam_dynamodb_streams.source.options import connection_to
from beam_dynamodb_streams.source.streams import find_stream
from beam_dynamodb_streams.wire import Client


def main(argv: Sequence[str] | None = None, *, prog: str = "dynamodb-streams kinesis") -> int:
    """Serve until a signal, and return the exit code."""
    parser = parser_of(prog)
    arguments = parser.parse_args(argv)
    if not arguments.table and not arguments.stream_arn:
        parser.error("one of the arguments --table --stream_arn is required")
    stopped = threading.Event()
    handlers = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with aws_profile(arguments.profile):
            _serve(arguments, stopped)
    except ConnectorError as error:
        exit_with(parser, error)
    except OSError as error:
        parser.exit(1, f"{parser.prog}: failed: --port {arguments.port} cannot be served: {error.strerror}\n")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return 0


def _serve(arguments: argparse.Namespace, stopped: threading.Event) -> None:
    from beam_dynamodb_streams.kinesis.server import KinesisServer, check_host  # needs the extra `kinesis`

    check_host(arguments.host, allow_remote=arguments.allow_remote)
    tables, arns = arguments.table or [], arguments.stream_arn or []
    connections = [connection_to(each, None, arguments.region_name, arguments.endpoint_url) for each in tables]
    connections += [connection_to(None, each, arguments.region_name, arguments.endpoint_url) for each in arns]
    regions = {connection.region_name for connection in connections}
    if len(regions) > 1:
        raise InvalidOptionError("the tables are in several regions: start one server for each region")
    with closing(Client(region_name=regions.pop(), endpoint_url=arguments.endpoint_url)) as client:
        found = [*(find_stream(client, table) for table in tables), *arns]
        interface = Interface(
            client,
            found,
            data=arguments.data,
            on_data_loss=arguments.on_data_loss,
            cache_bytes=arguments.cache_bytes,
        )
        with KinesisServer(interface, port=arguments.port, host=arguments.host) as server:
            print(f"serving the interface of Kinesis at {server.endpoint_url}")
            for stream in interface.streams:
                print(printable(f"  stream {stream.names.name}: {stream.names.arn}"))
                print(printable(f"    is {stream.names.dynamodb_arn}"))
            print("Ctrl-C stops it", flush=True)
            stopped.wait()
        print(f"stopped: {len(interface.losses):,} losses that consumers were led past", flush=True)
