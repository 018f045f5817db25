"""Which manifests of an output matter to a run, and which files a killed worker left without a manifest.

A file without a manifest may be the only copy of its changes: somebody, or a life-cycle rule, may have removed the
manifest. So a file is removed only with proof that a kill left it. The proof is its mark in `_writing`, which is
written before the file is put in its place, and removed once a manifest names the file.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.shards.generations import is_data_stream
from beam_dynamodb_streams.sinks.batches import Partitions, common_prefix
from beam_dynamodb_streams.sinks.coverage import Coverage, merge_coverage
from beam_dynamodb_streams.sinks.manifest import (
    FOLDER,
    WRITING,
    Manifest,
    Span,
    file_prefix,
    is_change_file,
    manifest_prefix,
    mark_path,
    span_of,
)
from beam_dynamodb_streams.sinks.output import Output

RETENTION_MICROS: Final = 26 * 3600 * 1_000_000
"""Microseconds. A stream keeps a change for 24 hours, so changes that were created this long before another change are
no longer in the stream."""

DATA_STREAM_MICROS: Final = 367 * 24 * 3600 * 1_000_000
"""The same for a Kinesis data stream, which keeps a record for 365 days at most."""

_DATA_STREAM_SHARD: Final = re.compile(r"shardId-\d{12}")  # the ids of a table's stream are longer


def load_manifests(output: Output, paths: Iterable[str]) -> list[Manifest]:
    """Return the manifests in the order of their paths. Raises ConnectorError for one that is unreadable or damaged."""
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda path: Manifest.from_json(output.read(path), path), paths))


def latest_start(paths: Iterable[str], now: float) -> int | None:
    """Return the latest start of a span among the paths of manifests: the output was written later than that.

    A change that is dated after `now`, a moment in epoch seconds, says nothing about when the output was written.
    """
    latest = max((span.start for path in paths if (span := span_of(path)) is not None), default=None)
    return None if latest is None else min(latest, int(now * 1_000_000))


def ending_after(paths: Iterable[str], moment: int | None) -> list[str]:
    """Return the paths of files or manifests that may hold a change created at `moment` or later. None: all paths."""
    spans = ((path, span_of(path)) for path in paths)
    return [path for path, span in spans if moment is None or span is None or span.end >= moment]


def retention_start(manifests: Iterable[str], now: float, kept: int = RETENTION_MICROS) -> int | None:
    """Return since when changes may still be in the stream, by the paths of manifests.

    `kept`: for how many microseconds the stream keeps a change. See `latest_start` for `now`.
    """
    latest = latest_start(manifests, now)
    return None if latest is None else latest - kept


def recent_manifests(output: Output, paths: Iterable[str], now: float) -> list[Manifest]:
    """Return the manifests of changes that may still be in the stream. See `latest_start` for `now`."""
    paths = list(paths)
    manifests = load_manifests(output, ending_after(paths, retention_start(paths, now)))
    if (kept := kept_micros(manifests)) == RETENTION_MICROS:
        return manifests
    return load_manifests(output, ending_after(paths, retention_start(paths, now, kept)))


def kept_micros(manifests: Iterable[Manifest]) -> int:
    """Return for how many microseconds the stream of some manifests keeps a change, at most."""
    covered = {shard for manifest in manifests for shard in manifest.coverage}
    long = any(is_data_stream(each.stream_arn) or _DATA_STREAM_SHARD.fullmatch(each.shard_id) for each in covered)
    return DATA_STREAM_MICROS if long else RETENTION_MICROS


def remove_leftovers(output: Output, paths: Iterable[str], manifests: Iterable[Manifest], marks: Iterable[str]) -> None:
    """Remove the files among `paths` that a killed worker left: those with a mark and without a manifest.

    Raises:
        ConnectorError: A file of changes has neither. Nothing is removed then.
    """
    named = {file.path for manifest in manifests for file in manifest.files}
    marked = set(marks)
    unnamed = [path for path in paths if path not in named and is_change_file(path)]
    unproven = [path for path in unnamed if mark_path(path) not in marked]
    if unproven:
        others = f" and {len(unproven) - 1:,} more" if len(unproven) > 1 else ""
        raise ConnectorError(
            f"{output.directory}: {unproven[0]}{others} have no manifest in {FOLDER}, and no mark in {WRITING} shows"
            " that a killed run left them. Somebody may have removed manifests, and the files may be the only copy of"
            f" their changes, so nothing was removed. Restore {FOLDER} from a copy, or move these files out of the"
            " output (what the stream still holds is then written again), or export to a new directory"
        )
    output.delete(unnamed)
    output.delete(map(mark_path, unnamed))


def prepare_window(
    output: Output, window: Span | None, partitions: Partitions | None, *, now: Callable[[], float] = time.time
) -> Coverage:
    """Prepare to write a window again, and return what manifests cover of the changes that may arrive in it.

    This removes files of the window that a worker left which was killed before it wrote the manifest. A window has one
    writer at a time. Runs with windows and runs without may have written the same changes.

    Raises:
        ConnectorError: A file of the window has neither a manifest nor a mark.
    """
    # Files are listed first, then marks. A file that is finished meanwhile is seen with its mark or with its manifest.
    prefix = file_prefix(window)
    files = output.list(common_prefix(window, partitions, prefix))
    of_window = [path for path in files if path.rpartition("/")[2].startswith(prefix)]
    marks = output.list(mark_path(common_prefix(window, partitions, prefix))) if of_window else []
    if window is None:
        paths, second = output.list(f"{FOLDER}/"), now()
        manifests = recent_manifests(output, paths, second)
        of_window = ending_after(of_window, retention_start(paths, second, kept_micros(manifests)))
    else:
        without = output.list(manifest_prefix(None))
        overlapping = [path for path in without if (span := span_of(path)) is None or span.overlaps(window)]
        manifests = load_manifests(output, [*output.list(manifest_prefix(window)), *overlapping])
    remove_leftovers(output, of_window, manifests, marks)
    return merge_coverage(manifest.coverage for manifest in manifests)
