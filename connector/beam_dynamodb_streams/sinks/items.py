"""`read_items`: the items of a table, from the files of an output."""

from __future__ import annotations

import json
import os
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.sinks.directory import is_local, output_directory
from beam_dynamodb_streams.sinks.output import Output, open_output
from beam_dynamodb_streams.sinks.snapshots import removes_before

_ORDER: Final = ("keys", "version", "approximate_creation_time", "event_name")


def read_items(path: str | os.PathLike[str]) -> pa.Table:
    """Return the items of a table as its output knows them: the last row of each item that is not deleted.

    The greatest `version` of a key decides, and of equal ones the latest creation time. Once a snapshot is complete,
    items that only older files know are gone, as the snapshot's `complete.json` says. The columns are those of the
    files.

    Without a snapshot in the output, it has the items that were written since the first change. While a snapshot is
    being written, some items are missing.

    Args:
        path: The directory of Parquet files that a sink or `export` writes, in any layout and on any filesystem that
            Beam knows. The result and the keys of all rows must fit into memory.

    Raises:
        InvalidOptionError: The directory has no such files, or files of other formats.
        ConnectorError: A file cannot be read.
    """
    directory = output_directory(path)
    output = open_output(directory)
    paths = [each for each in output.list() if not any(part[:1] in "_." for part in each.split("/"))]
    other = next((each for each in paths if not each.endswith(".parquet")), None)
    if other is not None or not paths:
        found = f"has {other}" if other is not None else "has no file"
        raise InvalidOptionError(
            f"path={directory!r} {found}: give a directory of Parquet files that a sink has written"
        )
    files = [(each, _rows(output, each, _ORDER)) for each in paths]
    last = _last_of_each(files, removes_before(output))
    tables = [
        _rows(output, name, None).take(last.filter(pc.equal(last["file"], number))["row"].sort())
        for number, (name, _) in enumerate(files)
    ]
    return pa.concat_tables([each for each in tables if len(each)] or tables[:1])


def _rows(output: Output, path: str, columns: tuple[str, ...] | None) -> pa.Table:
    local = is_local(output.directory)
    source: Any = os.path.join(output.directory, path) if local else pa.BufferReader(output.read(path))
    try:
        return pq.ParquetFile(source).read(columns)
    except (KeyError, pa.ArrowInvalid) as error:
        raise InvalidOptionError(
            f"path={output.directory!r}: {path} is not a Parquet file of a sink ({error}): move it elsewhere"
        ) from error


def _last_of_each(files: list[tuple[str, pa.Table]], oldest: str) -> pa.Table:
    """Return where the last row of each item is, by `file` and `row`, for the items that are not deleted."""
    parts = []
    for number, (_, rows) in enumerate(files):
        keys = _keys(rows.column("keys"))
        place = {"file": pa.repeat(number, len(rows)), "row": pa.array(range(len(rows)), pa.int64())}
        others = {name: rows.column(name) for name in _ORDER[1:]}
        parts.append(pa.table({"key": keys, **others, **place}))
    found = pa.concat_tables(parts)
    found = found.filter(pc.greater_equal(found["version"], oldest))
    found = found.sort_by([("version", "ascending"), ("approximate_creation_time", "ascending")])
    found = found.append_column("place", pa.array(range(len(found)), pa.int64()))
    known = found.filter(pc.is_valid(found["key"]))
    last = known.group_by("key", use_threads=False).aggregate([("place", "last")])["place_last"]
    unknown = found.filter(pc.is_null(found["key"]))["place"]  # nobody knows which items are the same: each stays
    found = found.take(pa.chunked_array([*last.chunks, *unknown.chunks], pa.int64()))
    return found.filter(pc.not_equal(found["event_name"], "REMOVE"))


def _keys(keys: pa.ChunkedArray) -> pa.Array:
    """Return one text for each key; null for a key that is not known."""
    texts = keys.combine_chunks().dictionary_encode() if pa.types.is_string(keys.type) else None
    if texts is not None:
        return pa.array([_canonical(text) for text in texts.dictionary.to_pylist()], pa.string()).take(texts.indices)
    rows = [None if key is None or None in key.values() else repr(sorted(key.items())) for key in keys.to_pylist()]
    return pa.array(rows, pa.string())


def _canonical(text: str) -> str | None:
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except (ValueError, RecursionError):
        return None
