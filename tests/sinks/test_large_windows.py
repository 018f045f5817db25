"""A window that is larger than memory may be: `latest_image` in parts, and chunks that are files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import apache_beam as beam
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from apache_beam.transforms.trigger import AccumulationMode, AfterCount, Repeatedly
from apache_beam.transforms.window import FixedWindows, GlobalWindow
from change_source import START_SECOND, change, timed

from beam_dynamodb_streams import Schema, WriteChangesToParquet
from beam_dynamodb_streams.columns import Columns
from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.records import ChangeRecord, to_arrow
from beam_dynamodb_streams.sinks import chunk_files
from beam_dynamodb_streams.sinks.batches import Chunk, encode_chunk
from beam_dynamodb_streams.sinks.chunk_files import ChunkEncoder
from beam_dynamodb_streams.sinks.chunks import ChunkBySinkWindows
from beam_dynamodb_streams.sinks.files import FileOptions, WriteFiles
from beam_dynamodb_streams.sinks.formats import ParquetFormat
from beam_dynamodb_streams.sinks.layouts import RowLayout

CHANGES = [change(number % 700, number // 700) for number in range(2_000)]
SCHEMA = Schema(pa.schema([("id", pa.string()), ("total", pa.decimal128(12, 2))]), keys=("id",))


def numbered(number: int) -> ChangeRecord:
    """A change with a sequence number of its own, of one of 700 keys."""
    fields = change(number % 700).to_dict() | {"sequence_number": str(10**21 + number), "event_id": f"event-{number}"}
    fields.pop("version", None)
    return ChangeRecord(**fields)


def files_of(path: Path, chunks: Any, *, sorted_bytes: int, schema: Schema | None = None, **given: Any) -> list[str]:
    layout = RowLayout("latest_image", schema)
    step = WriteFiles(FileOptions(str(path), layout, ParquetFormat("zstd"), sorted_bytes=sorted_bytes, **given))
    step.setup()
    return [file.path for file in step.process((0, chunks), GlobalWindow())]


@pytest.mark.parametrize("schema", [None, SCHEMA], ids=["text", "typed"])
@pytest.mark.parametrize("limit", [30_000, 300_000])
def test_the_latest_image_is_the_same_in_parts_as_in_memory(tmp_path, schema, limit):
    rows = [numbered(number) for number in range(2_000)]
    columns = None if schema is None else Columns(schema)
    batches = [rows[at : at + 100] for at in range(0, 2_000, 100)]
    chunks = [
        encode_chunk(Chunk(to_arrow(each) if columns is None else columns.of_records(each).rows)) for each in batches
    ]
    (whole,) = files_of(tmp_path / "whole", chunks, sorted_bytes=1 << 30, schema=schema)
    (parts,) = files_of(tmp_path / "parts", chunks, sorted_bytes=limit, schema=schema)
    table = pq.read_table(parts)
    assert table.num_rows == 700
    assert table.equals(pq.read_table(whole))
    assert Path(parts).name == Path(whole).name


def test_changes_whose_key_is_malformed_all_have_a_row_in_parts_too(tmp_path):
    rows = to_arrow([numbered(number) for number in range(500)])
    keys = pa.array(["{" if number % 2 else text for number, text in enumerate(rows["keys"].to_pylist())])
    rows = rows.set_column(rows.schema.get_field_index("keys"), rows.schema.field("keys"), keys)
    (file,) = files_of(tmp_path, [encode_chunk(Chunk(rows))] * 2, sorted_bytes=100_000)
    assert pq.read_table(file).num_rows == 250 + 2 * 250


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_files, "INLINE_BYTES", 0)


@pytest.fixture
def elements(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What crosses the shuffle."""
    found: list[bytes] = []
    encode = ChunkEncoder.encode

    def noted(self: ChunkEncoder, *given: Any) -> bytes:
        found.append(encode(self, *given))
        return found[-1]

    monkeypatch.setattr(ChunkEncoder, "encode", noted)
    return found


def ids(path: Path) -> list[str]:
    return sorted(ds.dataset(path, format="parquet").to_table(columns=["event_id"])["event_id"].to_pylist())


@pytest.mark.usefixtures("no_room")
@pytest.mark.parametrize("window", [None, 1])
@pytest.mark.parametrize("sort", [False, True])
def test_chunks_that_are_files_make_the_same_output(tmp_path, options, elements, window, sort):
    given = CHANGES if sort else CHANGES[::-1]
    for name in ("files", "bytes"):
        if name == "bytes":
            chunk_files.INLINE_BYTES = 1 << 30
        with beam.Pipeline(options=options) as p:
            _ = p | beam.Create(given) | WriteChangesToParquet(tmp_path / name, window=window)
    names = [sorted(path.name for path in (tmp_path / name).glob("changes-*")) for name in ("files", "bytes")]
    assert names[0] == names[1]
    assert ids(tmp_path / "files") == sorted(change.event_id for change in CHANGES)
    assert [each.startswith(b"chunk file\n") for each in elements].count(True) == len(elements) // 2
    assert list((tmp_path / "files" / "_temporary").iterdir()) == []


@pytest.mark.usefixtures("no_room")
def test_prism_writes_chunks_that_are_files_too(tmp_path, prism_options, elements):
    with beam.Pipeline(options=prism_options) as p:
        _ = p | beam.Create(CHANGES) | WriteChangesToParquet(tmp_path, window=60)
    assert ids(tmp_path) == sorted(change.event_id for change in CHANGES)
    assert all(each.startswith(b"chunk file\n") for each in elements)
    assert list((tmp_path / "_temporary").iterdir()) == []


