"""The rows of a snapshot in an output: files of their own, in `snapshot=<epoch>/`, and manifests in `_snapshots/`.

A snapshot has no creation times that windows could follow, and all of its rows may arrive at once, so they are not
among the files of changes. `_snapshots/<epoch>/<digest>.json` names the files of one write. A snapshot is complete once
`_snapshots/<epoch>/complete.json` is there and the files hold at least as many rows as it says. Until then its rows are
a part of the table. A run that begins removes what is left of a snapshot that is not complete, and scans again: the new
snapshot has an epoch of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.records.snapshot_end import SnapshotEnd
from beam_dynamodb_streams.records.versions import EPOCH_DIGITS
from beam_dynamodb_streams.shards.position import AtTime
from beam_dynamodb_streams.shards.segments import snapshot_mark
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.sinks.manifest import WrittenFile
from beam_dynamodb_streams.sinks.output import Output

VERSION: Final = 1
FOLDER: Final = "_snapshots"
COMPLETE: Final = "complete.json"
_FILE: Final = re.compile(r"(?:snapshot=|_snapshots/)(\d+)/.+")


def complete_manifest(end: SnapshotEnd) -> bytes:
    """Return the manifest of a complete snapshot.

    `removes_before`: items whose `version` sorts before this text are gone; null if the snapshot is a repair.
    """
    stored = {"version": VERSION, "complete": True, "rows": end.rows, "consistent_since": end.consistent_second}
    return json.dumps({**stored, "removes_before": end.removes_before}).encode()


def rows_folder(epoch: int) -> str:
    """Return the folder of the files of a snapshot's rows."""
    return f"snapshot={epoch}/"


def rows_manifest(files: Sequence[WrittenFile]) -> bytes:
    """Return the manifest of one write."""
    named = [{"path": file.path, "rows": file.rows, "bytes": file.size} for file in files]
    return json.dumps({"version": VERSION, "rows": sum(file.rows for file in files), "files": named}).encode()


def manifest_path(epoch: int, name: str) -> str:
    return f"{FOLDER}/{epoch}/{name}"


def split_rows(changes: pa.RecordBatch) -> tuple[pa.RecordBatch, list[tuple[int, pa.RecordBatch]]]:
    """Return the changes of a stream, and the rows of each epoch: a row, or a net change, has no sequence number."""
    is_row = pc.equal(changes.column("sequence_number"), "")
    if not pc.any(is_row).as_py():
        return changes, []
    rows = changes.filter(is_row)
    epochs = pc.utf8_slice_codeunits(rows.column("version"), 0, EPOCH_DIGITS)
    found = [(int(epoch), rows.filter(pc.equal(epochs, epoch))) for epoch in sorted(pc.unique(epochs).to_pylist())]
    return changes.filter(pc.invert(is_row)), found


def row_keys(rows: pa.RecordBatch) -> list[pa.Array]:
    """Return the column by which rows of a snapshot are sorted: their ids."""
    return [rows.column("event_id")]


def open_snapshots(output: Output, paths: Iterable[str]) -> StreamPosition:
    """Remove what is left of snapshots that are not complete, and return a position that names the complete ones.

    Raises:
        ConnectorError: A manifest of a snapshot is damaged.
    """
    by_epoch: dict[int, list[str]] = {}
    for path in paths:
        if (found := _FILE.fullmatch(path)) is not None:
            by_epoch.setdefault(int(found[1]), []).append(path)
    marks = {}
    for epoch, files in sorted(by_epoch.items()):
        end = _end_of(output, epoch, files)
        if end is not None:
            marks[snapshot_mark(epoch)] = AtTime(end.consistent_second)
            continue
        # The manifests first: files without one are left over, whatever happens next.
        output.delete(path for path in files if path.startswith(f"{FOLDER}/"))
        output.delete(path for path in files if not path.startswith(f"{FOLDER}/"))
    return StreamPosition(shards=marks)


def removes_before(output: Output) -> str:
    """Return the text that sorts before the version of each item of the last complete snapshot; "" without one.

    Items with an older version are gone: their deletions were lost, or the table was deleted and created again.
    """
    by_epoch: dict[int, list[str]] = {}
    for path in output.list(f"{FOLDER}/"):
        if (found := _FILE.fullmatch(path)) is not None:
            by_epoch.setdefault(int(found[1]), []).append(path)
    ends = [_end_of(output, epoch, paths) for epoch, paths in by_epoch.items()]
    return max((end.removes_before or "" for end in ends if end is not None), default="")


def snapshot_rows(output: Output, manifests: Iterable[str]) -> int | None:
    """Return how many rows these manifests of snapshots name together; None if there is none among them."""
    found = [path for path in manifests if path.startswith(f"{FOLDER}/") and not path.endswith(COMPLETE)]
    return sum(int(_load(output, path)["rows"]) for path in found) if found else None


def is_row_file(path: str) -> bool:
    """Return whether a file holds rows of a snapshot, by its path."""
    return path.startswith("snapshot=") and _FILE.fullmatch(path) is not None


def rows_of_complete(output: Output, manifests: Iterable[str]) -> list[str]:
    """Return the files of the snapshots that are complete, as these manifests name them."""
    by_epoch: dict[int, list[str]] = {}
    for path in manifests:
        if (found := _FILE.fullmatch(path)) is not None:
            by_epoch.setdefault(int(found[1]), []).append(path)
    return [
        str(file["path"])
        for epoch, paths in sorted(by_epoch.items())
        if _end_of(output, epoch, paths) is not None
        for path in paths
        if path != manifest_path(epoch, COMPLETE)
        for file in _load(output, path)["files"]
    ]


def _end_of(output: Output, epoch: int, paths: Sequence[str]) -> SnapshotEnd | None:
    """Return the end of a snapshot if it is complete and all of its rows are in files that are named."""
    complete = manifest_path(epoch, COMPLETE)
    if complete not in paths:
        return None
    stored = _load(output, complete)
    whole = stored.get("removes_before", "") is not None
    end = SnapshotEnd(epoch, int(stored["rows"]), int(stored["consistent_since"]), whole)
    manifests = [path for path in paths if path.startswith(f"{FOLDER}/") and path != complete]
    return end if sum(int(_load(output, path)["rows"]) for path in manifests) >= end.rows else None


def _load(output: Output, path: str) -> Any:
    try:
        stored = json.loads(output.read(path))
        if stored["version"] != VERSION:
            raise ConnectorError(
                f"{path} has version {stored['version']!r}, this release reads {VERSION}: use the release that wrote it"
            )
        int(stored["rows"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConnectorError(
            f"{path} is damaged ({error!r:.200}): restore it from a copy, or remove the folder, and the table is "
            "scanned again"
        ) from error
    return stored
