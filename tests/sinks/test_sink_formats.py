"""The bytes of one file, without a runner."""

from __future__ import annotations

import io
from importlib.util import find_spec

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from change_source import change

from beam_dynamodb_streams.columns import Columns, read_schema
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.records import CHANGE_SCHEMA, ChangeRecord, to_arrow
from beam_dynamodb_streams.sinks.formats import (
    JSON_LINES_CODECS,
    PARQUET_CODECS,
    AvroFormat,
    Format,
    JsonLinesFormat,
    ParquetFormat,
)
from beam_dynamodb_streams.sinks.layouts import RowLayout

CHANGES = [change(number) for number in range(2_500)]
CHANGE_LOG = RowLayout("change_log", None)


def written(form: Format, rows: RowLayout = CHANGE_LOG) -> io.BytesIO:
    file = io.BytesIO()
    writer = form.writer(file, rows)
    writer.write(to_arrow(CHANGES[:1_000]))
    writer.write(to_arrow(CHANGES[1_000:]))
    writer.close()
    file.seek(0)
    return file


@pytest.mark.parametrize("codec", PARQUET_CODECS)
def test_a_parquet_file_holds_every_column_of_every_change_in_order(codec):
    table = pq.read_table(written(ParquetFormat(codec)), columns=CHANGE_SCHEMA.names)
    assert table.equals(pa.Table.from_batches([to_arrow(CHANGES)], CHANGE_SCHEMA))


@pytest.mark.parametrize("codec", ["deflate", "null"])
def test_an_avro_file_holds_every_field_of_every_change_in_order(codec):
    rows = list(fastavro.reader(written(AvroFormat(codec))))
    assert [{name: row[name] for name in CHANGE_SCHEMA.names} for row in rows] == to_arrow(CHANGES).to_pylist()


@pytest.mark.parametrize("codec", JSON_LINES_CODECS)
def test_a_line_of_json_is_a_change_record_again(codec):
    raw = written(JsonLinesFormat(codec))
    stream = raw if codec == "none" else pa.CompressedInputStream(raw, codec)
    lines = stream.read().splitlines()
    assert [ChangeRecord.from_json(line) for line in lines] == CHANGES


def test_a_row_group_ends_when_it_has_its_rows():
    file = pq.ParquetFile(written(ParquetFormat("zstd", row_group_rows=600)))
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [600, 600, 600, 600, 100]


def test_an_avro_file_is_cut_into_blocks_a_reader_can_split():
    blocks = list(fastavro.block_reader(written(AvroFormat("deflate"))))
    assert len(blocks) > 1
    assert sum(block.num_records for block in blocks) == len(CHANGES)


@pytest.mark.parametrize("make", [ParquetFormat, AvroFormat, JsonLinesFormat])
def test_an_unknown_codec_is_refused_with_the_ones_there_are(make):
    with pytest.raises(InvalidOptionError, match=r"codec='zip' is unknown: use one of .*'(snappy|zstd)'"):
        make("zip")


@pytest.mark.skipif(find_spec("cramjam") is not None, reason="the library is installed")
def test_an_avro_codec_without_its_library_is_refused_with_what_to_install():
    with pytest.raises(InvalidOptionError, match=r"codec='snappy' needs a library .* pip install cramjam"):
        AvroFormat("snappy")


@pytest.mark.parametrize("layout", ["change_log", "latest_image"])
@pytest.mark.parametrize("form", [ParquetFormat("zstd"), AvroFormat("deflate")], ids=["parquet", "avro"])
def test_keys_that_differ_only_in_case_are_written_under_the_names_of_the_schema(form, layout):
    """Every value is under its name, images that are null are null, and no two names differ only in case."""
    kinds = {"id": "string", "ID": "string", "note": "string"}
    refused = read_schema(kinds, keys=["id", "ID"])
    with pytest.raises(InvalidOptionError, match=r"'id' and 'ID'|'ID' and 'id'.*rename= of the schema"):
        form.check(RowLayout(layout, refused))
    rows = RowLayout(layout, read_schema(refused, rename={"ID": "sort_id"}))
    form.check(rows)
    keys = [{"id": f"a{n}", "ID": f"b{n}"} for n in range(3)]
    changes = []
    for n in range(3):
        of = change(n)
        new, old = ({**keys[n], "note": "new"}, {**keys[n], "note": "old"})
        images = {"new_image": of.new_image and new, "old_image": of.old_image and old}
        changes.append(ChangeRecord(**{**of.to_dict(), "keys": keys[n], **images}))
    file = io.BytesIO()
    writer = form.writer(file, rows)
    writer.write(Columns(rows.schema).of_records(changes).rows)
    writer.close()
    file.seek(0)
    read = pq.read_table(file).to_pylist() if isinstance(form, ParquetFormat) else list(fastavro.reader(file))
    assert [row["keys"] for row in read] == [{"id": f"a{n}", "sort_id": f"b{n}"} for n in range(3)]
    images = [row["new_image" if layout == "change_log" else "image"] for row in read]
    written_image = {"note": "new", "other_attributes": None}
    assert images == [{"id": f"a{n}", "sort_id": f"b{n}", **written_image} for n in range(2)] + [None]
    if layout == "change_log":
        assert read[0]["changed_attributes"] == ["ID", "id", "note"]
