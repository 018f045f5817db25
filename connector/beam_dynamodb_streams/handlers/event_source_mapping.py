"""An event source mapping's configuration, as CreateEventSourceMapping takes it, as options of a read and a handler.

An infrastructure file's block can be pasted: the names are the same in CloudFormation, SAM, Terraform's JSON from the
API, and what `aws lambda get-event-source-mapping` prints.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import yaml

from beam_dynamodb_streams.errors import InvalidOptionError

REPORT_FAILURES: Final = "ReportBatchItemFailures"

#: Names whose values are numbers, with the options of `InvokeHandler`.
_NUMBERS: Final = {
    "BatchSize": "batch_size",
    "MaximumBatchingWindowInSeconds": "batching_window",
    "ParallelizationFactor": "parallelization_factor",
    "MaximumRetryAttempts": "maximum_retry_attempts",
    "MaximumRecordAgeInSeconds": "maximum_record_age",
    "TumblingWindowInSeconds": "tumbling_window",
}
_OTHERS: Final = (
    *("EventSourceArn", "FunctionName", "StartingPosition", "StartingPositionTimestamp", "FilterCriteria"),
    *("BisectBatchOnFunctionError", "FunctionResponseTypes", "DestinationConfig", "Enabled"),
)
#: What a mapping may have, and what says nothing about the changes.
_WITHOUT_EFFECT: Final = (
    *("KMSKeyArn", "Tags", "MetricsConfig", "LoggingConfig", "UUID", "FunctionArn", "EventSourceMappingArn"),
    *("LastModified", "LastProcessingResult", "State", "StateTransitionReason", "FilterCriteriaError", "Id"),
)
_OF_OTHER_SOURCES: Final = (
    *("Queues", "Topics", "SelfManagedEventSource", "SelfManagedKafkaEventSourceConfig", "SourceAccessConfigurations"),
    *("AmazonManagedKafkaEventSourceConfig", "DocumentDBEventSourceConfig", "ScalingConfig"),
    "ProvisionedPollerConfig",
)


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a mapping says.

    Attributes:
        handler: Options of `InvokeHandler` by name.
        stream_arn: The stream; None if the mapping does not name it, or names it by a reference.
        start: Where to begin, as `ReadFromDynamoDBStreams` takes it; None if it is not said.
        function: The function's name for the context; None if it is not said.
        destination: The on-failure destination; None if there is none.
    """

    handler: Mapping[str, Any]
    stream_arn: str | None
    start: object
    function: str | None
    destination: str | None


class Reference(str):
    """A value that only the infrastructure's tool can resolve, such as `!GetAtt Table.StreamArn`."""

    __slots__ = ()


def read_mapping(path: str | Path) -> Mapped:
    """Return what a file says, as JSON or YAML.

    Raises:
        InvalidOptionError: The file cannot be read, or is not the configuration of such a mapping.
    """
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOptionError(f"{path} cannot be read: {error}") from error
    try:
        found = yaml.load(text, _Loader)  # noqa: S506 - a safe loader; JSON is YAML
    except yaml.YAMLError as error:
        raise InvalidOptionError(f"{path} is neither JSON nor YAML: {' '.join(str(error).split())}") from None
    return parse_mapping(found, str(path))


def parse_mapping(found: Any, name: str = "the mapping") -> Mapped:
    """Return what a mapping says. Of a CloudFormation resource, or a template's block with one, the properties count.

    Raises:
        InvalidOptionError: It is not the configuration of such a mapping.
    """
    members = _properties(found, name)
    known = (*_NUMBERS, *_OTHERS, *_WITHOUT_EFFECT)
    for each in members:
        if each in _OF_OTHER_SOURCES:
            raise InvalidOptionError(f"{name}: {each} does not apply to a DynamoDB stream: leave it out")
        if each not in known:
            near = difflib.get_close_matches(str(each), known, 1, 0.6)
            advice = f"did you mean {near[0]}?" if near else "use the names of CreateEventSourceMapping"
            raise InvalidOptionError(f"{name}: {each!r} is unknown: {advice}")
    if _flag(members, "Enabled", name) is False:
        raise InvalidOptionError(f"{name}: Enabled is false: leave it out to run the handler all the same")
    handler: dict[str, Any] = {
        option: _number(members[each], each, name) for each, option in _NUMBERS.items() if members.get(each) is not None
    }
    bisect = _flag(members, "BisectBatchOnFunctionError", name)
    if bisect is not None:
        handler["bisect_on_error"] = bisect
    kinds = members.get("FunctionResponseTypes")
    if kinds:
        if kinds not in ([REPORT_FAILURES], REPORT_FAILURES):
            raise InvalidOptionError(
                f"{name}: FunctionResponseTypes={kinds!r}: use [{REPORT_FAILURES}], or leave it out"
            )
        handler["report_batch_item_failures"] = True
    if members.get("FilterCriteria"):
        handler["filter_criteria"] = members["FilterCriteria"]
    return Mapped(
        handler,
        _text(members.get("EventSourceArn"), "EventSourceArn", name),
        _start(members, name),
        _function(_text(members.get("FunctionName"), "FunctionName", name)),
        _destination(members.get("DestinationConfig"), name),
    )


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's tags, which are kept as `Reference`, and with times as text."""


