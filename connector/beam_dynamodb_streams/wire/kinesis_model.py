"""The Kinesis interface as botocore describes it: the inputs of its operations, and a client that calls nobody.

Nothing here calls Kinesis. `beam_dynamodb_streams.kinesis` answers the calls itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any, Final

from botocore.client import BaseClient
from botocore.config import Config
from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape
from botocore.session import Session
from botocore.utils import parse_to_aware_datetime

SERVICE: Final = "kinesis"
TARGET: Final = "Kinesis_20131202"

#: Answers a call of an operation with its parameters: the HTTP status, and the members of the answer.
Answer = Callable[[str, dict[str, Any]], tuple[int, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class InputShape:
    """What a value in a request must be.

    Attributes:
      kind: botocore's name of the type, such as "string", "integer", "timestamp" or "structure".
      least: the smallest number, or the shortest length of a text.
      most: the largest number, or the longest length of a text.
      choices: all values of a text; empty if any will do.
      members: those of a structure.
      required: the names of the members that must be there.
      element: the shape of the elements of a list.
    """

    kind: str
    least: int | None = None
    most: int | None = None
    choices: tuple[str, ...] = ()
    members: Mapping[str, InputShape] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    element: InputShape | None = None


@cache
def operation_names() -> frozenset[str]:
    """Return the names of all operations of Kinesis, those of this package and all others."""
    return frozenset(_model().operation_names)


@cache
def input_shape(operation: str) -> InputShape:
    """Return what a request of an operation must be."""
    shape = _model().operation_model(operation).input_shape
    return InputShape("structure") if shape is None else _input_shape(shape)


def _input_shape(shape: Shape) -> InputShape:
    numbers = shape.metadata
    kind = shape.type_name
    return InputShape(
        kind,
        numbers.get("min"),
        numbers.get("max"),
        tuple(numbers.get("enum", ())),
        {name: _input_shape(member) for name, member in shape.members.items()} if kind == "structure" else {},
        tuple(shape.required_members) if kind == "structure" else (),
        _input_shape(shape.member) if kind == "list" else None,
    )


@cache
def _model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model(SERVICE, "service-2"), SERVICE)


def _with_seconds(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters with each time in epoch seconds: boto3 takes datetimes, numbers and texts."""
    return {
        name: _with_seconds(value)
        if isinstance(value, dict)
        else parse_to_aware_datetime(value).timestamp()
        if name.endswith("Timestamp")
        else value
        for name, value in parameters.items()
    }


def local_client(region_name: str, answer: Answer) -> BaseClient:
    """Return a client of botocore's for Kinesis whose calls are answered by `answer`, without a request to anybody.

    So it checks parameters, builds exceptions and paginates as every client of boto3 does.

    Args:
      region_name: the region in `client.meta`.
      answer: see `Answer`. An HTTP status of 300 or more is an error, with its code in `answer["Error"]["Code"]`.
    """
    client = Session().create_client(
        SERVICE,
        region_name=region_name,
        endpoint_url="http://localhost",  # of no use: no request is sent
        aws_access_key_id="none",
        aws_secret_access_key="none",  # noqa: S106 - not a secret, and sent to nobody
        config=Config(parameter_validation=True),
    )

    def keep(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        context["beam_dynamodb_streams"] = params

    def reply(model: Any, context: dict[str, Any], **_: object) -> tuple[SimpleNamespace, dict[str, Any]]:
        status, members = answer(model.name, _with_seconds(context["beam_dynamodb_streams"]))
        members.setdefault("ResponseMetadata", {"HTTPStatusCode": status, "HTTPHeaders": {}, "RetryAttempts": 0})
        return SimpleNamespace(status_code=status, headers={}), members

    client.meta.events.register("before-parameter-build.kinesis", keep)
    client.meta.events.register("before-call.kinesis", reply)
    return client
