"""HTTP on pooled connections, with botocore's TLS and proxies. An answer arrives whole, in time, or is an error."""

from __future__ import annotations

import socket
import ssl
import zlib
from dataclasses import dataclass

import urllib3
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from urllib3.util.ssl_match_hostname import CertificateError as HostnameError

from beam_dynamodb_streams.errors import (
    CertificateError,
    ClosedError,
    CredentialsError,
    InvalidOptionError,
    UnavailableError,
)
from beam_dynamodb_streams.wire.connection import timed
from beam_dynamodb_streams.wire.endpoint import Endpoint, without_password
from beam_dynamodb_streams.wire.signature import signed_host


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `body` has the Content-Length and the x-amz-crc32 that were sent with it, if any."""

    status: int
    body: bytes
    date: str | None
    error_type: str | None
    request_id: str


class _Session(URLLib3Session):
    """botocore's rules of trust and proxies, without its `send`, which takes 1.5 times as long as the pool's own."""

    def pool(self, url: str) -> tuple[urllib3.HTTPConnectionPool, str]:
        proxy_url = self._proxy_config.proxy_url_for(url)
        pool = self._get_connection_manager(url, proxy_url).connection_from_url(url)
        self._setup_ssl_cert(pool, url, self._verify)
        return pool, self._get_request_target(url, proxy_url)


class Transport:
    """The connections to one endpoint. Thread-safe. `max_connections` are kept open between calls.

    Args:
      endpoint: what is called.
      max_connections: connections that are kept open.
      connect_timeout: seconds.
      read_timeout: seconds for the whole answer. A large answer has one more second for each 8 kB that have arrived.

    Raises:
      InvalidOptionError: the address, the proxy or the CA bundle cannot be used.
    """

    def __init__(
        self, endpoint: Endpoint, *, max_connections: int, connect_timeout: float, read_timeout: float
    ) -> None:
        self.url = endpoint.url
        self.user_agent = endpoint.user_agent
        self._session = _Session(
            verify=endpoint.verify,
            proxies=endpoint.proxies,
            proxies_config=endpoint.proxies_config,
            client_cert=endpoint.client_cert,
            timeout=(connect_timeout, read_timeout),
            max_pool_connections=max_connections,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        _check_proxy(endpoint)
        try:
            self._pool, self._target = self._session.pool(endpoint.url)
        # What urllib3 and botocore raise for addresses, proxies, bundles and certificates that cannot be used.
        except (urllib3.exceptions.HTTPError, BotoCoreError, ValueError, OSError) as error:
            raise InvalidOptionError(
                f"{without_password(self.url)} cannot be called{_proxy_text(endpoint)}: {error}; check endpoint_url=, "
                "HTTP_PROXY and HTTPS_PROXY (http://HOST:PORT), and AWS_CA_BUNDLE"
            ) from None
        self._pool.ConnectionCls = timed(self._pool.ConnectionCls, read_timeout, signed_host(endpoint.url))
        self._where = f"{without_password(self.url)}{_proxy_text(endpoint)}"

    def post(self, headers: dict[str, str], body: bytes) -> Answer:
        """Send one request and return its answer, whatever its status. Nothing is retried here.

        Raises:
          UnavailableError: the connection failed, timed out, or was cut before the end of the answer.
          CertificateError: the endpoint's certificate is not trusted.
          ClosedError: the transport was closed.
        """
        try:
            response = self._pool.urlopen(
                "POST",
                self._target,
                body=body,
                headers=headers,
                retries=False,
                redirect=False,
                assert_same_host=False,
                decode_content=False,
            )
        except urllib3.exceptions.ClosedPoolError:
            raise ClosedError("the client is closed") from None
        except urllib3.exceptions.HTTPError as error:
            if _is_untrusted(error):
                raise CertificateError(
                    f"the TLS certificate of {self._where} is not trusted: {error}; check the endpoint, and "
                    "AWS_CA_BUNDLE for an authority of your own"
                ) from error
            raise UnavailableError(f"{self._where} did not answer: {type(error).__name__}: {error}") from error
        except ValueError:
            # Only the credentials' parts of the headers are not our own text. The error's text may quote them.
            raise CredentialsError(
                "the credentials have a character that no HTTP header can carry; check the access key and the session "
                "token in use"
            ) from None
        content = response.data
        answer_headers = response.headers
        checksum = answer_headers.get("x-amz-crc32")
        if checksum is not None and checksum != str(zlib.crc32(content)):
            raise UnavailableError(f"the answer of {self._where} does not match its x-amz-crc32 {checksum}")
        return Answer(
            status=response.status,
            body=content,
            date=answer_headers.get("date"),
            error_type=answer_headers.get("x-amzn-errortype"),
            request_id=answer_headers.get("x-amzn-requestid", ""),
        )

    def close(self) -> None:
        self._session.close()


def _is_untrusted(error: urllib3.exceptions.HTTPError) -> bool:
    """Return whether the certificate is not trusted or is another host's: that does not pass by waiting."""
    cause = error.original_error if isinstance(error, urllib3.exceptions.ProxyError) else error
    return isinstance(cause, urllib3.exceptions.SSLError) and isinstance(
        cause.args[0], ssl.SSLCertVerificationError | HostnameError
    )


def _check_proxy(endpoint: Endpoint) -> None:
    proxy = endpoint.proxies.get(endpoint.url.partition(":")[0])
    if proxy is None:
        return
    scheme, separator, rest = proxy.partition("://")  # a host alone is an HTTP proxy
    host = (rest if separator else proxy).rpartition("@")[2]
    if not host.strip("/ ") or (separator and scheme.lower() not in ("http", "https")):
        raise InvalidOptionError(
            f"the proxy {without_password(proxy)!r} cannot be used for {without_password(endpoint.url)}: set "
            "HTTP_PROXY and HTTPS_PROXY to http://HOST:PORT, or name the host in NO_PROXY"
        )


def _proxy_text(endpoint: Endpoint) -> str:
    proxy = endpoint.proxies.get(endpoint.url.partition(":")[0])
    return f" through the proxy {without_password(proxy)}" if proxy else ""
