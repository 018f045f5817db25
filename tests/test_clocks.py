"""Intervals are measured by a monotonic clock: where the wall clock is read at all, and why."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "connector" / "beam_dynamodb_streams"

#: Each place that reads the wall clock, which anybody may set while a read runs, and the reason.
WALL_CLOCK = {
    "handlers/invoker.py": "the age of records, and the moment in an on-failure record",
    "handlers/process_records.py": "the time of a record that a processor is handed, and of its end",
    "lakehouse/deletes.py": "whether a delete is dated in the future",
    "lakehouse/finished.py": "the age of stored files",
    "progress/acquire.py": "renewals of a lease are stored moments; time never goes back there",
    "sinks/chunks.py": "whether a change is dated in the future",
    "sinks/leftovers.py": "the age of stored files",
    "sinks/resume.py": "the age of stored marks",
    "source/dofn.py": "when the read was last alive, which is stored",
    "source/restriction.py": "how old the oldest unread record is, which no decision depends on",
    "testing/kinesis.py": "the service's own time",
    "testing/service.py": "the service's own time",
    "wire/clock.py": "read once: from then on time moves with the monotonic clock",
}

NAMES = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today")}
NAMES |= {("date", "today")}


def reads_wall_clock(path: Path) -> bool:
    tree = ast.parse(path.read_text())
    attributes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "time")
    return any((ast.unparse(node.value).rpartition(".")[2], node.attr) in NAMES for node in attributes) or any(
        alias.name in ("time", "time_ns") for node in imports for alias in node.names
    )


def test_the_wall_clock_is_read_only_where_a_moment_is_stored() -> None:
    found = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if reads_wall_clock(path)}
    assert found == WALL_CLOCK.keys()
