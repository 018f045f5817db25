"""Two runs of one application, by a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import cast

import pytest

from beam_dynamodb_streams.errors import FencedError, InvalidOptionError, ProgressHeldError, UnavailableError
from beam_dynamodb_streams.progress.acquire import acquire
from beam_dynamodb_streams.progress.address import FileAddress, Progress, TableAddress, parse_progress
from beam_dynamodb_streams.progress.lease import CHECKPOINT_MARGIN_SECONDS, Lease
from beam_dynamodb_streams.progress.step_committer import StepCommitter
from beam_dynamodb_streams.progress.store import Application, LeaseRecord, Store
from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.shards.frontier import Frontier
from beam_dynamodb_streams.shards.position import SHARD_END, TRIM_HORIZON, After, AtTime, Position
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.source.bundle_progress import BundleProgress
from tests.progress.conftest import Hand

ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-31T12:00:00.000"
PROGRESS = Progress("file:unused")  # the stores are given
TAKEOVER = PROGRESS.takeover_after.total_seconds()


def lease_of(store: Store, hand: Hand, owner: str = "one", *, confirms_late: bool = False) -> Lease:
    """A run that has begun."""
    acquire(store, owner, ARN, TAKEOVER, hand.time)
    if ARN not in store.read().streams:
        store.begin(owner, StreamPosition(ARN), int(hand.seconds))
    return Lease(store, owner, ARN, PROGRESS, hand.time, confirms_late=confirms_late)


def kept(store: Store) -> Mapping[str, Position]:
    return store.read().streams[ARN].position(ARN).shards


def test_a_second_run_is_refused_once_the_first_has_shown_twice_that_it_is_alive(store: Store, hand: Hand) -> None:
    first = lease_of(store, hand)
    began = hand.seconds
    hand.during = first.renew
    with pytest.raises(ProgressHeldError, match="is held by run one, which is alive: stop it, or give this run"):
        acquire(store, "two", ARN, TAKEOVER, hand.time)
    assert hand.seconds - began <= 2 * (PROGRESS.renew_every + 1)
    first.renew()
    first.bundle_finalized({"a": After("1")})
    assert kept(store) == {"a": After("1")}


def test_the_successor_of_a_killed_run_waits_and_resumes(store: Store, hand: Hand) -> None:
    first = lease_of(store, hand)
    first.renew()
    died = hand.seconds
    hand.seconds += 7
    acquire(store, "two", ARN, TAKEOVER, hand.time)
    assert TAKEOVER <= hand.seconds - died <= TAKEOVER + 1
    assert store.read().lease == LeaseRecord("two", ARN, hand.seconds)


def test_a_run_is_alive_by_its_own_takeover_time_not_by_its_successors(store: Store, hand: Hand) -> None:
    slow = Progress("file:unused", takeover_after=timedelta(minutes=5))
    acquire(store, "slow", ARN, slow.takeover_after.total_seconds(), hand.time)
    store.begin("slow", StreamPosition(ARN), int(hand.seconds))
    first = Lease(store, "slow", ARN, slow, hand.time)
    first.renew()
    hand.seconds += TAKEOVER + 5  # it shows itself every 50 seconds
    hand.during = first.renew
    with pytest.raises(ProgressHeldError):
        acquire(store, "two", ARN, TAKEOVER, hand.time)
    with pytest.raises(FencedError):
        Lease(store, "restored", ARN, PROGRESS, hand.time).renew()
    hand.during = lambda: None
    first.renew()
    hand.seconds += 300
    acquire(store, "two", ARN, TAKEOVER, hand.time)
    assert store.read().lease == LeaseRecord("two", ARN, hand.seconds)


def test_the_successor_of_a_killed_run_whose_clock_was_ahead_waits_it_out_by_its_own(store: Store, hand: Hand) -> None:
    ahead = Hand(hand.seconds + 3600)
    lease_of(store, ahead)
    began = hand.seconds
    acquire(store, "two", ARN, TAKEOVER, hand.time)
    assert TAKEOVER <= hand.seconds - began <= TAKEOVER + 1


@pytest.mark.parametrize("set_by", [-3600, 3600], ids=["back", "ahead"])
def test_a_clock_that_is_set_keeps_a_run_neither_from_renewing_nor_from_saving(
    store: Store, hand: Hand, set_by: float
) -> None:
    """Otherwise a second run takes over, and both deliver."""
    first = lease_of(store, hand)
    first.renew()
    hand.set_by = set_by
    hand.seconds += PROGRESS.renew_every
    first.renew()
    hand.seconds += PROGRESS.commit_every.total_seconds()
    first.bundle_started("run")
    first.bundle_finalized({"a": After("1")}, read="run")
    assert kept(store) == {"a": After("1")}
    before = store.read().lease
    assert before is not None
    assert before.renewed_at >= hand.seconds - 2 * PROGRESS.renew_every, "by the clock of another machine it is alive"
    hand.during = first.renew
    with pytest.raises(ProgressHeldError):
        acquire(store, "two", ARN, TAKEOVER, hand.time)


def test_a_clock_that_is_set_ahead_confirms_no_bundle_early(store: Store, hand: Hand) -> None:
    """Trap 21: a finalization confirms another after seconds that have passed."""
    first = lease_of(store, hand, confirms_late=True)
    first.bundle_started("run")
    first.bundle_finalized({"a": After("1")}, read="run")
    hand.set_by = 3600
    first.bundle_started("run")
    first.bundle_finalized({"a": After("2")}, read="run")
    assert kept(store) == {}


def test_the_last_sign_of_a_run_that_is_being_stopped_is_waited_out_too(store: Store, hand: Hand) -> None:
    first = lease_of(store, hand)

    def last() -> None:
        hand.during = lambda: None
        first.renew()

    hand.seconds += PROGRESS.renew_every
    hand.during = last
    acquire(store, "two", ARN, TAKEOVER, hand.time)
    assert store.read().lease == LeaseRecord("two", ARN, hand.seconds)


def test_a_run_that_died_long_ago_is_not_waited_for(store: Store, hand: Hand) -> None:
    lease_of(store, hand)
    hand.seconds += TAKEOVER
    began = hand.seconds
    acquire(store, "two", ARN, TAKEOVER, hand.time)
    assert hand.seconds == began


def test_a_run_that_has_ended_is_not_waited_for(store: Store, hand: Hand) -> None:
    first = lease_of(store, hand)
    first.bundle_finalized({"a": After("7")}, last=True)
    first.release()
    began = hand.seconds
    acquire(store, "two", ARN, TAKEOVER, hand.time)
    assert (hand.seconds, kept(store)) == (began, {"a": After("7")})


def test_the_end_of_one_group_releases_nothing(store: Store, hand: Hand) -> None:
    first = lease_of(store, hand)
    first.renew()
    first.bundle_finalized({"a": SHARD_END}, last=True)
    assert (store.read().lease, kept(store)) == (LeaseRecord("one", ARN, hand.seconds), {"a": SHARD_END})
    hand.during = first.renew  # of another group
    with pytest.raises(ProgressHeldError):
        acquire(store, "two", ARN, TAKEOVER, hand.time)


def bundle(run: Lease, read: str = "one", *, commits: bool = True) -> BundleProgress:
    """One that reads to the end of its group."""
    bundle = BundleProgress(run, read, PROGRESS.renew_every, commits=commits)
    bundle.add(Claim(Frontier(closed=True)))
    return bundle


@pytest.mark.parametrize("commits", [False, True])
@pytest.mark.parametrize("alone", [False, True])
def test_a_read_releases_its_lease_at_its_end_only_if_its_run_has_no_other_work(
    store: Store, hand: Hand, commits: bool, alone: bool
) -> None:
    bundle(lease_of(store, hand), "one" if alone else "one-0", commits=commits).finalized()
    lease = store.read().lease
    assert lease is not None
    assert (lease.renewed_at == 0.0) == (commits and alone)


def test_while_a_step_behind_the_read_delivers_the_run_is_alive(store: Store, hand: Hand) -> None:
    first = lease_of(store, hand)
    bundle(first, commits=False).finalized()
    sink = StepCommitter(store, "one", PROGRESS, hand.time)
    began = hand.seconds
    for second in range(3):
        hand.seconds += TAKEOVER - 1  # the read has ended
        sink.commit({"a": After(str(second + 1))})
    hand.seconds += 1
    acquire(store, "two", ARN, TAKEOVER, hand.time)
    assert hand.seconds == began + 4 * TAKEOVER - 3
    assert kept(store) == {"a": After("3")}


def test_of_two_successors_one_resumes_and_the_other_is_refused(store: Store, hand: Hand) -> None:
    lease_of(store, hand)

    def faster() -> None:
        hand.seconds += TAKEOVER
        hand.during = lease_of(store, hand, "two").renew

    hand.during = faster
    with pytest.raises(ProgressHeldError, match="held by run two"):
        acquire(store, "three", ARN, TAKEOVER, hand.time)


def test_a_paused_run_that_lost_its_lease_fails_at_its_next_renewal_and_moves_nothing(store: Store, hand: Hand) -> None:
    first = lease_of(store, hand)
    first.renew()
    hand.seconds += TAKEOVER + 60
    second = lease_of(store, hand, "two")
    second.bundle_finalized({"a": After("5")})
    hand.seconds += 10
    first.bundle_finalized({"a": After("9")})  # what its finalizer raised, nobody would hear
    assert kept(store) == {"a": After("5")}
    with pytest.raises(FencedError, match=r"no longer held by this run \(one\) but by run two"):
        first.renew()
    with pytest.raises(FencedError):
        StepCommitter(store, "one", PROGRESS, hand.time).commit({"a": After("9")})
    second.renew()


def test_a_restored_read_resumes_unless_another_run_is_alive(store: Store, hand: Hand) -> None:
    lease_of(store, hand)
    hand.seconds += 600
    restored = Lease(store, "one", ARN, PROGRESS, hand.time)
    restored.renew()
    assert store.read().lease == LeaseRecord("one", ARN, hand.seconds)
    hand.seconds += 600
    lease_of(store, hand, "two")
    with pytest.raises(FencedError):
        Lease(store, "one", ARN, PROGRESS, hand.time).renew()


def test_a_run_resumes_after_a_restore_if_the_run_that_took_over_is_dead(store: Store, hand: Hand) -> None:
    lease_of(store, hand)
    hand.seconds += 600
    lease_of(store, hand, "two")
    hand.seconds += 600
    Lease(store, "one", ARN, PROGRESS, hand.time).renew()
    assert store.read().lease == LeaseRecord("one", ARN, hand.seconds)


def test_what_a_runner_restored_after_a_reset_is_kept_from_where_its_run_began(store: Store, hand: Hand) -> None:
    """Otherwise nothing that it writes later would count, and the next run would begin at its start, or with LATEST."""
    began = StreamPosition(ARN, AtTime(int(hand.seconds)), {"b": After("7")})
    lease_of(store, hand)
    hand.seconds += 60
    acquire(store, "command", ARN, TAKEOVER, hand.time)
    store.forget("command", ARN, None)
    hand.seconds += 60
    restored = Lease(store, "one", ARN, PROGRESS, hand.time, began=began)
    restored.renew()
    restored.bundle_finalized({"a": After("50")})
    assert store.read().streams[ARN].position(ARN) == StreamPosition(
        ARN, began.start, {"a": After("50"), "b": After("7")}
    )


def test_what_a_runner_restored_leaves_the_progress_that_is_kept_as_it_is(store: Store, hand: Hand) -> None:
    lease_of(store, hand).bundle_finalized({"a": After("5")})
    Lease(store, "one", ARN, PROGRESS, hand.time, began=StreamPosition(ARN, AtTime(9), {"a": After("1")})).renew()
    assert store.read().streams[ARN].position(ARN) == StreamPosition(ARN, TRIM_HORIZON, {"a": After("5")})


def test_shards_a_long_run_does_not_need_are_forgotten_daily_some_at_each_renewal(store: Store, hand: Hand) -> None:
    run = lease_of(store, hand)
    run.renew()
    old: dict[str, Position] = {f"old-{n:03}": SHARD_END for n in range(250)}
    run.bundle_finalized(old)
    for _ in range(4):
        hand.seconds += 24 * 3600
        run.bundle_finalized({"new": After(str(int(hand.seconds)))})
    for _ in range(3):
        hand.seconds += PROGRESS.renew_every
        run.renew()
    assert set(kept(store)) == {"new"}


class Interleaved:
    """A store to which something happens once, right after it was read."""

    def __init__(self, store: Store, meanwhile: Callable[[], None]) -> None:
        self.store, self.meanwhile = store, meanwhile

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    def read(self) -> Application:
        found = self.store.read()
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return found


def test_processes_of_one_run_that_show_themselves_at_once_do_not_fence_each_other(store: Store, hand: Hand) -> None:
    lease_of(store, hand)
    hand.seconds += 1
    other = Lease(store, "one", ARN, PROGRESS, hand.time)
    mine = Lease(cast(Store, Interleaved(store, other.renew)), "one", ARN, PROGRESS, hand.time)
    mine.renew()
    mine.bundle_finalized({"a": After("1")})
    other.bundle_finalized({"b": After("2")})
    assert kept(store) == {"a": After("1"), "b": After("2")}


def test_a_run_whose_lease_is_taken_between_a_look_and_its_first_renewal_is_fenced(store: Store, hand: Hand) -> None:
    lease_of(store, hand)
    hand.seconds += TAKEOVER
    taken = Interleaved(store, lambda: acquire(store, "two", ARN, TAKEOVER, hand.time))
    with pytest.raises(FencedError, match="but by run two"):
        Lease(cast(Store, taken), "one", ARN, PROGRESS, hand.time).renew()


def test_progress_is_written_no_more_often_than_asked_and_at_the_end_at_once(store: Store, hand: Hand) -> None:
    run = lease_of(store, hand)
    run.bundle_finalized({"a": After("1")})
    hand.seconds += 1
    run.bundle_finalized({"a": After("2"), "b": After("1")})
    assert kept(store) == {"a": After("1")}
    hand.seconds += 1
    run.bundle_finalized({})
    assert kept(store) == {"a": After("2"), "b": After("1")}
    run.bundle_finalized({"b": SHARD_END}, last=True)
    assert kept(store) == {"a": After("2"), "b": SHARD_END}


def test_unproven_deliveries_are_written_after_the_margin_and_another_finalizer(store: Store, hand: Hand) -> None:
    run = lease_of(store, hand, confirms_late=True)
    run.bundle_finalized({"a": After("1")})
    hand.seconds += CHECKPOINT_MARGIN_SECONDS - 1
    run.bundle_finalized({"a": After("2")})
    assert kept(store) == {}
    hand.seconds += 1
    run.bundle_finalized({"a": After("3")})
    assert kept(store) == {"a": After("1")}


def test_the_last_bundle_of_a_read_is_made_the_margin_later_and_proves_all_before_it(store: Store, hand: Hand) -> None:
    run = lease_of(store, hand, confirms_late=True)
    run.read_ended("read")
    hand.seconds += CHECKPOINT_MARGIN_SECONDS - 1
    assert run.awaits_confirmation("read")
    hand.seconds += 1
    assert not run.awaits_confirmation("read")
    run.bundle_finalized({"a": After("1")}, read="read")  # all by one checkpoint, in the order of the bundles
    run.bundle_finalized({"b": After("2")}, read="read")
    run.bundle_finalized({"c": After("3")}, read="another group's")
    assert kept(store) == {}
    run.bundle_finalized({}, read="read", last=True)
    assert kept(store) == {"a": After("1"), "b": After("2")}


class Unplugged:
    """A store that does not answer for a while."""

    name = "dynamodb://progress/unplugged"

    def __init__(self, store: Store) -> None:
        self.store, self.answers = store, False

    def read(self) -> Application:
        return self._through().read()

    def swap_lease(self, known: LeaseRecord | None, lease: LeaseRecord) -> bool:
        return self._through().swap_lease(known, lease)

    def renew(self, owner: str, moment: float) -> None:
        self._through().renew(owner, moment)

    def release(self, owner: str) -> None:
        self._through().release(owner)

    def begin(self, owner: str, position: StreamPosition, second: int) -> None:
        self._through().begin(owner, position, second)

    def advance(self, owner: str, stream_arn: str, shards: Mapping[str, Position], second: int) -> None:
        self._through().advance(owner, stream_arn, shards, second)

    def forget(self, owner: str, stream_arn: str, shards: list[str] | None) -> None:
        self._through().forget(owner, stream_arn, shards)

    def _through(self) -> Store:
        if not self.answers:
            raise UnavailableError("no answer")
        return self.store


def test_a_store_that_does_not_answer_is_waited_for_until_the_run_counts_as_dead(store: Store, hand: Hand) -> None:
    lease_of(store, hand)
    unplugged = Unplugged(store)
    run = Lease(unplugged, "one", ARN, PROGRESS, hand.time)
    unplugged.answers = True
    run.renew()
    unplugged.answers = False
    hand.seconds += 20
    run.renew()
    run.bundle_finalized({"a": After("3")})
    unplugged.answers = True
    hand.seconds += 5
    run.renew()
    run.bundle_finalized({})
    assert kept(store) == {"a": After("3")}
    unplugged.answers = False
    hand.seconds += TAKEOVER
    with pytest.raises(UnavailableError):
        run.renew()


def test_what_a_sink_delivered_waits_for_a_silent_store_until_the_run_counts_as_dead(store: Store, hand: Hand) -> None:
    """The first look, too: whose the application is shows once the store answers."""
    acquire(store, "one", ARN, TAKEOVER, hand.time)
    store.begin("one", StreamPosition(ARN), int(hand.seconds))
    unplugged = Unplugged(store)
    sink = StepCommitter(unplugged, "one", PROGRESS, hand.time)
    sink.commit({"a": After("3"), "b": After("9")})
    hand.seconds += TAKEOVER - 1
    sink.commit({"a": After("4")})
    unplugged.answers = True
    sink.commit({"b": After("1")})
    assert kept(store) == {"a": After("4"), "b": After("9")}
    unplugged.answers = False
    hand.seconds += 600  # it had nothing to write
    sink.commit({"a": After("5")})
    hand.seconds += TAKEOVER
    with pytest.raises(UnavailableError):
        sink.commit({"a": After("6")})


def test_a_sink_moves_nothing_if_another_run_took_its_application_in_an_outage(store: Store, hand: Hand) -> None:
    unplugged = Unplugged(store)
    sink = StepCommitter(unplugged, "one", PROGRESS, hand.time)
    sink.commit({"a": After("3")})
    lease_of(store, hand, "two")
    unplugged.answers = True
    with pytest.raises(FencedError, match="but by run two"):
        sink.commit({"a": After("4")})
    assert kept(store) == {}


def test_addresses_are_read_and_anything_else_is_refused() -> None:
    assert Progress("dynamodb://progress/orders").location == TableAddress("progress", "orders")
    for text, path in (
        ("file:a.json", "a.json"),
        ("file:/a/b", "/a/b"),
        ("file:///a/b", "/a/b"),
        ("file:s3://b/c",) * 2,
    ):
        assert Progress(text).location == FileAddress(path.removeprefix("file:"))
    assert parse_progress(None) is None
    given = parse_progress("dynamodb://progress/orders", region_name="eu-central-1", endpoint_url="http://127.0.0.1:9")
    assert given is not None
    assert (given.region_name, given.endpoint_url) == ("eu-central-1", "http://127.0.0.1:9")
    for bad in (
        "",
        "progress",
        "dynamodb://",
        "dynamodb://progress",
        "dynamodb://progress/",
        "file:",
        "dynamodb://p/a/b",
        7,
    ):
        with pytest.raises(InvalidOptionError, match="is not an address of progress: use"):
            parse_progress(bad)
    with pytest.raises(InvalidOptionError, match="takeover_after"):
        Progress("file:a", takeover_after=timedelta(0))
    with pytest.raises(InvalidOptionError, match="at most a third of it"):
        Progress("file:a", commit_every=timedelta(seconds=20))
