"""An export to S3, against moto's server: Beam's own filesystem, files whole or absent, and resumed from the output."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest

from beam_dynamodb_streams.commands import export
from beam_dynamodb_streams.testing import Faults, LocalStreams, Table
from tests.moto_server import moto_server

DIRECT = ["--runner=DirectRunner", "--prism_location=/prism/is/not/there"]


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def bucket(s3_url: str) -> Iterator[Any]:
    resource = boto3.resource("s3", endpoint_url=s3_url)
    made = resource.create_bucket(Bucket="changes")
    yield made
    made.objects.all().delete()
    made.delete()


@pytest.fixture
def orders(service: LocalStreams) -> Table:
    service.faults = Faults(disorder=4.0)  # so that there are several windows
    table = service.create_table("orders", keys={"id": "S"}, shards=2)
    table.put_many({"id": f"o-{n}", "n": n} for n in range(200))
    return table


def export_to(path: str, s3_url: str, service: LocalStreams, *more: str) -> int:
    source = ["--table=orders", f"--endpoint_url={service.endpoint_url}", "--region_name=us-east-1"]
    target = [f"--output={path}", "--format=parquet", "--window=2s", "--partitions=hour"]
    s3 = [f"--s3_endpoint_url={s3_url}", "--s3_region_name=us-east-1"]
    return export.main([*source, *target, *s3, *DIRECT, *more])


def names(bucket: Any, prefix: str) -> list[str]:
    return sorted(item.key.removeprefix(prefix) for item in bucket.objects.filter(Prefix=prefix))


def ids(bucket: Any, prefix: str) -> Counter[str]:
    files = [item for item in bucket.objects.filter(Prefix=prefix) if "/changes-" in item.key]
    tables = [pq.read_table(io.BytesIO(item.get()["Body"].read()), columns=["event_id"]) for item in files]
    return Counter(event_id for table in tables for event_id in table["event_id"].to_pylist())


def test_an_export_to_s3_resumes_where_its_output_ends(
    service: LocalStreams, orders: Table, bucket: Any, s3_url: str
) -> None:
    bucket.put_object(Key="out/", Body=b"")  # what S3's console takes for an empty folder
    assert export_to("s3://changes/out", s3_url, service, "--stop=120") == 0
    before = set(names(bucket, "out/"))
    assert {name.split("/")[0] for name in before} > {"_export.json", "_manifests"}
    assert not any(name.startswith("_temporary") for name in before)
    bucket.put_object(Key=f"out/_temporary/{7:032x}", Body=b"PAR1 and no more")
    assert len({name for name in before if name.startswith("_manifests/")}) > 1
    last = bucket.Object(f"out/{max(name for name in before if name.startswith('_manifests/'))}")
    for file in json.loads(last.get()["Body"].read())["files"]:
        bucket.put_object(Key=f"out/_writing/{file['path']}", Body=b"as a kill leaves it")
    last.delete()
    assert export_to("s3://changes/out/", s3_url, service, "--stop=NOW") == 0
    assert ids(bucket, "out/") == Counter(change.event_id for change in orders.changes)
    assert not any(name.startswith(("_temporary", "_writing")) for name in names(bucket, "out/"))


def test_an_output_on_s3_with_other_data_is_refused(
    service: LocalStreams, orders: Table, bucket: Any, s3_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put_object(Key="mine/letter.txt", Body=b"keep me")
    with pytest.raises(SystemExit) as exit_:
        export_to("s3://changes/mine", s3_url, service, "--stop=1")
    assert exit_.value.code == 2
    assert "holds 'letter.txt' and is not an export" in capsys.readouterr().err
    assert names(bucket, "mine/") == ["letter.txt"]


def test_a_bucket_that_does_not_exist_is_refused_before_anything_is_read(
    service: LocalStreams, orders: Table, s3_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        export_to("s3://not-there/out", s3_url, service, "--stop=1")
    assert exit_.value.code == 2
    assert "cannot be written" in capsys.readouterr().err
    assert not service.counts.calls
