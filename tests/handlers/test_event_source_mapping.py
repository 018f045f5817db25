"""The configuration of an event source mapping, pasted from where people have it."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.handlers.event_source_mapping import parse_mapping, read_mapping

ARN = "arn:aws:dynamodb:eu-central-1:123456789012:table/orders/stream/2026-01-31T12:00:00.000"
FILTERS = {"Filters": [{"Pattern": '{"eventName": ["INSERT"]}'}]}


def test_every_name_of_a_mapping_becomes_an_option(tmp_path: Path) -> None:
    path = tmp_path / "mapping.json"
    path.write_text(
        json.dumps(
            {
                "EventSourceArn": ARN,
                "FunctionName": "arn:aws:lambda:eu-central-1:123456789012:function:orders:live",
                "StartingPosition": "LATEST",
                "BatchSize": 10,
                "MaximumBatchingWindowInSeconds": 5,
                "ParallelizationFactor": 2,
                "BisectBatchOnFunctionError": True,
                "MaximumRetryAttempts": 3,
                "MaximumRecordAgeInSeconds": 3600,
                "TumblingWindowInSeconds": 30,
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
                "FilterCriteria": FILTERS,
                "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:eu-central-1:123456789012:failed"}},
                "Enabled": True,
            }
        )
    )
    mapped = read_mapping(path)
    assert mapped.stream_arn == ARN
    assert mapped.function == "orders"
    assert mapped.start == "LATEST"
    assert mapped.destination == "arn:aws:sqs:eu-central-1:123456789012:failed"
    assert mapped.handler == {
        "batch_size": 10,
        "batching_window": 5,
        "parallelization_factor": 2,
        "bisect_on_error": True,
        "maximum_retry_attempts": 3,
        "maximum_record_age": 3600,
        "tumbling_window": 30,
        "report_batch_item_failures": True,
        "filter_criteria": FILTERS,
    }


CLOUDFORMATION = """
Resources:
  Orders:
    Type: AWS::DynamoDB::Table
  Trigger:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt Orders.StreamArn
      FunctionName: !Ref Handler
      StartingPosition: TRIM_HORIZON
      BatchSize: "25"
      FunctionResponseTypes:
        - ReportBatchItemFailures
      FilterCriteria:
        Filters:
          - Pattern: '{"eventName": ["INSERT"]}'
"""

SAM = """
Changes:
  Type: DynamoDB
  Properties:
    Stream: !GetAtt Orders.StreamArn
    StartingPosition: TRIM_HORIZON
    BatchSize: 25
    FunctionResponseTypes: [ReportBatchItemFailures]
    FilterCriteria: {Filters: [{Pattern: '{"eventName": ["INSERT"]}'}]}
"""


@pytest.mark.parametrize("text", [CLOUDFORMATION, SAM], ids=["CloudFormation", "SAM"])
def test_a_block_of_an_infrastructure_file_is_taken_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(text)
    mapped = read_mapping(path)
    assert mapped.stream_arn is None  # a reference that only the infrastructure's tool can resolve
    assert mapped.start == "TRIM_HORIZON"
    assert mapped.handler == {"batch_size": 25, "report_batch_item_failures": True, "filter_criteria": FILTERS}


def test_what_the_command_line_of_aws_prints_is_taken() -> None:
    printed = {
        "UUID": "14e0db71",
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 0,
        "EventSourceArn": ARN,
        "FunctionArn": "arn:aws:lambda:eu-central-1:123456789012:function:orders",
        "LastModified": 1569284520.333,
        "State": "Enabled",
        "StateTransitionReason": "User action",
        "MaximumRecordAgeInSeconds": -1,
        "MaximumRetryAttempts": -1,
        "DestinationConfig": {"OnFailure": {}},
        "FunctionResponseTypes": [],
    }
    mapped = parse_mapping(printed)
    assert mapped.destination is None
    assert mapped.handler["maximum_record_age"] == -1


def test_a_start_in_time_is_a_moment() -> None:
    for moment in (1769860800, "2026-01-31T12:00:00Z"):
        mapped = parse_mapping({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": moment})
        assert mapped.start == datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"BatchSise": 1}, "did you mean BatchSize"),
        ({"Queues": ["q"]}, "does not apply to a DynamoDB stream"),
        ({"Enabled": False}, "Enabled is false"),
        ({"BatchSize": "many"}, "BatchSize='many' is not a whole number"),
        ({"BisectBatchOnFunctionError": 1}, "is not true or false"),
        ({"FunctionResponseTypes": ["Report"]}, "FunctionResponseTypes"),
        ({"StartingPosition": "NOW"}, "StartingPosition='NOW'"),
        ({"StartingPosition": "AT_TIMESTAMP"}, "is not a time"),
        ([], "is not a configuration"),
        ({}, "is not a configuration"),
        ("BatchSize", "is not a configuration"),
        ({"a": {"Type": "DynamoDB", "Properties": {}}, "b": {"Type": "DynamoDB"}}, "has 2 event source mappings"),
    ],
    ids=str,
)
def test_what_is_not_a_mapping_is_refused_with_the_fix(found: Any, said: str) -> None:
    with pytest.raises(InvalidOptionError, match=said):
        parse_mapping(found)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidOptionError, match="cannot be read"):
        read_mapping(tmp_path / "nothing")
    (tmp_path / "bad").write_text("a: [")
    with pytest.raises(InvalidOptionError, match="neither JSON nor YAML"):
        read_mapping(tmp_path / "bad")
