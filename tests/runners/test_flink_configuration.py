"""The launcher's configuration of Flink: its keys by version, and that a cluster really reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runners.flink import Flink, class_path
from runners.flink.configuration import configuration, flink_version
from runners.flink.rest import call

SETTINGS = {"execution.checkpointing.dir": "file:/a b", "rest.bind-port": "0"}


def jar(version: str) -> str:
    return f"/m2/flink-core-9.9.jar:/m2/flink-runtime-web-9.9.jar:/m2/flink-runtime-{version}.jar"


@pytest.mark.parametrize(("text", "version"), [("1.19.0", (1, 19)), ("1.20.5", (1, 20)), ("2.2.0", (2, 2))])
def test_the_version_is_that_of_the_runtime_jar(text: str, version: tuple[int, int]) -> None:
    assert flink_version(jar(text)) == version


@pytest.mark.parametrize("jars", ["", "/m2/flink-core-1.19.0.jar", jar("1.18.1"), "/m2/flink-runtime_2.11-1.14.3.jar"])
def test_a_class_path_without_a_flink_of_1_19_or_newer_is_refused(jars: str) -> None:
    with pytest.raises(ValueError, match=r"make flink|1\.19"):
        flink_version(jars)


@pytest.mark.parametrize(
    ("version", "directory"),
    [
        ((1, 19), "state.checkpoints.dir"),
        ((1, 20), "execution.checkpointing.dir"),
        ((2, 2), "execution.checkpointing.dir"),
    ],
)
def test_a_key_has_the_name_that_its_version_reads(version: tuple[int, int], directory: str) -> None:
    assert configuration(version, SETTINGS) == f'{directory}: "file:/a b"\nrest.bind-port: "0"\n'


@pytest.mark.flink
@pytest.mark.parametrize(
    "chosen", ["", *(pytest.param(each, marks=pytest.mark.soak) for each in ("flink-1.20", "flink-2.2"))]
)
def test_a_session_cluster_reads_the_configuration(chosen: str, tmp_path: Path) -> None:
    if (jars := class_path(chosen)) is None:
        pytest.skip(f"NOT RUN: no Flink {chosen}; `make flink` and `make flink-others` resolve it with Java and Maven")
    with Flink(tmp_path, cluster=True, slots=3, jars=jars) as flink:
        overview = call(f"{flink.rest_url}/overview")
        read = {each["key"]: each["value"] for each in call(f"{flink.rest_url}/jobmanager/config")}
    assert overview["flink-version"].startswith(".".join(map(str, flink_version(jars))))
    assert overview["slots-total"] == 3
    text = configuration(flink_version(jars), {"execution.checkpointing.dir": (tmp_path / "checkpoints").as_uri()})
    assert read[text.partition(":")[0]] == (tmp_path / "checkpoints").as_uri()
    assert (read["pekko.ask.timeout"], read["restart-strategy.type"]) == ("10 s", "fixed-delay")
