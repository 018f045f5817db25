"""The ARNs of tables and streams, and the region that a call on one of them goes to."""

from __future__ import annotations

import re
from typing import Final

from beam_dynamodb_streams.errors import InvalidOptionError

TABLE_ARN: Final = re.compile(r"arn:[\w-]+:dynamodb:[\w-]+:\d*:table/[A-Za-z0-9_.-]{3,255}")
STREAM_ARN: Final = re.compile(r"arn:[\w-]+:dynamodb:[\w-]+:\d*:table/[^/\s]+/stream/\S+")

KINESIS_ARN: Final = re.compile(r"arn:[\w-]+:kinesis:[\w-]+:\d*:stream/[a-zA-Z0-9_.-]{1,128}")
KINESIS_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]{1,128}")

# DynamoDB Local writes this for the region into every ARN, and serves any region.
_NOT_REGIONS: Final = ("", "ddblocal")


def is_arn(resource: str) -> bool:
    return resource.startswith("arn:")


def region_of(arn: str) -> str | None:
    """Return the region of an ARN, or None if it names no region that can be called."""
    parts = arn.split(":", 4)
    return parts[3] if is_arn(arn) and len(parts) == 5 and parts[3] not in _NOT_REGIONS else None


def region_for(
    resource: str | None, region_name: str | None, endpoint_url: str | None = None, *, option: str = "table"
) -> str | None:
    """Return the region to call for a table or stream: `region_name`, or else the one in its ARN, or None.

    Args:
      resource: a name, which says no region, or an ARN.
      region_name: the user's option.
      endpoint_url: an endpoint that was given may serve the streams of any region, so they contradict nothing.
      option: the option that `resource` comes from, for the error.

    Raises:
      InvalidOptionError: the two name different regions.
    """
    region = None if resource is None else region_of(resource)
    if region_name is None or region is None:
        return region_name or region
    called = region_name.removeprefix("fips-").removesuffix("-fips")  # botocore's names of FIPS endpoints
    if called != region and not (endpoint_url is not None and "/stream/" in (resource or "")):
        raise InvalidOptionError(
            f"{option}={resource!r} is in {region}, and region_name={region_name!r} is another region: leave "
            "region_name= out, or name a table of that region"
        )
    return region_name
