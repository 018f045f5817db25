"""One tumbling window of one shard: a handler is given the state that it returned last, and is called at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Final

from beam_dynamodb_streams.handlers.invoker import Invoker, Report
from beam_dynamodb_streams.handlers.lambda_event import EventRecord, decode_json, encode_json

LARGEST_STATE: Final = 1024 * 1024


@dataclass(slots=True)
class TumblingWindow:
    """The invocations of one window.

    Attributes:
        invoker: Calls the handler.
        shard: The shard.
        stream_arn: Its stream.
        start: The first second of the window.
        end: The second after its last one.
        largest: How many bytes of JSON the state may have before the window is terminated early.
    """

    invoker: Invoker
    shard: str
    stream_arn: str
    start: int
    end: int
    largest: int = LARGEST_STATE
    _state: Any = field(default_factory=dict)
    _final: bool = False
    _early: bool = False

    def invoke(self, records: Sequence[EventRecord]) -> Report:
        """Call the handler with changes of the window, and again where its state has become too large."""
        report = self._run(records, self._reason)
        if len(encode_json(self._state)) > self.largest:
            self._early = True
            self._run([], self._reason)
            self._early, self._state = False, {}
        return report

    def close(self) -> Report:
        """Call the handler for the last time, with the state and without changes."""
        self._final = True
        return self._run([], lambda _: None)

    def _run(self, records: Sequence[EventRecord], check: Any) -> Report:
        invoker = self.invoker.with_event(self._members, check, self._accept)
        return invoker.run(records, self.shard, self.stream_arn)

    def _members(self) -> dict[str, Any]:
        """Return the members of the next event, with a copy of the state."""
        return {
            "window": {"start": _second(self.start), "end": _second(self.end)},
            "state": decode_json(encode_json(self._state)),
            "shardId": self.shard,
            "eventSourceARN": self.stream_arn,
            "isFinalInvokeForWindow": self._final,
            "isWindowTerminatedEarly": self._early,
        }

    @staticmethod
    def _reason(answer: Any) -> str | None:
        """Return why an answer is not one of a handler with a state; None if it is."""
        if not isinstance(answer, dict) or not isinstance(answer.get("state"), dict):
            return 'with a tumbling window the answer must have a "state" that is an object'
        try:
            encode_json(answer["state"])
        except (TypeError, ValueError, OverflowError) as error:
            return f"its state is not JSON: {error}"
        return None

    def _accept(self, answer: Any) -> None:
        if isinstance(answer, dict) and isinstance(answer.get("state"), dict):
            self._state = decode_json(encode_json(answer["state"]))


def _second(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
