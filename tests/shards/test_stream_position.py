"""A saved position: built from delivered records in any order, merged, written and read."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from itertools import permutations

import pytest

from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.shards.position import SHARD_END, TRIM_HORIZON, After, AtTime, End
from beam_dynamodb_streams.shards.stream_position import StreamPosition

ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-31T12:00:00.000"
POSITION = StreamPosition(ARN, AtTime(1_769_860_800), {"a": After("100"), "b": SHARD_END, "c": TRIM_HORIZON})


def record(shard: str, number: str) -> ChangeRecord:
    return ChangeRecord(
        event_id=number,
        event_name="INSERT",
        keys={"id": "o-1"},
        sequence_number=number,
        shard_id=shard,
        approximate_creation_time=datetime(2026, 1, 31, 12, tzinfo=timezone.utc),
    )


def test_records_may_be_folded_in_any_order_and_more_than_once() -> None:
    """Traps 4 and 21: the larger number wins, not the longer or the later one."""
    delivered = [record("a", "99"), record("a", "100"), record("b", "7"), record("a", "99")]
    for order in permutations(delivered):
        position = StreamPosition()
        for each in order:
            position = position.after(each)
        assert position.shards == {"a": After("100"), "b": After("7")}


def test_a_merge_keeps_the_further_of_the_two_in_every_shard() -> None:
    one = StreamPosition.delivered({"a": "100", "b": "7"})
    other = StreamPosition.delivered({"a": "99", "c": "3"})
    both = StreamPosition.delivered({"a": "100", "b": "7", "c": "3"})
    assert one.merge(other) == other.merge(one) == both
    assert both.merge(one) == both.merge(both) == both


def test_merges_may_be_grouped_in_any_way() -> None:
    one, two, three = (StreamPosition.delivered({"a": number}) for number in ("9", "10", "8"))
    assert one.merge(two).merge(three) == one.merge(two.merge(three))


def test_an_end_is_further_than_any_record_and_a_record_than_any_start() -> None:
    start = StreamPosition(shards={"a": AtTime(9), "b": TRIM_HORIZON})
    read = StreamPosition(shards={"a": After("1"), "b": SHARD_END})
    assert start.merge(read).shards == read.merge(start).shards == read.shards


def test_a_merge_keeps_the_stream_and_the_start() -> None:
    merged = POSITION.merge(StreamPosition.delivered({"a": "101"}))
    assert (merged.stream_arn, merged.start) == (ARN, POSITION.start)
    assert StreamPosition().merge(POSITION).stream_arn == ARN


@pytest.mark.parametrize("position", [POSITION, StreamPosition(), StreamPosition.delivered({"a": "0" * 20 + "7"})])
def test_json_text_restores_the_same_position(position: StreamPosition) -> None:
    assert StreamPosition.from_json(position.to_json()) == position


def test_json_text_is_one_line_that_a_person_can_read() -> None:
    assert json.loads(POSITION.to_json()) == {
        "version": 1,
        "stream_arn": ARN,
        "start": "2026-01-31T12:00:00Z",
        "shards": {"a": "100", "b": "SHARD_END", "c": "TRIM_HORIZON"},
    }
    assert "\n" not in POSITION.to_json()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"TRIM_HORIZON"',
        "{}",
        '{"version": 1}',
        '{"version": 1, "stream_arn": null, "start": "LATEST", "shards": {}}',
        '{"version": 1, "stream_arn": null, "start": 5, "shards": {}}',
        '{"version": 1, "stream_arn": null, "start": "TRIM_HORIZON", "shards": []}',
        '{"version": 1, "stream_arn": null, "start": "TRIM_HORIZON", "shards": {"a": 7}}',
        '{"version": 1, "stream_arn": null, "start": "TRIM_HORIZON", "shards": {"a": "x7"}}',
        '{"version": 1, "stream_arn": null, "start": "TRIM_HORIZON", "shards": {"a": "\\u0661"}}',
        '{"version": 1, "stream_arn": 7, "start": "TRIM_HORIZON", "shards": {}}',
        '{"version": 1, "stream_arn": null, "start": "TRIM_HORIZON", "shards": {"a": "%s"}}' % ("9" * 5000),
        '{"a":' * 100_000,
    ],
)
def test_any_other_text_is_refused_with_what_to_pass(text: str) -> None:
    with pytest.raises(InvalidOptionError, match=r"is not a saved position: pass what StreamPosition\.to_json\(\)"):
        StreamPosition.from_json(text)


def test_a_start_before_there_were_changes_is_the_epoch() -> None:
    text = StreamPosition(start=AtTime(0)).to_json()
    assert StreamPosition.from_json(text.replace("1970-01-01T", "0001-01-01T")).to_json() == text


def test_a_long_bad_text_is_not_quoted_whole() -> None:
    with pytest.raises(InvalidOptionError) as refused:
        StreamPosition.from_json("{" * 5000)
    assert len(str(refused.value)) < 200


def test_another_version_is_refused_with_the_release_that_reads_it() -> None:
    with pytest.raises(InvalidOptionError, match="version 2, this release reads 1"):
        StreamPosition.from_json('{"version": 2}')


def test_an_end_is_read_back_as_an_end() -> None:
    """Its children begin at the horizon: at most a repeat of what is older than the start, never a loss."""
    position = StreamPosition(shards={"a": End(AtTime(1_769_860_800))})
    assert StreamPosition.from_json(position.to_json()).shards == {"a": SHARD_END}


def test_the_second_until_which_all_was_read_is_kept_where_it_is_known() -> None:
    """A text without it is what releases before it wrote."""
    known = StreamPosition(ARN, until=1_769_860_800)
    assert json.loads(known.to_json())["until"] == "2026-01-31T12:00:00Z"
    assert StreamPosition.from_json(known.to_json()) == known
    assert "until" not in POSITION.to_json()
    later = StreamPosition(ARN, until=1_769_860_900)
    assert known.merge(later) == later.merge(known) == later.merge(StreamPosition(ARN)) == later


def test_positions_of_two_streams_do_not_merge() -> None:
    old, new = (StreamPosition(arn, shards={"a": After("7")}) for arn in ("arn:old", "arn:new"))
    with pytest.raises(InvalidOptionError, match="position of stream arn:old cannot be merged with one of arn:new"):
        old.merge(new)
    assert StreamPosition.delivered({"a": "9"}).merge(new).stream_arn == "arn:new"


@pytest.mark.parametrize("shard", ["", "\0", "\0shardId-1", "a\0"])
def test_an_id_that_no_service_gives_is_refused(shard: str) -> None:
    with pytest.raises(InvalidOptionError, match="shard ids are not empty and have no NUL"):
        StreamPosition.delivered({"a": "1", shard: "7"})
    with pytest.raises(InvalidOptionError, match="shard ids are not empty and have no NUL"):
        StreamPosition.from_json(
            json.dumps({"version": 1, "stream_arn": None, "start": "TRIM_HORIZON", "shards": {shard: "7"}})
        )
