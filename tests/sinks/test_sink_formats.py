"""The bytes of one file, without a runner."""

from __future__ import annotations

import io
from importlib.util import find_spec

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from change_source import change

from connector.errors import InvalidOptionError
from connector.records import CHANGE_SCHEMA, to_arrow, to_avro_row
from connector.sinks.formats import PARQUET_CODECS, AvroFormat, ParquetFormat

CHANGES = [change(number) for number in range(2_500)]


def written(output_format: ParquetFormat | AvroFormat, changes=CHANGES) -> io.BytesIO:
    sink, file = output_format.sink("stamp"), io.BytesIO()
    sink.open(file)
    for record in changes:
        sink.write(("stamp", record))
    sink.flush()
    file.seek(0)
    return file


@pytest.mark.parametrize("codec", PARQUET_CODECS)
def test_a_parquet_file_holds_every_column_of_every_change_in_order(codec):
    table = pq.read_table(written(ParquetFormat(codec)))
    assert table.equals(pa.Table.from_batches([to_arrow(CHANGES)], CHANGE_SCHEMA))


@pytest.mark.parametrize("codec", ["deflate", "null"])
def test_an_avro_file_holds_every_field_of_every_change_in_order(codec):
    rows = list(fastavro.reader(written(AvroFormat(codec))))
    assert len(rows) == len(CHANGES)
    for row, record in zip(rows, CHANGES, strict=True):
        expected = dict(to_avro_row(record))
        assert row.pop("approximate_creation_time") == record.approximate_creation_time
        expected.pop("approximate_creation_time")
        assert row == expected


def test_chunks_share_a_row_group_until_it_has_its_rows():
    file = pq.ParquetFile(written(ParquetFormat("zstd", row_group_rows=2_000)))
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [2_000, 500]


def test_a_row_group_ends_early_when_it_has_its_bytes():
    file = pq.ParquetFile(written(ParquetFormat("zstd", row_group_bytes=1)))
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [1_000, 1_000, 500]


def test_an_avro_file_is_cut_into_blocks_a_reader_can_split():
    blocks = list(fastavro.block_reader(written(AvroFormat("deflate"))))
    assert len(blocks) > 1
    assert sum(block.num_records for block in blocks) == len(CHANGES)


@pytest.mark.parametrize("make", [ParquetFormat, AvroFormat])
def test_an_unknown_codec_is_refused_with_the_ones_there_are(make):
    with pytest.raises(InvalidOptionError, match=r"codec='zip' is unknown: use one of .*'snappy'"):
        make("zip")


@pytest.mark.skipif(find_spec("cramjam") is not None, reason="the library is installed")
def test_an_avro_codec_without_its_library_is_refused_with_what_to_install():
    with pytest.raises(InvalidOptionError, match=r"codec='snappy' needs a library .* pip install cramjam"):
        AvroFormat("snappy")