def _reference(loader: _Loader, tag: str, node: yaml.Node) -> Reference:  # noqa: ARG001 - the signature of YAML's
    return Reference(f"!{tag}")


_Loader.add_multi_constructor("!", _reference)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)


def _properties(found: Any, name: str) -> Mapping[str, Any]:
    for _ in range(3):  # a template's Resources, the resource by its name, its Properties
        if not isinstance(found, Mapping):
            break
        if isinstance(found.get("Properties"), Mapping):
            found = found["Properties"]
            break
        below = found.get("Resources") if isinstance(found.get("Resources"), Mapping) else None
        inside = below or found
        mappings = [
            each
            for each in inside.values()
            if isinstance(each, Mapping) and each.get("Type") in ("AWS::Lambda::EventSourceMapping", "DynamoDB")
        ]
        if len(mappings) > 1:
            raise InvalidOptionError(f"{name} has {len(mappings)} event source mappings: give a file with one")
        if not mappings:
            break
        found = mappings[0]
    if not isinstance(found, Mapping) or not found:
        raise InvalidOptionError(
            f"{name} is not a configuration: give a mapping with the names of CreateEventSourceMapping"
        )
    return {"EventSourceArn" if each == "Stream" else each: value for each, value in found.items() if each != "Type"}


def _number(value: Any, each: str, name: str) -> int:
    if isinstance(value, str) and value.lstrip("-").isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidOptionError(f"{name}: {each}={value!r} is not a whole number")
    return value


def _flag(members: Mapping[str, Any], each: str, name: str) -> bool | None:
    value = members.get(each)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        value = value.lower() == "true"
    if value is not None and not isinstance(value, bool):
        raise InvalidOptionError(f"{name}: {each}={value!r} is not true or false")
    return value


def _text(value: Any, each: str, name: str) -> str | None:
    if value is None or isinstance(value, Reference | Mapping):  # a reference, as YAML or as JSON writes one
        return None
    if not isinstance(value, str):
        raise InvalidOptionError(f"{name}: {each}={value!r} is not text")
    return value


def _function(name: str | None) -> str | None:
    """Return a function's name without the rest of its ARN, and without a version."""
    if name is None:
        return None
    _, separator, rest = name.partition(":function:")
    return (rest if separator else name).split(":")[0]


def _start(members: Mapping[str, Any], name: str) -> object:
    position = members.get("StartingPosition")
    match position:
        case None | "TRIM_HORIZON" | "LATEST":
            return position
        case "AT_TIMESTAMP":
            return _moment(members.get("StartingPositionTimestamp"), name)
    raise InvalidOptionError(f"{name}: StartingPosition={position!r}: use TRIM_HORIZON, LATEST or AT_TIMESTAMP")


def _moment(value: Any, name: str) -> datetime:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, timezone.utc)
        moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except (ValueError, OverflowError, OSError):
        raise InvalidOptionError(
            f"{name}: StartingPositionTimestamp={value!r} is not a time: use such as 2026-01-31T12:00:00Z"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _destination(config: Any, name: str) -> str | None:
    if not config:
        return None
    try:
        destination = (config.get("OnFailure") or {}).get("Destination")
    except AttributeError:
        raise InvalidOptionError(f"{name}: DestinationConfig={json.dumps(config, default=str)} is not one") from None
    return None if not destination else str(destination)
