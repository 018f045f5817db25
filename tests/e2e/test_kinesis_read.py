"""A table's changes from a Kinesis data stream, through a whole pipeline and through the commands."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from beam_dynamodb_streams import ChangeRecord, ReadFromKinesisDataStream, Schema, WriteChangesToParquet
from beam_dynamodb_streams.commands import export, tail
from beam_dynamodb_streams.errors import InvalidOptionError, NotFoundError
from beam_dynamodb_streams.testing import Change, KinesisStream, LocalKinesis, LocalStreams, Table
from tests.docs.pages import ROOT, blocks

SOON = timedelta(seconds=1)


def reshard_and_fill(orders: Table, copy: KinesisStream, number: int) -> list[Change]:
    """Write changes through a merge and a split."""
    written = []

    def write() -> None:
        changes = orders.put_many({"id": f"o-{n % 50}", "n": len(orders.changes) + n} for n in range(number // 4))
        copy.put_changes(changes)
        written.extend(changes)

    write()
    merged = copy.merge(*copy.open_shard_ids)
    write()
    copy.split(merged)
    write()
    copy.split(copy.open_shard_ids[0])
    write()
    return written


def read(kinesis: LocalKinesis, **options: object) -> ReadFromKinesisDataStream:
    given = {"stop": "NOW", "watermark_slack": SOON, "endpoint_url": kinesis.endpoint_url, "region_name": "us-east-1"}
    return ReadFromKinesisDataStream("copy", **{**given, **options})  # type: ignore[arg-type]


def test_changes_come_once_through_a_merge_and_splits_with_versions_that_order_them(
    kinesis: LocalKinesis, orders: Table, copy: KinesisStream
) -> None:
    written = reshard_and_fill(orders, copy, 400)
    latest = {change.keys["id"]: change.new_image["n"] for change in written if change.new_image}
    with beam.Pipeline("FnApiRunner") as pipeline:
        changes = pipeline | read(kinesis)
        count = changes | beam.combiners.Count.Globally()
        by_key = changes | beam.Map(lambda change: (change.keys["id"], (change.version, change.new_image["n"])))
        assert_that(count, equal_to([len(written)]), label="all")
        assert_that(
            by_key | beam.GroupByKey() | beam.MapTuple(lambda key, found: (key, max(found)[1])),
            equal_to(list(latest.items())),
            label="latest",
        )


def test_fields_are_those_of_the_change_with_the_number_of_its_kinesis_record(
    kinesis: LocalKinesis, orders: Table, copy: KinesisStream
) -> None:
    (change,) = orders.put_many([{"id": "a", "n": 1}])
    (number,) = copy.put_changes([change])
    expected = [("INSERT", {"id": "a"}, {"id": "a", "n": 1}, None, number, "", "us-east-1")]
    with beam.Pipeline("FnApiRunner") as pipeline:
        found = (
            pipeline
            | read(kinesis)
            | beam.Map(
                lambda it: (
                    *(it.event_name, it.keys, it.new_image, it.old_image, it.sequence_number, it.stream_view_type),
                    "us-east-1",
                )
            )
        )
        assert_that(found, equal_to(expected))


def test_batches_and_typed_columns_have_the_same_versions_as_records(
    kinesis: LocalKinesis, orders: Table, copy: KinesisStream, tmp_path: Path
) -> None:
    written = reshard_and_fill(orders, copy, 80)
    schema = Schema(pa.schema([("id", pa.string()), ("n", pa.int64())]), keys=["id"])
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | "Text" >> read(kinesis).as_batches() | WriteChangesToParquet(tmp_path / "text")
        typed = pipeline | "Typed" >> read(kinesis).as_batches(schema)
        _ = typed | "Write typed" >> WriteChangesToParquet(tmp_path / "typed", schema=schema)
        changes = pipeline | "Records" >> read(kinesis)
        _ = changes | "Write records" >> WriteChangesToParquet(tmp_path / "records")
    versions = [
        sorted(ds.dataset(tmp_path / name, format="parquet").to_table(["version"])["version"].to_pylist())
        for name in ("text", "typed", "records")
    ]
    assert versions[0] == versions[1] == versions[2]
    assert len(set(versions[0])) == len(written)


def test_dead_letters_have_what_is_not_a_change(kinesis: LocalKinesis, orders: Table, copy: KinesisStream) -> None:
    copy.put(b"not a change", "a")
    copy.put_changes(orders.put_many([{"id": "a"}]))
    with beam.Pipeline("FnApiRunner") as pipeline:
        changes, letters, _ = pipeline | read(kinesis).with_outputs()
        assert_that(changes | beam.combiners.Count.Globally(), equal_to([1]), label="changes")
        assert_that(letters | beam.Map(lambda it: it.payload), equal_to([b"not a change"]), label="letters")


def test_the_export_resumes_where_its_files_end(
    kinesis: LocalKinesis, orders: Table, copy: KinesisStream, tmp_path: Path
) -> None:
    reshard_and_fill(orders, copy, 80)
    command = [
        *("--kinesis_stream", copy.arn, "--output", str(tmp_path / "out"), "--format", "parquet", "--stop", "NOW"),
        *("--endpoint_url", kinesis.endpoint_url, "--region_name", "us-east-1"),
    ]
    assert export.main(command) == 0
    copy.put_changes(orders.put_many({"id": f"new-{n}"} for n in range(30)))
    assert export.main(command) == 0
    rows = ds.dataset(tmp_path / "out", format="parquet", exclude_invalid_files=True).to_table(["event_id"])
    found = rows["event_id"].to_pylist()
    assert len(found) == len(set(found)) == 110


def test_progress_outside_the_runner_resumes_the_read(
    kinesis: LocalKinesis, orders: Table, copy: KinesisStream, tmp_path: Path
) -> None:
    address = f"file:{tmp_path / 'progress'}"
    for number in (40, 20):
        copy.put_changes(orders.put_many({"id": f"{number}-{n}"} for n in range(number)))
        with beam.Pipeline("FnApiRunner") as pipeline:
            found = tmp_path / str(number)
            _ = pipeline | read(kinesis, progress=address) | beam.Map(append_id, str(found))
        assert len(found.read_text().split()) == number


def append_id(change: ChangeRecord, path: str) -> None:
    with Path(path).open("a") as lines:
        lines.write(f"{change.event_id}\n")


def test_tail_prints_the_changes_of_the_chosen_table(
    kinesis: LocalKinesis, service: LocalStreams, orders: Table, copy: KinesisStream, capsys: pytest.CaptureFixture[str]
) -> None:
    users = service.create_table("users", keys={"id": "S"})
    copy.put_changes([*orders.put_many([{"id": "a"}]), *users.put_many([{"id": "b"}])])
    command = ["--kinesis_stream=copy", "--changes_of=users", "--start=TRIM_HORIZON", "--stop=1 records", "--raw"]
    assert tail.main([*command, "--endpoint_url", kinesis.endpoint_url, "--region_name", "us-east-1"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["keys"] == {"id": {"S": "b"}}


def test_a_stream_that_does_not_exist_is_named_with_its_region(kinesis: LocalKinesis) -> None:
    with (
        pytest.raises(Exception, match="data stream 'copy' does not exist in us-east-1") as raised,
        beam.Pipeline("FnApiRunner") as pipeline,
    ):
        pipeline | read(kinesis)
    assert NotFoundError.__name__ in f"{raised.type} {raised.value}"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "give exactly one, the data stream's name or its ARN"),
        ({"stream_name": "a", "stream_arn": "arn:aws:kinesis:us-east-1:1:stream/a"}, "give exactly one"),
        ({"stream_name": "a b"}, "stream_name='a b' is not the name of a data stream"),
        ({"stream_arn": "arn:aws:dynamodb:us-east-1:1:table/a/stream/b"}, "use ReadFromDynamoDBStreams"),
        ({"stream_name": "a", "table": "arn:aws:dynamodb:us-east-1:1:table/orders"}, "give the name 'orders'"),
        ({"stream_name": "a", "poll_interval": timedelta(seconds=0.1)}, "five calls a second"),
        ({"stream_name": "a", "start": "EARLIEST"}, "start='EARLIEST'"),
    ],
)
def test_a_wrong_option_is_refused_at_construction(options: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidOptionError, match=text):
        ReadFromKinesisDataStream(**options)  # type: ignore[arg-type]


def test_the_code_of_its_page_runs(
    kinesis: LocalKinesis, orders: Table, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """docs/kinesis-data-streams.md, each block."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", kinesis.endpoint_url)
    stream = kinesis.create_stream("orders-changes", shards=2)
    written = orders.put_many({"id": f"o-{n}"} for n in range(20))
    stream.put_changes([*written, *written[:5]])  # the service may repeat
    page = ROOT / "docs" / "kinesis-data-streams.md"
    reading, dropping, looking, testing = (block.text for block in blocks(page, "python"))
    exec(compile(reading, "page", "exec"), {})  # noqa: S102 - our own page
    rows = ds.dataset(tmp_path / "changes", format="parquet", exclude_invalid_files=True).to_table(["event_id"])
    assert len(rows) == 25
    with beam.Pipeline("FnApiRunner") as pipeline:
        bounded = ReadFromKinesisDataStream("orders-changes", stop="NOW", watermark_slack=SOON)
        names = {"beam": beam, "changes": pipeline | bounded}
        exec(compile(dropping, "page", "exec"), names)  # noqa: S102
        assert_that(names["once"] | beam.combiners.Count.Globally().without_defaults(), equal_to([20]))
    for block in (looking, testing):
        exec(compile(block, "page", "exec"), {})  # noqa: S102


@pytest.mark.prism
def test_an_unbounded_read_on_prism_follows_a_merge_that_happens_during_the_run(
    kinesis: LocalKinesis, orders: Table, copy: KinesisStream, prism: str, tmp_path: Path
) -> None:
    options = PipelineOptions(
        ["--runner=PrismRunner", f"--prism_location={prism}", "--prism_log_level=error", "--streaming"]
    )
    pipeline = beam.Pipeline(options=options)
    _ = pipeline | read(kinesis, stop=timedelta(seconds=12)) | WriteChangesToParquet(tmp_path, window=1)
    written = list(copy.put_changes(orders.put_many({"id": f"o-{n}"} for n in range(50))))
    result = pipeline.run()
    time.sleep(4)
    copy.merge(*copy.open_shard_ids)
    written += copy.put_changes(orders.put_many({"id": f"p-{n}"} for n in range(50)))
    result.wait_until_finish()
    rows = ds.dataset(tmp_path, format="parquet", exclude_invalid_files=True).to_table(["sequence_number"])
    assert sorted(rows["sequence_number"].to_pylist()) == sorted(written)
