"""What was trimmed before a consumer read it. It never becomes ResourceNotFound, which a KCL takes for the end."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Final, Literal, get_args

from beam_dynamodb_streams.kinesis.cursor import Position
from beam_dynamodb_streams.kinesis.faults import KinesisFault, invalid_argument

OnDataLoss = Literal["fail", "continue"]
ON_DATA_LOSS: Final = get_args(OnDataLoss)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LostRecords:
    """Records of a shard that a consumer asked for, and that the stream does not have any more.

    Attributes:
      shard: the shard.
      position: where the consumer had stopped.
      resumes: where it resumes with `on_data_loss="continue"`.
      reason: what the service said.
    """

    shard: str
    position: str
    resumes: str
    reason: str

    def __str__(self) -> str:
        return (
            f"data loss: records of shard {self.shard} behind {self.position} were trimmed before they were read "
            f"({self.reason})"
        )


class Losses:
    """The losses of one interface. Thread-safe."""

    def __init__(self, on_data_loss: OnDataLoss) -> None:
        self._continues = on_data_loss == "continue"
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], LostRecords] = {}

    @property
    def found(self) -> tuple[LostRecords, ...]:
        """The losses that consumers were led past, each once."""
        with self._lock:
            return tuple(self._found.values())

    def take(self, shard: str, position: Position, *, resumes: str, reason: str) -> None:
        """Count a loss and log it, so that the consumer can be led past it.

        Raises:
          KinesisFault: `on_data_loss="fail"`. It names shard and position.
        """
        loss = LostRecords(shard, str(position), resumes, reason)
        if not self._continues:
            raise self._fault(loss)
        with self._lock:
            new = (shard, loss.position) not in self._found
            self._found[shard, loss.position] = loss
        if new:
            _log.warning('%s; on_data_loss="continue" resumes at %s', loss, resumes)

    def _fault(self, loss: LostRecords) -> KinesisFault:
        return invalid_argument(f'{loss}; to go on at {loss.resumes}, start the interface with on_data_loss="continue"')
