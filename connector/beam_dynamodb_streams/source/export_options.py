"""The options `snapshot=` and `repair=` of a read, where they name exports to S3."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.exports.folder import export_paths
from beam_dynamodb_streams.shards.position import Horizon
from beam_dynamodb_streams.shards.start_stop import Start
from beam_dynamodb_streams.shards.stream_position import StreamPosition


@dataclass(frozen=True, slots=True)
class JoinedExports:
    """Exports to S3 that are joined with the stream: their folders, and whether they repair a loss."""

    paths: tuple[str, ...]
    repairs: bool = False


def parse_exports(snapshot: object, repair: object, start: Start, progress: object) -> JoinedExports | None:
    """Return the exports that the options name; None if they name none.

    Raises:
      InvalidOptionError: the options do not go together, or one is not the folder of an export.
    """
    if snapshot is not None and repair is not None:
        raise InvalidOptionError(
            f"snapshot={snapshot!r} and repair={repair!r}: give one: a snapshot has the whole table, a repair what was "
            "written around a loss"
        )
    if repair is None and not _is_a_path(snapshot):
        return None
    option = "snapshot" if repair is None else "repair"
    if isinstance(snapshot, Sequence) and not isinstance(snapshot, str) and "scan" in snapshot:
        raise InvalidOptionError(
            f'snapshot={snapshot!r}: "scan" is a snapshot of its own: give it alone, or the folders of exports'
        )
    joined = JoinedExports(export_paths(snapshot if repair is None else repair, option=option), repair is not None)
    if not isinstance(start, Horizon | StreamPosition):
        raise InvalidOptionError(
            f"start={start} with {option}=: the stream is read from five minutes before the moment of the last export, "
            "so that no change is missing: leave start out, or give a saved StreamPosition of such a read"
        )
    if progress is not None:
        raise InvalidOptionError(
            f"progress={progress!r} with {option}=: saved progress does not say whether the rows of an export are "
            "delivered. Leave progress out on a runner that restores the read itself (Flink)"
        )
    return joined


def _is_a_path(snapshot: object) -> bool:
    """Return whether the option `snapshot` names folders, and not another kind of snapshot, such as "scan"."""
    if isinstance(snapshot, str):
        return "/" in snapshot or os.sep in snapshot
    return isinstance(snapshot, os.PathLike | Sequence)
