"""A command of a page: its words are checked, and it runs in this process if it needs no account or cluster."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import re
import shlex
import sys
from functools import cache
from types import ModuleType
from typing import Final
from unittest import mock

import botocore.session
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from botocore import xform_name

from beam_dynamodb_streams.commands import COMMANDS
from tests.docs.pages import ROOT, Command

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: What needs a place that a test has not, takes minutes, or does not end: its options are checked, no more.
CHECKED_ONLY: Final = (
    *("dynamodb:", "kcl:", "s3:", "--watch", "Flink", "Prism", "@"),
    *("pipelines.schema", "pipelines.demo", "pipelines.progress"),
    *("dynamodb-streams schema", "dynamodb-streams progress", "dynamodb-streams repair"),
)

#: Options that the SDK (2.43) learns only from a running Flink job server.
FLINK_OPTIONS: Final = frozenset(
    {
        *("--checkpointing_interval", "--finish_bundle_before_checkpointing", "--max_bundle_time_mills"),
        *("--savepoint_path", "--shutdown_sources_after_idle_ms"),
    }
)


def targets() -> dict[str, str]:
    """Return the Makefile's targets, with their texts in `make help`."""
    text = (ROOT / "Makefile").read_text("utf-8")
    return dict(re.findall(r"^([a-z-]+):[^\n#=]*(?:## ([^\n]*))?$", text, re.MULTILINE))


def extras() -> set[str]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return set(tomllib.load(file)["project"]["optional-dependencies"])


def check(command: Command) -> None:
    """Fail for a target, an extra, a module or an option that does not exist."""
    match words := _words(command):
        case ["make", *named]:
            assert set(named) <= set(targets())
        case ["pip", "install", *what]:
            asked = {extra for text in re.findall(r"\[([\w,]+)\]", " ".join(what)) for extra in text.split(",")}
            assert asked <= extras()
        case ["aws", *_]:
            _check_aws(words)
        case ["python" | "python3" | "python3.11", "-m", "venv" | "pip", *_] | ["git" | "cd" | "." | "export", *_]:
            pass
        case ["docker", "build", "-f", path, "-t", _, "."]:
            assert (ROOT / path).exists()
        case ["docker", "run", "--rm", "-e", _, "dynamodb-streams", name, *arguments]:
            assert name in COMMANDS
            _check_options(f"beam_dynamodb_streams.commands.{name}", arguments)
        case []:
            pass
        case ["python", "-m", "apache_beam.yaml.main", *arguments]:
            asked = {word.partition("=")[0] for word in arguments if word.startswith("--")}
            assert asked <= {"--yaml_pipeline_file", "--jinja_variables"}
        case ["python", "-m", module, *arguments]:
            _check_options(module, arguments)
        case ["dynamodb-streams", "--version" | "--help"]:
            pass
        case ["dynamodb-streams", name, *arguments]:
            assert name in COMMANDS
            _check_options(f"beam_dynamodb_streams.commands.{name}", arguments)
        case _:
            pytest.fail(f"nothing checks {command.text!r}: teach tests/docs/commands.py how")


def run(command: Command) -> None:
    """Run a pipeline's command on the local table. An unbounded read stops now. Other commands are not run."""
    words = _words(command)
    if words[0] == "dynamodb-streams" and words[1] in COMMANDS:  # the same command, from the package
        words = ["python", "-m", f"beam_dynamodb_streams.commands.{words[1]}", *words[2:]]
    match words:
        case ["python", "-m", module, *arguments] if module.startswith(
            ("pipelines.", "beam_dynamodb_streams.commands.")
        ):
            if any(mark in command.text for mark in CHECKED_ONLY):
                return
            said = help_of(module)
            added = [("--stop", "NOW")] if "--stop" in said and "--stop" not in arguments else []
            added += [("--runner", "FnApiRunner")] if "goes to Beam" in said and "--runner" not in arguments else []
            if "--region_name" in arguments:
                arguments[arguments.index("--region_name") + 1] = "us-east-1"
            whole = [*arguments, *(word for pair in added for word in pair)]
            assert main_of(module).main(whole) in (0, None)


def main_of(module: str) -> ModuleType:
    found = importlib.util.find_spec(module)
    assert found is not None, f"there is no module {module}"
    return importlib.import_module(f"{module}.__main__" if found.submodule_search_locations else module)


@cache
def help_of(module: str) -> str:
    text = io.StringIO()
    with (
        mock.patch.object(sys, "argv", [module, "--help"]),
        contextlib.redirect_stdout(text),
        pytest.raises(SystemExit) as ended,
    ):
        main_of(module).main()
    assert ended.value.code == 0
    return text.getvalue()


def _words(command: Command) -> list[str]:
    words = shlex.split(command.text.partition(" | ")[0])
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):  # of the environment
        words = words[1:]
    return words


def _check_options(module: str, arguments: list[str]) -> None:
    """Check that each option is the command's own, or Beam's if the command passes it on."""
    said = help_of(module)
    known = set(re.findall(r"(?<!\w)--?[a-z][\w-]*", said))
    if "goes to Beam" in said:
        known |= {f"--{name}" for name in PipelineOptions([]).get_all_options()} | FLINK_OPTIONS
    unknown = {word.partition("=")[0] for word in arguments if word.startswith("--")} - known
    assert not unknown, f"{module} does not know {sorted(unknown)}"


def _check_aws(words: list[str]) -> None:
    """Check the operation and its parameters against the service's own model."""
    _, service, operation, *arguments = words
    model = botocore.session.get_session().get_service_model(service)
    name = next(name for name in model.operation_names if xform_name(name, "-") == operation)
    known = {f"--{xform_name(member, '-')}" for member in model.operation_model(name).input_shape.members}
    asked = {word.partition("=")[0] for word in arguments if word.startswith("--")}
    assert asked <= known | {"--region", "--endpoint-url", "--profile"}
