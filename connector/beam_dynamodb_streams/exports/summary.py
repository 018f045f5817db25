"""What the manifests of an export say, and which exports fit together. Pure.

The summary names the table, the moment and the kind of the export; the list has a line for each data file. Whatever
would make the rows something else than the table's items, or their net changes, is refused here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any, Final

import msgspec

from beam_dynamodb_streams.errors import ExportError
from beam_dynamodb_streams.records.fields import EPOCH, MICROSECOND

FULL: Final = "FULL_EXPORT"
INCREMENTAL: Final = "INCREMENTAL_EXPORT"
_MILLI: Final = 1000

#: Members of a summary with one of these words in their names say that rows or attributes were left out.
_SUBSETS: Final = re.compile("filter|projection|keycondition", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Export:
    """One export: what its summary says.

    Attributes:
        path: Its folder, as it was given.
        arn: The ARN of the export; "" where the summary has none.
        table_arn: The ARN of the table.
        table_id: The id of the table, which a table that was deleted and created again does not share.
        moment: When the table was as the export shows it, in microseconds since 1970. Of an incremental export it is
            the end of its window, which it does not include.
        since: The start of an incremental export's window, which it includes; None for a full export.
        view: The images in an incremental export, NEW_AND_OLD_IMAGES or NEW_IMAGE.
        items: How many rows it has; None where the summary does not say.
        manifest: The key of the list of its data files.
    """

    path: str
    arn: str
    table_arn: str
    table_id: str
    moment: int
    since: int | None
    view: str
    items: int | None
    manifest: str

    @property
    def epoch(self) -> int:
        """The epoch of its rows and of the changes that follow them, in milliseconds (`records.versions`)."""
        return self.moment // _MILLI

    @property
    def table(self) -> str:
        """The name of the table."""
        return self.table_arn.rpartition("/")[2]

    def __str__(self) -> str:
        if self.since is None:
            return f"{self.path} (full, {time_text(self.moment)})"
        return f"{self.path} (incremental, {time_text(self.since)} to {time_text(self.moment)})"


@dataclass(frozen=True, slots=True)
class DataFile:
    """One data file: its key in the bucket, how many rows it has, and its checksum in base64; None where unknown."""

    key: str
    items: int | None = None
    md5: str | None = None


class _Summary(msgspec.Struct, rename="camel"):
    table_arn: str
    table_id: str = ""
    export_arn: str = ""
    export_type: str = FULL
    export_time: datetime | None = None
    export_from_time: datetime | None = None
    export_to_time: datetime | None = None
    output_format: str = "DYNAMODB_JSON"
    output_view: str | None = None
    item_count: int | None = None
    manifest_files_s3_key: str = ""


class _File(msgspec.Struct):
    key: str = msgspec.field(name="dataFileS3Key")
    items: int | None = msgspec.field(name="itemCount", default=None)
    md5: str | None = msgspec.field(name="md5Checksum", default=None)


_files = msgspec.json.Decoder(_File)


def export_of(summary: bytes, path: str) -> Export:
    """Return the export that a summary describes.

    Raises:
        ExportError: The text is not a summary, or the export is not one of a whole table in DynamoDB JSON.
    """
    try:
        members: dict[str, Any] = msgspec.json.decode(summary, type=dict[str, Any])
        parsed = msgspec.convert(members, _Summary)
    except (msgspec.DecodeError, UnicodeError) as fault:
        raise ExportError(f"{path}: its manifest-summary.json cannot be read: {fault}") from None
    if parsed.output_format != "DYNAMODB_JSON":
        raise ExportError(
            f"{path}: the format is {parsed.output_format}, and only DYNAMODB_JSON is read: export again with "
            "--export-format DYNAMODB_JSON"
        )
    for name, value in members.items():
        if _SUBSETS.search(name) and value not in (None, "", {}, []):
            raise ExportError(
                f"{path}: the export was made with {name}={value!r}, so items or attributes are missing in it, and it "
                "is not a snapshot of the table: export again without a filter"
            )
    if parsed.export_type == FULL:
        moment, since = parsed.export_time, None
        missing = "exportTime" if moment is None else ""
    elif parsed.export_type == INCREMENTAL:
        moment, since = parsed.export_to_time, parsed.export_from_time
        missing = "exportToTime" if moment is None else "exportFromTime" if since is None else ""
    else:
        raise ExportError(
            f"{path}: exportType={parsed.export_type!r} is not known: give a FULL_EXPORT or an INCREMENTAL_EXPORT"
        )
    if missing or moment is None:
        raise ExportError(f"{path}: its manifest-summary.json has no {missing}: copy the whole export again")
    return Export(
        path,
        parsed.export_arn,
        parsed.table_arn,
        parsed.table_id,
        _micros(moment),
        None if since is None else _micros(since),
        parsed.output_view or "NEW_AND_OLD_IMAGES",
        parsed.item_count,
        parsed.manifest_files_s3_key,
    )


def files_of(manifest: bytes, export: Export) -> list[DataFile]:
    """Return the data files that a list of files names.

    Raises:
        ExportError: A line cannot be read, a file is named twice, or the counts of items do not add up.
    """
    files: list[DataFile] = []
    for number, line in enumerate(manifest.splitlines(), 1):
        if not line.strip():
            continue
        try:
            parsed = _files.decode(line)
        except (msgspec.DecodeError, UnicodeError) as fault:
            raise ExportError(
                f"{export.path}: line {number} of its manifest-files.json cannot be read: {fault}"
            ) from None
        files.append(DataFile(parsed.key, parsed.items, parsed.md5 or None))
    keys = {file.key for file in files}
    if len(keys) < len(files):
        raise ExportError(f"{export.path}: its manifest-files.json names a data file twice: copy it again")
    counts = [file.items for file in files]
    known = sum(count for count in counts if count is not None)
    if export.items is not None and None not in counts and known != export.items:
        raise ExportError(
            f"{export.path}: its manifest-summary.json counts {export.items:,} items, and the data files of its "
            f"manifest-files.json {known:,}: the two are not of one export, or one was cut off: copy the export again"
        )
    return files


def check_chain(exports: Sequence[Export], table_id: str | None = None) -> None:
    """Check that the exports are of one table, and that each takes up where the one before it ends.

    Only the first may be a full export. An overlap is harmless, since a net change tells the state at the end of its
    window.

    Raises:
        ExportError: They do not fit together; the message names the two.
    """
    for export in exports:
        known = table_id or exports[0].table_id
        if known and export.table_id and export.table_id != known:
            owner = "the table to read" if table_id else str(exports[0])
            raise ExportError(
                f"{export}: it is of the table {export.table_arn} with the id {export.table_id}, and {owner} has the "
                f"id {known}: a table that was deleted and created again is another table: export this one"
            )
        if export.table_arn != exports[0].table_arn:
            raise ExportError(f"{export}: it is of {export.table_arn}, and {exports[0]} of {exports[0].table_arn}")
    for before, export in pairwise(exports):
        if export.since is None:
            raise ExportError(f"{export}: only the first export may be a full one, and {before} comes before it")
        if export.moment <= before.moment:
            raise ExportError(
                f"{export}: it does not come after {before}: give the exports in the order of their times"
            )
    for before, export in pairwise(exports):
        if export.since is not None and export.since > before.moment:
            raise ExportError(
                f"{export}: there is a hole between it and {before}: changes from {time_text(before.moment)} to "
                f"{time_text(export.since)} are in neither: give the incremental export of that time between them"
            )


def matches(checksum: str, data: bytes) -> bool:
    """Return whether a checksum, in base64 or hexadecimal, of MD5 or SHA-256, is that of the data."""
    text = checksum.strip()
    with_hex = re.fullmatch("[0-9a-fA-F]{32}|[0-9a-fA-F]{64}", text)
    try:
        wanted = bytes.fromhex(text) if with_hex else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    if len(wanted) == 32:
        return hashlib.sha256(data).digest() == wanted
    return hashlib.md5(data, usedforsecurity=False).digest() == wanted


def time_text(micros: int) -> str:
    """Return a moment as the service writes it, with as many digits as it needs."""
    moment = EPOCH + timedelta(microseconds=micros)
    text = moment.isoformat(timespec="milliseconds" if micros % 1_000_000 else "seconds")
    return text.replace("+00:00", "Z")


def _micros(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
    return (aware - EPOCH) // MICROSECOND
