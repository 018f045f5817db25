"""HTTP on pooled connections, with botocore's TLS and proxies. An answer arrives whole, or it is an error."""

from __future__ import annotations

import socket
import ssl
import zlib
from dataclasses import dataclass

import urllib3
from botocore.httpsession import URLLib3Session
from urllib3.util.ssl_match_hostname import CertificateError as HostnameError

from beam_dynamodb_streams.errors import CertificateError, ClosedError, UnavailableError
from beam_dynamodb_streams.wire.endpoint import Endpoint


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
    """The connections to one endpoint. Thread-safe. `max_connections` are kept open between calls."""

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
        self._pool, self._target = self._session.pool(endpoint.url)

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
                    f"the TLS certificate of {self.url} is not trusted: {error}; check the endpoint, and AWS_CA_BUNDLE "
                    "for an authority of your own"
                ) from error
            raise UnavailableError(f"{self.url} did not answer: {type(error).__name__}: {error}") from error
        content = response.data
        answer_headers = response.headers
        checksum = answer_headers.get("x-amz-crc32")
        if checksum is not None and checksum != str(zlib.crc32(content)):
            raise UnavailableError(f"the answer of {self.url} does not match its x-amz-crc32 {checksum}")
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
