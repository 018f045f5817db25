"""When a run of empty pages may be believed (trap 5)."""

from __future__ import annotations

from collections.abc import Iterable

from beam_dynamodb_streams.shards.quiet import NOT_QUIET, QuietRule, QuietRun


def run_of(moments: Iterable[float]) -> QuietRun:
    run = NOT_QUIET
    for moment in moments:
        run = run.empty_page(moment)
    return run


def test_twenty_empty_pages_in_a_row_prove_nothing_by_default() -> None:
    assert not run_of(float(second) for second in range(20)).proves(QuietRule())


def test_enough_pages_over_enough_time_prove_a_quiet_shard() -> None:
    assert run_of(second / 2 for second in range(30)).proves(QuietRule())


def test_enough_pages_in_too_short_a_time_prove_nothing() -> None:
    assert not run_of(second / 1000 for second in range(1000)).proves(QuietRule())


def test_a_long_time_with_too_few_pages_proves_nothing() -> None:
    assert not run_of([0.0, 3600.0]).proves(QuietRule())


def test_a_run_remembers_when_its_first_page_was_asked_for() -> None:
    assert run_of([7.0, 8.0, 9.5]) == QuietRun(3, 7.0, 9.5)


def test_no_page_is_no_proof_even_under_a_rule_of_one_page() -> None:
    assert not NOT_QUIET.proves(QuietRule(pages=1, seconds=0.0))
    assert run_of([1.0]).proves(QuietRule(pages=1, seconds=0.0))
