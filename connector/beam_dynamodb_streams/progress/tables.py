"""The only door of this folder to DynamoDB: a client of botocore's, and its errors as ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
)

from beam_dynamodb_streams.errors import (
    AccessDeniedError,
    CredentialsError,
    InvalidOptionError,
    NotFoundError,
    ServiceError,
    ThrottledError,
    UnavailableError,
)

#: An attribute value and an item as the service writes them: ``{"S": "text"}``.
Value = Mapping[str, Any]
Item = Mapping[str, Value]

_ERRORS: Final[Mapping[str, type[ServiceError]]] = {
    "LimitExceededException": ThrottledError,
    "ProvisionedThroughputExceededException": ThrottledError,
    "RequestLimitExceeded": ThrottledError,
    "ThrottlingException": ThrottledError,
    "TransactionConflictException": ThrottledError,
    "TransactionInProgressException": ThrottledError,
    "InternalServerError": UnavailableError,
    "ServiceUnavailable": UnavailableError,
    "ResourceNotFoundException": NotFoundError,
    "AccessDeniedException": AccessDeniedError,
    "UnrecognizedClientException": CredentialsError,
    "InvalidSignatureException": CredentialsError,
    "ExpiredTokenException": CredentialsError,
}
#: What a store decides by, and no caller of it sees.
_ANSWERS: Final = frozenset(
    {"ConditionalCheckFailedException", "ResourceInUseException", "TransactionCanceledException"}
)
#: A transaction is no permission of its own: each of its writes is one (the service's guide to transactions and IAM).
_PERMISSIONS: Final[Mapping[str, str]] = {
    "TransactWriteItems": "dynamodb:ConditionCheckItem, PutItem, UpdateItem and DeleteItem"
}


def table_client(region_name: str | None, endpoint_url: str | None) -> Any:
    """A client for tables; thread-safe. It waits seconds for an answer, not minutes: a beat must not come too late."""
    try:
        return botocore.session.Session().create_client(
            "dynamodb",
            region_name=region_name,
            endpoint_url=endpoint_url,
            config=Config(
                connect_timeout=3,
                read_timeout=5,
                retries={"mode": "standard", "total_max_attempts": 4},
                user_agent_extra="beam-dynamodb-streams",
            ),
        )
    except NoRegionError as error:
        raise InvalidOptionError(
            "no AWS region was found: pass region_name=, or set AWS_DEFAULT_REGION or the profile's region"
        ) from error
    except (BotoCoreError, ValueError) as error:
        raise InvalidOptionError(f"region_name={region_name!r}, endpoint_url={endpoint_url!r}: {error}") from error


@contextmanager
def told(action: str, table: str) -> Iterator[None]:
    """Errors of the service as ours; ``action`` is the API's name of the call. What a store decides by passes through.

    A code that is not known here is a plain :class:`ServiceError`: a caller that may raise nothing can rely on it.
    """
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _ANSWERS:
            raise
        kind = _ERRORS.get(code) or (UnavailableError if status >= 500 else ServiceError)
        what = f"{action} on table {table!r} failed ({code})"
        if kind is AccessDeniedError:
            what += f"; allow {_PERMISSIONS.get(action, f'dynamodb:{action}')} on it"
        elif kind is ServiceError:
            what += f": {error.response['Error'].get('Message', '')}"
        raised = kind(what)
        raised.code = code
        raise raised from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise CredentialsError(f"{action} on table {table!r}: {error}") from error
    except BotoCoreError as error:  # what is left is the network
        raise UnavailableError(f"{action} on table {table!r} got no answer: {error}") from error


def code_of(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def table_of_leases(client: Any, table: str) -> tuple[list[Item], float]:
    """Every item of a table, and the second at which the table was created. It is only read."""
    try:
        with told("DescribeTable", table):
            created = client.describe_table(TableName=table)["Table"]["CreationDateTime"].timestamp()
    except NotFoundError as error:
        raise NotFoundError(
            f"lease table {table!r} does not exist in {client.meta.region_name} at {client.meta.endpoint_url}: "
            "check the name of the application, region_name= and endpoint_url="
        ) from error
    items: list[Item] = []
    start: dict[str, Any] = {}
    with told("Scan", table):
        while True:
            page = client.scan(TableName=table, ConsistentRead=True, **start)
            items += page["Items"]
            if "LastEvaluatedKey" not in page:
                return items, created
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
