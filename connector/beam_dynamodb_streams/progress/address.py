"""Where an application's progress is kept: the option ``progress=``, checked where the pipeline is written."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from typing import Final

from beam_dynamodb_streams.errors import InvalidOptionError

_TABLE: Final = re.compile(r"dynamodb://(?P<table>[A-Za-z0-9_.-]{3,255})/(?P<application>[^/\s\x00-\x1f]{1,255})")
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

    ``address`` is ``"dynamodb://TABLE/APPLICATION"`` or ``"file:PATH"``, where PATH is local or of any filesystem that
    Beam knows. Several applications may share a table, and need files of their own.

    ``region_name`` and ``endpoint_url`` are the table's, as in boto3. ``takeover_after``: a run whose last sign of life
    is older is dead, and the next one of the application goes on in its place; the machines' clocks must agree to a
    small part of it. ``commit_every``: progress is written no more often than this, and a killed run repeats what it
    delivered since.

    Raises :class:`InvalidOptionError` at construction.
    """

    address: str
    _: KW_ONLY
    region_name: str | None = None
    endpoint_url: str | None = None
    takeover_after: timedelta = timedelta(seconds=30)
    commit_every: timedelta = timedelta(seconds=2)

    def __post_init__(self) -> None:
        _ = self.location
        for name, least in (("takeover_after", 1.0), ("commit_every", 0.0)):
            length = getattr(self, name)
            if not isinstance(length, timedelta) or length.total_seconds() < least:
                raise InvalidOptionError(f"{name}={length!r}: use a timedelta of at least {least:g} seconds")
        if self.commit_every > self.takeover_after / 3:
            raise InvalidOptionError(
                f"commit_every={self.commit_every} of takeover_after={self.takeover_after}: use a third of it at most"
            )

    @property
    def location(self) -> TableAddress | FileAddress:
        if isinstance(self.address, str):
            if table := _TABLE.fullmatch(self.address):
                return TableAddress(table["table"], table["application"])
            if file := _FILE.fullmatch(self.address):
                return FileAddress(file["path"])
        raise InvalidOptionError(
            f'progress={self.address!r} is no place for progress: use "dynamodb://TABLE/APPLICATION" or "file:PATH"'
        )

    @property
    def renew_every(self) -> float:
        """How often a run shows that it is alive."""
        return self.takeover_after.total_seconds() / 6


def parse_progress(
    option: object, *, region_name: str | None = None, endpoint_url: str | None = None
) -> Progress | None:
    """``progress=`` as users write it: None, an address, or a :class:`Progress`. An address alone is looked for where
    the stream is. Raises :class:`InvalidOptionError` for anything else."""
    match option:
        case None | Progress():
            return option
        case str():
            return Progress(option, region_name=region_name, endpoint_url=endpoint_url)
    raise InvalidOptionError(
        f'progress={option!r} is no place for progress: use "dynamodb://TABLE/APPLICATION", "file:PATH" or a Progress'
    )
