"""The services of AWS that are called, and their region, address, proxies and trust as botocore resolves them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, NoRegionError
from botocore.loaders import Loader, create_loader
from botocore.session import Session
from botocore.utils import get_environ_proxies

from beam_dynamodb_streams.errors import InvalidOptionError


@dataclass(frozen=True, slots=True)
class AwsService:
    """A service that speaks AWS's JSON protocol: all that a call must know of it.

    Attributes:
      name: botocore's name of the service, which finds its endpoint and its settings in the environment.
      target: the prefix of the X-Amz-Target header.
      signing_name: the name in the signature, and before the colon of an IAM action.
      ask: calls an operation of botocore's client on a resource of the account whose ARN begins so, or of none for an
        empty text. The call shows the endpoint, and is never sent.
      json_version: the version in the content type.
      permissions: the IAM actions of each operation that has no action of its own name.
    """

    name: str
    target: str
    signing_name: str
    ask: Callable[[BaseClient, str], object]
    json_version: str = "1.0"
    permissions: Mapping[str, str] = field(default_factory=dict)

    def permission(self, operation: str) -> str:
        return self.permissions.get(operation) or f"{self.signing_name}:{operation}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a service is and how to reach it. `verify` is True or the path of a CA bundle, never False.

    `signing_region` is the region in the signature. It differs from the client's region for a few special endpoints.
    """

    url: str
    signing_region: str
    user_agent: str
    verify: bool | str
    proxies: dict[str, str]
    proxies_config: dict[str, object] | None
    client_cert: str | tuple[str, str] | None


class Endpoints:
    """The endpoints of one configuration, as botocore itself resolves them. Thread-safe.

    A host depends on the service, the region, the switches of the environment and the profile (FIPS, dual-stack,
    AWS_ENDPOINT_URL_DYNAMODB_STREAMS, …), the account of the credentials, and the account of the stream or table that a
    call names. No rule of these is repeated here: a client of botocore is asked, which stops before it sends anything.

    `region_name` and `endpoint_url` win over the environment and the profile.

    Args:
      session: the source of credentials and settings.
      service: the service whose configuration is checked now.
      region_name: as in boto3.
      endpoint_url: serves every service.

    Raises:
      InvalidOptionError: no region was found, or an option or the AWS configuration is not valid.
    """

    def __init__(
        self, session: Session, service: AwsService, region_name: str | None, endpoint_url: str | None
    ) -> None:
        self._session = session
        self._region_name = region_name
        self._endpoint_url = endpoint_url
        self._lock = threading.RLock()
        self._clients: dict[str, BaseClient] = {}
        _share_models(session)
        meta = self._client(service).meta
        self.region_name: str = meta.region_name
        self.default = self._endpoint(service, meta.endpoint_url, meta.region_name)

    def resolve(self, service: AwsService, account: str) -> Endpoint:
        """Return the endpoint for calls on resources of `account`, the beginning of their ARN (see `account_of`).

        The first call for a service takes about 0.1 s: botocore loads the service's model.

        Raises:
          InvalidOptionError: the configuration is not valid, or its switches exclude each other or have no endpoint.
          CredentialsError: the account of the credentials is needed, and they could not be read.
        """
        found: list[tuple[str, str]] = []

        def stop(params: dict[str, Any], context: dict[str, Any], **_: object) -> tuple[_Unsent, dict[str, object]]:
            found.append((params["url"], context.get("signing", {}).get("region") or self.region_name))
            return _Unsent(), {}

        with self._lock, _invalid_configuration(self._region_name, self._endpoint_url):
            client = self._client(service)
            event = f"before-call.{client.meta.service_model.service_id.hyphenize()}"
            client.meta.events.register(event, stop, unique_id=event)
            try:
                service.ask(client, account)
            finally:
                client.meta.events.unregister(event, unique_id=event)
        url, region = found[0]
        return self._endpoint(service, url, region)

    def _client(self, service: AwsService) -> BaseClient:
        with self._lock, _invalid_configuration(self._region_name, self._endpoint_url):
            if service.name not in self._clients:
                self._clients[service.name] = self._session.create_client(
                    service.name,
                    region_name=self._region_name,
                    endpoint_url=self._endpoint_url,
                    config=Config(user_agent_extra="beam-dynamodb-streams"),
                )
            return self._clients[service.name]

    def _endpoint(self, service: AwsService, url: str, signing_region: str) -> Endpoint:
        with _invalid_configuration(self._region_name, self._endpoint_url):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise InvalidOptionError(
                    f"endpoint_url={without_password(url)!r} is not an HTTP address: use http://HOST:PORT or "
                    "https://HOST:PORT, or leave endpoint_url and the environment's AWS_ENDPOINT_URL out for AWS"
                )
            config = self._client(service).meta.config
            ca_bundle = self._session.get_config_variable("ca_bundle")
            return Endpoint(
                url=url if parts.path else f"{url}/",
                signing_region=signing_region,
                user_agent=config.user_agent,
                verify=ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or True,
                proxies=config.proxies if config.proxies is not None else get_environ_proxies(url),
                proxies_config=config.proxies_config,
                client_cert=config.client_cert,
            )


class _Unsent:
    """The answer to a call of botocore that was stopped before it was sent."""

    status_code = 200
    headers: Mapping[str, str] = {}


def account_of(parameters: Mapping[str, object]) -> str:
    """Return the beginning of the ARN that a call names, up to its account, or an empty string.

    The iterator of a shard begins with the ARN of its stream. Calls with the same beginning have the same endpoint.
    """
    for resource in (parameters.get(name) for name in ("ShardIterator", "StreamArn", "TableName")):
        if isinstance(resource, str):
            return ":".join(resource.split(":", 5)[:5]) if resource.startswith("arn:") else ""
    return ""


def without_password(url: str) -> str:
    """Return the address without the name and password that it may have."""
    before, slashes, after = url.rpartition("//")
    return f"{before}{slashes}{after.rpartition('@')[2]}"


@contextmanager
def _invalid_configuration(region_name: str | None, endpoint_url: str | None) -> Iterator[None]:
    try:
        yield
    except NoRegionError as error:
        raise InvalidOptionError(
            "no AWS region was found: pass region_name=, or set AWS_DEFAULT_REGION or the profile's region"
        ) from error
    except (BotoCoreError, ValueError, OSError) as error:
        if isinstance(error, InvalidOptionError):
            raise
        where = None if endpoint_url is None else without_password(str(endpoint_url))
        raise InvalidOptionError(
            f"region_name={region_name!r}, endpoint_url={where!r} or the AWS configuration: "
            f"{' '.join(str(error).split())}"
        ) from error


@cache
def _models(data_path: str | None) -> Loader:
    return create_loader(data_path)


def _share_models(session: Session) -> None:
    """Let the session use the models that another one of this process has loaded: they take most of the time."""
    with suppress(BotoCoreError):  # an invalid configuration is reported when the client is made
        session.register_component("data_loader", _models(session.get_config_variable("data_path")))
