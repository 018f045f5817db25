"""docs/deployment.md: its Dockerfiles pass the linter and copy files that exist; its manifests and versions fit."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import apache_beam
import pytest
import yaml

from tests.docs.pages import ROOT, blocks

HADOLINT = ROOT / ".build" / "hadolint" / "bin" / "hadolint"
DOCKERFILES = sorted((ROOT / "deploy").glob("*/Dockerfile"))
MANIFESTS: list[dict[str, Any]] = [
    yaml.safe_load(block.text) for block in blocks(ROOT / "docs" / "deployment.md", "yaml")
]


def name_of(path: Path) -> str:
    return path.parent.name


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=name_of)
def test_a_dockerfile_passes_the_linter(dockerfile: Path) -> None:
    if not HADOLINT.exists():
        pytest.skip("NOT RUN: no hadolint; `make tools` installs it")
    done = subprocess.run(
        [HADOLINT, "--failure-threshold", "style", dockerfile], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=name_of)
def test_a_dockerfile_copies_what_exists_and_has_our_versions(dockerfile: Path) -> None:
    text = dockerfile.read_text("utf-8")
    copied = [name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for name in line.split()]
    assert {"connector", "pyproject.toml", "requirements.lock"} <= set(copied)
    assert all((ROOT / name).exists() for name in copied)
    assert apache_beam.__version__ in text
    version = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)[0]
    assert f"beam-dynamodb-streams[aws]=={version}" in text
    assert str(dockerfile.relative_to(ROOT)) in (ROOT / "docs" / "deployment.md").read_text("utf-8")


def test_the_container_is_not_root_and_has_no_credentials() -> None:
    text = (ROOT / "deploy" / "prism" / "Dockerfile").read_text("utf-8")
    assert re.search(r"^USER (?!root)", text, re.MULTILINE)
    assert not [file for file in DOCKERFILES if "AWS_" in file.read_text("utf-8")]


def test_the_deployment_has_one_replica_that_ends_before_the_next_begins() -> None:
    deployment, workers = MANIFESTS
    assert deployment["kind"] == "Deployment"
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["args"][0] == "export"
    assert container["securityContext"]["runAsNonRoot"]
    assert workers["spec"]["containers"][1]["args"] == ["--worker_pool"]
