"""Region, addresses, proxies and trust, as botocore resolves them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    NoRegionError,
    PartialCredentialsError,
)
from botocore.session import Session
from botocore.utils import get_environ_proxies

from beam_dynamodb_streams.errors import CredentialsError, InvalidOptionError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a service is and how to reach it. ``verify`` is True or the path of a CA bundle, never False."""

    url: str
    region_name: str
    user_agent: str
    verify: bool | str
    proxies: dict[str, str]
    proxies_config: dict[str, object] | None
    client_cert: str | tuple[str, str] | None


def resolve(session: Session, service: str, region_name: str | None, endpoint_url: str | None) -> Endpoint:
    """``service`` is "dynamodb" or "dynamodbstreams". Takes some 0.1 s: botocore loads the service's model.

    ``region_name`` and ``endpoint_url`` win over the environment (AWS_REGION,
    AWS_ENDPOINT_URL_DYNAMODB_STREAMS, …) and the profile, whose other settings (proxies, FIPS and
    dual-stack endpoints, CA bundle) hold.
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
    except PartialCredentialsError as error:
        raise CredentialsError(f"the AWS credentials are incomplete: {error}") from error
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
