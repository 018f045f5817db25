"""docs/schemas.md says what is true: its code runs."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path

import apache_beam as beam
import pytest

from beam_dynamodb_streams import ChangeRecord

PAGE = Path(__file__).parent.parent.parent / "docs" / "schemas.md"
CHANGE = ChangeRecord(
    event_id="1",
    event_name="INSERT",
    keys={"order-id": "o-1"},
    new_image={"order-id": "o-1", "userId": "a", "userid": "b", "lines": [{"line-no": 1}]},
    sequence_number="1",
    shard_id="shardId-1",
    approximate_creation_time=datetime(2026, 1, 31, tzinfo=timezone.utc),
)


def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        code = compile(block, str(PAGE), "exec")
        if "changes |" in block:
            with beam.Pipeline("FnApiRunner") as pipeline:
                names["changes"] = pipeline | beam.Create([CHANGE])
                exec(code, names)  # noqa: S102 - our own page
        else:
            exec(code, names)  # noqa: S102
    assert len(blocks) >= 4
    assert names["careful"].policy("total") == "raise"  # type: ignore[attr-defined]
