"""What it costs to read the data files of an export to S3, as a ratio to `orjson.loads` of each of their lines.

`python -m benchmarks.exports [rounds] [rows]`. The data file is made here: order items of about 500 bytes, compressed
as the service does. The ways alternate round by round, so that a busy machine slows all of them alike. All of them read
the file and decompress it. Ours are what the step of `ReadDynamoDBExport` does with a file, without a runner.
"""

from __future__ import annotations

import gzip
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from beam_dynamodb_streams.source.export_files import ExportFile
from beam_dynamodb_streams.source.export_rows import ReadRows, RowForm
from benchmarks.records import ORDER_KEYS, ORDER_SCHEMA, order_item

MOMENT = 1_769_864_400_000_000


def data_file(directory: Path, rows: int) -> ExportFile:
    """Write one data file of a full export, and return it as the element that the step reads."""
    source = random.Random(7)
    (directory / "data").mkdir()
    lines = (orjson.dumps({"Item": order_item(source, number)}) for number in range(rows))
    (directory / "data" / "1.json.gz").write_bytes(gzip.compress(b"\n".join(lines) + b"\n", 6))
    key = f"AWSDynamoDB/{directory.name}/data/1.json.gz"
    return ExportFile(
        str(directory), "arn", key, rows, None, "id", MOMENT // 1000, MOMENT, "NEW_IMAGE", False, tuple(ORDER_KEYS)
    )


def ways(file: ExportFile) -> dict[str, Callable[[], int]]:
    """Return each way of reading the file. It returns how many elements it made."""
    path = Path(file.path) / "data" / "1.json.gz"

    def loads() -> int:
        return sum(1 for line in gzip.decompress(path.read_bytes()).splitlines() if orjson.loads(line))

    def step(form: RowForm, *, decoded: bool = False) -> Callable[[], int]:
        reads = ReadRows(form)
        reads.setup()

        def run() -> int:
            count = 0
            for element in reads.process(file):
                count += 1
                if decoded:
                    _ = element.value.new_image
            return count

        return run

    return {
        "orjson.loads of each line": loads,
        "records, images undecoded": step(RowForm()),
        "records, images decoded": step(RowForm(), decoded=True),
        "text columns": step(RowForm(batches=True)),
        "typed columns": step(RowForm(batches=True, schema=ORDER_SCHEMA)),
    }


def main(rounds: int = 15, rows: int = 20_000) -> None:
    with tempfile.TemporaryDirectory() as directory:
        each = ways(data_file(Path(directory), rows))
        seconds: dict[str, list[float]] = {name: [] for name in each}
        for _ in range(rounds):
            for name, way in each.items():
                began = time.process_time()
                way()
                seconds[name].append(time.process_time() - began)
    base = statistics.median(seconds["orjson.loads of each line"])
    print("| way | rows a second of CPU | × orjson |\n|---|---:|---:|")
    for name, taken in seconds.items():
        median = statistics.median(taken)
        print(f"| {name} | {rows / max(median, 1e-9):,.0f} | {median / max(base, 1e-9):.2f} |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
