"""A record processor of amazon_kclpy with its shard: what is called when, and what it checkpointed. No Beam."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from beam_dynamodb_streams.errors import HandlerError
from beam_dynamodb_streams.handlers.kcl_messages import (
    Checkpoints,
    InitializeInput,
    LeaseLostInput,
    ProcessRecordsInput,
    Record,
    ShardEndedInput,
    ShutdownInput,
    ShutdownRequestedInput,
    checkpoint_error,
)
from beam_dynamodb_streams.kinesis.record_data import adapter_data, partition_key
from beam_dynamodb_streams.records import ChangeRecord

_LOGGER: Final = logging.getLogger(__name__)
_REMEMBERED: Final = 100_000  #: changes that a checkpoint can name


def kinesis_record(change: ChangeRecord, aws_region: str) -> Record:
    """Return a change as the Kinesis Adapter's consumers see it. Its images are not decoded."""
    return Record(
        change.sequence_number,
        change.creation_micros // 1000,
        partition_key(change.keys_json),
        adapter_data(change, aws_region),
    )


class Checkpointer:
    """Takes the checkpoints of one processor. `taken` is the change that the last one names; None without a new one."""

    def __init__(self) -> None:
        self.taken: ChangeRecord | None = None
        self._delivered: deque[ChangeRecord] = deque(maxlen=_REMEMBERED)
        self._lost = False

    def delivered(self, changes: Sequence[ChangeRecord]) -> None:
        """Note changes that a checkpoint may name from now on."""
        self._delivered.extend(changes)

    def lose(self) -> None:
        """Refuse all checkpoints from now on."""
        self._lost = True

    def checkpoint(self, sequence_number: str | None = None, sub_sequence_number: int | None = None) -> None:  # noqa: ARG002
        """Note that everything up to a change is processed; without a number, everything that was delivered.

        Raises:
            CheckpointError: The lease is lost, or the number was not delivered since the last checkpoint.
        """
        if self._lost:
            raise checkpoint_error("ShutdownException")
        if sequence_number is None:
            while self._delivered:
                self.taken = self._delivered.popleft()
            return
        numbers = {each.sequence_number for each in self._delivered}
        if str(sequence_number) in numbers:
            while self.taken is None or self.taken.sequence_number != str(sequence_number):
                self.taken = self._delivered.popleft()
        elif self.taken is None or self.taken.sequence_number != str(sequence_number):
            raise checkpoint_error("InvalidArgumentException")

    def take(self) -> ChangeRecord | None:
        """Return the change that the last checkpoint names, if there is a new one."""
        taken, self.taken = self.taken, None
        return taken


@dataclass(slots=True)
class ShardProcessor:
    """One processor with its shard.

    Attributes:
        processor: A record processor, of version 1, 2 or 3.
        shard: Its shard.
        continues: Whether an error of the processor is logged and passed over, as amazon_kclpy does.
        now: Returns epoch seconds.
        aws_region: The region of its stream.
    """

    processor: Any
    shard: str
    continues: bool
    now: Callable[[], float]
    aws_region: str = ""
    checkpointer: Checkpointer = field(default_factory=Checkpointer)

    def initialize(self) -> None:
        """Call the processor for the first time."""
        given = self.shard if self._version == 1 else InitializeInput(self.shard)
        self._call("initialize", given)

    def process(self, changes: Sequence[ChangeRecord]) -> None:
        """Pass changes to the processor."""
        self.checkpointer.delivered(changes)
        records = [kinesis_record(change, self.aws_region) for change in changes]
        behind = max(0, int(self.now() * 1000) - records[-1].timestamp_millis)
        if self._version == 1:
            self._call("process_records", records, self.checkpointer)
        else:
            self._call("process_records", ProcessRecordsInput(records, behind, self.checkpointer))

    def end_shard(self) -> None:
        """Report the end of the shard, at which a processor must checkpoint."""
        self._call_by_version("shard_ended", ShardEndedInput(self.checkpointer), "TERMINATE", self.checkpointer)
        if self.checkpointer._delivered:
            _LOGGER.warning(
                "the record processor of shard %s did not checkpoint the shard's end: a run that is killed repeats its "
                "last changes",
                self.shard,
            )

    def request_shutdown(self) -> None:
        """Report that no more changes come, so that the processor can checkpoint once more."""
        if hasattr(self.processor, "shutdown_requested"):
            given = self.checkpointer if self._version == 1 else ShutdownRequestedInput(self.checkpointer)
            self._call("shutdown_requested", given)

    def lose_lease(self) -> None:
        """Report that the processor ends without a checkpoint. Its errors are only logged."""
        self.checkpointer.lose()
        self.continues = True
        self._call_by_version("lease_lost", LeaseLostInput(), "ZOMBIE", self.checkpointer)

    @property
    def _version(self) -> int:
        """The version of the interface; if the processor does not say it, the one whose methods it has."""
        return int(getattr(self.processor, "version", 3 if hasattr(self.processor, "lease_lost") else 2))

    def _call_by_version(self, method: str, given: Any, reason: str, checkpointer: Checkpoints) -> None:
        match self._version:
            case 1:
                self._call("shutdown", checkpointer, reason)
            case 2:
                self._call("shutdown", ShutdownInput(reason, checkpointer))
            case _:
                self._call(method, given)

    def _call(self, method: str, *given: Any) -> None:
        try:
            getattr(self.processor, method)(*given)
        except Exception as error:  # the user's code may raise anything, and the KCL logs it and continues
            if not self.continues:
                raise HandlerError(
                    f"the record processor failed in {method}: {error!r}. The runner repeats the bundle. To log such "
                    'errors and continue, as the KCL does, set on_error="continue"',
                    shard=self.shard,
                ) from error
            _LOGGER.exception("the record processor of shard %s failed in %s, and continues", self.shard, method)
