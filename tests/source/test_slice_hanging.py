"""A service that accepts requests and never answers holds up no bundle."""

from __future__ import annotations

import pytest

from beam_dynamodb_streams.source.worker_cache import client
from beam_dynamodb_streams.testing import Faults, LocalStreams
from tests.source.test_slice import serve


@pytest.mark.parametrize("operation", ["DescribeStream", "GetShardIterator", "GetRecords"])
def test_a_bundle_ends_though_its_requests_hang(service: LocalStreams, operation: str) -> None:
    """Before the first of them has timed out, which is why none is sent again."""
    slices = serve(service, shards=3)
    slices.table.put_many({"id": f"o-{n}"} for n in range(10))
    service.faults = Faults(hang={operation: 1.0})
    bundle = slices.bundle(seconds=0.5)
    assert bundle.changes() == []
    residual, _ = bundle.tracker.deferred_status()
    assert not residual.closed
    assert service.counts.faults["hang"] >= 1
    assert bundle.do_fn._service.calls.totals().retries == {}


def test_what_hung_is_read_once_the_service_answers(service: LocalStreams) -> None:
    """A worker that died with its hanging requests leaves nothing behind."""
    slices = serve(service, shards=3)
    slices.table.put_many({"id": f"o-{n}"} for n in range(10))
    service.faults = Faults(hang={"GetRecords": 1.0})
    bundle = slices.bundle(seconds=0.5)
    bundle.changes()
    residual, _ = bundle.tracker.deferred_status()
    service.faults = Faults()
    client.cache_clear()
    changes = slices.bundle(residual, seconds=2.0).changes()
    assert sorted(change.event_id for change in changes) == sorted(change.event_id for change in slices.table.changes)
