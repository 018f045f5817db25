"""The hosts that are called: those that a client of botocore calls, for each region, switch and account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader, create_loader
from scripted_endpoint import ScriptedEndpoint, Turn

from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.wire import Client
from beam_dynamodb_streams.wire.calls import AwsService
from beam_dynamodb_streams.wire.dynamodb import DYNAMODB
from beam_dynamodb_streams.wire.dynamodb_streams import DYNAMODB_STREAMS
from beam_dynamodb_streams.wire.endpoint import Endpoints, account_of

REFUSED = "refused"
LOADER = create_loader()


def regions() -> Iterator[tuple[str, str]]:
    """Every region that botocore knows, and one that it does not know, each with its partition."""
    session = botocore.session.Session()
    for partition in session.get_available_partitions():
        for service in ("dynamodb", "dynamodbstreams"):
            for region in session.get_available_regions(service, partition, allow_non_regional=True):
                yield region, partition
    yield from [("eu-nowhere-9", "aws"), ("us-isof-south-9", "aws-iso-f"), ("local", "aws")]


REGIONS = sorted(set(regions()))

#: The parameters of every operation that the connector calls.
CALLS = {
    "dynamodbstreams": [
        ("DescribeStream", {"StreamArn": "{arn}:table/orders/stream/2026"}),
        (
            "GetShardIterator",
            {"StreamArn": "{arn}:table/orders/stream/2026", "ShardId": "s", "ShardIteratorType": "LATEST"},
        ),
        ("GetRecords", {"ShardIterator": "{arn}:table/orders/stream/2026|1|AAAA"}),
        ("GetRecords", {"ShardIterator": "an iterator of an emulator"}),
    ],
    "dynamodb": [
        ("DescribeTable", {"TableName": "{arn}:table/orders"}),
        ("DescribeTable", {"TableName": "orders"}),
        ("Scan", {"TableName": "{arn}:table/orders"}),
        ("Query", {"TableName": "orders"}),
        ("PutItem", {"TableName": "orders", "Item": {}}),
        ("UpdateItem", {"TableName": "orders", "Key": {}}),
        ("TransactWriteItems", {"TransactItems": []}),
    ],
}


class Sent(Exception):
    pass


def sent_by_botocore(service: str, region: str, operation: str, parameters: dict[str, object]) -> str:
    """The URL of the request that a client of botocore is about to send."""
    session = botocore.session.Session()
    session.register_component("data_loader", LOADER)

    def stop(request: object, **_: object) -> None:
        raise Sent(request.url)

    try:
        client = session.create_client(service, region_name=region, config=Config(parameter_validation=False))
        client.meta.events.register("before-send.*", stop)
        client._make_api_call(operation, parameters)
    except Sent as sent:
        return str(sent)
    except (BotoCoreError, ValueError):
        return REFUSED
    raise AssertionError("botocore sends something")


def sent_by_connector(service: AwsService, region: str, parameters: dict[str, object]) -> str:
    try:
        endpoints = Endpoints(botocore.session.Session(), service, region, None)
        return endpoints.resolve(service, account_of(parameters)).url
    except InvalidOptionError:
        return REFUSED


def filled(parameters: dict[str, object], arn: str) -> dict[str, object]:
    return {name: value.format(arn=arn) if isinstance(value, str) else value for name, value in parameters.items()}


def differences(service: AwsService, region: str, partition: str) -> list[object]:
    arn = f"arn:{partition}:dynamodb:{region}:210987654321"
    found = []
    for operation, parameters in CALLS[service.name]:
        asked = filled(parameters, arn)
        ours, theirs = (
            sent_by_connector(service, region, asked),
            sent_by_botocore(service.name, region, operation, asked),
        )
        if ours != theirs:
            found.append((region, operation, asked, ours, theirs))
    return found


@pytest.mark.parametrize("service", [DYNAMODB_STREAMS, DYNAMODB], ids=lambda service: service.name)
@pytest.mark.parametrize(("dual_stack", "fips"), list(product(["false", "true"], repeat=2)))
def test_each_region_and_switch_has_the_host_of_botocore(
    service: AwsService, dual_stack: str, fips: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One operation for each region, in turn; the other test has every operation."""
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", dual_stack)
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", fips)
    seen = set()
    for number, (region, partition) in enumerate(REGIONS):
        operation, parameters = CALLS[service.name][number % 2]
        asked = filled(parameters, f"arn:{partition}:dynamodb:{region}:210987654321")
        expected = sent_by_botocore(service.name, region, operation, asked)
        assert (region, sent_by_connector(service, region, asked)) == (region, expected)
        seen.add(expected)
    assert len(seen) > 5


