"""A read's options as a pipeline author gives them, for tests of the DoFns without a pipeline."""

from __future__ import annotations

import inspect
from typing import Any

from beam_dynamodb_streams import ReadFromDynamoDBStreams
from beam_dynamodb_streams.source.options import ReadOptions, parse_options
from beam_dynamodb_streams.testing import LocalStreams


def options_of(service: LocalStreams, **given: Any) -> ReadOptions:
    """Return the options with which `ReadFromDynamoDBStreams(**given)` would read the service."""
    parameters = inspect.signature(ReadFromDynamoDBStreams).parameters.values()
    defaults = {each.name: each.default for each in parameters}
    return parse_options(
        **{**defaults, "endpoint_url": service.endpoint_url, "region_name": service.region_name, **given}
    )
