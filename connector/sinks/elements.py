"""The steps before the files: give each change its event time, and its bundle's stamp."""

from __future__ import annotations

import uuid

import apache_beam as beam
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Timestamp

from connector.errors import ElementTypeError, InvalidOptionError
from connector.records import ChangeRecord
from connector.sinks.output import check_writable


@beam.typehints.with_output_types(ChangeRecord)
class CreationTime(beam.DoFn):
    """Sets each change's event time to its creation time, which a plain Create or a GroupByKey has lost."""

    def __init__(self, sink_name: str) -> None:
        self._sink_name = sink_name

    def process(
        self, change: ChangeRecord, timestamp: Timestamp = beam.DoFn.TimestampParam
    ) -> list[ChangeRecord] | list[TimestampedValue]:
        checked(change, self._sink_name)
        if timestamp.micros == change.creation_micros:
            return [change]
        return [TimestampedValue(change, Timestamp(micros=change.creation_micros))]


@beam.typehints.with_output_types(tuple[str, ChangeRecord])
class Stamp(beam.DoFn):
    """Pairs each change with a stamp unique to its bundle; checks the output before the first change.

    ``windowed`` says that the input has windows other than the global one.
    """

    def __init__(self, directory: str, sink_name: str, *, windowed: bool) -> None:
        self._directory = directory
        self._sink_name = sink_name
        self._first = MIN_TIMESTAMP if windowed else None

    def setup(self) -> None:
        check_writable(self._directory)

    def start_bundle(self) -> None:
        self._stamp = uuid.uuid4().hex

    def process(
        self, change: ChangeRecord, timestamp: Timestamp = beam.DoFn.TimestampParam
    ) -> list[tuple[str, ChangeRecord]]:
        checked(change, self._sink_name)
        if timestamp == self._first:
            raise InvalidOptionError(
                f"{self._sink_name}: a change in a window has no event time (a plain Create gives none), and"
                " Beam writes no file for a window before its own first instant: leave out the WindowInto and"
                " give window=, or emit TimestampedValue(change, Timestamp(micros=change.creation_micros))"
                " before it"
            )
        return [(self._stamp, change)]


def checked(element: object, sink_name: str) -> None:
    """Refuses what is no ChangeRecord: declared types don't tell when a step before returns Any."""
    if isinstance(element, ChangeRecord):
        return
    text = repr(element)
    raise ElementTypeError(
        f"{sink_name} takes ChangeRecords, not {type(element).__name__}"
        f" ({text if len(text) <= 80 else f'{text[:79]}…'}): let the step before it return the ChangeRecord,"
        " or write other rows with a sink for them"
    )
