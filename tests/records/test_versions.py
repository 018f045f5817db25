"""Versions sort as the states of an item follow one another."""

from __future__ import annotations

from datetime import datetime, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams.errors import InvalidValueError, MalformedRecordError
from beam_dynamodb_streams.records import ChangeRecord, records_from_batch, to_arrow
from beam_dynamodb_streams.records.text_columns import base_column, version_column
from beam_dynamodb_streams.records.versions import (
    base_of,
    epoch_of,
    row_version,
    version_base,
    version_of,
)

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/"
years = (datetime(2012, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001 - a label has no time zone
labels = st.datetimes(*years).map(lambda at: at.isoformat(timespec="milliseconds"))
epochs = st.integers(0, 10**13 - 1)
numbers = st.integers(1, 10**40 - 1)


@given(st.tuples(epochs, labels, numbers), st.tuples(epochs, labels, numbers))
def test_versions_sort_by_epoch_then_stream_then_number(one: tuple[int, str, int], other: tuple[int, str, int]) -> None:
    texts = [version_of(version_base(ARN + label, epoch), str(number)) for epoch, label, number in (one, other)]
    assert (texts[0] < texts[1]) == (one < other)
    assert {len(text) for text in texts} == {75}


@given(epochs, st.one_of(labels, st.just("")), numbers, st.integers(0, 10**16))
def test_rows_and_net_changes_sort_before_every_change_of_their_epoch(
    epoch: int, label: str, number: int, micros: int
) -> None:
    change = version_of(version_base(ARN + label, epoch), str(number + 10**20))
    assert row_version(epoch) <= row_version(epoch, micros) < change
    assert change < row_version(epoch + 1) or epoch == 10**13 - 1
    assert epoch_of(change) == epoch


def change(**fields: object) -> ChangeRecord:
    defaults: dict[str, object] = {
        "event_id": "e",
        "event_name": "MODIFY",
        "keys": {"id": "1"},
        "sequence_number": "100",
        "shard_id": "shardId-1",
        "approximate_creation_time": datetime(2026, 1, 31, tzinfo=timezone.utc),
    }
    return ChangeRecord(**defaults | fields)  # type: ignore[arg-type]


ROW = {"event_name": "READ", "sequence_number": "", "new_image": {"id": "1"}}


def test_a_version_survives_every_form_of_a_record() -> None:
    version = version_of(version_base(ARN + "2026-01-31T12:00:00.000", 1769860800123), "100")
    records = [change(version=version), change(), change(**ROW, version=row_version(5, 7)), change(**ROW)]
    assert [each.version for each in records][:2] == [version, version_of(version_base(""), "100")]
    assert [each.version for each in records][2:] == [row_version(5, 7), row_version(0)]
    for each in records:
        assert ChangeRecord.from_bytes(each.to_bytes()).version == each.version
        assert ChangeRecord.from_json(each.to_json()).version == each.version
        assert ChangeRecord(**each.to_dict()).version == each.version == each.to_row().version
    batch = to_arrow(records)
    assert batch.column("version").to_pylist() == [each.version for each in records]
    assert records_from_batch(batch) == records
    assert change(version=version) != change()


def test_columns_of_versions_agree_with_single_versions() -> None:
    texts = ["100", "", "7" * 40]
    bases = [version_base(ARN + "2026-01-31T12:00:00.000"), row_version(3), version_base("")]
    versions = version_column(pa.array(bases), pa.array(texts))
    assert versions.to_pylist() == [version_of(base, text) for base, text in zip(bases, texts, strict=True)]
    assert base_column(versions, pa.array(texts)).to_pylist() == bases
    assert [base_of(version, text) for version, text in zip(versions.to_pylist(), texts, strict=True)] == bases


@pytest.mark.parametrize("version", ["", "1-2-3", row_version(5), row_version(5) + "\n", 7])
def test_a_version_that_contradicts_the_record_is_refused(version: object) -> None:
    with pytest.raises(InvalidValueError, match=r"version=.* give three numbers of 13, 20 and 40 digits"):
        change(version=version)
    line = change().to_json().replace(change().version, str(version).replace("\n", "\\n"))
    with pytest.raises(MalformedRecordError, match="version"):
        ChangeRecord.from_json(line)


def test_a_change_of_a_stream_needs_a_number_and_an_item_of_a_snapshot_has_no_old_image() -> None:
    with pytest.raises(InvalidValueError, match="sequence_number=''"):
        change(sequence_number="")
    with pytest.raises(InvalidValueError, match="old_image"):
        change(**ROW, old_image={"id": "1"})
