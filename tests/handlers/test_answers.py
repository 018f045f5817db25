"""What an answer means, what follows a failure, and which batches are invoked in which order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams.handlers.answers import first_failed
from beam_dynamodb_streams.handlers.attempts import (
    EXHAUSTED,
    TOO_OLD,
    Batch,
    Discarded,
    Next,
    RetryPolicy,
    after_failure,
    before_attempt,
    delay,
)
from beam_dynamodb_streams.handlers.lanes import Lanes

NUMBERS = ["9", "10", "11", "100"]


def failures(*identifiers: Any) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in identifiers]}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, None),
        ({}, None),
        ([], None),
        ({"batchItemFailures": []}, None),
        ({"batchItemFailures": None}, None),
        ({"statusCode": 200}, None),
        (failures("11"), 2),
        (failures("100", "11", "10"), 1),
        (failures("100", "9"), 0),
        (failures("11", "11"), 2),
        (failures(""), 0),
        (failures(None), 0),
        (failures("12"), 0),
        (failures("11", "12"), 0),
        (failures(11), 0),
        ({"batchItemFailures": [{"ItemIdentifier": "11"}]}, 0),
        ({"batchItemFailures": ["11"]}, 0),
        ({"batchItemFailures": "11"}, 0),
        ({"batchItemFailures": {"itemIdentifier": "11"}}, 0),
        ("done", 0),
        ([1], 0),
    ],
    ids=str,
)
def test_the_lowest_number_is_the_checkpoint_and_a_bad_answer_fails_the_whole_batch(answer: Any, expected: Any) -> None:
    assert first_failed(NUMBERS, answer) == expected


def test_a_failed_batch_is_tried_again_as_often_as_the_policy_says() -> None:
    policy = RetryPolicy(retries=2)
    batch = Batch(0, 4)
    for failed in (1, 2):
        (batch,) = after_failure(batch, 0, policy).batches
        assert batch == Batch(0, 4, failed)
    assert after_failure(batch, 0, policy) == Next(discarded=Discarded(Batch(0, 4, 3), EXHAUSTED))


def test_a_retry_begins_at_the_reported_change() -> None:
    assert after_failure(Batch(0, 4), 2, RetryPolicy(retries=1)) == Next((Batch(2, 4, 1),))
    exhausted = after_failure(Batch(0, 4), 2, RetryPolicy(retries=0))
    assert exhausted == Next(discarded=Discarded(Batch(2, 4, 1), EXHAUSTED))


def test_bisecting_is_not_a_retry() -> None:
    policy = RetryPolicy(retries=0, bisects=True)
    assert after_failure(Batch(0, 5), 0, policy) == Next((Batch(0, 2), Batch(2, 5)))
    assert after_failure(Batch(0, 5), 3, policy) == Next((Batch(3, 5),))
    assert after_failure(Batch(3, 4), 0, policy) == Next(discarded=Discarded(Batch(3, 4, 1), EXHAUSTED))


def test_without_a_limit_nothing_is_discarded() -> None:
    assert after_failure(Batch(0, 2, 20_000), 0, RetryPolicy()) == Next((Batch(0, 2, 20_001),))


def test_changes_that_are_too_old_are_discarded_before_an_attempt() -> None:
    created = [0.0, 10.0, 50.0]
    policy = RetryPolicy(record_age=60)
    assert before_attempt(Batch(0, 3), created, 60.0, policy) == Next((Batch(0, 3),))
    assert before_attempt(Batch(0, 3), created, 71.0, policy) == Next((Batch(2, 3),), Discarded(Batch(0, 2), TOO_OLD))
    assert before_attempt(Batch(0, 3, 2), created, 111.0, policy) == Next(discarded=Discarded(Batch(0, 3, 2), TOO_OLD))
    assert before_attempt(Batch(0, 3), created, 1e9, RetryPolicy()) == Next((Batch(0, 3),))


def test_the_wait_between_retries_doubles_up_to_ten_seconds() -> None:
    assert [delay(failures, 1.0) for failures in (1, 2, 3)] == [0.1, 0.2, 0.4]
    assert delay(100, 1.0) == 10.0
    assert delay(1, 0.0) == 0.05


def batches_of(waves: list[Any]) -> list[list[tuple[str, tuple[tuple[Any, ...], ...]]]]:
    return [[(work.shard, work.batches) for work in wave] for wave in waves]


def test_a_full_batch_is_invoked_at_once_and_the_rest_at_the_end() -> None:
    lanes: Lanes[int] = Lanes(2)
    assert lanes.add("s", 0, 1, size=1, now=0.0) == []
    assert batches_of(lanes.add("s", 0, 2, size=1, now=0.0)) == [[("s", ((1, 2),))]]
    assert lanes.add("s", 0, 3, size=1, now=0.0) == []
    assert batches_of(lanes.flush()) == [[("s", ((3,),))]]
    assert lanes.flush() == []


def test_a_batch_has_at_most_six_megabytes() -> None:
    lanes: Lanes[int] = Lanes(100, largest=10)
    assert lanes.add("s", 0, 1, size=6, now=0.0) == []
    assert batches_of(lanes.add("s", 0, 2, size=6, now=0.0)) == [[("s", ((1,), (2,)))]]


def test_a_batch_that_has_waited_for_the_window_is_invoked_without_being_full() -> None:
    lanes: Lanes[int] = Lanes(100, window=5.0)
    assert lanes.add("s", 0, 1, size=1, now=0.0) == []
    assert lanes.add("s", 0, 2, size=1, now=4.9) == []
    assert batches_of(lanes.add("s", 0, 3, size=1, now=5.0)) == [[("s", ((1, 2, 3),))]]


def test_what_waits_of_a_parent_is_invoked_before_its_child() -> None:
    lanes: Lanes[str] = Lanes(2)
    lanes.add("parent", 0, "p1", size=1, now=0.0)
    lanes.add("child", 0, "c1", size=1, now=0.0)
    assert batches_of(lanes.add("child", 0, "c2", size=1, now=0.0)) == [
        [("parent", (("p1",),))],
        [("child", (("c1", "c2"),))],
    ]


@given(
    st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 4)), max_size=40),
    st.integers(1, 5),
    st.integers(1, 3),
)
def test_each_change_is_in_one_batch_and_the_changes_of_a_key_are_in_order(
    arriving: list[tuple[str, int]], size: int, factor: int
) -> None:
    lanes: Lanes[tuple[str, int, int]] = Lanes(size, factor=factor)
    waves = []
    for number, (shard, key) in enumerate(arriving):
        waves += lanes.add(shard, key, (shard, key, number), size=1, now=0.0)
    waves += lanes.flush()
    batches = [batch for wave in waves for work in wave for batch in work.batches]
    assert all(len(batch) <= size for batch in batches)
    invoked = [entry for batch in batches for entry in batch]
    assert sorted(number for _, _, number in invoked) == list(range(len(arriving)))
    for key in {(shard, key) for shard, key in arriving}:
        numbers = [number for shard, key_, number in invoked if (shard, key_) == key]
        assert numbers == sorted(numbers)
    places: dict[str, list[int]] = {}
    for place, wave in enumerate(waves):
        for work in wave:
            places.setdefault(work.shard, []).append(place)
    arrivals = {shard: [n for n, (other, _) in enumerate(arriving) if other == shard] for shard in places}
    for parent in places:
        for child in places:
            if max(arrivals[parent]) < min(arrivals[child]):
                assert max(places[parent]) < min(places[child])
