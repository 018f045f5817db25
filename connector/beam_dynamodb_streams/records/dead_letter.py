"""A record that is not what the service documents."""

from __future__ import annotations

from dataclasses import dataclass

from beam_dynamodb_streams.errors import MalformedRecordError


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that is not what the service documents: where it was, its bytes as received, and what is wrong.

    `sequence_number` is None if it cannot be read.
    """

    stream_arn: str
    shard_id: str
    sequence_number: str | None
    payload: bytes
    reason: str

    def to_error(self) -> MalformedRecordError:
        """Return the error that this is without an output for dead letters."""
        error = MalformedRecordError(
            f"malformed record: {self.reason}",
            stream=self.stream_arn,
            shard=self.shard_id,
            position=self.sequence_number,
        )
        error.payload = self.payload
        return error

    def __repr__(self) -> str:
        return (
            f"DeadLetter(shard_id={self.shard_id!r}, sequence_number={self.sequence_number!r}, "
            f"{len(self.payload)} bytes, reason={self.reason!r})"
        )