@pytest.mark.usefixtures("no_room")
def test_a_trigger_that_accumulates_gets_its_changes_again(tmp_path, options, elements):
    windows = beam.WindowInto(
        FixedWindows(60),
        trigger=Repeatedly(AfterCount(1)),
        accumulation_mode=AccumulationMode.ACCUMULATING,
        allowed_lateness=90_000,
    )
    with beam.Pipeline(options=options) as p:
        changes = p | beam.Create(CHANGES) | beam.Map(timed).with_output_types(ChangeRecord)
        _ = changes | windows | WriteChangesToParquet(tmp_path)
    assert set(ids(tmp_path)) == {change.event_id for change in CHANGES}
    assert not any(each.startswith(b"chunk file\n") for each in elements)


def test_a_runner_that_restores_a_step_elsewhere_gets_bytes(tmp_path):
    pipeline = beam.Pipeline(runner="FlinkRunner")
    sink = WriteChangesToParquet(tmp_path)
    _ = pipeline | beam.Create(CHANGES) | sink
    steps = [part.transform.fn for part in parts_of(pipeline) if isinstance(part.transform, beam.ParDo)]
    (chunks,) = [step for step in steps if isinstance(step, ChunkBySinkWindows)]
    assert chunks._options.run is None


def parts_of(pipeline: beam.Pipeline) -> list[Any]:
    found: list[Any] = []

    class Visitor(beam.pipeline.PipelineVisitor):
        def visit_transform(self, part: Any) -> None:
            found.append(part)

    pipeline.visit(Visitor())
    return found


@pytest.mark.usefixtures("no_room")
def test_a_chunk_whose_file_is_gone_fails_with_what_to_do(tmp_path):
    element = ChunkEncoder(str(tmp_path), "run").encode(Chunk(to_arrow(CHANGES)))
    (file,) = (tmp_path / "_temporary").iterdir()
    file.unlink()
    with pytest.raises(ConnectorError, match=r"cannot be read .* let all workers see the output at one path"):
        files_of(tmp_path, [element], sorted_bytes=1)


def failing(path: str) -> None:
    """Run in a process of its own: a pipeline whose chunks are files, and which fails before they are read."""
    chunk_files.INLINE_BYTES = 0

    def fail(*_: Any) -> Any:
        print(len(list(Path(path, "_temporary").iterdir())), flush=True)
        raise ConnectorError("no")

    sink = WriteChangesToParquet(path, window=60)
    with patch.object(WriteFiles, "process", fail), sink.resume(), beam.Pipeline(runner="FnApiRunner") as pipeline:
        _ = pipeline | beam.Create(CHANGES) | sink


@pytest.mark.parametrize("ended", ["exit", "kill"])
def test_a_run_that_fails_leaves_no_chunk_behind(tmp_path, ended):
    """An ended process removes its chunks, and after a kill the next run does."""
    code = f"import test_large_windows as t\ntry:\n    t.failing({str(tmp_path)!r})\nexcept Exception: pass\n"
    if ended == "kill":
        code += "import os; os.kill(os.getpid(), 9)"
    paths = {"PYTHONPATH": ":".join([str(Path(__file__).parent), *sys.path])}
    run = subprocess.run([sys.executable, "-c", code], env=paths, capture_output=True, text=True)
    assert run.stdout.split() == ["1"], run.stderr
    left = list((tmp_path / "_temporary").iterdir())
    assert bool(left) == (ended == "kill")
    with WriteChangesToParquet(tmp_path, window=60).resume():
        assert list((tmp_path / "_temporary").iterdir()) == []


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("layout", ["latest_image", "change_log"])
def test_a_window_of_more_than_two_gibibytes_is_written(tmp_path, layout):
    """No column of Arrow's holds more than 2 GiB, and the output can be continued with other windows."""
    text = "x" * 350_000
    rows = to_arrow([numbered(number) for number in range(100)])

    def chunks() -> Iterator[bytes]:
        for part in range(70):
            numbers = range(part * 100, part * 100 + 100)
            new = {
                "event_id": [f"event-{number}" for number in numbers],
                "sequence_number": [str(10**21 + number) for number in numbers],
                "version": [f"{0:013d}-{0:020d}-{10**21 + number:040d}" for number in numbers],
                "keys": [json.dumps({"id": {"S": f"order-{number}"}}) for number in numbers],
                "new_image": [json.dumps({"id": {"S": f"order-{number}"}, "t": {"S": text}}) for number in numbers],
            }
            columns = [pa.array(new[name]) if name in new else rows.column(name) for name in rows.schema.names]
            yield encode_chunk(Chunk(pa.RecordBatch.from_arrays(columns, schema=rows.schema), "", {}))

    step = WriteFiles(FileOptions(str(tmp_path), RowLayout(layout, None), ParquetFormat("zstd"), complete=True))
    step.setup()
    files = step.process((0, chunks()), GlobalWindow())
    assert sum(pq.read_metadata(file.path).num_rows for file in files) == 7_000
    later = beam.transforms.window.IntervalWindow(START_SECOND + 60, START_SECOND + 120)
    (again,) = step.process((0, [encode_chunk(Chunk(to_arrow([change(9_000, 61)])))]), later)
    assert pq.read_table(again.path).num_rows == 1
