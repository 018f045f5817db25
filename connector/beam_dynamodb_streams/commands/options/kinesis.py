"""The options of `kinesis`."""

from __future__ import annotations

from typing import Final

from beam_dynamodb_streams.commands.options.parser import Parser

DATA_FORMS: Final = ("adapter", "kinesis-data-streams")
ON_DATA_LOSS: Final = ("fail", "continue")
CACHE_BYTES: Final = 64 * 1024 * 1024


def parser_of(prog: str) -> Parser:
    """Return the parser of the command."""
    parser = Parser(
        prog,
        "Serves the streams of DynamoDB tables with the interface of Kinesis Data Streams: consumers read it without a"
        " change, by polling. HTTP/1.1 and HTTP/2 without TLS on one port, JSON and CBOR.",
    )
    parser.add_argument(
        "--table",
        action="append",
        metavar="TABLE",
        help="a table's name or ARN; its latest stream is served; repeatable",
    )
    parser.add_argument(
        "--stream_arn", action="append", metavar="ARN", help="a stream, in place of its table; repeatable"
    )
    parser.add_argument("--port", type=int, default=4567, help="0 for any free port (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (default: %(default)s)")
    parser.add_argument(
        "--allow_remote",
        action="store_true",
        help="allow a --host that other machines can reach. Nobody is asked for credentials and nothing is encrypted:"
        " whoever reaches the port reads the tables' changes with the credentials of this process (default: loopback"
        " only)",
    )
    parser.add_argument(
        "--data",
        choices=DATA_FORMS,
        default="adapter",
        help="the form of each record's Data: as the DynamoDB Streams Kinesis Adapter for Java writes it, or as Kinesis"
        " Data Streams for DynamoDB does (default: %(default)s)",
    )
    parser.add_argument(
        "--on_data_loss",
        choices=ON_DATA_LOSS,
        default="fail",
        help="answer an error that names shard and sequence number when records were trimmed before they were read, or"
        " continue with the oldest that are left and log it (default: %(default)s)",
    )
    parser.add_argument(
        "--cache_bytes",
        type=int,
        default=CACHE_BYTES,
        metavar="BYTES",
        help="records that are kept for other consumers of the same shards (default: %(default)s)",
    )
    parser.add_connection()
    return parser
