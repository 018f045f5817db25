"""What it costs to decode a page of change records, as a ratio to `orjson.loads` of the same page.

`python -m benchmarks.records [rounds]`. The pages are made here: 1,000 changes of order items, with both images, about
1 KB each. The ways alternate round by round, so that a busy machine slows all of them alike. All items have one shape,
except in "many shapes"; "one without" leaves one attribute without a column. The last table has wall seconds on two
threads.
"""

from __future__ import annotations

import base64
import gc
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.parsers
import botocore.session
import orjson
import pyarrow as pa
from boto3.dynamodb.types import TypeDeserializer

from beam_dynamodb_streams.columns import Columns, Schema
from beam_dynamodb_streams.records import ChangeRecord, ChangeRecordCoder, change_batch, to_arrow
from beam_dynamodb_streams.records.envelope import change_records
from beam_dynamodb_streams.wire.decode import decode_records

SHARD = "shardId-00000001763000000000-a1b2c3d4"

#: The names and types of the table's keys: the partition key, then the sort key.
ORDER_KEYS = {"order_id": "S", "line": "N"}

ORDER_SCHEMA = Schema(
    pa.schema(
        [
            ("order_id", pa.string()),
            ("line", pa.int64()),
            ("status", pa.string()),
            ("total", pa.decimal128(12, 2)),
            ("quantity", pa.int64()),
            ("paid", pa.bool_()),
            ("coupon", pa.string()),
            ("tags", pa.list_(pa.string())),
            ("weights", pa.list_(pa.float64())),
            ("signature", pa.binary()),
            (
                "address",
                pa.struct([("street", pa.string()), ("city", pa.string()), ("geo", pa.list_(pa.float64()))]),
            ),
            ("updated_at", pa.int64()),
        ]
    ),
    keys=tuple(ORDER_KEYS),
)


def order_item(source: random.Random, number: int) -> dict[str, Any]:
    """Return an order as shops keep it: 12 attributes, eight of the ten types, about 500 bytes of JSON."""
    cents = source.randrange(100, 99_999)
    place = [{"N": f"{source.uniform(-90, 90):.6f}"}, {"N": f"{source.uniform(-180, 180):.6f}"}]
    return {
        "order_id": {"S": f"order-{number:08d}"},
        "line": {"N": str(source.randrange(1, 9))},
        "status": {"S": "placed"},
        "total": {"N": f"{cents / 100:.2f}"},
        "quantity": {"N": str(source.randrange(1, 40))},
        "paid": {"BOOL": source.random() < 0.5},
        "coupon": {"NULL": True},
        "tags": {"SS": source.sample(["gift", "fragile", "express", "bulk", "return"], 2)},
        "weights": {"NS": [str(source.randrange(1, 50)), f"{source.uniform(50, 99):.2f}"]},
        "signature": {"B": base64.b64encode(source.randbytes(18)).decode()},
        "address": {
            "M": {
                "street": {"S": f"{source.randrange(1, 999)} Linden Avenue"},
                "city": {"S": source.choice(["Porto", "Lyon", "Gdansk", "Oulu"])},
                "geo": {"L": place},
            }
        },
        "updated_at": {"N": str(1_760_000_000 + source.randrange(10**6))},
    }


def order_page(records: int = 1000, seed: int = 7, *, mixed: bool = False) -> bytes:
    """Return the body of a page. With `mixed`, hardly two items have the same shape."""
    changes = order_changes(records, seed)
    if mixed:
        source = random.Random(seed)
        for change in changes:
            for name in ("NewImage", "OldImage"):
                change["dynamodb"][name] = mixed_item(source, change["dynamodb"][name])
    answer = {"Records": changes, "NextShardIterator": "i" * 300}
    return json.dumps(answer, separators=(",", ":")).encode()


def mixed_item(source: random.Random, item: dict[str, Any]) -> dict[str, Any]:
    """Return the item with sets of other sizes, without some of its attributes, in any order."""
    weights = {str(source.randrange(1, 999)) for _ in range(source.randrange(1, 4))}
    item = item | {
        "tags": {"SS": source.sample(["gift", "fragile", "express", "bulk", "return"], source.randrange(1, 4))},
        "weights": {"NS": sorted(weights)},
        "coupon": source.choice([{"NULL": True}, {"S": 'the "half" price'}]),
    }
    names = [name for name in item if name in ("order_id", "line") or source.random() < 0.95]
    source.shuffle(names)
    return {name: item[name] for name in names}


def order_changes(records: int, seed: int) -> list[dict[str, Any]]:
    source = random.Random(seed)
    changes = []
    for number in range(records):
        old = order_item(source, number)
        new = old | {"status": {"S": "shipped"}, "updated_at": {"N": str(1_761_000_000 + number)}}
        changes.append(
            {
                "eventID": f"{source.getrandbits(128):032x}",
                "eventName": "MODIFY",
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": "eu-west-1",
                "dynamodb": {
                    "ApproximateCreationDateTime": 1_760_000_000 + number // 100,
                    "Keys": {"order_id": old["order_id"], "line": old["line"]},
                    "NewImage": new,
                    "OldImage": old,
                    "SequenceNumber": str(4421584500000000017450439000 + number),
                    "SizeBytes": 700,
                    "StreamViewType": "NEW_AND_OLD_IMAGES",
                },
            }
        )
    return changes


