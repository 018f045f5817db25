"""Which incremental exports mend a loss, and the commands that make them. Pure.

The net changes of the exports replace what the sink has of the items that were written meanwhile. So the windows reach
from the first moment that may be affected to a moment that the stream still reaches: the repaired read continues there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.exports.summary import time_text

_MICROS: Final = 1_000_000
SHORTEST: Final = 15 * 60 * _MICROS
LONGEST: Final = 24 * 3600 * _MICROS
FARTHEST: Final = 35 * LONGEST
_MARGIN: Final = 60 * _MICROS


@dataclass(frozen=True, slots=True)
class ExportWindow:
    """The window of one incremental export, in microseconds since 1970; `until` is not included."""

    since: int
    until: int

    def __str__(self) -> str:
        return f"{time_text(self.since)} to {time_text(self.until)}"


def windows_between(since: int, until: int) -> list[ExportWindow]:
    """Return windows that the service accepts, of whole minutes, which follow each other from `since` to `until`.

    The first begins at most a minute before `since`, or earlier if all of it is shorter than 15 minutes. The last ends
    at `until` or less than a minute before.
    """
    end = until // _MARGIN * _MARGIN
    begin = min(since // _MARGIN * _MARGIN, end - SHORTEST)
    windows = []
    while end - begin > LONGEST:
        # The rest must not be shorter than a window may be.
        step = LONGEST if end - begin - LONGEST >= SHORTEST else LONGEST - SHORTEST
        windows.append(ExportWindow(begin, begin + step))
        begin += step
    return [*windows, ExportWindow(begin, end)]


def repair_windows(since: int, now: int) -> list[ExportWindow]:
    """Return the windows of the exports that mend a loss of changes that were created at or after `since`.

    Creation times are floored to the second and may be out of order, so the first begins a minute before. They reach to
    `now`, where the stream has every change.

    Raises:
        InvalidOptionError: The loss is older than incremental exports reach.
    """
    if now - since > FARTHEST:
        raise InvalidOptionError(
            f"the loss began at {time_text(since)}, and incremental exports reach 35 days back: start over with a full "
            'export, snapshot="s3://…/AWSDynamoDB/<ExportId>/"'
        )
    return windows_between(since - _MARGIN, now)


def export_command(table_arn: str, window: ExportWindow, *, bucket: str, prefix: str | None = None) -> list[str]:
    """Return the words of the command that makes the incremental export of a window."""
    words = ["aws", "dynamodb", "export-table-to-point-in-time", "--table-arn", table_arn, "--s3-bucket", bucket]
    if prefix:
        words += ["--s3-prefix", prefix]
    specification = (
        f"ExportFromTime={time_text(window.since)},ExportToTime={time_text(window.until)},"
        "ExportViewType=NEW_AND_OLD_IMAGES"
    )
    words += ["--export-format", "DYNAMODB_JSON", "--export-type", "INCREMENTAL_EXPORT"]
    return [*words, "--incremental-export-specification", specification]
