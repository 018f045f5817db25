"""The options of `InvokeHandler`, checked once where the pipeline is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.handlers.attempts import ENDLESS, RetryPolicy
from beam_dynamodb_streams.handlers.filter_criteria import FilterCriteria, parse_filter_criteria
from beam_dynamodb_streams.handlers.handler_of import handler_of, name_of
from beam_dynamodb_streams.handlers.lambda_context import ContextOption, parse_context

MOST_CHANGES: Final = 10_000
MOST_RETRIES: Final = 10_000
MOST_LANES: Final = 10
LONGEST_BATCHING: Final = 300
LONGEST_TUMBLING: Final = 900
LEAST_AGE: Final = 60
LONGEST_AGE: Final = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class HandlerOptions:
    """The checked options of `InvokeHandler`; that class documents them.

    Attributes:
        window: The batching window in seconds; None if there is none.
        tumbling: The tumbling window in seconds; None if there is none.
    """

    handler: object
    batch_size: int
    window: float | None
    factor: int
    policy: RetryPolicy
    criteria: FilterCriteria | None
    context: ContextOption
    tumbling: int | None
    event_source_arn: str | None


def parse_handler_options(
    handler: object,
    *,
    batch_size: object,
    batching_window: object,
    parallelization_factor: object,
    bisect_on_error: object,
    maximum_retry_attempts: object,
    maximum_record_age: object,
    report_batch_item_failures: object,
    filter_criteria: object,
    context: object,
    tumbling_window: object,
    event_source_arn: object,
) -> HandlerOptions:
    """Return the options.

    Raises:
        InvalidOptionError: An option is wrong, or is not within the service's limits.
    """
    handler_of(handler)
    window = _seconds("batching_window", batching_window, at_most=LONGEST_BATCHING)
    tumbling = _seconds("tumbling_window", tumbling_window, at_most=LONGEST_TUMBLING)
    if tumbling is not None and tumbling != int(tumbling):
        raise InvalidOptionError(f"tumbling_window={tumbling_window!r}: use whole seconds")
    factor = _count("parallelization_factor", parallelization_factor, 1, MOST_LANES)
    if tumbling and factor > 1:
        raise InvalidOptionError(
            f"parallelization_factor={factor} with tumbling_window={tumbling_window!r}: a shard has one state. Leave "
            "one of them out"
        )
    for name, option in (
        ("bisect_on_error", bisect_on_error),
        ("report_batch_item_failures", report_batch_item_failures),
    ):
        if not isinstance(option, bool):
            raise InvalidOptionError(f"{name}={option!r}: use True or False")
    if event_source_arn is not None and not (isinstance(event_source_arn, str) and event_source_arn.count(":") >= 5):
        raise InvalidOptionError(f"event_source_arn={event_source_arn!r} is not an ARN: leave it out behind a read")
    return HandlerOptions(
        handler,
        _count("batch_size", batch_size, 1, MOST_CHANGES),
        window or None,
        factor,
        RetryPolicy(
            _count("maximum_retry_attempts", maximum_retry_attempts, ENDLESS, MOST_RETRIES),
            _age(maximum_record_age),
            bool(bisect_on_error),
            bool(report_batch_item_failures),
        ),
        parse_filter_criteria(filter_criteria),
        parse_context(context, name_of(handler)),
        int(tumbling) if tumbling else None,
        event_source_arn if isinstance(event_source_arn, str) else None,
    )


def _count(name: str, option: object, at_least: int, at_most: int) -> int:
    if not isinstance(option, int) or isinstance(option, bool) or not at_least <= option <= at_most:
        raise InvalidOptionError(f"{name}={option!r}: use a whole number from {at_least} to {at_most:,}")
    return option


def _age(option: object) -> float | None:
    if option is None or option == ENDLESS:
        return None
    seconds = _number("maximum_record_age", option)
    if not LEAST_AGE <= seconds <= LONGEST_AGE:
        raise InvalidOptionError(
            f"maximum_record_age={option!r}: use -1 for no limit, or {LEAST_AGE} to {LONGEST_AGE:,} seconds, as a "
            "number or a timedelta"
        )
    return seconds


def _seconds(name: str, option: object, *, at_most: int) -> float | None:
    if option is None:
        return None
    seconds = _number(name, option)
    if not 0 <= seconds <= at_most:
        raise InvalidOptionError(f"{name}={option!r}: use 0 to {at_most} seconds, as a number or a timedelta")
    return seconds


def _number(name: str, option: object) -> float:
    seconds = option.total_seconds() if isinstance(option, timedelta) else option
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidOptionError(f"{name}={option!r} is not a time: use seconds or a timedelta")
    return float(seconds)
