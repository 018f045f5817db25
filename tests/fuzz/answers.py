"""A small stream whose answers are right, and one change of one of them: of a field, a header or the bytes.

The stream is disabled and has two shards, a parent and its child, with five changes each, two on a page.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.utils import formatdate
from random import Random
from typing import Any, Final

from beam_dynamodb_streams.errors import UnavailableError
from beam_dynamodb_streams.testing import Clock
from beam_dynamodb_streams.wire.transport import Answer

ARN: Final = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
PARENT, CHILD = (f"shardId-00000001767225600000-0000000{n}" for n in (1, 2))
NUMBERS: Final = {PARENT: range(5), CHILD: range(5, 10)}
FIRST: Final = 10**24

ABSENT: Final = object()
#: What a field becomes. Deep values are beyond what the decoder follows.
VALUES: Final[tuple[Any, ...]] = (
    ABSENT,
    None,
    "",
    0,
    -1,
    1.5,
    10**40,
    True,
    "text",
    "x" * 10_000,
    "\0",
    "9" * 40,
    "9" * 41,
    [],
    {},
    [[]],
    [{}],
    {"a": {"a": 1}},
    "DEEP",
    "SURROGATE",
    "CONTROL",
    "NAN",
)
_RAW: Final = {
    b'"DEEP"': b"[" * 3000 + b"]" * 3000,
    b'"SURROGATE"': rb'"\ud83d"',
    b'"CONTROL"': b'"\x01"',
    b'"NAN"': b"NaN",
}
#: Changes after which the answer is one that the service gives as well: no reader can know better.
_LEGAL: Final = {
    ("Records",): ([],),
    ("NextShardIterator",): (ABSENT, None, ""),
    ("StreamDescription", "Shards"): ([],),
}
STATUSES: Final = (204, 301, 400, 403, 404, 413, 429, 500, 502, 503)
BODIES: Final = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b"<html>Bad gateway</html>",
    b'{"message":"Endpoint request timed out"}',
    b'{"__type":"com.amazon#ThrottlingException"}',
    b'{"__type":"NobodyKnows"}',
    b'{"__type":"ExpiredIteratorException"}',
    b"\xff\xfe",
    b"{" * 5000,
)


@dataclass(frozen=True)
class Change:
    """One change of the answers to `operation`: of all, or of the one that is number `only`.

    `path` and `value` change a field, `body` replaces or cuts the bytes, `status` and `date` the head.
    """

    operation: str
    only: int | None
    path: tuple[Any, ...] = ()
    value: Any = None
    body: bytes | None = None
    cut: float | None = None
    insert: bytes | None = None
    status: int = 200
    date: str | None = None
    error_type: str | None = None
    lost: bool = False

    def __repr__(self) -> str:
        value = "ABSENT" if self.value is ABSENT else repr(self.value)[:60]
        shown = [f"{self.operation}[{'all' if self.only is None else self.only}]"]
        if self.path:
            shown.append(f"{'.'.join(map(str, self.path))}={value}")
        named = {name: getattr(self, name) for name in ("body", "cut", "insert", "date", "error_type", "lost")}
        shown += [f"{name}={value!r}"[:60] for name, value in named.items() if value not in (None, False)]
        return f"<{' '.join(shown)} {self.status}>"

    @property
    def legal(self) -> bool:
        """Whether the service itself may answer so, which means that there is nothing else to read."""
        if self.path == ("NextShardIterator",) and isinstance(self.value, str):
            return f'"{self.value}"'.encode() not in _RAW  # the shard has not ended yet, for all that is known
        if self.insert is not None and self.insert.isascii():
            return True  # in a name or a number it makes another one; only the checksum of the real service shows that
        if self.value is ABSENT and self.path and isinstance(self.path[-1], int):
            return True  # one record or shard fewer
        legal = _LEGAL.get(self.path, ())
        return any(self.value is value or self.value == value for value in legal) and not isinstance(self.value, bool)


def draw(random: Random) -> Change:
    """Return a change. The same `random` returns the same one."""
    operation = random.choice(["GetRecords"] * 4 + ["DescribeStream"] * 2 + ["GetShardIterator"])
    only = random.choice([None, 1, 2, 3])
    kind = random.choice(["field"] * 6 + ["body", "cut", "insert", "status", "date", "error_type", "lost"])
    if kind == "field":
        path = random.choice(list(_paths(_example(operation))))
        return Change(operation, only, path, random.choice(VALUES))
    if kind == "body":
        return Change(operation, only, body=random.choice(BODIES))
    if kind == "cut":
        return Change(operation, only, cut=random.random())
    if kind == "insert":
        return Change(
            operation, only, cut=random.random(), insert=bytes([random.randrange(256)]) * random.choice([1, 9])
        )
    if kind == "status":
        return Change(operation, only, body=random.choice(BODIES), status=random.choice(STATUSES))
    if kind == "date":
        dates = ["", "yesterday", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "9" * 400]
        return Change(operation, only, date=random.choice(dates))
    if kind == "error_type":
        return Change(operation, only, error_type=random.choice(["", "ThrottlingException", "x" * 5000]))
    return Change(operation, only, lost=True)


class FuzzedService:
    """Answers as a transport does, in the thread of the reader. `user_agent` and `url` are of a transport."""

    user_agent = "fuzz"
    url = "http://127.0.0.1:9"

    def __init__(self, change: Change | None, clock: Clock) -> None:
        self._change = change
        self._clock = clock
        self._counts: dict[str, int] = {}

    def post(self, headers: dict[str, str], body: bytes) -> Answer:
        operation = headers["X-Amz-Target"].rpartition(".")[2]
        number = self._counts[operation] = self._counts.get(operation, 0) + 1
        answer = answer_to(operation, json.loads(body), self._clock())
        date = formatdate(int(self._clock()), usegmt=True)
        change = self._change
        if change is None or change.operation != operation or change.only not in (None, number):
            return Answer(200, json.dumps(answer).encode(), date, None, "id")
        if change.lost:
            self._clock.advance(10)
            raise UnavailableError("timed out")
        return Answer(
            change.status,
            changed(answer, change),
            date if change.date is None else change.date,
            change.error_type,
            "id",
        )

    def close(self) -> None:
        """Nothing is open."""


def changed(answer: dict[str, Any], change: Change) -> bytes:
    """Return the bytes of the answer with the change."""
    if change.path:
        _set(answer, change.path, change.value)
    text = json.dumps(answer).encode()
    for name, raw in _RAW.items():
        text = text.replace(name, raw)
    if change.body is not None:
        return change.body
    if change.cut is not None:
        at = int(change.cut * len(text))
        return text[:at] if change.insert is None else text[:at] + change.insert + text[at:]
    return text


def answer_to(operation: str, request: dict[str, Any], now: float) -> dict[str, Any]:
    """Return the right answer."""
    if operation == "DescribeTable":
        keys = [{"AttributeName": "id", "KeyType": "HASH"}]
        return {"Table": {"TableName": "orders", "LatestStreamArn": ARN, "KeySchema": keys}}
    if operation == "DescribeStream":
        shards = [_shard(PARENT, None), _shard(CHILD, PARENT)]
        wanted = request.get("ShardFilter", {}).get("ShardId")
        return {
            "StreamDescription": {
                "StreamArn": ARN,
                "TableName": "orders",
                "StreamStatus": "DISABLED",
                "StreamViewType": "NEW_AND_OLD_IMAGES",
                "Shards": [shard for shard in shards if wanted is None or shard.get("ParentShardId") == wanted],
            }
        }
    if operation == "GetShardIterator":
        numbers = NUMBERS.get(request["ShardId"], range(0))
        if not numbers:
            return {"__type": "ResourceNotFoundException", "message": "no such shard"}
        at = int(request["SequenceNumber"]) - FIRST + 1 if "SequenceNumber" in request else numbers[0]
        return {"ShardIterator": f"{request['ShardId']}|{min(max(at, numbers[0]), numbers[-1] + 1)}"}
    shard, _, at_text = request["ShardIterator"].partition("|")
    if shard not in NUMBERS or not at_text.isdecimal():
        return {"__type": "ValidationException", "message": "not an iterator"}
    numbers, at = NUMBERS[shard], int(at_text)
    page = [number for number in numbers if at <= number < at + 2]
    end = at + 2 > numbers[-1]
    return {"Records": [_record(number, now) for number in page]} | (
        {} if end else {"NextShardIterator": f"{shard}|{at + 2}"}
    )


def _shard(name: str, parent: str | None) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": str(FIRST - 1), "EndingSequenceNumber": str(FIRST + 100)}
    return {"ShardId": name, "SequenceNumberRange": numbers} | ({"ParentShardId": parent} if parent else {})


def _record(number: int, now: float) -> dict[str, Any]:
    image = {"id": {"S": str(number)}, "n": {"N": "1"}}
    return {
        "eventID": f"{number:032x}",
        "eventName": "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "userIdentity": {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"},
        "dynamodb": {
            "ApproximateCreationDateTime": int(now) - 60,
            "Keys": {"id": {"S": str(number)}},
            "NewImage": image,
            "OldImage": image,
            "SequenceNumber": str(FIRST + number),
            "SizeBytes": 10,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
    }


def _example(operation: str) -> dict[str, Any]:
    request = {"ShardId": PARENT, "ShardIterator": f"{PARENT}|0"}
    return answer_to(operation, request, 1_767_225_700.0)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = [found for name, member in members for found in _paths(member, (*path, name))]
    return [*([path] if path else []), *inner]


def _set(value: Any, path: tuple[Any, ...], to: Any) -> None:
    *way, last = path
    try:
        for name in way:
            value = value[name]
        if to is ABSENT:
            del value[last]
        else:
            value[last] = to
    except (IndexError, KeyError):
        pass  # this answer has no such field
