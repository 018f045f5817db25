"""What a run of an export added to its output, counted from the manifests that it wrote."""

from __future__ import annotations

from collections.abc import Collection

from beam_dynamodb_streams.sinks.leftovers import load_manifests
from beam_dynamodb_streams.sinks.manifest import FOLDER
from beam_dynamodb_streams.sinks.output import open_output
from beam_dynamodb_streams.sinks.snapshots import FOLDER as SNAPSHOTS
from beam_dynamodb_streams.sinks.snapshots import snapshot_rows


def manifests_in(directory: str) -> frozenset[str]:
    """Return the names of the output's manifests."""
    output = open_output(directory)
    return frozenset([*output.list(f"{FOLDER}/"), *output.list(f"{SNAPSHOTS}/")])


def files_written(directory: str, before: Collection[str], *, noun: str, resumed: bool) -> str:
    """Return one line about the files that were added since the manifests were `before`.

    Args:
        directory: the output.
        before: what `manifests_in` returned before the run.
        noun: what one row is, in the singular.
        resumed: whether the run continued an earlier one.
    """
    new = sorted(manifests_in(directory).difference(before))
    snapshot = snapshot_rows(open_output(directory), new)
    files = [
        file
        for manifest in load_manifests(open_output(directory), [name for name in new if name.startswith(FOLDER)])
        for file in manifest.files
    ]
    rows = sum(file.rows for file in files)
    changes = f"{_counted(rows, noun)} in {_counted(len(files), 'new file')}"
    if snapshot is not None:
        return f"{_counted(snapshot, 'item')} of the table, and {changes if files else 'no changes'}, in {directory}"
    if files:
        return f"{changes} in {directory}"
    if resumed:
        return f"no changes since the last run: nothing written to {directory}"
    return f"no changes: nothing written to {directory}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
