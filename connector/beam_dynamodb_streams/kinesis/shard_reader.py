"""Reads one shard for all of its consumers: one request at a time, and each page once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from beam_dynamodb_streams.errors import ExpiredIteratorError, IteratorTypeError, NotFoundError, TrimmedDataError
from beam_dynamodb_streams.kinesis.cursor import After, At, Oldest, Position, Since
from beam_dynamodb_streams.kinesis.losses import Losses
from beam_dynamodb_streams.kinesis.record_data import DataForm, Records, records_of
from beam_dynamodb_streams.kinesis.record_page import Page, PageCache
from beam_dynamodb_streams.shards.quiet import NOT_QUIET, QuietRule, QuietRun
from beam_dynamodb_streams.wire import RecordCalls

#: How long an empty page is the answer to other consumers, too.
EMPTY_SECONDS: Final = 0.2

#: How many positions of a shard are remembered with what is known of them.
_MOST_POSITIONS: Final = 1000

_QUIET: Final = QuietRule()


@dataclass(frozen=True, slots=True)
class Read:
    """What a read of a shard returned.

    Attributes:
      records: at most as many as were asked for.
      following: where the next read begins.
      ended: the shard has no records at or behind `following`, and gets no more.
      behind: milliseconds from the last record, or the last proof, to now; 0 if the shard is caught up.
    """

    records: Records
    following: Position
    ended: bool
    behind: int


@dataclass(slots=True)
class _State:
    """What is known of one position: the service's iterator there, and the empty pages that it has returned."""

    iterator: str | None = None
    ended: bool = False
    quiet: QuietRun = NOT_QUIET
    empty_at: float = float("-inf")
    arrival: int | None = None


class Listed(Protocol):
    """What listings have shown of shards."""

    def is_listed(self, shard: str) -> bool: ...
    def last_number(self, shard: str) -> str | None: ...


