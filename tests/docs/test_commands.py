"""The commands of the pages are spelt correctly. `test_code.py` shows which of them run."""

from __future__ import annotations

import pytest

from tests.docs.commands import check, targets
from tests.docs.pages import PAGES, ROOT, Command, commands

COMMANDS = [command for page in PAGES for command in commands(page)]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_of_the_pages_is_known_with_all_its_options(command: Command) -> None:
    check(command)


def test_make_help_names_every_target() -> None:
    assert not [target for target, text in targets().items() if not text]


def test_every_target_is_in_the_guide_for_contributors() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert not [target for target in targets() if f"`make {target}`" not in page]
