"""What a run added to an output, counted by the manifests that it wrote."""

from __future__ import annotations

from collections.abc import Collection

from beam_dynamodb_streams.sinks.leftovers import read
from beam_dynamodb_streams.sinks.manifest import FOLDER
from beam_dynamodb_streams.sinks.output import output_of


def manifests_in(directory: str) -> frozenset[str]:
    return frozenset(output_of(directory).list(f"{FOLDER}/"))


def told(directory: str, before: Collection[str], *, rows: str, goes_on: bool) -> str:
    """In a line: what is in files now that was in none when the manifests were ``before``. ``rows``: what a row is."""
    new = sorted(manifests_in(directory).difference(before))
    files = [file for manifest in read(output_of(directory), new) for file in manifest.files]
    if files:
        return (
            f"{_counted(sum(file.rows for file in files), rows)} in {_counted(len(files), 'new file')} in {directory}"
        )
    if goes_on:
        return f"nothing new since the run before: nothing written to {directory}"
    return f"no changes: nothing written to {directory}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
