"""What runners store of a read is a promise: bytes of every released version are read, the newest is written.

A golden file (hex) is never changed. A new version adds files, and its reader keeps the old ones passing.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam import coders
from apache_beam.coders import Coder

from beam_dynamodb_streams import ReadFromDynamoDBStreams
from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.shards.encoding import decode_frontier, encode_frontier
from beam_dynamodb_streams.shards.frontier import EARLIEST, Finished, Frontier, Hint, Reading
from beam_dynamodb_streams.shards.position import SHARD_END, TRIM_HORIZON, After, AtTime, End
from beam_dynamodb_streams.shards.segments import TableScan
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.source.restriction import FrontierCoder, WatermarkCoder
from beam_dynamodb_streams.source.stream_read import StreamRead, StreamReadCoder

HERE = Path(__file__).parent
SHARD = "shardId-00000001769860800000-a1b2c3d4"
OTHER = "shardId-00000001769875200000-0badf00d"
ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-31T12:00:00.000"
SECOND = 1_769_860_800

SHARED = Frontier(
    stream_arn=ARN,
    start=AtTime(SECOND),
    shards={SHARD: Reading(After("421584500000000017450439091"), SECOND * 1_000_000)},
    finished={OTHER: Finished(SECOND, None)},
    adopts=False,
    awaited={"shardId-00000001769889600000-a1b2c3d4": SHARD, "later": "shardId-00000001769889600000-a1b2c3d4"},
)

ADOPTING = Frontier(
    stream_arn=ARN,
    shards={SHARD: Reading(After("421584500000000017450439091"), SECOND * 1_000_000)},
    finished={OTHER: Finished(SECOND, None), "other": Finished(SECOND, None)},
    unconfirmed=frozenset(["other", OTHER]),
    unlinked=frozenset([SHARD]),
)

FOLLOWED = Frontier(
    stream_arn=ARN,
    shards={SHARD: Reading(After("421584500000000017450439091"), SECOND * 1_000_000)},
    saved={"later": After("7")},
    remaining=7,
    floor=SECOND * 1_000_000 - 5_000_000,
    read_to=SECOND * 1_000_000,
)

LATER = StreamPosition(ARN.replace("12:00", "13:00"), shards={OTHER: After("421584500000000017450439091")})

SCAN = TableScan(
    ARN.partition("/stream/")[0],
    ("id", "line"),
    epoch=SECOND * 1000 + 123,
    total=16,
    begun=5,
    places={0: b"", 3: b'{"id":{"S":"o-1"},"line":{"N":"7"}}'},
    rows=1234,
    replaced=5,
    estimate=50_000,
)

STORED: dict[str, tuple[Coder, Any]] = {
    "frontier_v1_begin": (FrontierCoder(), Frontier()),
    "frontier_v1_reading": (
        FrontierCoder(),
        Frontier(
            stream_arn=ARN,
            start=AtTime(SECOND),
            shards={
                SHARD: Reading(After("421584500000000017450439091"), SECOND * 1_000_000, Hint("AAAAiterator", SECOND)),
                OTHER: Reading(AtTime(SECOND)),
                "shard-of-another-make": Reading(End(AtTime(SECOND)), SECOND * 1_000_000 + 5),
                "shardId-00000001769860800001-a1b2c3d4": Reading(TRIM_HORIZON),
                "shardId-00000001769860800002-a1b2c3d4": Reading(After("000000000000000000007")),
            },
            finished={
                "shardId-00000001769846400000-a1b2c3d4": Finished(SECOND, TRIM_HORIZON),
                "shardId-00000001769846400001-a1b2c3d4": Finished(SECOND, AtTime(SECOND - 9)),
                "shardId-00000001769846400002-a1b2c3d4": Finished(SECOND, None),
            },
            saved={"shardId-00000001769889600000-a1b2c3d4": SHARD_END, "later": After("7")},
            remaining=1234,
            adopts=False,
        ),
    ),
    "frontier_v1_closed": (FrontierCoder(), Frontier(remaining=0).close()),
    "stream_read_v1_unbounded": (StreamReadCoder(), StreamRead("run-1", ARN)),
    "stream_read_v1_bounded": (
        StreamReadCoder(),
        StreamRead("run-1", ARN, AtTime(SECOND), {SHARD: After("421584500000000017450439091")}, SECOND + 60, 100),
    ),
    "frontier_v1_shared": (FrontierCoder(), SHARED),
    "stream_read_v2_shared": (StreamReadCoder(), StreamRead("run-1-0", ARN, frontier=SHARED)),
    "frontier_v1_adopting": (FrontierCoder(), ADOPTING),
    "frontier_v2_followed": (FrontierCoder(), FOLLOWED),
    "stream_read_v1_followed": (
        StreamReadCoder(),
        StreamRead("run-1", ARN, table_id="0a1b2c3d-0000-4000-8000-000000000000", later=(LATER,)),
    ),
    "frontier_v3_scanned": (FrontierCoder(), replace(FOLLOWED, scan=SCAN)),
    "frontier_v3_scan_complete": (
        FrontierCoder(),
        Frontier(stream_arn=ARN, scan=replace(SCAN, begun=16, places={}, consistent_since=SECOND * 1_000_000)),
    ),
    "stream_read_v2_scanned": (
        StreamReadCoder(),
        StreamRead("run-1", ARN, AtTime(SECOND), epoch=SCAN.epoch, scan=replace(SCAN, begun=0, places={}, rows=0)),
    ),
    "watermark_v1": (WatermarkCoder(), SECOND * 1_000_000 + 123_456),
    "watermark_v1_earliest": (WatermarkCoder(), EARLIEST),
}


def test_a_runner_is_given_the_stream_to_read_in_that_form_and_not_pickled() -> None:
    """Flink keeps it beside each restriction; a pickle would bind a savepoint to the names in our modules."""
    read = beam.Pipeline() | ReadFromDynamoDBStreams("orders")
    (started,) = read.producer.inputs
    assert coders.registry.get_coder(started.element_type) == StreamReadCoder()


def hints(frontier: Frontier) -> dict[str, Hint | None]:
    return {shard: reading.hint for shard, reading in frontier.shards.items()}


@pytest.mark.parametrize("name", STORED)
def test_bytes_of_each_version_are_read_and_written(name: str) -> None:
    coder, value = STORED[name]
    golden = bytes.fromhex((HERE / f"{name}.hex").read_text())
    decoded = coder.decode(golden)
    assert decoded == value
    assert coder.encode(value) == golden
    if isinstance(value, Frontier):
        assert hints(decoded) == hints(value), "hints do not count for a frontier's equality, but they are stored"


@pytest.mark.parametrize("name", STORED)
def test_bytes_of_a_later_version_are_refused_with_the_release_that_reads_them(name: str) -> None:
    coder, value = STORED[name]
    newer = coder.encode(value)
    newer = re.sub(rb'"version":\d', b'"version":9', newer) if newer.startswith(b"{") else b"\x09" + newer[1:]
    with pytest.raises(ConnectorError, match=r"version.*resume with the release that wrote it, or newer"):
        coder.decode(newer)


@pytest.mark.parametrize("name", STORED)
def test_damaged_bytes_are_refused(name: str) -> None:
    coder, value = STORED[name]
    whole = coder.encode(value)
    for length in range(len(whole)):
        with pytest.raises(ConnectorError):
            coder.decode(whole[:length])


@pytest.mark.parametrize(
    "place", [b"\x90", b"\xc4\x01\xff"], ids=["an end without its children's start", "a name that is not text"]
)
def test_bytes_of_the_right_shape_that_say_nothing_are_refused(place: bytes) -> None:
    known = encode_frontier(Frontier(shards={"shard": Reading(SHARD_END, 7)}))
    assert known.count(b"\x91\xff") == 1
    with pytest.raises(ConnectorError, match="damaged"):
        decode_frontier(known.replace(b"\x91\xff", place))


@pytest.mark.parametrize(
    "shard",
    [
        "shardId-99999999999999999999-ffffffff",  # does not fit in eight bytes
        "shardId-00000001769860800000-A1B2C3D4",
        "shardId-0000000176986080000٠-a1b2c3d4",
        "shardId-00000001769860800000-a1b2c3d4\n",
        "shardId-7-a1b2c3d4",
        "",
    ],
)
def test_shard_ids_that_only_look_like_the_services_come_back_as_they_were(shard: str) -> None:
    frontier = Frontier(shards={shard: Reading(TRIM_HORIZON)})
    assert decode_frontier(encode_frontier(frontier)) == frontier


@pytest.mark.parametrize("number", ["0", "00", "007", "1٣", "-5", "7\n", "", "9" * 40, "x", "1" * 300])
def test_sequence_numbers_of_any_form_come_back_as_they_were(number: str) -> None:
    frontier = Frontier(shards={SHARD: Reading(After(number))})
    assert decode_frontier(encode_frontier(frontier)) == frontier


def test_an_open_shard_with_six_finished_ancestors_takes_less_than_200_bytes() -> None:
    """A day of rolls every four hours: the ancestors stay listed, so they are remembered (trap 12)."""
    reading = Reading(After("421584500000000017450439091"), SECOND * 1_000_000)
    ancestors = {f"shardId-{1_769_860_800_000 + n:020d}-a1b2c3d{n}": Finished(SECOND, TRIM_HORIZON) for n in range(6)}
    assert len(encode_frontier(Frontier(shards={OTHER: reading}, finished=ancestors))) < 200


def test_a_short_iterator_is_stored_and_one_of_full_length_is_left_out() -> None:
    def stored(length: int) -> Hint | None:
        hint = Hint("i" * length, SECOND)
        frontier = Frontier(shards={SHARD: Reading(After("7"), 0, hint)})
        return decode_frontier(encode_frontier(frontier)).shards[SHARD].hint

    assert stored(300) == Hint("i" * 300, SECOND)
    assert stored(2_048) is None
