"""The output as its own checkpoint: what an export left there says where the next one resumes.

* `_export.json` describes the export: its stream, its format and where it began. Another export into the same output is
  refused, and so is an output that holds anything else. How misfits are handled may change.
* `_manifests` say which changes are in files. For each shard the next run reads from the last change up to which all
  are in files (`sinks.coverage`), and the sink leaves out what a manifest covers. A change that is not covered, though
  its window is complete, goes to a file of its own.
* `_caught_up.json` says up to when a run that ended had read everything, for each stream. A stream that is quiet for
  more than a day has none of the shards that the manifests know, and still has lost nothing.
* `_writing` has a mark for each file that is in its place and may not have its manifest yet. Marked files that no
  manifest names, and unfinished ones, were left by a run that was killed. They are removed before the next run writes
  their changes again. A worker that is killed within a run leaves such files too: whoever writes their window again
  removes them first. A file with neither a manifest nor a mark ends the run, and is never removed (`sinks.leftovers`).
* `_owner` is locked while an export runs, on a local disk: a second export into the same output is refused. The system
  releases the lock when the process ends, however it ends. Other filesystems, and Windows, have no such lock.

Only what the output covers of the run's own stream counts: manifests and `_caught_up.json` keep streams apart.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Final

from beam_dynamodb_streams.errors import ConnectorError, InvalidOptionError
from beam_dynamodb_streams.shards.generations import table_of
from beam_dynamodb_streams.shards.position import After
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.sinks.coverage import NOTHING_BEFORE, UNKNOWN_STREAM, SequenceRange, settled_up_to
from beam_dynamodb_streams.sinks.directory import check_writable, is_local
from beam_dynamodb_streams.sinks.leftovers import (
    ending_after,
    kept_micros,
    latest_start,
    load_manifests,
    recent_manifests,
    remove_leftovers,
    retention_start,
)
from beam_dynamodb_streams.sinks.manifest import FOLDER, WRITING, Manifest, is_change_file, span_of
from beam_dynamodb_streams.sinks.output import Output, is_unfinished, open_output, write_whole
from beam_dynamodb_streams.sinks.snapshots import open_snapshots

VERSION: Final = 1
EXPORT: Final = "_export.json"
OWNER: Final = "_owner"
CAUGHT_UP: Final = "_caught_up.json"

_ANY_POLICY: Final = {"on_misfit": None, "on_misfit_in": None}
_SPARE_MICROS: Final = 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class Export:
    """An export: what is the same in every run that writes to an output, and where the first of them began.

    `follow`: the stream may be another one of the same table, since the read continues from one to the next.
    """

    stream_arn: str | None
    form: str
    codec: str
    layout: str
    schema: str | None
    window: float | None
    partitions: str | None
    start: StreamPosition
    follow: bool = False

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
def open_export(directory: str, export: Export, *, now: Callable[[], float] = time.time) -> Iterator[StreamPosition]:
    """Lock the output for one run, prepare it, and yield the position from which to read.

    Raises InvalidOptionError for an output that cannot be written, that another live export writes to, that holds a
    different export, or that holds files of anything else; ConnectorError for one that cannot be read.
    """
    check_writable(directory)
    with _locked(directory):
        output = open_output(directory)
        paths = output.list()
        start = _first_start(output, paths, directory, export)
        if FOLDER in paths:  # a broken link
            raise ConnectorError(
                f"{directory}/{FOLDER} is not a folder, so it is unknown which changes are in files: restore it"
            )
        marks = [path for path in paths if path.startswith(f"{WRITING}/")]
        manifest_paths = [path for path in paths if path.startswith(f"{FOLDER}/")]
        second = now()
        first = StreamPosition.from_json(json.dumps(start))
        table = _table(export.stream_arn, follow=export.follow)
        manifests = read_manifests(output, manifest_paths, export.stream_arn, now=second, table=table)
        oldest = retention_start(manifest_paths, second, kept_micros(manifests))
        # Older files than the manifests that were read had their manifests when an earlier run looked.
        remove_leftovers(output, ending_after(paths, oldest), manifests, marks)
        output.delete([*marks, *filter(is_unfinished, paths)])
        moments = _moments(output.read(CAUGHT_UP), f"{directory}/{CAUGHT_UP}") if CAUGHT_UP in paths else {}
        first = first.merge(open_snapshots(output, paths))

        def reached(stream_arn: str | None) -> StreamPosition:
            until = StreamPosition(until=moments.get(stream_arn or UNKNOWN_STREAM))
            return position_of(manifests, stream_arn).merge(until)

        if not export.follow or first.stream_arn is None:
            yield first.merge(reached(export.stream_arn))
        else:
            covered = {shard.stream_arn for manifest in manifests for shard in manifest.coverage}
            later = sorted(arn for arn in covered if table_of(arn) == table_of(first.stream_arn))
            following = tuple(reached(arn) for arn in later if arn > first.stream_arn)
            yield replace(first.merge(reached(first.stream_arn)), following=following)


def _table(stream_arn: str | None, *, follow: bool) -> str | None:
    return table_of(stream_arn) if follow and stream_arn is not None else None


def save_caught_up(directory: str, stream_arn: str | None, second: int) -> None:
    """Note that all changes of a stream that were created up to `second` are in files."""
    output = open_output(directory)
    moments: dict[str, int] = {}
    if CAUGHT_UP in output.list(CAUGHT_UP):
        moments = _moments(output.read(CAUGHT_UP), f"{directory}/{CAUGHT_UP}")
    moments[stream_arn or UNKNOWN_STREAM] = second
    until = {arn: datetime.fromtimestamp(moment, timezone.utc).isoformat() for arn, moment in sorted(moments.items())}
    write_whole(output, CAUGHT_UP, json.dumps({"version": VERSION, "until": until}).encode())


def _moments(data: bytes, path: str) -> dict[str, int]:
    try:
        until = json.loads(data)["until"]
        return {str(arn): int(datetime.fromisoformat(moment).timestamp()) for arn, moment in until.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError, RecursionError) as error:
        raise ConnectorError(
            f"{path} is damaged ({error!r:.200}): remove it."
            " A stream that was quiet for a day is then reported as a loss"
        ) from error


def _first_start(output: Output, paths: list[str], directory: str, export: Export) -> Any:
    """Return where the first run began. Raises InvalidOptionError unless the output is new or holds this export."""
    wanted = json.loads(export.to_json())
    if EXPORT not in paths:
        foreign = [path for path in paths if path != OWNER and not is_unfinished(path)]
        ours = [path for path in foreign if is_change_file(path) or path.startswith((f"{FOLDER}/", CAUGHT_UP))]
        if ours:
            raise InvalidOptionError(
                f"path={directory!r} holds {ours[0]!r} of an export but not its {EXPORT}, so the export is unknown and"
                f" nothing was removed. Restore {EXPORT} and {FOLDER} from a copy, or use a new directory"
            )
        if foreign:
            raise InvalidOptionError(
                f"path={directory!r} holds {foreign[0]!r} and is not an export of this program: use a new or"
                " empty directory"
            )
        write_whole(output, EXPORT, export.to_json())
        return wanted["start"]
    try:
        found = json.loads(output.read(EXPORT))
        found_start = found["start"]
        StreamPosition.from_json(json.dumps(found_start))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ConnectorError(
            f"{directory}/{EXPORT} is damaged ({error!r:.200}): restore it from a copy, or export to a new directory"
        ) from error
    for name, value in wanted.items():
        if name == "start" or found.get(name) == value:
            continue
        if name == "stream_arn" and found.get(name) is not None:
            table = _table(value, follow=export.follow)
            if table is not None and table == _table(str(found[name]), follow=True):
                continue
        held, given = _differing(found.get(name), value)
        if held != given:
            raise InvalidOptionError(
                f"path={directory!r} holds an export with {name} {json.dumps(held)}, and this one has"
                f" {json.dumps(given)}: use the same, or a new directory"
            )
    return found_start


def _differing(held: Any, given: Any) -> tuple[Any, Any]:
    """Return the values that must be equal and are not; of schemas, the members that differ.

    How misfits are handled may change from run to run, since the columns stay the same.
    """
    if not isinstance(held, dict) or not isinstance(given, dict):
        return held, given
    ours, theirs = _unequal({**held, **_ANY_POLICY}, {**given, **_ANY_POLICY})
    if isinstance(ours.get("attributes"), dict) and isinstance(theirs.get("attributes"), dict):
        ours["attributes"], theirs["attributes"] = _unequal(ours["attributes"], theirs["attributes"])
    return ours, theirs


def _unequal(one: dict[str, Any], other: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return {name: one[name] for name in names if name in one}, {name: other[name] for name in names if name in other}


def read_manifests(
    output: Output,
    paths: list[str],
    stream_arn: str | None = None,
    *,
    now: float | None = None,
    table: str | None = None,
) -> list[Manifest]:
    """Return the manifests that matter to a run of a stream, or with `table` of all its streams.

    These are the manifests of changes that may still be in the stream, and all others too if a shard needs them.
    """
    second = time.time() if now is None else now
    manifests = recent_manifests(output, paths, second)
    last, kept = latest_start(paths, second), kept_micros(manifests)
    if last is not None and len(manifests) < len(paths):
        recent = ending_after(paths, last - kept)
        trimmed = last - kept + _SPARE_MICROS
        manifests = [_settle_trimmed(found, path, trimmed) for found, path in zip(manifests, recent, strict=True)]
        covered = {shard.stream_arn for found in manifests for shard in found.coverage}
        streams = [stream_arn] if table is None else [arn for arn in covered if table_of(arn) == table]
        of_shards = [ranges for each in streams for ranges in _ranges(manifests, each).values()]
        if any(settled_up_to(ranges) is None for ranges in of_shards):
            return load_manifests(output, paths)
    return manifests


def _settle_trimmed(manifest: Manifest, path: str, before: int) -> Manifest:
    """Return the manifest with what precedes old changes as settled: the stream has trimmed it, delivered or not."""
    span = span_of(path)
    if span is None or span.end > before:
        return manifest
    coverage = {
        shard: [SequenceRange(NOTHING_BEFORE, each.first, each.last) for each in ranges]
        for shard, ranges in manifest.coverage.items()
    }
    return Manifest(manifest.window, manifest.files, coverage)


def _ranges(manifests: Iterable[Manifest], stream_arn: str | None) -> dict[str, list[SequenceRange]]:
    """Return the ranges of one stream, by shard id."""
    ranges: dict[str, list[SequenceRange]] = {}
    for manifest in manifests:
        for shard, found in manifest.coverage.items():
            if shard.stream_arn == (stream_arn or UNKNOWN_STREAM):
                ranges.setdefault(shard.shard_id, []).extend(found)
    return ranges


def position_of(manifests: Iterable[Manifest], stream_arn: str | None = None) -> StreamPosition:
    """Return the position in a stream up to which all that was to be delivered is in files. Pure.

    A shard for which that is unknown has no position: it is read from the start, and the sink leaves out what manifests
    cover.
    """
    reached = {shard: settled_up_to(ranges) for shard, ranges in _ranges(manifests, stream_arn).items()}
    shards = {shard: After(number) for shard, number in reached.items() if number is not None}
    return StreamPosition(stream_arn, shards=shards)


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    if sys.platform == "win32" or not is_local(directory):
        yield
        return
    import fcntl

    try:
        lock = open(os.path.join(directory, OWNER), "a+", encoding="utf-8", errors="replace")  # noqa: SIM115
    except OSError as error:
        raise InvalidOptionError(
            f"path={directory!r} cannot be locked, since its {OWNER} is not a file that can be written ({error}):"
            " remove it when no export runs"
        ) from error
    with lock as owner:
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner.seek(0)
            raise InvalidOptionError(
                f"path={directory!r} is being written by another export ({owner.read().strip()}): stop that one, or"
                " use another directory"
            ) from error
        owner.truncate(0)
        owner.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        owner.flush()
        yield
