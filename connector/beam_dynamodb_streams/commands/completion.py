"""Completion of the command line in a shell: what a word may become, and the scripts that ask for it.

    eval "$(dynamodb-streams completion bash)"            # in ~/.bashrc
    eval "$(dynamodb-streams completion zsh)"             # in ~/.zshrc, after compinit
    dynamodb-streams completion fish | source             # in ~/.config/fish/config.fish

A script calls the program with `--complete` and the words up to the one that is completed. That needs no Beam, so it
takes a tenth of a second.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Final

from beam_dynamodb_streams.commands import COMMANDS, PROGRAM
from beam_dynamodb_streams.commands.options.spelling import respelled

#: Options of Beam that every pipeline may need. Beam knows more, and is too slow to ask here.
BEAM_OPTIONS: Final = {
    "--runner": "the runner: DirectRunner, PrismRunner, FlinkRunner and others",
    "--streaming": "run as a streaming job",
    "--prism_location": "the binary of Prism",
    "--job_endpoint": "a job server that runs",
}
_RUNNERS: Final = ("DirectRunner", "PrismRunner", "FlinkRunner", "FnApiRunner", "PortableRunner", "DataflowRunner")
_FILES: Final = ("DIR", "FILE", "PATH")

SCRIPTS: Final = {
    "bash": """_dynamodb_streams() {
  local IFS=$'\\n' cur="${COMP_WORDS[COMP_CWORD]}" words=("${COMP_WORDS[@]:1:COMP_CWORD}")
  COMPREPLY=($(dynamodb-streams --complete bash "${words[@]}" 2>/dev/null))
  if [[ "${COMPREPLY[0]}" == "<files>" ]]; then
    COMPREPLY=($(compgen -f -- "${cur#=}")); compopt -o filenames 2>/dev/null
  fi
}
complete -F _dynamodb_streams dynamodb-streams
""",
    "zsh": """#compdef dynamodb-streams
_dynamodb_streams() {
  local -a found
  found=("${(@f)$(dynamodb-streams --complete zsh "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ "${found[1]}" == "<files>" ]]; then _files; else _describe -t values dynamodb-streams found; fi
}
compdef _dynamodb_streams dynamodb-streams
""",
    "fish": """function __dynamodb_streams
  set -l words (commandline -opc) (commandline -ct)
  set -l found (dynamodb-streams --complete fish $words[2..-1] 2>/dev/null)
  if test "$found[1]" = "<files>"
    __fish_complete_path (commandline -ct)
  else
    printf '%s\\n' $found
  end
end
complete -c dynamodb-streams -f -a '(__dynamodb_streams)'
""",
}


def main(argv: Sequence[str]) -> int:
    """Print the script of a shell, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} completion", description="Prints a script that completes this program's options in a shell."
    )
    parser.add_argument("shell", choices=sorted(SCRIPTS), help="the shell")
    parser.epilog = (
        'bash and zsh: eval "$(dynamodb-streams completion bash)"; fish: dynamodb-streams completion fish | source'
    )
    print(SCRIPTS[parser.parse_args(argv).shell], end="")
    return 0


def print_candidates(shell: str, words: Sequence[str]) -> None:
    """Print what the last word may become, in the form that the script of the shell reads."""
    for word, text in candidates(words):
        if shell == "bash" or not text:
            sys.stdout.write(f"{word}\n")
        elif shell == "zsh":
            sys.stdout.write(f"{word.replace(':', chr(92) + ':')}:{text}\n")
        else:
            sys.stdout.write(f"{word}\t{text}\n")


def candidates(words: Sequence[str]) -> list[tuple[str, str]]:
    """Return the words that the last of `words` may become, each with what it means.

    A single `<files>` stands for the names of files, which the shell knows best.
    """
    *before, current = words or [""]
    if not before:
        return _beginning(current, [*COMMANDS.items(), *_OWN])
    name, *arguments = before
    if name == "completion":
        return _beginning(current, [(shell, "") for shell in sorted(SCRIPTS)])
    if name not in COMMANDS:
        return []
    parser: argparse.ArgumentParser = import_module(f"{__package__}.options.{name}").parser_of(name)
    found: list[tuple[str, str]] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            chosen = next((word for word in arguments if word in action.choices), None)
            if chosen is None:
                texts = {each.dest: each.help or "" for each in action._choices_actions}
                found += [(choice, texts.get(choice, "")) for choice in action.choices]
            else:
                parser = action.choices[chosen]
                arguments = arguments[arguments.index(chosen) + 1 :]
    if found and not current.startswith("-"):
        return _beginning(current, found)
    return _of_parser(parser, arguments, current)


_OWN: Final = (
    ("completion", "print a script that completes this program's options in a shell"),
    ("--help", "show the commands"),
    ("--version", "show the version"),
)


def _of_parser(parser: argparse.ArgumentParser, before: Sequence[str], current: str) -> list[tuple[str, str]]:
    option, equals, value = current.partition("=")
    if equals and option.startswith("--"):  # bash and zsh split at `=`, and fish does not
        found = _values(parser, option, value)
        return found if found == [("<files>", "")] else [(f"{option}={word}", text) for word, text in found]
    last = next(reversed([word for word in before if word != "="]), "")
    if last.startswith("--") and "=" not in last and _takes_value(parser, last):
        return _values(parser, last, "" if current == "=" else current)
    given = {word.partition("=")[0] for word in respelled(before, _options(parser))}
    known = {**_options(parser), **(BEAM_OPTIONS if "Beam" in (parser.epilog or "") else {})}
    dashed = "-" in current[2:]
    spelled = ((f"--{name[2:].replace('_', '-')}" if dashed else name, text) for name, text in known.items())
    return [(name, text) for name, text in _beginning(current, spelled) if name.replace("-", "_") not in _same(given)]


def _same(options: Iterable[str]) -> set[str]:
    return {option.replace("-", "_") for option in options}


def _options(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return the long options, without the second name of one, each with its text."""
    found = {}
    for action in parser._actions:
        names = [name for name in action.option_strings if name.startswith("--")]
        if names and action.help != argparse.SUPPRESS:
            found[names[0]] = _short(action.help or "")
    return found


def _short(text: str) -> str:
    return text.partition(" (default")[0].partition(";")[0].replace("%(default)s", "").replace("\n", " ")[:80]


def _action(parser: argparse.ArgumentParser, option: str) -> argparse.Action | None:
    (spelled,) = respelled([option], parser._option_string_actions)
    return parser._option_string_actions.get(spelled)


def _takes_value(parser: argparse.ArgumentParser, option: str) -> bool:
    action = _action(parser, option)
    return option in ("--runner", "--prism_location", "--job_endpoint") if action is None else action.nargs != 0


def _values(parser: argparse.ArgumentParser, option: str, begun: str) -> list[tuple[str, str]]:
    action = _action(parser, option)
    if action is None:
        return _beginning(begun, [(name, "") for name in (_RUNNERS if option == "--runner" else ())])
    if action.choices is not None:
        return _beginning(begun, [(str(choice), "") for choice in action.choices])
    if action.metavar in _FILES:
        return [("<files>", "")]
    known = {"start": ("TRIM_HORIZON", "LATEST"), "stop": ("NOW",), "snapshot": ("scan",)}
    names = ("INSERT", "MODIFY", "REMOVE") if action.dest == "event_names" else known.get(action.dest, ())
    return _beginning(begun, [(name, "") for name in names])


def _beginning(begun: str, words: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    start = begun.replace("_", "-")
    return [(word, text) for word, text in words if word.replace("_", "-").startswith(start)]
