"""Bytes to pages: what a record must have, and what a bad one costs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from apache_beam.coders import TimestampCoder
from apache_beam.utils.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams.errors import ServiceError, UnavailableError
from beam_dynamodb_streams.records import ChangeRecordCoder, change_batch
from beam_dynamodb_streams.records.envelope import change_records
from beam_dynamodb_streams.wire import RawRecord, RecordsPage, decode_records


def record(number: int = 1, **change: Any) -> dict[str, Any]:
    return {
        "eventID": f"id-{number}",
        "eventName": "MODIFY",
        "dynamodb": {
            "ApproximateCreationDateTime": 1_700_000_000,
            "Keys": {"id": {"S": str(number)}},
            "SequenceNumber": str(100000000003498069978 + number),
            "SizeBytes": 10,
            "StreamViewType": "NEW_IMAGE",
        }
        | change,
    }


def page(*records: object, **more: Any) -> RecordsPage:
    return decode_records(json.dumps({"Records": records} | more).encode())


def test_a_page_keeps_the_order_of_the_shard() -> None:
    decoded = page(*[record(n) for n in range(1000)], NextShardIterator="next")
    assert [r.event_id for r in decoded.records] == [f"id-{n}" for n in range(1000)]
    assert (decoded.next_iterator, decoded.malformed) == ("next", [])


def test_the_last_page_of_a_shard_may_bring_records() -> None:  # trap 1
    decoded = page(record())
    assert (len(decoded.records), decoded.next_iterator) == (1, None)
    assert page(record(), NextShardIterator=None).next_iterator is None


def test_an_empty_page_is_not_the_end() -> None:  # trap 5
    assert page(NextShardIterator="next").next_iterator == "next"
    with pytest.raises(UnavailableError, match="the answer to GetRecords has no Records"):
        decode_records(b'{"NextShardIterator":"next"}')


@pytest.mark.parametrize("text", ["1700000000", "1700000000.0", "1.7e9", "1.7E+9", "17e8"])
def test_a_creation_time_may_be_written_in_any_form_of_number(text: str) -> None:
    body = json.dumps({"Records": [record()]}).replace("1700000000", text).encode()
    assert decode_records(body).records[0].creation_time == 1.7e9


def test_images_stay_as_they_were_received() -> None:
    image = '{"n": {"N":"1E+2"},  "s":{"S":"gr\\u00f6ße 🙂"}, "deep":{"M":{"l":{"L":[{"NULL":true}]}}}}'
    body = json.dumps({"Records": [record(NewImage="HERE")]}).replace('"HERE"', image).encode()
    change = decode_records(body).records[0].change
    assert bytes(change.new_image or b"") == image.encode()
    assert bytes(change.keys) == b'{"id": {"S": "1"}}'
    assert change.old_image is None  # trap 17


def test_an_explicit_null_is_absent() -> None:
    """Trap 17."""
    entry = record(NewImage=None, OldImage=None, SizeBytes=None) | {"userIdentity": None}
    change = page(entry).records[0]
    assert (change.change.new_image, change.change.old_image, change.change.size_bytes) == (None,) * 3
    assert change.user_identity is None


def without(name: str) -> dict[str, Any]:
    entry = record()
    entry["dynamodb"] = {key: value for key, value in entry["dynamodb"].items() if key != name}
    return entry


MALFORMED: list[tuple[object, str, str | None]] = [
    (without("SequenceNumber"), "`SequenceNumber`", None),
    (without("Keys"), "`Keys`", "100000000003498069979"),
    (without("ApproximateCreationDateTime"), "`ApproximateCreationDateTime`", "100000000003498069979"),
    (record(ApproximateCreationDateTime="soon"), "Expected `float`, got `str`", "100000000003498069979"),
    (record(ApproximateCreationDateTime=1e18), "`$.dynamodb.ApproximateCreationDateTime`", "100000000003498069979"),
    (record(ApproximateCreationDateTime=1e13), "`$.dynamodb.ApproximateCreationDateTime`", "100000000003498069979"),
    (record(ApproximateCreationDateTime=-1e300), "`$.dynamodb.ApproximateCreationDateTime`", "100000000003498069979"),
    (record(SequenceNumber=7), "Expected `str`, got `int`", None),
    (record(SequenceNumber=""), "`$.dynamodb.SequenceNumber`", None),
    (record(SequenceNumber="abc"), "Expected digits", None),
    (record(SequenceNumber="-7"), "Expected digits", None),
    (record(SequenceNumber="1_0"), "Expected digits", None),
    (record(SequenceNumber="\N{ARABIC-INDIC DIGIT ONE}"), "Expected digits", None),
    (record(SequenceNumber="1" * 41), "`$.dynamodb.SequenceNumber`", None),
    (record(SequenceNumber="") | {"eventName": "RENAME"}, "'RENAME'", None),
    (record(SequenceNumber="abc") | {"eventName": "RENAME"}, "'RENAME'", None),
    (record(SizeBytes=2**63), "`$.dynamodb.SizeBytes`", "100000000003498069979"),
    (record() | {"eventName": "RENAME"}, "'RENAME'", "100000000003498069979"),
    ({"eventID": "1", "eventName": "INSERT"}, "`dynamodb`", None),
    ("not an object", "Expected `object`, got `str`", None),
    (None, "Expected `object`, got `null`", None),
]


@pytest.mark.parametrize(("entry", "reason", "sequence_number"), MALFORMED)
def test_a_malformed_record_costs_itself_alone(entry: object, reason: str, sequence_number: str | None) -> None:
    decoded = page(record(1), entry, record(2, NewImage=None), NextShardIterator="next")
    assert [r.event_id for r in decoded.records] == ["id-1", "id-2"]
    assert decoded.records[1].change.new_image is None
    [malformed] = decoded.malformed
    assert (malformed.index, malformed.sequence_number) == (1, sequence_number)
    assert json.loads(malformed.payload) == entry
    assert reason in malformed.reason
    assert decoded.next_iterator == "next"


def test_what_is_not_malformed_fits_into_everything_that_follows() -> None:
    """Beam's timestamps, datetimes and Arrow's columns end somewhere: what they cannot hold is malformed here."""
    ends = [
        record(1, ApproximateCreationDateTime=0, SequenceNumber="0", SizeBytes=-(2**63)),
        record(2, ApproximateCreationDateTime=253_370_764_799.9999, SequenceNumber="9" * 40, SizeBytes=2**63 - 1),
    ]
    decoded = page(*ends)
    assert decoded.malformed == []
    changes = list(change_records(decoded.records, "shard"))
    assert [change.approximate_creation_time.year for change in changes] == [1970, 9998]
    assert [ChangeRecordCoder().decode(ChangeRecordCoder().encode(change)) for change in changes] == changes
    assert change_batch(decoded.records, "shard").num_rows == 2
    for change in changes:
        stamp = Timestamp(micros=change.creation_micros)
        assert TimestampCoder().decode(TimestampCoder().encode(stamp)).micros // 1000 == stamp.micros // 1000


def test_a_record_with_an_image_that_is_not_text_costs_only_itself() -> None:
    """Nobody decodes the image here, but whoever writes it as text would fail on it, and the page with it."""
    good, bad = (json.dumps(record(n, NewImage={"id": {"S": "naïve%"}}), ensure_ascii=False).encode() for n in (1, 2))
    bad = bad.replace(b"%", b"\xff")
    decoded = decode_records(b'{"Records":[' + good + b"," + bad + b"]}")
    assert [r.event_id for r in decoded.records] == ["id-1"]
    [malformed] = decoded.malformed
    assert (malformed.payload, malformed.reason, malformed.index) == (bad, "not UTF-8", 1)
    assert malformed.sequence_number is not None


def test_what_is_said_of_a_malformed_record_quotes_no_item() -> None:
    [malformed] = page(record(Keys={"id": {"S": "private"}}, SizeBytes="private")).malformed
    assert b"private" in malformed.payload
    assert "private" not in f"{malformed!r} {malformed.reason}"


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_bytes_that_are_not_a_page_are_refused_and_nothing_else_is_raised(body: bytes) -> None:
    try:
        decoded = decode_records(body)
    except (ServiceError, UnavailableError):
        return
    assert isinstance(json.loads(body), dict)
    assert decoded.records == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(JSON | st.just(record()) | JSON.map(lambda value: record(Keys=value)), max_size=6))
def test_every_entry_of_a_page_is_a_record_or_a_malformed_entry(entries: list[object]) -> None:
    decoded = page(*entries)
    assert len(decoded.records) + len(decoded.malformed) == len(entries)
    assert all(isinstance(entry, RawRecord) for entry in decoded.records)
    assert [json.loads(entry.payload) for entry in decoded.malformed] == [
        entries[entry.index] for entry in decoded.malformed
    ]


def test_every_page_cut_short_is_a_delay() -> None:
    body = json.dumps({"Records": [record()], "NextShardIterator": "next"}).encode()
    for length in range(len(body)):
        with pytest.raises(UnavailableError):
            decode_records(body[:length])


def test_a_page_that_is_not_a_page_is_not_a_delay() -> None:
    for body in (b'{"Records": {}}', b'{"Records": "none"}', b'{"Records": [], "NextShardIterator": 7}'):
        with pytest.raises(ServiceError, match="not what the service documents") as raised:
            decode_records(body)
        assert not isinstance(raised.value, UnavailableError)