def ways(pages: list[bytes]) -> dict[str, Callable[[bytes], object]]:
    model = botocore.session.get_session().get_service_model("dynamodbstreams")
    answer_shape = model.operation_model("GetRecords").output_shape
    parse = botocore.parsers.create_parser("json").parse
    deserialize = TypeDeserializer().deserialize
    coder = ChangeRecordCoder()
    read = {body: undecoded(body) for body in pages}
    stored = {body: [coder.encode(record) for record in records] for body, records in read.items()}

    def boto3(body: bytes) -> list[object]:
        answer = parse({"body": body, "headers": {}, "status_code": 200}, answer_shape)
        return [
            {name: deserialize(value) for name, value in record["dynamodb"][part].items()}
            for record in answer["Records"]
            for part in ("Keys", "NewImage", "OldImage")
        ]

    columns = Columns(ORDER_SCHEMA)
    some = Columns(Schema(ORDER_SCHEMA.attributes.remove(2), keys=ORDER_SCHEMA.keys))
    mixed = {body: order_page(seed=seed, mixed=True) for seed, body in enumerate(pages)}
    columns_of_mixed = Columns(ORDER_SCHEMA)

    return {
        "orjson.loads": orjson.loads,
        "boto3 and TypeDeserializer": boto3,
        "records, images undecoded": undecoded,
        "records, every value decoded": decoded_one_by_one,
        "the same, all of them kept": decoded,
        "records, JSON text to Arrow": lambda body: to_arrow(undecoded(body)),
        "a page, JSON text to Arrow": lambda body: change_batch(decode_records(body).records, SHARD),
        "typed columns of a page": lambda body: columns.of_page(decode_records(body).records, SHARD),
        "typed columns, many shapes": lambda body: columns_of_mixed.of_page(decode_records(mixed[body]).records, SHARD),
        "typed columns, one without": lambda body: some.of_page(decode_records(body).records, SHARD),
        "typed columns of records": lambda body: columns.of_records(undecoded(body)),
        "coder: encode": lambda body: [coder.encode(record) for record in read[body]],
        "coder: decode": lambda body: [coder.decode(each) for each in stored[body]],
    }


def undecoded(body: bytes) -> list[ChangeRecord]:
    return list(change_records(decode_records(body).records, SHARD))


def decoded(body: bytes) -> list[object]:
    return [(record.keys, record.new_image, record.old_image) for record in undecoded(body)]


def decoded_one_by_one(body: bytes) -> int:
    """As a fused pipeline does it: a record's values are gone before the next record is decoded."""
    values = 0
    for record in change_records(decode_records(body).records, SHARD):
        values += len(record.keys) + len(record.new_image or ()) + len(record.old_image or ())
    return values


def measure(
    ways: dict[str, Callable[[bytes], object]], pages: list[bytes], rounds: int, *, collect: bool
) -> dict[str, float]:
    """Return the median CPU seconds for a page, by way.

    Each round takes another page, so that only the code is warm. With `collect` the garbage collector runs as it does
    in users' processes, and a way pays for the objects that it makes. Without it, as in timeit, a way pays for its own
    work alone.
    """
    timed: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        body = pages[turn % len(pages)]
        for name, way in ways.items():
            gc.collect()
            if not collect:
                gc.disable()
            started = time.process_time()
            way(body)
            timed[name].append(time.process_time() - started)
            gc.enable()
    return {name: statistics.median(seconds) for name, seconds in timed.items()}


def on_two_threads(ways: dict[str, Callable[[bytes], object]], pages: list[bytes], rounds: int) -> None:
    """Print the wall seconds for a page where two threads take pages, beside `orjson.loads` on one thread.

    The figures mean something only on two idle cores, so the least and the quartiles are printed. Each round takes
    eight pages.
    """
    work = [pages[turn % len(pages)] for turn in range(8)]
    names = {"orjson.loads": 1, "typed columns of a page": 2, "typed columns, many shapes": 2}
    timed: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, threads in names.items():
            with ThreadPoolExecutor(threads) as pool:
                started = time.perf_counter()
                for _ in pool.map(ways[name], work):
                    pass
                timed[name].append((time.perf_counter() - started) / len(work))
    least = min(timed["orjson.loads"])
    print(f"{'wall, two threads':32}{'least':>10}{'× orjson':>10}{'quartiles':>20}")
    for name, seconds in timed.items():
        quartiles = " ".join(f"{each * 1e3:.2f}" for each in statistics.quantiles(seconds))
        print(f"{name:32}{min(seconds) * 1e3:10.2f}{min(seconds) / least:10.2f}{quartiles:>20}")


def main(rounds: int = 25, records: int = 1000) -> None:
    pages = [order_page(records, seed=seed) for seed in range(5)]
    to_measure = ways(pages)
    gc.freeze()
    alone = measure(to_measure, pages, rounds, collect=False)
    collected = measure(to_measure, pages, rounds, collect=True)
    print(f"pages of {len(pages[0]):,} bytes and {records:,} records; CPU, median of {rounds} rounds")
    print(f"{'':32}{'without collector':>20}{'with collector':>20}")
    print(f"{'':32}{'ms':>10}{'× orjson':>10}{'ms':>10}{'× orjson':>10}")
    for name in to_measure:
        print(f"{name:32}", end="")
        for medians in (alone, collected):
            print(f"{medians[name] * 1e3:10.2f}{medians[name] / medians['orjson.loads']:10.2f}", end="")
        print()
    on_two_threads(to_measure, pages, rounds)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
