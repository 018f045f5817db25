"""Where the progress of an application is kept: the option `progress=`, checked when the pipeline is constructed."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from typing import Final

from beam_dynamodb_streams.durations import Duration, as_seconds, as_timedelta
from beam_dynamodb_streams.errors import InvalidOptionError

_TABLE: Final = re.compile(
    r"dynamodb://(?P<table>(?:arn:[\w-]+:dynamodb:[\w-]+:\d*:table/)?[A-Za-z0-9_.-]{3,255})"
    r"/(?P<application>[^/\s\x00-\x1f]{1,255})"
)
_FILE: Final = re.compile(r"file:(?://(?=/))?(?P<path>\S.*)")


@dataclass(frozen=True, slots=True)
class TableAddress:
    """An application's items in a DynamoDB table."""

    table: str
    application: str


@dataclass(frozen=True, slots=True)
class FileAddress:
    """One file for one application."""

    path: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an application has delivered, kept outside the runner.

    Args:
        address: `"dynamodb://TABLE/APPLICATION"` or `"file:PATH"`. TABLE is a name or an ARN. PATH is local or of any
            filesystem that Beam knows. Several applications may share a table; each needs a file of its own.
        region_name: The region of the table, as in boto3.
        endpoint_url: The endpoint of the table, as in boto3.
        takeover_after: A run that has not renewed its lease for this long counts as dead, and the next run of the
            application takes over. The clocks of the machines must agree to a small part of it.
        commit_every: Progress is saved at most this often. A run that is killed repeats what it delivered since.

    Both durations are a timedelta or seconds.

    Raises:
        InvalidOptionError: At construction, for an address or a length of time that is not accepted.
    """

    address: str
    _: KW_ONLY
    region_name: str | None = None
    endpoint_url: str | None = None
    takeover_after: Duration = timedelta(seconds=30)
    commit_every: Duration = timedelta(seconds=2)

    def __post_init__(self) -> None:
        _ = self.location
        for name, least in (("takeover_after", 1.0), ("commit_every", 0.0)):
            object.__setattr__(self, name, as_timedelta(name, getattr(self, name), at_least=least))
        if self.commit_seconds > self.takeover_seconds / 3:
            raise InvalidOptionError(
                f"commit_every={self.commit_every} of takeover_after={self.takeover_after}: use at most a third of it"
            )

    @property
    def location(self) -> TableAddress | FileAddress:
        """The address, parsed."""
        if isinstance(self.address, str):
            if table := _TABLE.fullmatch(self.address):
                return TableAddress(table["table"], table["application"])
            if file := _FILE.fullmatch(self.address):
                return FileAddress(file["path"])
        raise InvalidOptionError(
            f'progress={self.address!r} is not an address of progress: use "dynamodb://TABLE/APPLICATION" or '
            '"file:PATH"'
        )

    @property
    def takeover_seconds(self) -> float:
        """`takeover_after` in seconds."""
        return as_seconds("takeover_after", self.takeover_after)

    @property
    def commit_seconds(self) -> float:
        """`commit_every` in seconds."""
        return as_seconds("commit_every", self.commit_every)

    @property
    def renew_every(self) -> float:
        """Seconds between two renewals of the lease."""
        return self.takeover_seconds / 6


def parse_progress(
    option: object, *, region_name: str | None = None, endpoint_url: str | None = None
) -> Progress | None:
    """Return `progress=` as users write it: None, an address, or a `Progress`.

    The region and endpoint of an address alone are those of the stream. Raises InvalidOptionError for anything else.
    """
    match option:
        case None | Progress():
            return option
        case str():
            return Progress(option, region_name=region_name, endpoint_url=endpoint_url)
    raise InvalidOptionError(
        f'progress={option!r} is not an address of progress: use "dynamodb://TABLE/APPLICATION", "file:PATH" or a '
        "Progress"
    )
