"""The options of `progress`."""

from __future__ import annotations

from beam_dynamodb_streams.commands.options.parser import Parser


def parser_of(prog: str) -> Parser:
    """Return the parser of the command."""
    parser = Parser(
        prog,
        "Lists, exports, imports and resets the stored progress of an application.",
        epilog="COMMAND --help shows its options: --stream_arn, --yes, --region_name and --endpoint_url.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    application = Parser("", add_help=False)
    application.add_argument(
        "address", metavar="ADDRESS", help="where the progress is: dynamodb://TABLE/APPLICATION or file:PATH"
    )
    application.add_argument(
        "--stream_arn", metavar="ARN", help="the stream, needed if the application has several (default: its only one)"
    )
    connection = Parser("", add_help=False)
    connection.add_connection()
    confirmation = Parser("", add_help=False)
    confirmation.add_argument("--yes", action="store_true", help="do not ask (default: ask)")
    form = Parser("", add_help=False)
    form.add_output()
    commands.add_parser(
        "list",
        parents=[application, form, connection],
        help="show who holds the application, and where each shard stands",
    )
    commands.add_parser("export", parents=[application, connection], help="print the position in a stream")
    imported = commands.add_parser(
        "import", parents=[application, connection, confirmation], help="replace the position by a saved one"
    )
    imported.add_argument("file", metavar="FILE", help="the file of a saved position, or - for standard input")
    commands.add_parser(
        "reset",
        parents=[application, connection, confirmation],
        help="delete the position in a stream, so that the next run begins at its start",
    )
    leases = commands.add_parser("show-kcl", parents=[form, connection], help="show what a lease table of KCL says")
    leases.add_argument("table", metavar="LEASE_TABLE", help="the lease table, which is only read")
    leases.add_argument(
        "--stream_arn",
        metavar="ARN",
        help="print the leases of this stream as a saved position (default: list all leases)",
    )
    return parser
