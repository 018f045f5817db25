"""Which manifests of an output matter, and which of its files none of them names."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from beam_dynamodb_streams.sinks.batches import Partitions, common_partition
from beam_dynamodb_streams.sinks.coverage import Coverage, merged
from beam_dynamodb_streams.sinks.manifest import (
    FOLDER,
    Manifest,
    Span,
    file_prefix,
    is_of_changes,
    manifest_prefix,
    span_of,
)
from beam_dynamodb_streams.sinks.output import Output

KEPT: Final = 26 * 3600 * 1_000_000
"""Microseconds. A stream keeps a change for 24 hours, so what was created so long before another change is settled."""


def read(output: Output, paths: Iterable[str]) -> list[Manifest]:
    """The manifests in the order of their paths. Raises ConnectorError for one that cannot be read, or is damaged."""
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda path: Manifest.from_json(output.read(path), path), paths))


def newest(paths: Iterable[str]) -> int | None:
    """A moment that had come when the output was written, by the paths of its manifests: no window begins later."""
    return max((span.start for path in paths if (span := span_of(path)) is not None), default=None)


def since(paths: Iterable[str], moment: int | None) -> list[str]:
    """Those that may hold a change created then or later; None: all."""
    spans = ((path, span_of(path)) for path in paths)
    return [path for path, span in spans if moment is None or span is None or span.end >= moment]


def recent(manifests: Iterable[str]) -> int | None:
    """From when on changes may still be in the stream, by the paths of manifests."""
    latest = newest(manifests)
    return None if latest is None else latest - KEPT


def left_behind(paths: Iterable[str], manifests: Iterable[Manifest]) -> list[str]:
    """Files of ours that no manifest names."""
    named = {file.path for manifest in manifests for file in manifest.files}
    return [path for path in paths if path not in named and is_of_changes(path)]


def take_over(output: Output, window: Span | None, partitions: Partitions | None) -> Coverage:
    """Makes ready to write a window once more: gives what manifests cover of what it may bring, and removes its files
    that none of them names, which a worker left that was killed before its manifest.

    A window has one writer at a time. Runs with windows and runs without may have written the same changes.
    """
    # Files first: one whose manifest comes meanwhile has it by the time that manifests are read.
    prefix = file_prefix(window)
    files = output.list(common_partition(window, partitions, prefix))
    of_window = [path for path in files if path.rpartition("/")[2].startswith(prefix)]
    if window is None:
        paths = output.list(f"{FOLDER}/")
        moment = recent(paths)
        manifests = read(output, since(paths, moment))
        of_window = since(of_window, moment)
    else:
        without = output.list(manifest_prefix(None))
        overlapping = [path for path in without if (span := span_of(path)) is None or span.overlaps(window)]
        manifests = read(output, [*output.list(manifest_prefix(window)), *overlapping])
    output.delete(left_behind(of_window, manifests))
    return merged(manifest.coverage for manifest in manifests)
