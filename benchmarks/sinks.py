"""The same unbounded changes through Beam's file sinks and through ours, on Prism: the rows written, and the cost.

    python -m benchmarks.sinks [--rows 20000] [--prism .build/prism/prism] [--only NAME]

Each sink runs in a process of its own, since some of them make Prism exit. Seconds are those of the whole run, CPU is
that of the Python process. Compare them within one table, on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import apache_beam as beam
import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.avroio import WriteToAvro
from apache_beam.io.parquetio import WriteToParquet, WriteToParquetBatched
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from apache_beam.utils.timestamp import Duration, Timestamp

from beam_dynamodb_streams import ChangeRecord, WriteChangesToAvro, WriteChangesToParquet
from beam_dynamodb_streams.columns import avro_schema
from beam_dynamodb_streams.records import CHANGE_SCHEMA, to_arrow

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
A_SECOND, A_BUNDLE, WINDOW = 50, 1_000, 10
_WATERMARK = ManualWatermarkEstimator.default_provider()


def change(number: int) -> ChangeRecord:
    image = {"id": f"order-{number}", "total": number, "lines": [{"article": f"a{n}", "pieces": n} for n in range(5)]}
    return ChangeRecord(
        event_id=f"event-{number}",
        event_name="MODIFY",
        keys={"id": image["id"]},
        new_image=image,
        old_image=image,
        sequence_number=str(10**21 + number),
        shard_id="shardId-00000001",
        approximate_creation_time=START + timedelta(seconds=number // A_SECOND),
    )


class _Rows(RestrictionProvider):
    def initial_restriction(self, element: int) -> OffsetRange:
        return OffsetRange(0, element)

    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, element: int, restriction: OffsetRange) -> int:  # noqa: ARG002
        size: int = restriction.size()
        return size


class Changes(beam.DoFn):
    """An unbounded source of that many changes, `A_BUNDLE` in each bundle, which spans two windows."""

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        element: int,  # noqa: ARG002
        tracker: Any = beam.DoFn.RestrictionParam(_Rows()),
        watermark: Any = beam.DoFn.WatermarkEstimatorParam(_WATERMARK),
    ) -> Iterator[TimestampedValue]:
        first = tracker.current_restriction().start
        for number in range(first, first + A_BUNDLE):
            if not tracker.try_claim(number):
                return
            record = change(number)
            yield TimestampedValue(record, Timestamp(micros=record.creation_micros))
        watermark.set_watermark(Timestamp(micros=record.creation_micros))
        tracker.defer_remainder(Duration.of(0.05))


class InBatches(beam.DoFn):
    """What a user does for WriteToParquetBatched: a table for each window of a bundle."""

    def start_bundle(self) -> None:
        self._records: dict[Any, list[ChangeRecord]] = {}

    def process(self, element: ChangeRecord, window: Any = beam.DoFn.WindowParam) -> None:
        self._records.setdefault(window, []).append(element)

    def finish_bundle(self) -> Iterator[Any]:
        for window, records in self._records.items():
            table = pa.Table.from_batches([to_arrow(records)])
            yield beam.utils.windowed_value.WindowedValue(table, window.max_timestamp(), (window,))


def beams_parquet(changes: beam.PCollection, output: str) -> beam.PCollection:
    rows = changes | "Row" >> beam.Map(lambda record: to_arrow([record]).to_pylist()[0])
    return rows | WriteToParquet(f"{output}/part", CHANGE_SCHEMA, file_name_suffix=".parquet", codec="zstd")


def beams_batched(changes: beam.PCollection, output: str) -> beam.PCollection:
    tables = changes | beam.ParDo(InBatches()).with_output_types(pa.Table)
    return tables | WriteToParquetBatched(f"{output}/part", CHANGE_SCHEMA, file_name_suffix=".parquet", codec="zstd")


def avro_row(record: ChangeRecord) -> dict[str, Any]:
    return record.to_row()._asdict() | {"approximate_creation_time": record.approximate_creation_time}


def beams_avro(changes: beam.PCollection, output: str) -> beam.PCollection:
    rows = changes | "Row" >> beam.Map(avro_row)
    return rows | WriteToAvro(f"{output}/part", avro_schema(None), file_name_suffix=".avro")


SINKS = {
    "Beam WriteToParquet": beams_parquet,
    "Beam WriteToParquetBatched": beams_batched,
    "Beam WriteToAvro": beams_avro,
    "WriteChangesToParquet": lambda changes, output: changes | WriteChangesToParquet(output, window=WINDOW),
    "WriteChangesToAvro": lambda changes, output: changes | WriteChangesToAvro(output, window=WINDOW),
}


def run(name: str, rows: int, prism: str, output: str) -> None:
    options = ["--runner=PrismRunner", f"--prism_location={prism}", "--prism_log_level=error", "--streaming"]
    with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
        changes = pipeline | beam.Create([rows]) | beam.ParDo(Changes()).with_output_types(ChangeRecord)
        if name.startswith("Beam"):
            changes = changes | beam.WindowInto(FixedWindows(WINDOW))
        SINKS[name](changes, output)  # type: ignore[no-untyped-call]  # Beam's sinks are


def rows_in(path: Path) -> int:
    """Return the number of rows. Raises an error for a file that its own library cannot read."""
    if path.suffix == ".parquet":
        return int(pq.read_table(path).num_rows)
    with path.open("rb") as file:
        return sum(1 for _ in fastavro.reader(file))


def measure(name: str, rows: int, prism: str) -> str:
    with tempfile.TemporaryDirectory() as output:
        command = [
            sys.executable,
            "-m",
            "benchmarks.sinks",
            f"--rows={rows}",
            f"--prism={prism}",
            "--run",
            name,
            output,
        ]
        started = time.monotonic()
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=600)  # noqa: S603 - our own
        except subprocess.TimeoutExpired:
            return f"{name:28} did not end in 600 s"
        seconds = time.monotonic() - started
        found = damaged = 0
        files = [path for path in Path(output).rglob("*") if path.suffix in (".parquet", ".avro")]
        for path in files:
            try:
                found += rows_in(path)
            except (ValueError, OSError, EOFError, pa.ArrowException):
                damaged += 1
        cpu = json.loads(ended.stdout.splitlines()[-1]) if ended.returncode == 0 else float("nan")
        line = f"{name:28} {found:8,} {len(files):6} {damaged:8} {seconds:8.1f} {cpu * 1e6 / rows:12.1f}"
        if ended.returncode == 0:
            return line
        errors = re.findall(r"^(?:panic|[\w.]*(?:Error|Exception)): .+$", ended.stderr, re.MULTILINE)
        return f"{line}  FAILED: {errors[-1][:100] if errors else 'prism ended'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--prism", default=".build/prism/prism")
    parser.add_argument("--only", choices=SINKS)
    parser.add_argument("--run", nargs=2, metavar=("NAME", "DIR"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run is not None:
        before = time.process_time()
        run(arguments.run[0], arguments.rows, arguments.prism, arguments.run[1])
        print(time.process_time() - before)
        return
    print(f"{arguments.rows:,} changes in, windows of {WINDOW} s")
    print(f"{'sink':28} {'rows':>8} {'files':>6} {'damaged':>8} {'seconds':>8} {'CPU µs/row':>12}")
    for name in [arguments.only] if arguments.only else SINKS:
        print(measure(name, arguments.rows, arguments.prism), flush=True)


if __name__ == "__main__":
    main()