@dataclass(slots=True)
class ShardReader:
    """The reads of one shard. Thread-safe. `clock` returns seconds whose differences are durations."""

    calls: RecordCalls
    stream_arn: str
    table_name: str
    shard: str
    form: DataForm
    cache: PageCache
    losses: Losses
    listed: Listed
    clock: Callable[[], float]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _states: OrderedDict[Position, _State] = field(default_factory=OrderedDict)
    _knows_time: bool = True

    def begin(self, position: Position) -> Position:
        """Ask the service for an iterator, and return the position that a consumer begins at.

        Raises:
          KinesisFault: what the consumer asks for was trimmed, and `on_data_loss="fail"`.
          NotFoundError: the shard is not there, and the position is not one that says what was read.
        """
        with self._lock:
            state = self._state(position)
            if state.ended or (isinstance(position, After | At) and self._cached(position) is not None):
                return position
            try:
                state.iterator = self._iterator(position, first=True)
            except TrimmedDataError as error:
                return self._resume_at_horizon(position, error)
            except NotFoundError as error:
                self._end_of_gone(position, error)
            return position

    def read(self, position: Position, limit: int) -> Read:
        """Return records from `position` on. Raises as `begin` does."""
        arrived = self.clock()
        with self._lock:
            for _ in range(3):
                if (found := self._cached(position)) is not None:
                    page, begin = found
                    return self._part(page, begin, limit)
                try:
                    return self._fetch(position, limit, arrived)
                except TrimmedDataError as error:
                    position = self._resume_at_horizon(position, error)
                except NotFoundError as error:
                    self._end_of_gone(position, error)
                except IteratorTypeError:  # the endpoint returned an AT_TIMESTAMP iterator, and refuses it
                    self._knows_time = False
                    self._state(position).iterator = None
            return Read(Records(), position, ended=False, behind=1)

    def _fetch(self, position: Position, limit: int, arrived: float) -> Read:
        state = self._state(position)
        if state.ended:
            return Read(Records(), position, ended=True, behind=0)
        if state.empty_at >= arrived or self.clock() - state.empty_at < EMPTY_SECONDS:
            return self._empty(position, state)
        if state.iterator is None:
            state.iterator = self._iterator(position)
        asked = self.calls.service_time()
        try:
            page = self.calls.get_records(state.iterator, limit=1000, stream_arn=self.stream_arn, shard_id=self.shard)
        except (ExpiredIteratorError, TrimmedDataError) as error:
            state.iterator = None
            if isinstance(error, ExpiredIteratorError) and isinstance(position, Since):
                # A consumer without a record would ask for LATEST again, and miss what came in between (trap 3).
                return Read(Records(), position, ended=False, behind=1)
            raise
        records = self._younger(records_of(page, self.form, self.table_name), position)
        if not len(records):
            state.iterator, state.ended = page.next_iterator, page.next_iterator is None
            state.quiet, state.empty_at = state.quiet.empty_page(asked), self.clock()
            return self._empty(position, state)
        found = Page.of(position, records, self.clock())
        self.cache.add(self.shard, found)
        self._states[found.following(len(records))] = _State(
            page.next_iterator, ended=page.next_iterator is None, arrival=records.arrivals[-1]
        )
        return self._part(found, 0, limit)

    def _part(self, page: Page, begin: int, limit: int) -> Read:
        end = min(begin + limit, len(page.records))
        following = page.following(end)
        behind = max(1, round(self.calls.service_time() * 1000) - page.records.arrivals[end - 1])
        if end == len(page.records) and (state := self._states.get(following)) is not None and state.ended:
            behind = 0
        return Read(page.records.part(begin, end), following, ended=False, behind=behind)

    def _empty(self, position: Position, state: _State) -> Read:
        """Return an empty page. One alone does not prove that the shard is caught up (trap 5)."""
        if state.ended or state.quiet.proves(_QUIET):
            return Read(Records(), position, ended=state.ended, behind=0)
        now = round(self.calls.service_time() * 1000)
        since = state.arrival if state.arrival is not None else round(state.quiet.first * 1000)
        return Read(Records(), position, ended=False, behind=max(1, now - since))

    def _cached(self, position: Position) -> tuple[Page, int] | None:
        return self.cache.find(self.shard, position, self.clock())

    def _state(self, position: Position) -> _State:
        state = self._states.get(position)
        if state is None:
            state = self._states[position] = _State()
            if len(self._states) > _MOST_POSITIONS:
                self._states.popitem(last=False)
        else:
            self._states.move_to_end(position)
        return state

    def _iterator(self, position: Position, *, first: bool = False) -> str:
        """Return an iterator of the service. `first`: a consumer asks for the position now, and LATEST is now."""
        get = self.calls.get_shard_iterator
        match position:
            case At(number):
                return get(self.stream_arn, self.shard, "AT_SEQUENCE_NUMBER", sequence_number=str(number))
            case After(number):
                return get(self.stream_arn, self.shard, "AFTER_SEQUENCE_NUMBER", sequence_number=str(number))
            case Since(latest=latest) if latest and first:
                return get(self.stream_arn, self.shard, "LATEST")
            case Since(milliseconds) if self._knows_time:
                try:
                    # Creation times are rounded down to a whole second (trap 19).
                    return get(self.stream_arn, self.shard, "AT_TIMESTAMP", timestamp=milliseconds // 1000)
                except IteratorTypeError:
                    self._knows_time = False
        return get(self.stream_arn, self.shard, "TRIM_HORIZON")

    def _younger(self, records: Records, position: Position) -> Records:
        """Return the records without those before a moment, where the endpoint cannot begin at one."""
        if not isinstance(position, Since) or self._knows_time:
            return records
        second = position.milliseconds // 1000 * 1000  # creation times are rounded down (trap 19)
        first = next((index for index, each in enumerate(records.arrivals) if each >= second), len(records))
        return records.part(first, len(records))

    def _resume_at_horizon(self, position: Position, error: TrimmedDataError) -> Position:
        self._state(position).iterator = None
        if not isinstance(position, Oldest):
            self.losses.take(self.shard, position, resumes="TRIM_HORIZON", reason=error.message)
        oldest = Oldest()
        self._state(oldest).iterator = self._iterator(oldest)
        return oldest

    def _end_of_gone(self, position: Position, error: NotFoundError) -> None:
        """Take a shard that the service does not know for ended. What was not read of it is a loss.

        Raises:
          NotFoundError: no listing has shown the shard, and the position does not say that it was ever read.
        """
        last = self.listed.last_number(self.shard)
        if isinstance(position, At | After):
            if last is None or position.number < int(last):
                reason = f"the shard is gone: {error.message}"
                self.losses.take(self.shard, position, resumes="its children", reason=reason)
        elif not self.listed.is_listed(self.shard):
            raise error
        state = self._state(position)
        state.ended, state.iterator = True, None
