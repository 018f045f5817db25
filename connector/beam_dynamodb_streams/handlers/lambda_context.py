"""The `context` of a Lambda function: a new one for each attempt."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, Final

from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.handlers.lambda_event import region_of

_LATEST: Final = "$LATEST"


class CognitoIdentity:
    """The identity of a caller with Cognito, which a trigger does not have."""

    cognito_identity_id: str | None = None
    cognito_identity_pool_id: str | None = None


@dataclass(slots=True)
class LambdaContext:
    """What Lambda's runtime for Python passes as `context`."""

    aws_request_id: str
    function_name: str
    function_version: str
    invoked_function_arn: str
    memory_limit_in_mb: str
    log_group_name: str
    log_stream_name: str
    client_context: object
    tenant_id: str | None
    _deadline: float = field(repr=False)
    _now: Callable[[], float] = field(repr=False)
    identity: object = field(default_factory=CognitoIdentity)

    def get_remaining_time_in_millis(self) -> int:
        """Return how long the attempt may still run. It is not ended by force."""
        return max(0, int((self._deadline - self._now()) * 1000))


@dataclass(frozen=True, slots=True)
class FunctionSettings:
    """What the context says of the function. The defaults are those of a function that is not deployed.

    `timeout` is the time of one attempt, in seconds.
    """

    function_name: str = "handler"
    function_version: str = _LATEST
    invoked_function_arn: str = ""
    memory_limit_in_mb: object = "128"
    log_group_name: str = ""
    log_stream_name: str = ""
    client_context: object = None
    tenant_id: str | None = None
    timeout: float = 900.0

    def arn(self, stream_arn: str) -> str:
        """Return the function's ARN; in the region of the stream if none is given."""
        if self.invoked_function_arn:
            return self.invoked_function_arn
        parts = stream_arn.split(":")
        partition = parts[1] if len(parts) > 1 and parts[1] else "aws"
        account = parts[4] if len(parts) > 4 and parts[4] else "000000000000"
        region = region_of(stream_arn) or "us-east-1"
        return f"arn:{partition}:lambda:{region}:{account}:function:{self.function_name}"

    def context(self, request_id: str, stream_arn: str, *, now: Callable[[], float], today: datetime) -> LambdaContext:
        """Return the context of an attempt that begins now.

        Args:
            request_id: The id of the attempt.
            stream_arn: The stream of the batch.
            now: A monotonic clock, in seconds.
            today: The date of the log stream's name.
        """
        return LambdaContext(
            aws_request_id=request_id,
            function_name=self.function_name,
            function_version=self.function_version,
            invoked_function_arn=self.arn(stream_arn),
            memory_limit_in_mb=str(self.memory_limit_in_mb),
            log_group_name=self.log_group_name or f"/aws/lambda/{self.function_name}",
            log_stream_name=self.log_stream_name
            or f"{today:%Y/%m/%d}/[{self.function_version}]{uuid.uuid5(uuid.NAMESPACE_OID, self.function_name).hex}",
            client_context=self.client_context,
            tenant_id=self.tenant_id,
            _deadline=now() + self.timeout,
            _now=now,
        )


ContextOption = FunctionSettings | Callable[[], Any]


def parse_context(option: object, function_name: str) -> ContextOption:
    """Return what makes the contexts: settings, or a function of the user's that returns one for each attempt.

    Raises:
        InvalidOptionError: It is neither a mapping of the context's attributes nor callable.
    """
    if option is None:
        return FunctionSettings(function_name=function_name)
    if callable(option):
        return option
    names = [each.name for each in fields(FunctionSettings)]
    if not isinstance(option, Mapping) or not set(option) <= set(names):
        raise InvalidOptionError(
            f"context={option!r}: give a dict with some of {', '.join(names)}, or a function that returns the context "
            "of an attempt"
        )
    settings = {"function_name": function_name, **option}
    timeout = settings.get("timeout", 900.0)
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise InvalidOptionError(f"context has timeout={timeout!r}: use a timedelta, or seconds above 0")
    return FunctionSettings(**{**settings, "timeout": float(seconds)})
