"""Pages as rows of text: what the two ways to them agree on, and the way back."""

from __future__ import annotations

import msgspec
import pyarrow as pa
import pytest
from attribute_values import images, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_dynamodb_streams.records import (
    CHANGE_SCHEMA,
    change_batch,
    encode_image,
    records_from_batch,
    to_arrow,
)
from beam_dynamodb_streams.records.envelope import change_records
from beam_dynamodb_streams.wire import RawChange, RawRecord

SHARD = "shardId-1"
raw_images = images.map(lambda image: msgspec.Raw(encode_image(image)))
raw_records = st.builds(
    RawRecord,
    texts.filter(bool),
    st.sampled_from(["INSERT", "MODIFY", "REMOVE"]),
    st.builds(
        RawChange,
        st.integers(-(10**10), 10**10).map(lambda millis: millis / 1000),
        raw_images,
        st.integers(0, 10**40).map(str),
        st.sampled_from(["NEW_AND_OLD_IMAGES", "KEYS_ONLY"]),
        st.none() | st.integers(0, 2**40),
        st.none() | raw_images,
        st.none() | raw_images,
    ),
    user_identity=st.none() | st.just(msgspec.Raw(b'{"Type":"Service"}')),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(raw_records, max_size=12), st.integers(0, 3))
def test_a_page_and_its_records_are_the_same_rows_and_the_rows_are_the_records_again(page, start: int):
    records = list(change_records(page, SHARD))
    batch = change_batch(page, SHARD)
    assert batch.schema.equals(CHANGE_SCHEMA)
    assert batch.equals(to_arrow(records))
    batch.validate(full=True)
    assert records_from_batch(batch) == records
    assert records_from_batch(batch.slice(start)) == records[start:]


def test_bytes_that_are_not_utf_8_are_refused():
    change = RawChange(0, msgspec.Raw(b'{"id":{"S":"\xff"}}'), "1")
    with pytest.raises(pa.ArrowInvalid, match="UTF8"):
        change_batch([RawRecord("e", "INSERT", change)], SHARD)


def test_a_batch_of_other_columns_is_refused():
    with pytest.raises(ValueError, match=r"not \['id'\]"):
        records_from_batch(pa.RecordBatch.from_pydict({"id": [1]}))
