"""The output as its own checkpoint: what an export left there says where the next one goes on.

* ``_export.json`` says of which stream, in which form and from where: another export of the same output is refused, and
  so is an output that holds anything else. What becomes of misfits may change.
* ``_manifests`` say which changes are in files. The next run reads from the last change of each shard up to which all
  is (`sinks.coverage`), and the sink leaves out what a manifest covers. What is not covered, though its
  window is complete, goes to a file of its own.
* ``_caught_up.json`` says until when a run that ended had read everything, whether there was anything or not: a stream
  that is quiet for more than a day keeps none of the shards that the manifests know, and has lost nothing.
* Files that no manifest names, and unfinished ones, were left by a kill: they are removed before the next run writes
  their changes again. A worker that is killed inside a run leaves such files too: whoever writes their window again
  removes them first (`sinks.leftovers`).
* ``_owner`` is locked while an export runs, on a local disk: a second one of the same output is refused. The system
  takes the lock back when the process ends, however it ends. On other filesystems, and Windows, there is no lock.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from beam_dynamodb_streams.errors import ConnectorError, InvalidOptionError
from beam_dynamodb_streams.shards.position import After
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.sinks.coverage import FIRST, Coverage, Run, settled
from beam_dynamodb_streams.sinks.leftovers import left_behind, newest, read, recent, since
from beam_dynamodb_streams.sinks.manifest import FOLDER, Manifest, span_of
from beam_dynamodb_streams.sinks.output import TEMPORARY, Output, check_writable, is_local, output_of, put

VERSION: Final = 1
EXPORT: Final = "_export.json"
OWNER: Final = "_owner"
UNTIL: Final = "_caught_up.json"

_ANY_POLICY: Final = {"on_misfit": None, "on_misfit_in": None}
_OLD: Final = 25 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class Export:
    """What must be the same in every run that writes to an output, and where the first of them began."""

    stream_arn: str | None
    form: str
    codec: str
    layout: str
    schema: str | None
    window: float | None
    partitions: str | None
    start: StreamPosition

    def to_json(self) -> bytes:
        return json.dumps(
            {
                "version": VERSION,
                "stream_arn": self.stream_arn,
                "format": self.form,
                "codec": self.codec,
                "layout": self.layout,
                "schema": None if self.schema is None else json.loads(self.schema),
                "window": self.window,
                "partitions": self.partitions,
                "start": json.loads(self.start.to_json()),
            },
            indent=1,
        ).encode()


@contextmanager
def exporting(directory: str, export: Export) -> Iterator[StreamPosition]:
    """Takes the output for one run and makes it ready; gives the position from which to read.

    Raises InvalidOptionError for an output that cannot be written, that another live export writes to, that holds an
    export which differs, or that holds files of anything else; ConnectorError for one that cannot be read.
    """
    check_writable(directory)
    with _owned(directory):
        output = output_of(directory)
        paths = output.list()
        begun = _begun(output, paths, directory, export)
        if FOLDER in paths:  # a link that leads nowhere
            raise ConnectorError(
                f"{directory}/{FOLDER} is no folder, so it cannot be told what is in files: restore it"
            )
        output.delete(path for path in paths if path.startswith(f"{TEMPORARY}/"))
        of_manifests = [path for path in paths if path.startswith(f"{FOLDER}/")]
        manifests = read_manifests(output, of_manifests)
        # Files that are older than the manifests read were looked at before.
        output.delete(left_behind(since(paths, recent(of_manifests)), manifests))
        position = StreamPosition.from_json(json.dumps(begun)).merge(position_of(manifests))
        if UNTIL in paths:
            position = position.merge(StreamPosition(until=read_until(output.read(UNTIL), f"{directory}/{UNTIL}")))
        yield position


def caught_up(directory: str, second: int) -> None:
    """Notes that all changes created up to ``second`` are in files or covered."""
    until = datetime.fromtimestamp(second, UTC).isoformat()
    put(output_of(directory), UNTIL, json.dumps({"version": VERSION, "until": until}).encode())


def read_until(data: bytes, path: str) -> int:
    try:
        return int(datetime.fromisoformat(json.loads(data)["until"]).timestamp())
    except (ValueError, KeyError, TypeError) as error:
        raise ConnectorError(f"{path} is damaged ({error}): remove it") from error


def _begun(output: Output, paths: list[str], directory: str, export: Export) -> Any:
    """Where the first run began, once the output is known to be of this export, or to be new."""
    wanted = json.loads(export.to_json())
    if EXPORT not in paths:
        foreign = [path for path in paths if path != OWNER and not path.startswith(f"{TEMPORARY}/")]
        if foreign:
            raise InvalidOptionError(
                f"path={directory!r} holds {foreign[0]!r} and is no export of this program: give a new or empty"
                " directory"
            )
        put(output, EXPORT, export.to_json())
        return wanted["start"]
    try:
        found = json.loads(output.read(EXPORT))
        found_start = found["start"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConnectorError(f"{directory}/{EXPORT} is damaged ({error}): restore it from a copy") from error
    for name, value in wanted.items():
        if name == "start" or found.get(name) == value:
            continue
        held, given = _differing(found.get(name), value)
        if held != given:
            raise InvalidOptionError(
                f"path={directory!r} holds an export with {name} {json.dumps(held)}, and this one has"
                f" {json.dumps(given)}: go on with the same, or give a new directory"
            )
    return found_start


def _differing(held: Any, given: Any) -> tuple[Any, Any]:
    """What is to be the same and is not; of schemas that which differs. What becomes of misfits may change from run to
    run, since the columns stay."""
    if not isinstance(held, dict) or not isinstance(given, dict):
        return held, given
    ours, theirs = _unequal({**held, **_ANY_POLICY}, {**given, **_ANY_POLICY})
    if isinstance(ours.get("attributes"), dict) and isinstance(theirs.get("attributes"), dict):
        ours["attributes"], theirs["attributes"] = _unequal(ours["attributes"], theirs["attributes"])
    return ours, theirs


def _unequal(one: dict[str, Any], other: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return {name: one[name] for name in names if name in one}, {name: other[name] for name in names if name in other}


def read_manifests(output: Output, paths: list[str]) -> list[Manifest]:
    """Those that matter: of changes that may still be in the stream, and more if a shard needs them."""
    last = newest(paths)
    if last is None:
        return read(output, paths)
    these = since(paths, recent(paths))
    manifests = read(output, these)
    if len(these) < len(paths):
        manifests = [_aged(found, path, last - _OLD) for found, path in zip(manifests, these, strict=True)]
        if any(settled(runs) is None for runs in _runs(manifests).values()):
            return read(output, paths)
    return manifests


def _aged(manifest: Manifest, path: str, before: int) -> Manifest:
    """What lies before changes of that age is no longer in the stream, so it is settled, whatever became of it."""
    span = span_of(path)
    if span is None or span.end > before:
        return manifest
    coverage: Coverage = {
        shard: [Run(FIRST, run.first, run.last) for run in runs] for shard, runs in manifest.coverage.items()
    }
    return Manifest(manifest.window, manifest.files, coverage)


def _runs(manifests: Iterable[Manifest]) -> Coverage:
    runs: Coverage = {}
    for manifest in manifests:
        for shard, found in manifest.coverage.items():
            runs.setdefault(shard, []).extend(found)
    return runs


def position_of(manifests: Iterable[Manifest]) -> StreamPosition:
    """For each shard, the last change up to which all that was to be delivered is in files. Pure.

    A shard of which that is unknown has none: it is read from the start, and the sink leaves out what is covered.
    """
    reached = {shard: settled(runs) for shard, runs in _runs(manifests).items()}
    return StreamPosition(shards={shard: After(number) for shard, number in reached.items() if number is not None})


@contextmanager
def _owned(directory: str) -> Iterator[None]:
    if sys.platform == "win32" or not is_local(directory):
        yield
        return
    import fcntl

    with open(os.path.join(directory, OWNER), "a+", encoding="utf-8") as owner:
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner.seek(0)
            raise InvalidOptionError(
                f"path={directory!r} is being written by another export ({owner.read().strip()}): stop that one, or"
                " give another directory"
            ) from error
        owner.truncate(0)
        owner.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        owner.flush()
        yield
