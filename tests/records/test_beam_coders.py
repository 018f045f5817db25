"""What Beam sees of a record: its coder, its type and its row."""

from __future__ import annotations

import pickle
from datetime import datetime, timezone
from decimal import Decimal

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.coders import RowCoder, registry
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.typehints.schemas import named_fields_from_element_type
from apache_beam.utils.timestamp import Timestamp

from beam_dynamodb_streams.errors import MalformedRecordError
from beam_dynamodb_streams.records import ChangeRecord, ChangeRecordCoder, ChangeRow, RecordBatchCoder, register_coders

RECORD = ChangeRecord(
    event_id="e1",
    event_name="REMOVE",
    keys={"order_id": "o1"},
    old_image={"order_id": "o1", "paid": True},
    sequence_number="421584500000000017450439091",
    shard_id="shardId-00000001763000000000-a1b2c3d4",
    approximate_creation_time=datetime(2026, 1, 31, tzinfo=timezone.utc),
    user_identity={"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"},
)


def test_the_coder_ships_the_json_as_it_is_and_brings_back_an_equal_record():
    """Trap 18: a repeat is known by its event id, also past a shuffle."""
    coder = ChangeRecordCoder()
    encoded = coder.encode(RECORD)
    decoded = coder.decode(encoded)
    assert decoded == RECORD
    assert decoded.old_image_json == RECORD.old_image_json
    assert coder.encode(decoded) == encoded


def test_the_coder_is_deterministic_picklable_and_equal_by_type():
    coder = ChangeRecordCoder()
    assert coder.is_deterministic()
    assert coder.as_deterministic_coder("a step") is coder
    assert coder.to_type_hint() is ChangeRecord
    assert pickle.loads(pickle.dumps(coder)) == coder  # noqa: S301
    assert hash(coder) == hash(ChangeRecordCoder())


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (b"", "empty"),
        (b"\x01\x9b", "version 1, and this release reads version 2"),
        (b"\x02", "cannot be read"),
        (b"\x02\x91\x01", "cannot be read"),
    ],
)
def test_bytes_that_are_not_a_record_are_refused_with_the_reason(stored: bytes, reason: str):
    with pytest.raises(MalformedRecordError, match=reason) as caught:
        ChangeRecordCoder().decode(stored)
    assert caught.value.payload == stored


ANY_TABLE = pa.record_batch(
    {
        "text": pa.array([f"{n}" * 1000 for n in range(100)] + [None]),
        "list": pa.array([[{"a": n, "b": [True] * 9}] for n in range(100)] + [None]),
        "word": pa.array(["a", "b", "a"] * 33 + ["b", None]).dictionary_encode(),
        "amount": pa.array([Decimal("1.50")] * 101, pa.decimal128(12, 2)),
    }
).replace_schema_metadata({"whose": "an author's"})


@pytest.mark.parametrize(
    "batch", [ANY_TABLE, ANY_TABLE.slice(40, 2), ANY_TABLE.slice(7, 0)], ids=["all", "two", "none"]
)
def test_a_batch_of_any_columns_comes_back_equal_with_its_metadata(batch: pa.RecordBatch):
    decoded = RecordBatchCoder().decode(RecordBatchCoder().encode(batch))
    decoded.validate(full=True)
    assert decoded.equals(batch, check_metadata=True)


def test_a_slice_of_a_batch_ships_its_own_rows_alone():
    whole, part = (len(RecordBatchCoder().encode(batch)) for batch in (ANY_TABLE, ANY_TABLE.slice(40, 1)))
    assert whole > 100_000
    assert part < 5_000


@pytest.mark.parametrize("stored", [b"", b"\x02abc", b"\x01", b"\x01abc", RecordBatchCoder().encode(ANY_TABLE)[:-99]])
def test_bytes_that_are_not_a_batch_are_refused(stored: bytes):
    with pytest.raises(MalformedRecordError, match="stored batch is refused") as caught:
        RecordBatchCoder().decode(stored)
    assert caught.value.payload == stored


def test_batches_are_refused_as_keys():
    """Arrow calls two batches equal whose bytes differ where a value is null."""
    valid = pa.py_buffer(b"\x01")
    one, other = (
        pa.record_batch({"n": pa.Array.from_buffers(pa.int8(), 2, [valid, pa.py_buffer(values)])})
        for values in (b"\x01\x02", b"\x01\x03")
    )
    assert one == other
    assert RecordBatchCoder().encode(one) != RecordBatchCoder().encode(other)
    with pytest.raises(ValueError, match="deterministic"):
        RecordBatchCoder().as_deterministic_coder("a step")


def test_beam_picks_the_coder_of_batches_unless_an_author_has_one(monkeypatch: pytest.MonkeyPatch):
    class Theirs(RecordBatchCoder):
        pass

    monkeypatch.setattr(registry, "_coders", dict(registry._coders))
    monkeypatch.setattr(registry, "custom_types", list(registry.custom_types))
    register_coders()
    assert registry.get_coder(pa.RecordBatch) == RecordBatchCoder()
    assert pickle.loads(pickle.dumps(RecordBatchCoder())) == RecordBatchCoder()  # noqa: S301
    registry.register_coder(pa.RecordBatch, Theirs)
    register_coders()
    assert type(registry.get_coder(pa.RecordBatch)) is Theirs


def test_beam_picks_the_coder_by_type_and_records_are_keys_in_a_pipeline():
    register_coders()
    assert isinstance(registry.get_coder(ChangeRecord), ChangeRecordCoder)
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        counted = (
            pipeline
            | beam.Create([RECORD, ChangeRecord.from_json(RECORD.to_json())])
            | beam.Map(lambda record: (record, 1)).with_output_types(tuple[ChangeRecord, int])
            | beam.CombinePerKey(sum)
        )
        assert_that(counted, equal_to([(RECORD, 2)]))


def test_a_row_has_a_schema_that_beam_encodes():
    register_coders()
    row = RECORD.to_row()
    assert row.keys == '{"order_id":{"S":"o1"}}'
    assert row.new_image is None
    assert row.approximate_creation_time == Timestamp(RECORD.creation_micros / 1_000_000)
    assert isinstance(registry.get_coder(ChangeRow), RowCoder)
    coder = registry.get_coder(ChangeRow)
    assert tuple(coder.decode(coder.encode(row))) == tuple(row)
    assert [name for name, _ in named_fields_from_element_type(ChangeRow)] == list(ChangeRow._fields)
