"""A listing in which a shard is its own ancestor (trap 6): its shards are read, and a warning names them."""

from __future__ import annotations

import pytest

from beam_dynamodb_streams import sample
from tests.fuzz.answers import CHILD, PARENT, Change
from tests.fuzz.test_wire import outcome, served

LOOPS = {
    "itself": Change("DescribeStream", None, ("StreamDescription", "Shards", 0, "ParentShardId"), PARENT),
    "its child": Change("DescribeStream", None, ("StreamDescription", "Shards", 0, "ParentShardId"), CHILD),
}
looped = pytest.mark.parametrize("change", LOOPS.values(), ids=list(LOOPS))


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "own ancestors" in record.getMessage()]


@looped
def test_a_reader_delivers_shards_that_loop_and_warns_once(change: Change, caplog: pytest.LogCaptureFixture) -> None:
    assert outcome(change) == ("delivered", "")
    (warning,) = warned(caplog)
    assert PARENT in warning
    assert "stream/2026-01-01" in warning


@looped
def test_a_sample_has_the_changes_of_shards_that_loop_and_warns(
    change: Change, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with served(change) as url:
        got = sample("orders", endpoint_url=url, region_name="us-east-1", seconds=15, limit=10)
    assert [record.keys["id"] for record in got] == [str(number) for number in range(10)]
    assert len(warned(caplog)) == 1
