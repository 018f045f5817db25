"""Dead letters as files of JSON lines, so that one bad record or attribute does not end an export."""

from __future__ import annotations

import base64
from hashlib import blake2b
from typing import Any

import msgspec

from beam_dynamodb_streams import DeadLetter
from beam_dynamodb_streams.beam.typed import OwnDoFn
from beam_dynamodb_streams.sinks.directory import check_writable
from beam_dynamodb_streams.sinks.output import open_output, write_whole


class WriteDeadLetters(OwnDoFn):
    """Writes one file for each bundle that has dead letters, one line for each letter.

    The name of a file follows from its content. A run that resumes after a failure reads again what was not yet in the
    output's files, so a dead letter may be in two of these files.
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
            write_whole(open_output(self._directory), name, data)


def line_of(letter: DeadLetter) -> bytes:
    """Return the fields of a dead letter as one line of JSON.

    `payload` is the record, or the attribute or image that does not fit its column, in DynamoDB JSON: byte for byte as
    the service sent it. A payload that is not JSON, or that has a line break, is in `payload_base64` instead.
    """
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
