"""The splitter of pages that the decoder refuses, and what a record costs that is not JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams.errors import UnavailableError
from beam_dynamodb_streams.wire import RecordsPage, decode_records
from beam_dynamodb_streams.wire.split import SplitError, find_member, split_page

NOT_JSON = {
    "half of a surrogate pair": rb'{"id":{"S":"\ud83d"}}',
    "the other half": rb'{"id":{"S":"\udc00x"}}',
    "a raw control character": b'{"id":{"S":"\x1f"}}',
    "NaN": b'{"id":{"N":NaN}}',
    "Infinity": b'{"id":{"N":-Infinity}}',
    "an unknown escape": rb'{"id":{"S":"\x"}}',
    "a quote and a bracket in a text": rb'{"id":{"S":"\"]}\ud83d"}}',
    "20,000 levels": b'{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
}


def record(number: int, image: bytes) -> bytes:
    return (
        b'{"eventID":"%d","eventName":"INSERT","dynamodb":{"ApproximateCreationDateTime":1770000000,"Keys":'
        b'{"id":{"S":"1"}},"NewImage":%s,"SequenceNumber":"%d"}}' % (number, image, 10**24 + number)
    )


def page(*records: bytes) -> RecordsPage:
    return decode_records(b'{"NextShardIterator":"next" , "Records": [' + b" , ".join(records) + b"]}\n")


@pytest.mark.parametrize("image", NOT_JSON.values(), ids=list(NOT_JSON))
def test_a_record_that_is_not_json_costs_itself_alone(image: bytes) -> None:  # trap 22
    good = b'{"id":{"S":"1"}}'
    decoded = page(record(1, good), record(2, image), record(3, good), b'{"eventID":5}')
    assert [entry.event_id for entry in decoded.records] == ["1", "3"]
    bad, other = decoded.malformed
    assert (bad.index, bad.payload, bad.sequence_number) == (1, record(2, image), str(10**24 + 2))
    assert (other.index, other.sequence_number) == (3, None)
    assert decoded.next_iterator == "next"


def test_values_that_are_not_text_and_values_that_are_not_json_are_found_in_one_page() -> None:
    decoded = page(record(1, b'{"id":{"S":"\xff"}}'), record(2, b'{"id":NaN}'), record(3, b"{}"))
    assert [(entry.index, entry.sequence_number) for entry in decoded.malformed] == [
        (0, str(10**24 + 1)),
        (1, str(10**24 + 2)),
    ]
    assert len(decoded.records) == 1


@pytest.mark.parametrize("image", NOT_JSON.values(), ids=list(NOT_JSON))
def test_a_page_with_such_a_record_that_is_cut_short_is_a_delay(image: bytes) -> None:
    whole = b'{"Records":[' + record(1, b"{}") + b"," + record(2, image) + b'],"NextShardIterator":"next"}'
    for end in range(0, len(whole), max(1, len(whole) // 200)):
        with pytest.raises(UnavailableError):
            decode_records(whole[:end])


def test_garbage_outside_the_records_is_a_delay() -> None:
    for body in (
        b'{"Records":[],"NextShard\xffIterator":"next"}',
        b'{"Records":[],"NextShardIterator":"\xff"}',
        b'{"Records":[],"NextShardIterator":"\\ud83d"}',
        b'{"Records":[NaN]} x',
        b'{"Records":[NaN}}',
        b"\0",
    ):
        with pytest.raises(UnavailableError, match="cut off or garbled") as raised:
            decode_records(body)
        assert raised.value.body_checksum is not None


@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
        )
    ),
    st.dictionaries(st.text().filter(lambda name: name != "Records"), st.text() | st.lists(st.integers())),
    st.sampled_from([None, 2]),
)
def test_the_splitter_finds_the_same_elements_as_the_decoder(
    elements: list[object], others: dict[str, object], indent: int | None
) -> None:
    frame, found = split_page(json.dumps({**others, "Records": elements}, indent=indent).encode(), "Records")
    assert [json.loads(element) for element in found] == elements
    assert json.loads(frame) == {**others, "Records": []}


@given(st.binary())
def test_the_splitter_raises_nothing_but_its_own_error(body: bytes) -> None:
    for text in (body, b'{"Records":[' + body + b"]}", b"{" + body + b"}"):
        try:
            split_page(text, "Records")
            find_member(text, "dynamodb", "SequenceNumber")
        except SplitError:
            pass
