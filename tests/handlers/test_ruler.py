"""The pattern engine beside AWS's own engine, `event-ruler` from Maven (`make ruler`)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from beam_dynamodb_streams.handlers.pattern import compile_pattern
from beam_dynamodb_streams.handlers.pattern_match import NumberText, matches
from beam_dynamodb_streams.handlers.pattern_values import PatternError
from tests.handlers.generated_patterns import pairs

ROOT = Path(__file__).parents[2]
CLASS_PATH = ROOT / ".build" / "ruler" / "classpath.txt"
ORACLE = Path(__file__).with_name("ruler") / "Oracle.java"


@pytest.fixture(scope="module")
def class_path() -> str:
    if shutil.which("java") is None or not CLASS_PATH.exists():
        pytest.skip("needs Java and event-ruler (make ruler)")
    return CLASS_PATH.read_text("utf-8").strip()


def event_of(text: str) -> Any:
    return json.loads(text, parse_int=NumberText, parse_float=NumberText)


def answer(pattern: str, event: str) -> str:
    try:
        compiled = compile_pattern(pattern)
    except PatternError:
        return "refused"
    return "matches" if matches(compiled, event_of(event)) else "differs"


def test_the_pattern_engine_agrees_with_awss_own_on_4000_pairs(class_path: str) -> None:
    made = pairs(4_000, seed=18)
    asked = "\n".join(json.dumps({"pattern": pattern, "event": event}) for pattern, event in made)
    java = shutil.which("java") or "java"
    done = subprocess.run(
        [java, "-cp", class_path, str(ORACLE)], input=asked, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    theirs = done.stdout.split()
    ours = [answer(*pair) for pair in made]
    assert len(theirs) == len(made)
    differences = [(*pair, own, other) for pair, own, other in zip(made, ours, theirs, strict=True) if own != other]
    assert not differences, "\n".join(map(str, differences[:20]))
    counts = Counter(ours)
    assert min(counts[each] for each in ("matches", "differs", "refused")) > 250, counts
