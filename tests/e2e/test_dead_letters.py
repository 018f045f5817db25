"""A malformed record goes to the dead letters with its bytes and the reason; the rest of its page is delivered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest

from beam_dynamodb_streams import ChangeRecord, Schema
from beam_dynamodb_streams.errors import MalformedRecordError
from beam_dynamodb_streams.testing import LocalStreams
from tests.e2e.collected import outputs_of, read_orders


def entry(image: object) -> dict[str, Any]:
    """A record as the service would send it, but for its new image."""
    change = {
        "ApproximateCreationDateTime": 1_790_000_000,
        "Keys": {"id": {"S": "o-1"}},
        "NewImage": image,
        "SequenceNumber": "%SEQUENCE%",
        "SizeBytes": 9,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    return {"eventID": "e" * 32, "eventName": "INSERT", "eventVersion": "1.1", "dynamodb": change}


BAD = [
    pytest.param({"id": {"S": "o-1"}, "n": {"X": "1"}}, "type tag", id="unknown attribute type"),
    pytest.param({"id": {"S": "o-1"}, "n": {"B": "%%%"}}, "base64", id="bad base64"),
    pytest.param({"id": {"S": "o-1"}, "n": {"N": "1e"}}, "", id="bad number"),
    pytest.param([1], "", id="not an object"),
]


@pytest.mark.parametrize(("image", "reason"), BAD)
def test_a_value_that_is_not_an_attribute_value_costs_only_its_record(
    service: LocalStreams, tmp_path: Path, image: object, reason: str
) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.put_many({"id": f"o-{n}"} for n in range(5))
    bad = orders.append(orders.open_shard_ids[0], json.dumps(entry(image)).encode())
    orders.put_many({"id": f"o-{n}"} for n in range(5, 8))
    changes, dead, losses = outputs_of(tmp_path, read_orders(service, stop=9).with_outputs())
    assert [change.keys["id"] for change, _ in changes] == [f"o-{n}" for n in range(8)]
    ((letter, _),) = dead
    assert json.loads(letter.payload)["dynamodb"]["NewImage"] == image
    assert reason in letter.reason
    assert letter.sequence_number == bad.sequence_number
    assert losses == []


@pytest.mark.parametrize("body", [b"17", b"[]", b'{"eventName": "INSERT"}', b'{"eventID": "e", "dynamodb": {}}'])
def test_an_entry_that_is_not_a_record_goes_to_the_dead_letters_with_its_bytes(
    service: LocalStreams, tmp_path: Path, body: bytes
) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.append(orders.open_shard_ids[0], body)
    orders.put_many({"id": f"o-{n}"} for n in range(3))
    changes, dead, _ = outputs_of(tmp_path, read_orders(service, stop=3).with_outputs())
    assert len(changes) == 3
    assert [letter.payload for letter, _ in dead] == [body]


@pytest.mark.parametrize(
    "wrong",
    [
        {"SequenceNumber": ""},
        {"SequenceNumber": "abc"},
        {"ApproximateCreationDateTime": 1e13},
        {"ApproximateCreationDateTime": 1e18},
        {"SizeBytes": 2**63},
    ],
    ids=str,
)
@pytest.mark.parametrize("batches", [False, True], ids=["changes", "batches"])
def test_a_number_that_nothing_can_hold_costs_only_its_record(
    service: LocalStreams, tmp_path: Path, wrong: dict[str, object], *, batches: bool
) -> None:
    """Each would stop the read for good, dead letters or not: where it is compared, stamped or put into a column."""
    orders = service.create_table("orders", keys={"id": "S"})
    orders.put_many([{"id": "before"}])
    bad = entry({"id": {"S": "o-1"}})
    bad["dynamodb"] |= wrong
    orders.append(orders.open_shard_ids[0], json.dumps(bad).encode())
    orders.put_many([{"id": "after"}])
    orders.roll_all()
    orders.put_many([{"id": "in a child"}])
    read = read_orders(service, stop=3).with_outputs()
    changes, dead, _ = outputs_of(tmp_path, read.as_batches() if batches else read)
    assert (sum(batch.num_rows for batch, _ in changes) if batches else len(changes)) == 3
    ((letter, _),) = dead
    got = json.loads(letter.payload)["dynamodb"]
    assert {name: got[name] for name in wrong} == wrong


def test_a_number_of_changes_to_stop_at_counts_a_change_whose_values_are_malformed(
    service: LocalStreams, tmp_path: Path
) -> None:
    """It is counted by its envelope. What follows the last counted one is not reported, and does not fail the read."""
    orders = service.create_table("orders", keys={"id": "S"})
    (shard,) = orders.open_shard_ids
    orders.put_many([{"id": "first"}])
    orders.append(shard, json.dumps(entry({"n": {"X": "1"}})).encode())
    orders.put_many([{"id": "third"}])
    orders.append(shard, b'{"eventName": "INSERT"}')
    changes, dead, _ = outputs_of(tmp_path, read_orders(service, stop=3).with_outputs())
    assert [change.keys["id"] for change, _ in changes] == ["first", "third"]
    assert len(dead) == 1
    (changes,) = outputs_of(tmp_path, read_orders(service, stop=3))
    assert len(changes) == 3


def test_skipped_malformed_values_are_not_delivered(service: LocalStreams, tmp_path: Path) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.put_many([{"id": "good"}])
    orders.append(orders.open_shard_ids[0], json.dumps(entry({"n": {"X": "1"}})).encode())
    (changes,) = outputs_of(tmp_path, read_orders(service, on_malformed="skip", stop=2))
    assert [change.keys["id"] for change, _ in changes] == ["good"]


def test_by_default_a_malformed_value_fails_the_pipeline_where_it_is_used(
    service: LocalStreams, tmp_path: Path
) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.append(orders.open_shard_ids[0], json.dumps(entry({"n": {"X": "1"}})).encode())
    with pytest.raises(MalformedRecordError, match="new_image"):
        outputs_of(tmp_path, read_orders(service, stop=1), then=lambda changes: changes | beam.Map(_new_image))


def _new_image(change: ChangeRecord) -> object:
    return change.new_image


def test_an_attribute_that_does_not_fit_its_column_is_null_there_and_a_dead_letter(
    service: LocalStreams, tmp_path: Path
) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.put_many([{"id": "fits", "n": 1}, {"id": "does not", "n": "text"}])
    schema = Schema(pa.schema([("id", pa.string()), ("n", pa.int64())]), keys=("id",))
    batches, dead, _ = outputs_of(tmp_path, read_orders(service, stop=2).with_outputs().as_batches(schema))
    rows = [row for batch, _ in batches for row in batch.to_pylist()]
    assert [(row["keys"]["id"], row["new_image"]["n"]) for row in rows] == [("fits", 1), ("does not", None)]
    ((letter, _),) = dead
    assert (letter.payload, letter.sequence_number) == (b'{"S":"text"}', rows[1]["sequence_number"])
    assert "new_image.n does not fit its column" in letter.reason
    with pytest.raises(MalformedRecordError, match="does not fit its column"):
        outputs_of(tmp_path, read_orders(service, stop=2).as_batches(schema))
