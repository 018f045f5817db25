"""Dead letters to JSON lines, so that what is wrong with one record, or with one attribute, stops no export."""

from __future__ import annotations

import base64
from hashlib import blake2b
from typing import Any

import apache_beam as beam
import msgspec

from beam_dynamodb_streams import DeadLetter
from beam_dynamodb_streams.sinks.output import check_writable, output_of, put


class WriteDeadLetters(beam.DoFn):
    """A file for each bundle that brings any, a line each, see `line_of`. Its name follows from what is in it.

    A run that goes on after a failure reads again what was not in files yet, so a dead letter may be there twice.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def setup(self) -> None:
        check_writable(self._directory)

    def start_bundle(self) -> None:
        self._lines: list[bytes] = []

    def process(self, letter: DeadLetter) -> None:
        self._lines.append(line_of(letter))

    def finish_bundle(self) -> None:
        if self._lines:
            data = b"".join(b"%b\n" % line for line in self._lines)
            name = f"dead-letters-{blake2b(data, digest_size=8).hexdigest()}.jsonl"
            put(output_of(self._directory), name, data)


def line_of(letter: DeadLetter) -> bytes:
    """The fields of a dead letter as JSON. ``payload`` is the record, or the attribute or image that does not fit, as
    the service sent it, byte for byte: DynamoDB JSON. What is no JSON, or not of one line, is ``payload_base64``."""
    fields: dict[str, Any] = {
        "stream_arn": letter.stream_arn,
        "shard_id": letter.shard_id,
        "sequence_number": letter.sequence_number,
        "reason": letter.reason,
    }
    if _is_json(letter.payload) and b"\n" not in letter.payload:
        fields["payload"] = msgspec.Raw(letter.payload)
    else:
        fields["payload_base64"] = base64.b64encode(letter.payload).decode()
    return msgspec.json.encode(fields)


def _is_json(payload: bytes) -> bool:
    try:
        msgspec.json.decode(payload)
    except (ValueError, RecursionError):
        return False
    return True
