"""What PyPI would show: absolute links, project URLs, the names of the distributions; and the recipe for releasing."""

from __future__ import annotations

import email
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import ROOT, blocks

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PUBLISH = ROOT / ".build" / "publish" / "bin" / "python"


def long_description() -> str:
    return str(runpy.run_path(str(ROOT / "setup.py"), run_name="setup")["long_description"]())


def test_every_link_of_the_long_description_is_absolute_and_names_a_file_that_exists() -> None:
    text = re.sub(r"^```.*?^```$", "", long_description(), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    base = f"{PROJECT['urls']['Source']}/blob/v{PROJECT['version']}/"
    assert len(links) > 30
    for link in links:
        assert re.match(r"https?://", link), link
        if link.startswith(base):
            assert (ROOT / link.removeprefix(base).partition("#")[0]).exists(), link
    assert f"{base}README.md#which-runner" in links


def test_the_code_of_readme_is_in_the_long_description_as_it_is() -> None:
    text = long_description()
    assert all(block.text in text for block in blocks(ROOT / "README.md"))


def test_the_project_has_addresses_for_people() -> None:
    assert {"Documentation", "Source", "Changelog", "Issues"} <= PROJECT["urls"].keys()
    assert {"Typing :: Typed", "Framework :: Pytest", "Programming Language :: Python :: 3.12"} <= set(
        PROJECT["classifiers"]
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel and an sdist, as `make package` builds them, from a copy of what they need."""
    if not PUBLISH.exists():
        pytest.skip("NOT RUN: no tools for publishing; `make package` installs them")
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(
        ROOT / "connector", source / "connector", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    command = [PUBLISH, "-m", "build", "--no-isolation", "-o", source / "dist", source]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run([PUBLISH, "-m", "twine", "check", "--strict", *(source / "dist").iterdir()], check=True)
    return source / "dist"


def test_the_distributions_are_named_and_described_as_pypi_wants(built: Path) -> None:
    name = f"beam_dynamodb_streams-{PROJECT['version']}"
    assert {path.name for path in built.iterdir()} == {f"{name}.tar.gz", f"{name}-py3-none-any.whl"}
    with zipfile.ZipFile(built / f"{name}-py3-none-any.whl") as wheel:
        metadata = email.message_from_string(wheel.read(f"{name}.dist-info/METADATA").decode())
        entry_points = wheel.read(f"{name}.dist-info/entry_points.txt").decode()
        assert f"{name}.dist-info/licenses/LICENSE" in wheel.namelist()
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert str(metadata.get_payload()).strip() == long_description().strip()
    assert len(metadata.get_all("Project-URL") or []) == len(PROJECT["urls"])
    assert "beam_dynamodb_streams.testing.pytest_plugin" in entry_points
    with tarfile.open(built / f"{name}.tar.gz") as sdist:
        assert {f"{name}/README.md", f"{name}/setup.py", f"{name}/LICENSE"} <= set(sdist.getnames())


def test_the_workflow_for_releases_separates_building_from_publishing() -> None:
    (block,) = blocks(ROOT / "docs" / "releasing.md", "yaml")
    jobs = yaml.safe_load(block.text)["jobs"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["environment"] == "pypi"
    assert "id-token" not in jobs["build"]["permissions"]
    assert [step.get("run") for step in jobs["build"]["steps"] if "run" in step] == ["make package"]
