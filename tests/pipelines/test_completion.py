"""Completion in a shell: what a word may become, and the scripts in the real shells that are here."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from beam_dynamodb_streams.commands import COMMANDS, main
from beam_dynamodb_streams.commands.completion import SCRIPTS, candidates

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("exp", ["export"]),
        ("co", ["completion"]),
        ("completion ", ["bash", "fish", "zsh"]),
        ("tail --event", ["--event_names"]),
        ("tail --end", ["--endpoint_url"]),
        ("tail --endpoint-", ["--endpoint-url"]),
        ("tail --table orders --tab", []),
        ("export --format ", ["avro", "jsonl", "parquet"]),
        ("export --format=a", ["--format=avro"]),
        ("export --format = a", ["avro"]),
        ("export --run", ["--runner"]),
        ("export --runner F", ["FlinkRunner", "FnApiRunner"]),
        ("export --output ", ["<files>"]),
        ("tail --start T", ["TRIM_HORIZON"]),
        ("inspect --output ", ["table", "json"]),
        ("progress ", ["list", "export", "import", "reset", "show-kcl"]),
        ("progress list file:x --out", ["--output"]),
        ("progress reset file:x --y", ["--yes"]),
        ("inspect --run", []),
        ("nothing --", []),
    ],
)
def test_a_word_may_become_a_command_an_option_or_a_choice(line: str, words: list[str]) -> None:
    found = [word for word, _ in candidates(shlex.split(line) + ([""] if line.endswith(" ") else []))]
    assert [word for word in found if word in words] == words
    assert not words or len(found) == len(words) or line == "export --format "
    if not words:
        assert found == []


def test_every_command_and_each_of_its_options_is_offered_with_a_text() -> None:
    assert {word for word, _ in candidates([""])} >= set(COMMANDS)
    for name in COMMANDS:
        if name != "progress":
            found = dict(candidates([name, "--"]))
            assert "--help" in found
            assert all(found.values())


def test_the_script_is_printed_and_an_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for shell, script in SCRIPTS.items():
        assert main(["completion", shell]) == 0
        assert capsys.readouterr().out == script
    with pytest.raises(SystemExit):
        main(["completion", "tcsh"])
    assert "invalid choice: 'tcsh'" in capsys.readouterr().err


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH with the program of this checkout."""
    program = tmp_path / "bin" / "dynamodb-streams"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT / "connector"} exec {sys.executable} -m beam_dynamodb_streams "$@"\n'
    )
    program.chmod(0o755)
    return f"{program.parent}{os.pathsep}{os.environ['PATH']}"


def in_shell(shell: str, script: str, path: str) -> list[str]:
    if shutil.which(shell) is None:
        pytest.skip(f"NOT RUN: no {shell}")
    words = {"bash": ["bash", "--norc", "-c"], "zsh": ["zsh", "-f", "-c"], "fish": ["fish", "--no-config", "-c"]}[shell]
    environment = {**os.environ, "PATH": path}
    done = subprocess.run([*words, script], capture_output=True, text=True, env=environment, timeout=60, check=True)
    return done.stdout.split("\n")[:-1]


def test_bash_completes(path: str) -> None:
    script = """source <(dynamodb-streams completion bash)
    complete_it() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dynamodb_streams; printf '%s\\n' "${COMPREPLY[@]}"; }
    complete_it dynamodb-streams ex; complete_it dynamodb-streams export --format j
    complete_it dynamodb-streams tail --stop N; cd /; complete_it dynamodb-streams export --output et
    """
    assert in_shell("bash", script, path) == ["export", "jsonl", "NOW", "etc"]


def test_fish_completes(path: str) -> None:
    script = """dynamodb-streams completion fish | source
    complete -C 'dynamodb-streams ex'; complete -C 'dynamodb-streams export --format j'
    complete -C 'dynamodb-streams export --format=j'
    """
    found = [line.split("\t")[0] for line in in_shell("fish", script, path)]
    assert found == ["export", "jsonl", "--format=jsonl"]


def test_zsh_reads_the_script_and_asks_the_program(path: str) -> None:
    script = """compdef() { :; }; _files() { print files; }; _describe() { print -l -- "${(@P)4}"; }
    source <(dynamodb-streams completion zsh)
    ask() { words=("$@"); CURRENT=$#; _dynamodb_streams; }
    ask dynamodb-streams ex; ask dynamodb-streams export --format j; ask dynamodb-streams export --output e
    """
    found = in_shell("zsh", script, path)
    assert [line.split(":")[0] for line in found] == ["export", "jsonl", "files"]
