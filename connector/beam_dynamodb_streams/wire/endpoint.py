"""The services of AWS that are called, and their region, address, proxies and trust as botocore resolves them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from botocore.config import Config
from botocore.exceptions import BotoCoreError, NoRegionError
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
      json_version: the version in the content type.
      permissions: the IAM actions of each operation that has no action of its own name.
    """

    name: str
    target: str
    signing_name: str
    json_version: str = "1.0"
    permissions: Mapping[str, str] = field(default_factory=dict)

    def permission(self, operation: str) -> str:
        return self.permissions.get(operation) or f"{self.signing_name}:{operation}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a service is and how to reach it. `verify` is True or the path of a CA bundle, never False."""

    url: str
    region_name: str
    user_agent: str
    verify: bool | str
    proxies: dict[str, str]
    proxies_config: dict[str, object] | None
    client_cert: str | tuple[str, str] | None


def resolve(session: Session, service: str, region_name: str | None, endpoint_url: str | None) -> Endpoint:
    """Return the endpoint of `service`, by botocore's name. Takes about 0.1 s: botocore loads the service's model.

    `region_name` and `endpoint_url` win over the environment (AWS_REGION, AWS_ENDPOINT_URL_DYNAMODB_STREAMS, …) and
    the profile. The other settings of those hold: proxies, FIPS and dual-stack endpoints, the CA bundle.

    Raises:
      InvalidOptionError: no region was found, or an option or the AWS configuration is not valid.
    """
    try:
        client = session.create_client(
            service,
            region_name=region_name,
            endpoint_url=endpoint_url,
            config=Config(user_agent_extra="beam-dynamodb-streams"),
        )
        meta = client.meta
        trust = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE") or True
    except NoRegionError as error:
        raise InvalidOptionError(
            "no AWS region was found: pass region_name=, or set AWS_DEFAULT_REGION or the profile's region"
        ) from error
    except (BotoCoreError, ValueError) as error:
        raise InvalidOptionError(
            f"region_name={region_name!r}, endpoint_url={endpoint_url!r} or the AWS configuration: {error}"
        ) from error
    url: str = meta.endpoint_url
    config = meta.config
    return Endpoint(
        url=url if url.partition("://")[2].count("/") else f"{url}/",
        region_name=meta.region_name,
        user_agent=config.user_agent,
        verify=trust,
        proxies=config.proxies if config.proxies is not None else get_environ_proxies(url),
        proxies_config=config.proxies_config,
        client_cert=config.client_cert,
    )
