"""The version of a change: text that sorts as the states of an item follow one another.

A sink that keeps, for each key, the row with the greatest version holds the latest state of every item, whatever order
the changes arrive in and however often they are repeated. A version has three parts, joined by `-`:

| part | digits | what it is |
|---|---|---|
| epoch | 13 | the snapshot that the change follows, as milliseconds since 1970; 0 where there is no snapshot |
| stream | 20 | the label of the stream that the change is in; 0 for a row of a snapshot |
| number | 40 | the sequence number of the change; 0 for a row of a snapshot |

- The **stream** part is the digits of the stream's label, which is the moment at which the stream was enabled:
  `2026-01-31T12:00:00.000` is `20260131120000000000`. So all changes of a stream that was enabled again sort behind
  those of the one before it. A stream without such a label has 0.
- The **number** of a net change from an incremental export is the time of the write, in microseconds since 1970. So net
  changes sort behind the rows of a full export of the same epoch, and before every change of a stream.
- Every part is padded with zeros on its left (a label on its right) to a fixed length. All versions of one table
  therefore have the same length, and digits sort alike in every collation of every database. A sequence number with
  more than 40 digits is kept whole.

A change from a Kinesis data stream has, in place of the stream's label, the time of the change in microseconds since
1970, padded on its left, and a sequence number of 56 digits. There the order of the records may differ from that of the
writes, and the creation time is what orders an item's states. Versions of the two kinds of stream do not compare.

Versions compare for one key: its sequence numbers rise within the lineage of its shard (trap 4). Two keys may be in two
shards, and then the order of their versions means nothing.

A record holds its *base*: the version without the number, one text for a whole page. The number is added where somebody
reads the version. A change without a sequence number has its whole version as its base.
"""

from __future__ import annotations

import re
from typing import Final

from beam_dynamodb_streams.errors import InvalidValueError

EPOCH_DIGITS: Final = 13
STREAM_DIGITS: Final = 20
NUMBER_DIGITS: Final = 40

VERSION_PATTERN: Final = r"^[0-9]{13}-[0-9]{20}-[0-9]{40,}\Z"
_ROW: Final = re.compile(
    r"^[0-9]{13}-0{20}-0{20}[0-9]{20}\Z"
)  # its number is a time at most, and not a sequence number


#: Stands for the base of a change whose stream does not order the states of an item: see `base_at`.
BY_TIME: Final = "by time"


def base_at(micros: int) -> str:
    """Return the base of a change that was made at this time, in a stream that does not order the states of an item."""
    return f"{0:0{EPOCH_DIGITS}}-{micros:0{STREAM_DIGITS}}-"


def version_base(stream_arn: str, epoch: int = 0) -> str:
    """Return the version of a change in this stream, without its number; `BY_TIME` for a Kinesis data stream.

    Args:
        stream_arn: The ARN of the stream; "" where it is unknown.
        epoch: The epoch of the snapshot that the changes follow, in milliseconds; 0 without a snapshot.
    """
    if ":kinesis:" in stream_arn:
        return BY_TIME
    _, _, label = stream_arn.rpartition("/stream/")
    digits = "".join(filter(str.isdecimal, label if label.isascii() else ""))[:STREAM_DIGITS]
    return f"{epoch:0{EPOCH_DIGITS}}-{digits:0<{STREAM_DIGITS}}-"


def row_version(epoch: int, micros: int = 0) -> str:
    """Return the version of an item in a snapshot, or of a net change that was written at `micros`."""
    return f"{version_base('', epoch)}{micros:0{NUMBER_DIGITS}}"


UNKNOWN_BASE: Final = version_base("")
"""The base of a change whose epoch and stream are both unknown."""


UNKNOWN_STREAM: Final = "0" * STREAM_DIGITS


def version_of(base: str, sequence_number: str) -> str:
    """Return the version of a change with this base and sequence number."""
    return base + sequence_number.rjust(NUMBER_DIGITS, "0") if sequence_number else base


def base_of(version: str, sequence_number: str) -> str | None:
    """Return the base of a change with this version and sequence number; None if they contradict each other."""
    if not sequence_number:
        return version if _ROW.match(version) else None
    if re.match(VERSION_PATTERN, version) is None:
        return None
    number = sequence_number.rjust(NUMBER_DIGITS, "0")
    return version.removesuffix(number) if version.endswith(f"-{number}") else None


def stream_part(version: str) -> str:
    """Return the part of a version, or of its base, that stands for the stream; `UNKNOWN_STREAM` if none does.

    A label begins with a year. The time of a change in a Kinesis data stream begins with 0.
    """
    part = version[EPOCH_DIGITS + 1 : EPOCH_DIGITS + 1 + STREAM_DIGITS]
    return UNKNOWN_STREAM if part.startswith("0") else part


def stream_named(part: str, known: str) -> str:
    """Return the ARN of the stream that a part of a version stands for.

    Args:
        part: The part; 0 stands for the known stream.
        known: The ARN of a stream of the same table: labels of one service have one form.
    """
    table, _, label = known.rpartition("/stream/")
    if not int(part) or part == stream_part(version_base(known)):
        return known
    decimals = len(label.rpartition(".")[2]) if "." in label else 3
    day, time = f"{part[:4]}-{part[4:6]}-{part[6:8]}", f"{part[8:10]}:{part[10:12]}:{part[12:14]}"
    return f"{table}/stream/{day}T{time}.{part[14 : 14 + decimals]}"


def epoch_of(version: str) -> int:
    """Return the epoch in a version, or in its base."""
    return int(version[:EPOCH_DIGITS])


def change_sequence_number(version: str) -> str:
    """Return a version as BigQuery's `_CHANGE_SEQUENCE_NUMBER`: four sections of 16 hexadecimal digits.

    Sequence numbers sort as the versions of one table do, as text and section by section. So change capture keeps the
    newest state of each key, in whatever order the changes arrive.

    Raises:
        InvalidValueError: The text is not the version of a change.
    """
    if re.match(VERSION_PATTERN, version) is None:
        raise InvalidValueError(f"{version!r} is not the version of a change: give ChangeRecord.version")
    # All versions of one table have the same length, so they sort as the number that their digits are.
    number = int(version.replace("-", ""))
    if number >> 256:
        raise InvalidValueError(f"{version!r} has more than 256 bits, which is all that four sections hold")
    digits = f"{number:064X}"
    return "/".join(digits[start : start + 16] for start in range(0, 64, 16))
