"""Which changes of a page are delivered, and which have values that cannot be decoded. No other module decides this."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from beam_dynamodb_streams.errors import MalformedRecordError
from beam_dynamodb_streams.handlers.filter_criteria import FilterCriteria
from beam_dynamodb_streams.reader.page import EntryFilter
from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.records.envelope import change_records, entry_json, with_event_names
from beam_dynamodb_streams.records.versions import UNKNOWN_BASE
from beam_dynamodb_streams.wire import MalformedEntry, RawRecord

_T = TypeVar("_T")
Where = Callable[[ChangeRecord], bool]


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    """The filter of a read, as `reader.page.Rules` takes it. A change that does not pass counts as read.

    Attributes:
        event_names: The kinds of change that pass, which needs no decoding; None for all.
        where: The function that returns whether a change passes; None if all pass.
        criteria: The event patterns. At least one must match a change; None if all pass.
        version_base: The version of the changes without their numbers, for `where`.
        stream_arn: The stream of the changes, for `criteria`.
    """

    event_names: frozenset[str] | None = None
    where: Where | None = None
    version_base: str = UNKNOWN_BASE
    criteria: FilterCriteria | None = None
    stream_arn: str = ""

    def __call__(self, entries: Sequence[RawRecord], shard: str) -> tuple[Sequence[RawRecord], list[MalformedEntry]]:
        """Return the entries that pass, in order, and those with values that could not be decoded for it."""
        if self.event_names is not None:
            entries = with_event_names(entries, self.event_names)
        if self.where is None and self.criteria is None:
            return entries, []
        malformed: list[MalformedEntry] = []
        passed = [
            entry
            for entry, _, passes in _examined(entries, shard, self.version_base, self._passes, malformed)
            if passes
        ]
        return passed, malformed

    def passes(self, change: ChangeRecord) -> bool:
        """Return whether a change passes; for one that is not in a page of the stream."""
        named = self.event_names is None or change.event_name in self.event_names
        return named and self._passes(change)

    def _passes(self, change: ChangeRecord) -> bool:
        """Return whether a change passes. The patterns are asked first: they look at the envelope before an image."""
        if self.criteria is not None and not self.criteria.pass_change(change, self.stream_arn):
            return False
        return self.where is None or bool(self.where(change))


def filter_with(rule: EntryFilter, version_base: str, stream_arn: str = "") -> EntryFilter:
    """Return the filter of a read for the changes of one stream, whose versions have this base."""
    if not isinstance(rule, ChangeFilter):
        return rule
    return replace(rule, version_base=version_base, stream_arn=stream_arn)


def well_formed(
    entries: Sequence[RawRecord], shard: str, version_base: str = UNKNOWN_BASE
) -> tuple[list[ChangeRecord], list[MalformedEntry]]:
    """Return the changes whose values can all be decoded, in decoded form, and the other entries."""
    malformed: list[MalformedEntry] = []
    return [change for _, change, _ in _examined(entries, shard, version_base, decode_values, malformed)], malformed


def _examined(
    entries: Sequence[RawRecord],
    shard: str,
    version_base: str,
    look: Callable[[ChangeRecord], _T],
    malformed: list[MalformedEntry],
) -> Iterator[tuple[RawRecord, ChangeRecord, _T]]:
    """Yield each entry with its change and what `look` returns of it. Adds those that it cannot decode to `malformed`.

    Only their values are malformed, so their bytes are encoded again from the envelope.
    """
    for entry, change in zip(entries, change_records(entries, shard, version_base), strict=True):
        try:
            result = look(change)
        except MalformedRecordError as error:
            malformed.append(MalformedEntry(-1, entry_json(entry), error.message, entry.sequence_number))
        else:
            yield entry, change, result


def decode_values(change: ChangeRecord) -> None:
    """Decode all values of a change. Raises `MalformedRecordError` if one cannot be decoded."""
    _ = change.keys, change.new_image, change.old_image
