"""Which changes of a page are delivered, by what the envelope says: decided before any image is decoded. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from beam_dynamodb_streams.errors import MalformedRecordError
from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.records.envelope import change_records, entry_json
from beam_dynamodb_streams.wire import MalformedEntry, RawRecord

Where = Callable[[ChangeRecord], bool]


@dataclass(frozen=True, slots=True)
class Selection:
    """``event_names`` and ``where``: None where all pass. What is left out is read, and counts as done."""

    event_names: frozenset[str] | None = None
    where: Where | None = None

    def of(self, records: list[RawRecord], shard: str) -> tuple[list[RawRecord], list[MalformedEntry]]:
        """The records that pass, in order, and those whose values ``where`` could not decode."""
        if self.event_names is not None:
            records = [record for record in records if record.event_name in self.event_names]
        if self.where is None:
            return records, []
        passed, malformed = [], []
        for record in records:
            try:
                if self.where(*change_records([record], shard)):
                    passed.append(record)
            except MalformedRecordError as error:
                malformed.append(malformed_entry(record, error))
        return passed, malformed


ALL = Selection()


def malformed_entry(record: RawRecord, error: MalformedRecordError) -> MalformedEntry:
    """A record of which a value is not DynamoDB JSON: its envelope could be read, so its bytes are made anew."""
    return MalformedEntry(-1, entry_json(record), error.message, record.sequence_number)


def well_formed(records: Sequence[RawRecord], shard: str) -> tuple[list[ChangeRecord], list[MalformedEntry]]:
    """The records all of whose values can be decoded, decoded, and the others."""
    decoded, malformed = [], []
    for record, change in zip(records, change_records(records, shard), strict=True):
        try:
            _ = change.keys, change.new_image, change.old_image
        except MalformedRecordError as error:
            malformed.append(malformed_entry(record, error))
        else:
            decoded.append(change)
    return decoded, malformed
