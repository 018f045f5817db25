"""Flink's configuration, in the file and under the keys that its version reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

#: Without these sizes a task manager asks for more memory than a laptop has.
TASK_MANAGER: Final = {
    "taskmanager.cpu.cores": "1.0",
    "taskmanager.memory.task.heap.size": "512m",
    "taskmanager.memory.task.off-heap.size": "64m",
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.managed.size": "64m",
    "taskmanager.memory.network.min": "64m",
    "taskmanager.memory.network.max": "64m",
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "64m",
    "taskmanager.memory.jvm-overhead.max": "64m",
}

#: Flink reads this file from 1.19 on; 2.0 reads no other.
FILE: Final = "config.yaml"

#: Keys that have another name from a version on, each with that version and the older name.
_RENAMED: Final[dict[str, tuple[tuple[int, int], str]]] = {
    "execution.checkpointing.dir": ((1, 20), "state.checkpoints.dir"),
    "execution.checkpointing.checkpoints-after-tasks-finish": (
        (1, 20),
        "execution.checkpointing.checkpoints-after-tasks-finish.enabled",
    ),
}

Version = tuple[int, int]


def flink_version(class_path: str) -> Version:
    """Return the version of Flink on a class path, such as (1, 19), by the name of its jar.

    Raises:
        ValueError: there is no Flink, or one before 1.19, which reads another file and other keys.
    """
    found = re.search(r"flink-runtime-(\d+)\.(\d+)[^:/\\]*\.jar", class_path)
    if found is None:
        raise ValueError("no flink-runtime-VERSION.jar is on the class path: run `make flink`")
    version = int(found[1]), int(found[2])
    if version < (1, 19):
        raise ValueError(f"Flink {version[0]}.{version[1]} reads no {FILE}: use 1.19 or newer")
    return version


def configuration(version: Version, settings: Mapping[str, str]) -> str:
    """Return the text of the file `FILE` with these settings, named as 1.20 and newer name them."""
    lines: list[str] = []
    for key, value in settings.items():
        since, older = _RENAMED.get(key, ((0, 0), key))
        lines.append(f"{key if version >= since else older}: {json.dumps(value)}\n")
    return "".join(lines)