@pytest.mark.parametrize("service", [DYNAMODB_STREAMS, DYNAMODB], ids=lambda service: service.name)
@pytest.mark.parametrize("mode", [None, "preferred", "disabled", "required"])
@pytest.mark.parametrize("account", [None, "123456789012"])
def test_each_operation_and_account_has_the_host_of_botocore(
    service: AwsService, mode: str | None, account: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mode is not None:
        monkeypatch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", mode)
    if account is not None:
        monkeypatch.setenv("AWS_ACCOUNT_ID", account)
    for region, partition in (("us-east-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")):
        assert differences(service, region, partition) == []


CONFIGURED = {
    "environment": ({"AWS_ENDPOINT_URL": "http://localhost:1/base"}, ""),
    "environment of the service": (
        {
            "AWS_ENDPOINT_URL": "http://localhost:1",
            "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": "http://localhost:2",
            "AWS_ENDPOINT_URL_DYNAMODB": "https://localhost:3/",
        },
        "",
    ),
    "profile": ({}, "endpoint_url = http://localhost:4"),
    "services of the profile": (
        {},
        """services = local
[services local]
dynamodb_streams =
  endpoint_url = http://localhost:5
dynamodb =
  endpoint_url = http://localhost:6
""",
    ),
    "ignored": ({"AWS_ENDPOINT_URL": "http://localhost:1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, ""),
    "switches of the profile": ({}, "use_dualstack_endpoint = true\nuse_fips_endpoint = true"),
    "endpoint with a switch": ({"AWS_ENDPOINT_URL": "http://localhost:1", "AWS_USE_FIPS_ENDPOINT": "true"}, ""),
}


@pytest.mark.parametrize("service", [DYNAMODB_STREAMS, DYNAMODB], ids=lambda service: service.name)
@pytest.mark.parametrize("configured", CONFIGURED)
def test_a_configured_endpoint_is_the_one_that_botocore_calls(
    service: AwsService, configured: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment, profile = CONFIGURED[configured]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "config").write_text(f"[default]\nregion = eu-west-1\n{profile}\n")
    assert differences(service, "eu-west-1", "aws") == []


def test_a_fips_region_is_still_one_for_the_second_service_that_is_called() -> None:
    endpoints = Endpoints(botocore.session.Session(), DYNAMODB_STREAMS, "fips-us-east-1", None)
    for service in (DYNAMODB_STREAMS, DYNAMODB):
        assert "fips" in endpoints.resolve(service, "").url


def test_the_models_of_botocore_are_loaded_once_for_all_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    load = Loader.load_data_with_path

    def counting(self: Loader, name: str) -> object:
        loaded.append(name)
        return load(self, name)

    monkeypatch.setattr(Loader, "load_data_with_path", counting)
    for _ in range(2):
        loaded.clear()
        client = Client(endpoint_url="http://localhost:1")
        client.close()
    assert not [name for name in loaded if "service-2" in name or "endpoint-rule-set" in name]


@pytest.mark.parametrize(
    "url",
    ["ftp://127.0.0.1:1", "localhost:8000", "http://", "https:///x", "http://[::1", "http://x:99999", "file:///x"],
)
def test_an_endpoint_that_is_not_an_http_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidOptionError, match="endpoint_url"):
        Client(endpoint_url=url)


@pytest.mark.parametrize(
    "proxy", ["ftp://proxy:1", "socks5://proxy:1", "http://", "http://:abc", "http://p:99999", " "]
)
def test_a_proxy_that_cannot_be_used_is_refused_by_name(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(InvalidOptionError, match="HTTPS_PROXY"):
        Client()


def test_the_password_of_a_proxy_is_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for proxy in ("http://user:pa55@127.0.0.1:1", "ftp://user:pa55@127.0.0.1:1"):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        with pytest.raises(Exception, match=r"127\.0\.0\.1:1") as raised:
            Client(max_attempts=1).describe_table("orders")
        assert "pa55" not in str(raised.value)


def test_calls_of_two_accounts_go_to_one_endpoint_that_was_given(
    endpoint: ScriptedEndpoint, make_client: Callable[..., Client]
) -> None:
    endpoint.script = [Turn({"Table": {"TableName": "orders"}})]
    client = make_client()
    for table in ("orders", "arn:aws:dynamodb:eu-west-1:210987654321:table/orders"):
        client.describe_table(table)
    assert len({received.connection for received in endpoint.received}) == 1
    assert endpoint.received[1].parameters == {"TableName": "arn:aws:dynamodb:eu-west-1:210987654321:table/orders"}
