"""Any bytes in place of a stored form are decoded, or refused with an error of this package that says the way out."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams.columns import Schema
from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.progress import file_store, table_items
from beam_dynamodb_streams.progress.store import Application, LeaseRecord, SavedProgress, SavedShard
from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.records.beam_coders import ChangeRecordCoder, RecordBatchCoder
from beam_dynamodb_streams.records.beam_keys import NumberCoder
from beam_dynamodb_streams.shards.encoding import decode_frontier, encode_frontier
from beam_dynamodb_streams.shards.frontier import begin
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.sinks.coverage import SequenceRange, ShardKey
from beam_dynamodb_streams.sinks.manifest import Manifest, Span, WrittenFile
from beam_dynamodb_streams.sinks.resume import CAUGHT_UP, EXPORT, OWNER, Export, open_export
from beam_dynamodb_streams.source.restriction import WatermarkCoder
from beam_dynamodb_streams.source.stream_read import StreamPositionCoder, StreamReadCoder

HERE = Path(__file__).parent
SHARD = "shardId-00000001770000000000-00000001"
APPLICATION = Application(
    LeaseRecord("run", "arn", 1_764_230_400.0, 90.0), {"arn": SavedProgress(shards={SHARD: SavedShard(After("7"), 5)})}
)
MANIFEST = Manifest(
    Span(0, 60_000_000), [WrittenFile("a", 1, 2)], {ShardKey("arn", SHARD): [SequenceRange("1", "2", "3")]}
).to_json()
POSITION = StreamPosition("arn", shards={SHARD: After("7")}).to_json().encode()

Decode = Callable[[bytes], Any]
FORMS: dict[str, tuple[Decode, bytes]] = {
    "manifest": (lambda data: Manifest.from_json(data, "the path"), MANIFEST),
    "progress": (
        lambda data: file_store.application_of(data.decode(errors="replace"), "the file"),
        file_store.application_text(APPLICATION).encode(),
    ),
    "position": (StreamPositionCoder().decode, POSITION),
    "frontier": (decode_frontier, bytes.fromhex((HERE / "frontier_v1_reading.hex").read_text())),
    "element": (StreamReadCoder().decode, bytes.fromhex((HERE / "stream_read_v2_shared.hex").read_text())),
    "watermark": (WatermarkCoder().decode, bytes.fromhex((HERE / "watermark_v1.hex").read_text())),
    "record": (ChangeRecordCoder().decode, (HERE / "record_v2_modify.bin").read_bytes()),
    "record line": (ChangeRecord.from_json, (HERE / "record_modify.json").read_bytes()),
    "batch": (RecordBatchCoder().decode, (HERE / "batch_v1_text.bin").read_bytes()),
    "number": (NumberCoder().decode, b"-12.50"),
    "schema": (Schema.from_json, (HERE / "schema_v1.json").read_bytes()),
}


@st.composite
def damaged(draw: st.DrawFn, stored: bytes) -> bytes:
    """The stored bytes with a part of them cut out, and other bytes or JSON in its place."""
    start = draw(st.integers(0, len(stored)))
    end = draw(st.integers(start, min(len(stored), start + 40)))
    texts = [
        b"null",
        b"[]",
        b"{}",
        b'""',
        b"1e999",
        b"-1",
        b"9" * 50,
        b"9" * 5_000,
        b'"\\ud800"',
        b"\xff",
        b"[" * 100_000,
    ]
    return stored[:start] + draw(st.binary(max_size=8) | st.sampled_from(texts)) + stored[end:]


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
def test_any_bytes_are_decoded_or_refused_with_an_error_of_ours(form: str, data: st.DataObject) -> None:
    decode, stored = FORMS[form]
    decode(stored)
    with suppress(ConnectorError):
        decode(data.draw(st.binary(max_size=60) | damaged(stored)))


@pytest.mark.parametrize("value", [None, [], {}, 5, "x", 1e999, [[None]], {"arn": None}, {"arn": {SHARD: None}}])
@pytest.mark.parametrize("form", ["manifest", "progress", "position"])
def test_any_member_of_a_stored_text_may_be_damaged(form: str, value: object) -> None:
    decode, stored = FORMS[form]
    text = json.loads(stored)

    def places(inside: Any) -> Any:
        for name in inside if isinstance(inside, dict) else range(len(inside)) if isinstance(inside, list) else ():
            yield inside, name
            yield from places(inside[name])

    for inside, name in list(places(text)):
        kept, inside[name] = inside[name], value
        with suppress(ConnectorError):
            decode(json.dumps(text).encode())
        inside[name] = kept


@pytest.mark.parametrize(
    "value", [{}, {"S": ""}, {"N": "x"}, {"N": "1e999"}, {"N": "9" * 400}, {"NULL": True}, {"L": []}]
)
def test_any_attribute_of_an_item_of_progress_may_be_damaged(value: dict[str, Any]) -> None:
    lease = {"item": {"S": "lease"}, **table_items.lease_item(LeaseRecord("run", "arn", 5.0, 90.0))}
    start = {"item": {"S": "arn|"}, **table_items.start_item(StreamPosition("arn", until=5))}
    shard = {"item": {"S": f"arn|{SHARD}"}, "position": {"S": "7"}, "moved_at": {"N": "5"}}
    table_items.application_of([lease, start, shard])
    for item in (lease, start, shard):
        for name in item:
            others = [{**each, name: value} if each is item else each for each in (lease, start, shard)]
            with suppress(ConnectorError):
                table_items.application_of(others)
            with suppress(ConnectorError):
                table_items.application_of([{key: item[key] for key in item if key != name}])


@pytest.mark.parametrize("seconds", ["1e999", "9" * 400, "NaN", "-5"])
def test_a_lease_that_would_never_expire_is_refused(seconds: str) -> None:
    text = file_store.application_text(APPLICATION).replace("1764230400.0", seconds)
    with pytest.raises(ConnectorError, match=r"the file is not progress .* restore it from a copy, or remove it"):
        file_store.application_of(text, "the file")
    item = {
        "item": {"S": "lease"},
        **table_items.lease_item(LeaseRecord("run", "arn", 5.0)),
        "renewed_at": {"N": seconds},
    }
    with pytest.raises(ConnectorError, match="remove the items of this application"):
        table_items.application_of([item])


EXPORTED = Export("arn", "parquet", "zstd", "change_log", None, 60.0, None, StreamPosition("arn"))
BAD = [b"", b"\xff\xfe", b"null", b"[]", b"{}", b"[" * 100_000, b'{"version": 1, "start": 5, "until": 5}']


@pytest.mark.parametrize("stored", BAD, ids=lambda stored: repr(stored[:12]))
@pytest.mark.parametrize("name", [EXPORT, CAUGHT_UP, f"_manifests/all/{'0' * 16}.json"])
def test_a_damaged_file_of_an_export_is_named_with_the_way_out(tmp_path: Path, name: str, stored: bytes) -> None:
    with open_export(str(tmp_path), EXPORTED):
        pass
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(stored)
    with (
        pytest.raises(ConnectorError, match=f"{name} is .*damaged .*(restore it from a copy|remove it)"),
        open_export(str(tmp_path), EXPORTED),
    ):
        pass


def test_an_owner_that_is_a_directory_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / OWNER).mkdir()
    with (
        pytest.raises(ConnectorError, match=r"its _owner is not a file .* remove it"),
        open_export(str(tmp_path), EXPORTED),
    ):
        pass


def test_a_shard_id_that_would_be_stored_as_another_one_is_refused() -> None:
    """A zero byte marks an id of the service's form, so `"\\0abc"` would come back as a number."""
    with pytest.raises(ConnectorError, match="NUL character"):
        encode_frontier(begin(TRIM_HORIZON, saved={"\0abcdefghijk": After("1")}))
