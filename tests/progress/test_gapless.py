"""A read with progress and a stop leaves no gap in a shard, so that the next read can resume after its last record."""

from __future__ import annotations

from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.reader.page import Rules, deliver
from beam_dynamodb_streams.shards.frontier import Frontier, Reading
from beam_dynamodb_streams.shards.position import SHARD_END, TRIM_HORIZON, After, AtTime, End
from beam_dynamodb_streams.source.bundle_progress import delivered_positions, owner_of
from tests.reader.test_page import NOW, page, raw, reading

RULES = Rules(stop=NOW, slack=5.0, gapless=True)


def numbers(records: list[object]) -> list[str]:
    return [record.sequence_number for record in records]  # type: ignore[attr-defined]


def test_a_shard_ends_at_its_first_record_past_the_stop() -> None:
    """Trap 19: the last one is within the stop, and comes with what the next read begins with."""
    moved_to = deliver(reading(), page(raw("1", NOW), raw("2", NOW + 1), raw("3", NOW)), RULES)
    assert (numbers(moved_to.records), moved_to.finished) == (["1"], True)
    without = deliver(reading(), page(raw("1", NOW), raw("2", NOW + 1), raw("3", NOW)), Rules(stop=NOW, slack=5.0))
    assert (numbers(without.records), without.finished) == (["1", "3"], False)


def test_malformed_records_past_the_stop_are_reported_by_the_next_read() -> None:
    for number, reported in (("1", 1), ("3", 0)):
        moved_to = deliver(reading(), page(raw("2", NOW + 1), malformed=number), RULES)
        assert (len(moved_to.malformed), moved_to.records) == (reported, [])


def test_a_page_within_the_stop_is_delivered_whole() -> None:
    moved_to = deliver(reading(), page(raw("1", NOW), raw("2", NOW)), RULES)
    assert (numbers(moved_to.records), moved_to.finished) == (["1", "2"], False)


def step(shards: dict[str, Reading], **rest: object) -> Claim:
    return Claim(Frontier(shards=shards), shard="a", **rest)  # type: ignore[arg-type]


def test_a_step_moves_its_shard_to_where_another_read_may_resume() -> None:
    assert dict(delivered_positions(step({"a": Reading(After("7"))}, records=[raw("5")]))) == {"a": After("7")}
    assert dict(delivered_positions(step({"a": Reading(SHARD_END)}, ended="a"))) == {"a": SHARD_END}
    assert dict(delivered_positions(step({}, records=[raw("5"), raw("6")]))) == {"a": After("6")}, "the stop is met"
    assert dict(delivered_positions(step({}))) == {}


def test_a_shard_without_a_record_after_the_start_still_begins_there() -> None:
    """Its children begin at the start too, and not at the horizon."""
    for position in (TRIM_HORIZON, AtTime(NOW), End(AtTime(NOW))):
        assert dict(delivered_positions(step({"a": Reading(position)}))) == {}
    assert dict(delivered_positions(Claim(Frontier(shards={"b": Reading(TRIM_HORIZON)}), opened=["b"]))) == {}


def test_the_groups_of_a_run_hold_its_application_together() -> None:
    assert owner_of("1f0c") == owner_of("1f0c-0") == owner_of("1f0c-13") == "1f0c"
