"""The commands of `dynamodb-streams`, the program that the package installs.

`main` is the program. Each command is a module of its own here, with a `main(argv, *, prog)` that returns the exit
code. The programs in `pipelines/` of a checkout call the same functions.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Final, NoReturn

PROGRAM: Final = "dynamodb-streams"
DISTRIBUTION: Final = "beam-dynamodb-streams"

COMMANDS: Final[Mapping[str, str]] = {
    "export": "write a table's changes to Parquet, Avro or JSON lines files, each change exactly once",
    "tail": "print a table's changes as JSON lines as they arrive",
    "handle": "call a handler of a Lambda trigger with a table's changes",
    "inspect": "show a stream's shards, their ages, and what reading them costs",
    "schema": "infer typed columns from a table's items and its changes",
    "kinesis": "serve a table's changes to unmodified Kinesis consumers, such as the Kinesis Client Library",
    "repair": "mend a loss: which incremental exports to make, and what they repair as files",
    "progress": "list, export, import or reset an application's stored progress",
}
"""Each command with what it does. The module of a command has its name."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` names, and return its exit code.

    Beam is imported only once a command runs, so that `--help` and `--version` answer at once.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    match words:
        case []:
            _refuse(f"no command given: use one of {', '.join(COMMANDS)}; --help describes them")
        case ["-h" | "--help"] | ["help"]:
            print(_help())
            return 0
        case ["-h" | "--help" | "help", name, *_] if name in COMMANDS:
            return main([name, "--help"])
        case ["-h" | "--help" | "help", *_]:
            print(_help())
            return 0
        case ["completion", *arguments]:
            return int(import_module(f"{__name__}.completion").main(arguments))
        case ["--complete", shell, *rest]:
            import_module(f"{__name__}.completion").print_candidates(shell, rest)
            return 0
        case ["--version", *_]:
            print(f"{PROGRAM} {_version()}")
            return 0
        case [name, *arguments] if name in COMMANDS:
            answer_help(name, arguments, prog=f"{PROGRAM} {name}")
            with quiet_import():
                command = import_module(f"{__name__}.{name}")
            return int(command.main(arguments, prog=f"{PROGRAM} {name}"))
        case [option, *_] if option.startswith("-"):
            _refuse(f"unknown option {option}: the command comes first, one of {', '.join(COMMANDS)}")
        case [name, *_]:
            import difflib

            near = difflib.get_close_matches(name, [*COMMANDS, "completion"], 1, 0.5)
            advice = f"did you mean {near[0]}?" if near else f"use one of {', '.join(COMMANDS)}"
            _refuse(f"unknown command {name!r}: {advice}")
    raise AssertionError("unreachable: the cases above are all there are")


def answer_help(command: str, arguments: Sequence[str], *, prog: str) -> None:
    """Print the help of a command and exit, if the arguments ask for it. Neither Beam nor the command is imported."""
    if not {"-h", "--help"}.isdisjoint(arguments):
        import_module(f"{__name__}.options.{command}").parser_of(prog).parse_known_args(arguments)


def answer_help_of_module(package: str, parsers: Mapping[str, str]) -> None:
    """Do as `answer_help` if this process is `python -m PACKAGE.MODULE --help`, for the `__init__` of that package.

    A package is imported before its module runs. So the help does not wait for what the module imports.

    Args:
        package: the package's name.
        parsers: programs of the package that are no command, with the module whose `parser_of` makes their parser.
    """
    asked = sys.orig_argv[sys.orig_argv.index("-m") + 1 :] if "-m" in sys.orig_argv else []
    if not asked or not asked[0].startswith(f"{package}."):
        return
    module, *arguments = asked
    name = module.removeprefix(f"{package}.")
    if name in COMMANDS:
        answer_help(name, arguments, prog=f"python -m {module}")
    elif name in parsers and not {"-h", "--help"}.isdisjoint(arguments):
        import_module(parsers[name]).parser_of().parse_known_args(arguments)


@contextmanager
def quiet_import() -> Iterator[None]:
    """Suppress the warning that Beam logs when it is imported without a Google library, which nothing here needs."""

    import logging

    def needed(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("apitools not found")

    root = logging.getLogger()  # Beam logs this warning there
    root.addFilter(needed)
    try:
        yield
    finally:
        root.removeFilter(needed)


def _help() -> str:
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND [OPTION ...]",
            "",
            "Read the changes of Amazon DynamoDB tables from their streams, with Apache Beam.",
            "",
            "commands:",
            *(f"  {name:{width}}  {text}" for name, text in COMMANDS.items()),
            "",
            "options:",
            "  -h, --help  show this text",
            "  --version   show the version",
            "",
            f"`{PROGRAM} completion bash|zsh|fish` prints a script that completes commands and options in a shell.",
            f"`{PROGRAM} COMMAND --help` shows the options of a command.",
        ]
    )


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "(not installed)"


def _refuse(message: str) -> NoReturn:
    print(f"{PROGRAM}: error: {message}", file=sys.stderr)
    sys.exit(2)
