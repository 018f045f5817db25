"""The attempts with the batches of one lane: a handler is called until each change is handled or discarded."""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, Final

from beam_dynamodb_streams.errors import HandlerError
from beam_dynamodb_streams.handlers.answers import first_failed
from beam_dynamodb_streams.handlers.attempts import (
    ENDLESS,
    Batch,
    Discarded,
    RetryPolicy,
    after_failure,
    before_attempt,
    delay,
)
from beam_dynamodb_streams.handlers.handler_of import Handler
from beam_dynamodb_streams.handlers.lambda_context import ContextOption, FunctionSettings
from beam_dynamodb_streams.handlers.lambda_event import EventRecord, event_of
from beam_dynamodb_streams.handlers.on_failure import UNHANDLED, LastAttempt, on_failure_record

_LOGGER: Final = logging.getLogger(__name__)
_PATIENCE: Final = 6  #: attempts without progress in one bundle, before the repeat is left to the runner
_SOON_SECONDS: Final = 300.0  #: changes that become too old within this time are waited for


@dataclass(frozen=True, slots=True)
class Clock:
    """The clocks, the wait and the random numbers of the attempts."""

    now: Callable[[], float] = time.time
    elapsed: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    random: Callable[[], float] = random.random


@dataclass(slots=True)
class Report:
    """What the attempts with some changes came to.

    Attributes:
        invocations: How often the handler was called.
        failures: How many of these calls failed, in whole or in part.
        bisections: How often a batch was cut.
        discarded: How many changes were discarded.
        on_failure: The records for the on-failure destination, each with the index of its first change.
    """

    invocations: int = 0
    failures: int = 0
    bisections: int = 0
    discarded: int = 0
    on_failure: list[tuple[int, dict[str, Any]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt: the index of the first change that was not handled, the error if one was raised."""

    at: int
    attempt: LastAttempt
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Invoker:
    """Calls a handler.

    Attributes:
        handler: The function.
        policy: How failures are met.
        context: What makes the contexts.
        clock: See `Clock`.
        members: Members of the event besides its records, and for each attempt a new copy of them.
        check: Returns why an answer is a failure of the whole batch, beyond the reported failures; None if it is not.
        accepted: Is given each answer that reports changes as handled.
    """

    handler: Handler
    policy: RetryPolicy = RetryPolicy()
    context: ContextOption = FunctionSettings()
    clock: Clock = Clock()
    members: Callable[[], Mapping[str, Any]] = dict
    check: Callable[[Any], str | None] = lambda _: None
    accepted: Callable[[Any], None] = lambda _: None

    def run(self, records: Sequence[EventRecord], shard_id: str, stream_arn: str) -> Report:
        """Call the handler until each change is handled or discarded, in the order of the changes.

        Args:
            records: The changes of one batch.
            shard_id: Their shard.
            stream_arn: Its stream.

        Raises:
            HandlerError: The batch is to be tried for as long as it exists, and failed several times. The runner
                repeats the bundle.
        """
        report = Report()
        created = [record.created for record in records]
        waiting = [Batch(0, len(records))]
        last: LastAttempt | None = None
        stuck = 0
        while waiting:
            fresh = before_attempt(waiting.pop(), created, self.clock.now(), self.policy)
            if fresh.discarded is not None:
                self._discard(fresh.discarded, records, shard_id, stream_arn, last, report)
            if not fresh.batches:
                continue
            (batch,) = fresh.batches
            failure = self._attempt(records[batch.first : batch.end], stream_arn, report)
            if failure is None:
                stuck = 0
                last = None
                continue
            last = failure.attempt
            following = after_failure(batch, failure.at, self.policy)
            waiting.extend(reversed(following.batches))
            if following.discarded is not None:
                self._discard(following.discarded, records, shard_id, stream_arn, last, report)
                stuck, last = 0, None
                continue
            bisected = len(following.batches) > 1 or following.batches[0].failed == batch.failed
            report.bisections += bisected
            stuck = 0 if failure.at or bisected else stuck + 1
            if stuck:
                self._wait(stuck, records[batch.first : batch.end], shard_id, stream_arn, failure)
        return report

    def _attempt(self, records: Sequence[EventRecord], stream_arn: str, report: Report) -> Failure | None:
        """Call the handler once, with an event and a context of their own; return the failure, if it is one."""
        event = event_of(records, **self.members())
        request_id = str(uuid.uuid4())
        context = self._context(request_id, stream_arn)
        request_id = str(getattr(context, "aws_request_id", request_id))
        report.invocations += 1
        try:
            answer = self.handler(event, context)
        except (Exception, SystemExit) as error:
            report.failures += 1
            _LOGGER.warning("the handler failed with %d changes: %r", len(records), error, exc_info=error)
            return Failure(0, LastAttempt(request_id, UNHANDLED), error)
        failed_at = None
        if (reason := self.check(answer)) is not None:
            failed_at = 0
            _LOGGER.warning("the handler's answer is refused: %s", reason)
        elif self.policy.reports_failures:
            failed_at = first_failed([record.sequence_number for record in records], answer)
        if failed_at != 0:
            self.accepted(answer)
        if failed_at is None:
            return None
        report.failures += 1
        _LOGGER.warning("the handler reports that %d of %d changes failed", len(records) - failed_at, len(records))
        return Failure(failed_at, LastAttempt(request_id, None))

    def _context(self, request_id: str, stream_arn: str) -> Any:
        if isinstance(self.context, FunctionSettings):
            today = datetime.fromtimestamp(self.clock.now(), timezone.utc)
            return self.context.context(request_id, stream_arn, now=self.clock.elapsed, today=today)
        return self.context()

    def _wait(
        self, stuck: int, records: Sequence[EventRecord], shard_id: str, stream_arn: str, failure: Failure
    ) -> None:
        """Wait before the same changes are tried again, or leave the repeat to the runner."""
        age = self.policy.record_age
        soon = age is not None and records and records[0].created + age - self.clock.now() <= _SOON_SECONDS
        if self.policy.retries == ENDLESS and stuck >= _PATIENCE and not soon:
            reason = "its answer reports a failure" if failure.error is None else f"{failure.error!r}"
            raise HandlerError(
                f"the handler failed {stuck} times with the same {len(records)} changes ({reason}), and they are to be "
                "tried for as long as they exist: the runner repeats the bundle. To discard them after some attempts, "
                "with a record for the on-failure destination, set maximum_retry_attempts or maximum_record_age",
                stream=stream_arn,
                shard=shard_id,
                position=records[0].sequence_number if records else None,
            ) from failure.error
        self.clock.sleep(delay(stuck, self.clock.random()))

    def _discard(
        self,
        discarded: Discarded,
        records: Sequence[EventRecord],
        shard_id: str,
        stream_arn: str,
        last: LastAttempt | None,
        report: Report,
    ) -> None:
        batch = discarded.batch
        if not batch.size:  # a call at the end of a window
            _LOGGER.error("the call of shard %s without changes is given up after %d attempts", shard_id, batch.failed)
            return
        settings = self.context if isinstance(self.context, FunctionSettings) else FunctionSettings()
        made = on_failure_record(
            records[batch.first : batch.end],
            shard_id=shard_id,
            stream_arn=stream_arn,
            function_arn=settings.arn(stream_arn),
            function_version=settings.function_version,
            condition=discarded.condition,
            invocations=batch.failed,
            last=last if batch.failed else None,
            request_id=str(uuid.uuid4()),
            now=datetime.fromtimestamp(self.clock.now(), timezone.utc),
        )
        report.discarded += batch.size
        report.on_failure.append((batch.first, made))
        _LOGGER.error(
            "%d changes of shard %s are discarded (%s) after %d attempts: %s to %s",
            batch.size,
            shard_id,
            discarded.condition,
            batch.failed,
            records[batch.first].sequence_number,
            records[batch.end - 1].sequence_number,
        )

    def with_event(
        self,
        members: Callable[[], Mapping[str, Any]],
        check: Callable[[Any], str | None],
        accepted: Callable[[Any], None],
    ) -> Invoker:
        """Return the same invoker with more members in its events, and with a look at the answers."""
        return replace(self, members=members, check=check, accepted=accepted)
