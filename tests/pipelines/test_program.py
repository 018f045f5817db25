"""The program `dynamodb-streams`, and the same commands as `python -m pipelines.…`."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import beam_dynamodb_streams
from beam_dynamodb_streams import commands, testing

PIPELINES = sorted((Path(__file__).parents[2] / "pipelines").glob("*.py"))
PACKAGE = "beam_dynamodb_streams"


def ended(main: object, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The exit code, and what was printed on stdout and stderr."""
    try:
        code = main(list(arguments))  # type: ignore[operator]
    except SystemExit as exit_:
        code = exit_.code
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_help_names_every_command_with_what_it_does_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ended(commands.main, capsys, "--help")
    assert (code, err) == (0, "")
    assert out.startswith("usage: dynamodb-streams COMMAND")
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    for name, text in commands.COMMANDS.items():
        assert [name, text] in lines


def test_help_is_a_word_too_and_takes_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(commands.main, capsys, "help") == ended(commands.main, capsys, "--help")
    for word in ("help", "--help"):
        assert ended(commands.main, capsys, word, "tail")[1].startswith("usage: dynamodb-streams tail ")


def test_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(commands.main, capsys, "--version") == (
        0,
        f"dynamodb-streams {version('beam-dynamodb-streams')}\n",
        "",
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["exprot"], "unknown command 'exprot': did you mean export?"),
        (["Tail"], "unknown command 'Tail': did you mean tail?"),
        (["frobnicate", "--table=orders"], "unknown command 'frobnicate': use one of export, tail, "),
        (["--table=orders", "tail"], "unknown option --table=orders: the command comes first, one of export, "),
        ([], "no command given: use one of export, tail, "),
    ],
)
def test_what_is_not_a_command_is_refused_with_the_nearest_name(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = ended(commands.main, capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"dynamodb-streams: error: {says}")


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_usage_names_the_program_that_was_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(commands.main, capsys, name, "--help")[1].startswith(f"usage: dynamodb-streams {name} ")
    main = import_module(f"pipelines.{name}").main
    assert ended(main, capsys, "--help")[1].startswith(f"usage: python -m pipelines.{name} ")


@pytest.mark.parametrize("statement", ["import beam_dynamodb_streams.commands", "import beam_dynamodb_streams.testing"])
def test_help_and_the_test_kit_import_neither_beam_nor_arrow(statement: str) -> None:
    check = f"import sys; {statement}; print(sorted({{'apache_beam', 'pyarrow'}} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", check], text=True) == "[]\n"


def test_every_public_name_is_there_and_an_unknown_one_is_an_attribute_error() -> None:
    for name in beam_dynamodb_streams.__all__:
        assert getattr(beam_dynamodb_streams, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'read_changes'"):
        _ = beam_dynamodb_streams.read_changes  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_what_people_copy_imports_the_public_surface_alone(path: Path) -> None:
    modules = {file.stem for file in Path(commands.__path__[0]).glob("[a-z]*.py")}
    public = {
        PACKAGE: set(beam_dynamodb_streams.__all__),
        f"{PACKAGE}.commands": modules | {"answer_help_of_module", "quiet_import"},
        f"{PACKAGE}.commands.options.pipeline_parser": {"PipelineParser"},
        f"{PACKAGE}.testing": set(testing.__all__),
    }
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith(PACKAGE):
            assert node.module in public
            assert {alias.name for alias in node.names} <= public[node.module]
        elif isinstance(node, ast.Import):
            assert not [alias.name for alias in node.names if alias.name.startswith(PACKAGE)]
