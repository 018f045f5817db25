"""The record for the on-failure destination: which changes were discarded, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Final

from beam_dynamodb_streams.handlers.attempts import Condition
from beam_dynamodb_streams.handlers.lambda_event import EventRecord, event_of

UNHANDLED: Final = "Unhandled"


@dataclass(frozen=True, slots=True)
class LastAttempt:
    """The last attempt with a batch. `function_error` is None where the answer was the failure."""

    request_id: str
    function_error: str | None


def on_failure_record(
    records: Sequence[EventRecord],
    *,
    shard_id: str,
    stream_arn: str,
    function_arn: str,
    function_version: str,
    condition: Condition,
    invocations: int,
    last: LastAttempt | None,
    request_id: str,
    now: datetime,
) -> dict[str, Any]:
    """Return the record, with the changes as its payload, as the service writes it to S3.

    Changes that were discarded before any attempt with them have no `responseContext`.
    """
    response: Mapping[str, Any] = {}
    if last is not None:
        response = {
            "responseContext": {
                "statusCode": 200,
                "executedVersion": function_version,
                "functionError": last.function_error,
            }
        }
    return {
        "requestContext": {
            "requestId": request_id if last is None else last.request_id,
            "functionArn": function_arn,
            "condition": condition,
            "approximateInvokeCount": invocations,
        },
        **response,
        "version": "1.0",
        "timestamp": f"{now.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03}Z",
        "DDBStreamBatchInfo": {
            "shardId": shard_id,
            "startSequenceNumber": records[0].sequence_number,
            "endSequenceNumber": records[-1].sequence_number,
            "approximateArrivalOfFirstRecord": _second(records[0].created),
            "approximateArrivalOfLastRecord": _second(records[-1].created),
            "batchSize": len(records),
            "streamArn": stream_arn,
        },
        "payload": event_of(records),
    }


def _second(created: float) -> str:
    return f"{datetime.fromtimestamp(int(created), timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
