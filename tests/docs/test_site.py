"""The documentation as a site: every page once, every link whole, and a search."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

import beam_dynamodb_streams
from docs.reference import FIRST
from docs.site import MKDOCS, ROOT, SECTIONS, build, pages, prepare
from tests.docs.pages import PAGES, name_of


class _Loader(yaml.SafeLoader):
    """Reads the configuration without the function that it names."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda _loader, suffix, _node: suffix)


def test_every_page_for_people_is_in_the_site_once(tmp_path: Path) -> None:
    config = yaml.load(prepare(tmp_path).read_text("utf-8"), _Loader)  # noqa: S506 - a safe loader
    listed = [
        page for section in config["nav"] for found in section.values() if isinstance(found, list) for page in found
    ]
    assert set(pages()) == {name_of(page) for page in PAGES}
    assert sorted(listed) == sorted(pages().values()) == sorted(path.name for path in (tmp_path / "pages").iterdir())
    assert len(set(listed)) == len(listed)


def test_every_page_that_a_section_names_exists() -> None:
    assert [page for section in SECTIONS.values() for page in section if not (ROOT / page).exists()] == []


def test_links_lead_to_pages_of_the_site_or_to_sources(tmp_path: Path) -> None:
    prepare(tmp_path)
    for path in (tmp_path / "pages").iterdir():
        text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            target = link.partition("#")[0]
            if "/blob/main/" in target:
                assert (ROOT / target.partition("/blob/main/")[2]).exists(), f"{path.name}: {link}"
            elif target and not re.match(r"[a-z]+:", target):
                assert (tmp_path / "pages" / target).exists(), f"{path.name}: {link}"


def test_the_site_is_built_strictly_and_can_be_searched(tmp_path: Path) -> None:
    """mkdocs fails for a link to a page or a heading that does not exist."""
    if not MKDOCS.exists():
        pytest.skip("NOT RUN: no mkdocs; `make docs` installs it")
    build(tmp_path / "site")
    index = json.loads((tmp_path / "site" / "search" / "search_index.json").read_text("utf-8"))
    assert any("ReadFromDynamoDBStreams" in entry["text"] for entry in index["docs"])
    assert (tmp_path / "site" / "index.html").exists()
    reference = (tmp_path / "site" / "api" / "beam_dynamodb_streams.html").read_text("utf-8")
    assert re.findall(r'<section id="(\w+)">', reference)[: len(FIRST)] == list(FIRST)
    assert "apache_beam.transforms.ptransform.PTransform" not in reference
    for name in ("errors", "records", "columns", "sinks", "testing"):
        assert f'href="beam_dynamodb_streams/{name}.html"' in reference
    assert (tmp_path / "site" / "api" / "search.js").exists()
    assert beam_dynamodb_streams.__all__ == sorted(beam_dynamodb_streams.__all__, key=_as_ruff_sorts)
    assert not re.search(r'(?:src|href)="https?://(?:fonts|cdn)', (tmp_path / "site" / "index.html").read_text("utf-8"))


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)
