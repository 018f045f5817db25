"""Exports of a table to S3, as the service writes them into a bucket: here, into a local folder.

The folder is laid out and worded as the documentation of ExportTableToPointInTime says. Rows are spread over a few
data files, compressed, each with its checksum in the manifest.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

from beam_dynamodb_streams.testing.values import Image

View = Literal["NEW_AND_OLD_IMAGES", "NEW_IMAGE"]


@dataclass(frozen=True, slots=True)
class Write:
    """One write to a table: its moment, its key, and the item before and after it."""

    at: float
    keys: Image
    old: Image | None
    new: Image | None


@dataclass(frozen=True, slots=True)
class ExportedTable:
    """What the manifests say about the table."""

    arn: str
    table_id: str


def write_full(root: str, table: ExportedTable, writes: Sequence[Write], at: float, *, files: int) -> str:
    """Write an export of the items after all writes before `at`, and return its folder."""
    items: dict[bytes, Image] = {}
    for write in writes:
        if write.at <= at:
            items.pop(write.keys.json, None)
            if write.new is not None:
                items[write.keys.json] = write.new
    rows = [b'{"Item":%s}' % item.json for item in items.values()]
    times = {"exportTime": _text(at), "exportType": "FULL_EXPORT"}
    return _write(root, table, rows, at, "2020-06-30", times, files, shared=False)


def write_incremental(
    root: str, table: ExportedTable, writes: Sequence[Write], since: float, until: float, *, view: View, files: int
) -> str:
    """Write an export of the net change of each item from `since` until before `until`, and return its folder."""
    first: dict[bytes, Image | None] = {}
    last: dict[bytes, Write] = {}
    for write in writes:
        if since <= write.at < until:
            first.setdefault(write.keys.json, write.old)
            last.pop(write.keys.json, None)
            last[write.keys.json] = write
    rows = []
    for key, write in last.items():
        old = first[key]
        row = b'{"Metadata":{"WriteTimestampMicros":{"N":"%d"}},"Keys":%s' % (round(write.at * 1_000_000), key)
        if old is not None and view == "NEW_AND_OLD_IMAGES":
            row += b',"OldImage":%s' % old.json
        if write.new is not None:
            row += b',"NewImage":%s' % write.new.json
        rows.append(row + b"}")
    times = {
        "exportFromTime": _text(since),
        "exportToTime": _text(until),
        "outputView": view,
        "exportType": "INCREMENTAL_EXPORT",
    }
    return _write(root, table, rows, until, "2023-08-01", times, files, shared=True)


def _write(
    root: str,
    table: ExportedTable,
    rows: Sequence[bytes],
    at: float,
    version: str,
    times: dict[str, str],
    files: int,
    *,
    shared: bool,
) -> str:
    """Write the files of an export. `shared`: its data is in the folder of all incremental exports."""
    digest = hashlib.md5(json.dumps([table.arn, times]).encode(), usedforsecurity=False).hexdigest()
    export_id = f"{round(at * 1000):014d}-{digest[:8]}"
    base = os.path.join(root, "AWSDynamoDB")
    folder = os.path.join(base, export_id)
    data = "AWSDynamoDB/data" if shared else f"AWSDynamoDB/{export_id}/data"
    os.makedirs(os.path.join(root, *data.split("/")), exist_ok=True)
    os.makedirs(folder, exist_ok=True)
    lines = []
    for number in range(max(1, min(files, len(rows)))):
        part = rows[number::files]
        body = gzip.compress(b"".join(row + b"\n" for row in part), mtime=0)
        md5 = hashlib.md5(body, usedforsecurity=False).digest()
        key = f"{data}/{digest[8:28]}{number:06d}.json.gz"
        _put(root, key, body)
        line = {"itemCount": len(part), "md5Checksum": _base64(md5), "etag": f"{md5.hex()}-1", "dataFileS3Key": key}
        lines.append(json.dumps(line, separators=(",", ":")))
    manifest = f"AWSDynamoDB/{export_id}/manifest-files.json"
    summary = {
        "version": version,
        "exportArn": f"{table.arn}/export/{export_id}",
        "startTime": _text(at),
        "endTime": _text(at),
        "tableArn": table.arn,
        "tableId": table.table_id,
        **times,
        "s3Bucket": "local",
        "s3Prefix": None,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": manifest,
        "billedSizeBytes": 0,
        "itemCount": len(rows),
        "outputFormat": "DYNAMODB_JSON",
    }
    _put(root, f"AWSDynamoDB/{export_id}/_started", b"")
    for name, text, ending in (
        ("manifest-files", "\n".join(lines) + "\n", "checksum"),
        ("manifest-summary", json.dumps(summary), "md5"),
    ):
        body = text.encode()
        _put(root, f"AWSDynamoDB/{export_id}/{name}.json", body)
        checksum = _base64(hashlib.md5(body, usedforsecurity=False).digest())
        _put(root, f"AWSDynamoDB/{export_id}/{name}.{ending}", checksum.encode())
    return folder + "/"


def _put(root: str, key: str, body: bytes) -> None:
    with open(os.path.join(root, *key.split("/")), "wb") as file:
        file.write(body)


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")


def _text(moment: float) -> str:
    found = datetime.fromtimestamp(moment, timezone.utc)
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")
