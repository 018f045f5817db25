"""A read's bundles: signs of life while steps work on a page or a read starts, and the end on a runner like Flink."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.runners.interactive.interactive_runner import InteractiveRunner
from apache_beam.runners.portability.flink_runner import FlinkRunner
from apache_beam.runners.runner import PipelineRunner
from apache_beam.runners.sdf_utils import (
    RestrictionTrackerView,
    ThreadsafeRestrictionTracker,
    ThreadsafeWatermarkEstimator,
)

from beam_dynamodb_streams.beam.runners import traits_of
from beam_dynamodb_streams.errors import FencedError
from beam_dynamodb_streams.progress.acquire import acquire, store_of
from beam_dynamodb_streams.progress.address import Progress
from beam_dynamodb_streams.progress.lease import CHECKPOINT_MARGIN_SECONDS, Lease
from beam_dynamodb_streams.progress.store import Store
from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier, Reading
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.source.bundle_progress import BundleProgress
from beam_dynamodb_streams.source.dofn import ReadBoundedStreamWithProgress
from beam_dynamodb_streams.source.elements import ONE_BY_ONE
from beam_dynamodb_streams.source.restriction import FrontierTracker, StreamWatermark
from beam_dynamodb_streams.source.sharing import share
from beam_dynamodb_streams.source.start import lease_renewal, list_lineage
from beam_dynamodb_streams.source.stream_read import StreamRead
from beam_dynamodb_streams.source.worker_cache import client
from beam_dynamodb_streams.testing import LocalStreams
from tests.progress.conftest import Hand
from tests.reader.test_page import raw
from tests.source.options_of import options_of

ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-31T12:00:00.000"
PROGRESS = Progress("file:unused")  # the stores are given
TAKEOVER = PROGRESS.takeover_after.total_seconds()


def run_of(store: Store, hand: Hand, *, confirms_late: bool = False) -> Lease:
    acquire(store, "one", ARN, TAKEOVER, hand.time)
    store.begin("one", StreamPosition(ARN), int(hand.seconds))
    return Lease(store, "one", ARN, PROGRESS, hand.time, confirms_late=confirms_late)


def bundle_of(run: Lease, read: str = "one", *, commits: bool = True) -> BundleProgress:
    return BundleProgress(run, read, PROGRESS.renew_every, commits=commits)


def renewal_of(store: Store) -> float:
    lease = store.read().lease
    assert lease is not None
    return lease.renewed_at


# Signs of life


def test_a_run_is_alive_while_a_step_works_on_one_page_for_long(store: Store, hand: Hand) -> None:
    bundle = bundle_of(run_of(store, hand))
    bundle.lease.renew()
    for _ in bundle.emitted(range(100)):
        hand.seconds += 2
        assert hand.seconds - renewal_of(store) <= PROGRESS.renew_every + 2


def test_a_step_works_on_with_nothing_of_a_page_once_another_run_took_over(store: Store, hand: Hand) -> None:
    bundle = bundle_of(run_of(store, hand))
    bundle.lease.renew()
    elements = bundle.emitted(range(100))
    next(elements)
    hand.seconds += TAKEOVER
    acquire(store, "two", ARN, TAKEOVER, hand.time)
    with pytest.raises(FencedError):
        next(elements)


def test_elements_do_not_make_calls_to_the_store(store: Store, hand: Hand) -> None:
    run = run_of(store, hand)
    run.renew()
    before = renewal_of(store)
    hand.seconds += 1
    assert list(bundle_of(run).emitted(range(1000))) == list(range(1000))
    assert renewal_of(store) == before


def test_a_read_that_starts_shows_itself_at_each_page_of_its_listings(service: LocalStreams, tmp_path: Path) -> None:
    """A stream of 10,000 shards has 100 pages, which are listed three times."""
    orders = service.create_table("orders", keys={"id": "S"}, shards=4)
    options = options_of(service, table="orders")
    wire = client(options.connection)
    beats: list[None] = []
    service.reset_counts()
    list_lineage(wire, orders.stream_arn, lambda: beats.append(None))
    assert len(beats) == service.counts.calls["DescribeStream"]
    beats.clear()
    service.reset_counts()
    groups = list(share(StreamRead("run", orders.stream_arn), wire, options, 2, lambda: beats.append(None)))
    assert len(groups) == 2
    assert len(beats) == service.counts.calls["DescribeStream"]


def test_what_shows_that_a_read_is_starting_is_in_the_name_of_its_run(tmp_path: Path) -> None:
    progress = Progress(f"file:{tmp_path / 'progress.json'}")
    lease_renewal(progress, "one-0", ARN)()
    lease = store_of(progress).read().lease
    assert lease is not None
    assert (lease.owner, lease.stream_arn) == ("one", ARN)
    lease_renewal(None, "one", ARN)()


# The end where a finalization proves nothing


def closing(run: Lease, read: str = "one") -> BundleProgress:
    """A bundle that brings the last change."""
    bundle = bundle_of(run, read)
    bundle.add(Claim(Frontier(shards={"a": Reading(After("7"))}), shard="a", records=[raw("7")]))
    bundle.add(Claim(Frontier(closed=True)))
    return bundle


def lingered(run: Lease, read: str = "one") -> list[BundleProgress]:
    """The bundles that a read makes after its end."""
    made: list[BundleProgress] = []
    while not made or made[-1].lingers():
        made.append(bundle_of(run, read))
        made[-1].lease.renew()
    return made


@pytest.mark.parametrize("order", [list, reversed], ids=["in order", "the last one first"])
def test_a_finite_read_makes_bundles_until_a_checkpoint_writes_its_progress(
    store: Store, hand: Hand, order: Callable[[list[BundleProgress]], Iterable[BundleProgress]]
) -> None:
    """Flink makes no checkpoint while they follow each other, and one once the task has finished."""
    run = run_of(store, hand, confirms_late=True)
    began = hand.seconds
    last = closing(run)
    assert last.lingers()
    bundles = [last, *lingered(run)]
    assert CHECKPOINT_MARGIN_SECONDS <= hand.seconds - began <= CHECKPOINT_MARGIN_SECONDS + 1
    assert len(bundles) <= CHECKPOINT_MARGIN_SECONDS + 2, "each takes a second"
    for bundle in order(bundles):
        assert renewal_of(store) > 0.0, "some are still to be finalized"
        bundle.finalized()
    assert store.read().streams[ARN].position(ARN).shards == {"a": After("7")}
    assert renewal_of(store) == 0.0, "the next run need not wait"


def test_a_group_that_ends_does_not_release_the_lease_of_the_others(store: Store, hand: Hand) -> None:
    run = run_of(store, hand, confirms_late=True)
    for bundle in [closing(run, "one-0"), *lingered(run, "one-0")]:
        bundle.finalized()
    assert store.read().streams[ARN].position(ARN).shards == {"a": After("7")}
    assert renewal_of(store) > 0.0


@pytest.mark.parametrize(("trailing", "commits"), [(False, True), (True, False), (False, False)])
def test_no_other_read_makes_a_bundle_after_its_end(store: Store, hand: Hand, trailing: bool, commits: bool) -> None:
    """If its finalization proves the delivery, or a step behind it writes the progress."""
    bundle = bundle_of(run_of(store, hand, confirms_late=trailing), commits=commits)
    bundle.add(Claim(Frontier(closed=True)))
    assert not bundle.lingers()


def test_a_read_resumed_after_its_end_in_another_process_ends(store: Store, hand: Hand) -> None:
    """What it had reported to the process that died is delivered again in the next run."""
    assert closing(run_of(store, hand, confirms_late=True)).lingers()
    restored = Lease(store, "one", ARN, PROGRESS, hand.time, confirms_late=True)
    assert len(lingered(restored)) == 1


@pytest.mark.parametrize("trailing", [False, True])
def test_at_its_end_the_source_is_resumed_where_its_progress_is_not_written_yet(
    service: LocalStreams, tmp_path: Path, trailing: bool
) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.put_many({"id": f"o-{n}"} for n in range(5))
    options = options_of(service, table="orders", stop=5, progress=f"file:{tmp_path / 'progress.json'}")
    source = ReadBoundedStreamWithProgress(options, ONE_BY_ONE, tagged=False, trailing=trailing, commits=True)
    source.setup()
    tracker = ThreadsafeRestrictionTracker(
        FrontierTracker(
            Frontier(
                stream_arn=orders.stream_arn, shards={s: Reading(TRIM_HORIZON) for s in orders.shard_ids}, remaining=5
            ),
            bounded=True,
        )
    )
    changes = source.process(
        StreamRead("one", orders.stream_arn, records=5),
        beam.DoFn.BundleFinalizerParam(),
        RestrictionTrackerView(tracker),
        ThreadsafeWatermarkEstimator(StreamWatermark(EARLIEST)),
    )
    assert len(list(changes)) == 5
    deferred = tracker.deferred_status()
    assert (deferred is not None) is trailing
    tracker.check_done()


@pytest.mark.parametrize(
    ("runner", "proves"),
    [(InteractiveRunner(), True), (InteractiveRunner(FlinkRunner()), False), (FlinkRunner(), False)],
    ids=["notebook", "notebook on Flink", "Flink"],
)
def test_what_a_finalization_proves_in_a_notebook_depends_on_the_runner_below(
    runner: PipelineRunner, proves: bool
) -> None:
    assert traits_of(beam.Pipeline(runner)).finalizer_proves_delivery is proves
