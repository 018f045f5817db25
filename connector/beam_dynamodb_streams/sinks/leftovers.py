"""Which manifests of an output matter to a run, and which files a killed worker left without a manifest."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from beam_dynamodb_streams.sinks.batches import Partitions, common_prefix
from beam_dynamodb_streams.sinks.coverage import Coverage, merge_coverage
from beam_dynamodb_streams.sinks.manifest import (
    FOLDER,
    Manifest,
    Span,
    file_prefix,
    is_change_file,
    manifest_prefix,
    span_of,
)
from beam_dynamodb_streams.sinks.output import Output

RETENTION_MICROS: Final = 26 * 3600 * 1_000_000
"""Microseconds. A stream keeps a change for 24 hours, so changes that were created this long before another change are
no longer in the stream."""


def load_manifests(output: Output, paths: Iterable[str]) -> list[Manifest]:
    """Return the manifests in the order of their paths. Raises ConnectorError for one that is unreadable or damaged."""
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda path: Manifest.from_json(output.read(path), path), paths))


def latest_start(paths: Iterable[str]) -> int | None:
    """Return the latest start of a span among the paths of manifests: the output was written later than that."""
    return max((span.start for path in paths if (span := span_of(path)) is not None), default=None)


def ending_after(paths: Iterable[str], moment: int | None) -> list[str]:
    """Return the paths of files or manifests that may hold a change created at `moment` or later. None: all paths."""
    spans = ((path, span_of(path)) for path in paths)
    return [path for path, span in spans if moment is None or span is None or span.end >= moment]


def retention_start(manifests: Iterable[str]) -> int | None:
    """Return since when changes may still be in the stream, by the paths of manifests."""
    latest = latest_start(manifests)
    return None if latest is None else latest - RETENTION_MICROS


def find_leftovers(paths: Iterable[str], manifests: Iterable[Manifest]) -> list[str]:
    """Return the files of changes that no manifest names."""
    named = {file.path for manifest in manifests for file in manifest.files}
    return [path for path in paths if path not in named and is_change_file(path)]


def prepare_window(output: Output, window: Span | None, partitions: Partitions | None) -> Coverage:
    """Prepare to write a window again, and return what manifests cover of the changes that it may bring.

    This removes files of the window that no manifest names: a worker that was killed before it wrote the manifest left
    them. A window has one writer at a time. Runs with windows and runs without may have written the same changes.
    """
    # Files are listed first. The manifest of a file that is finished meanwhile is then seen when manifests are listed.
    prefix = file_prefix(window)
    files = output.list(common_prefix(window, partitions, prefix))
    of_window = [path for path in files if path.rpartition("/")[2].startswith(prefix)]
    if window is None:
        paths = output.list(f"{FOLDER}/")
        moment = retention_start(paths)
        manifests = load_manifests(output, ending_after(paths, moment))
        of_window = ending_after(of_window, moment)
    else:
        without = output.list(manifest_prefix(None))
        overlapping = [path for path in without if (span := span_of(path)) is None or span.overlaps(window)]
        manifests = load_manifests(output, [*output.list(manifest_prefix(window)), *overlapping])
    output.delete(find_leftovers(of_window, manifests))
    return merge_coverage(manifest.coverage for manifest in manifests)
