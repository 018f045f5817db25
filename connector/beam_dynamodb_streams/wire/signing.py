"""Signature Version 4 by botocore, with the service's clock and with credentials that can be renewed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as SourceConnectionError
from botocore.session import Session

from beam_dynamodb_streams.errors import CredentialsError, UnavailableError

_T = TypeVar("_T")


class _Request:
    """The parts of a request that botocore's signer reads and writes. Its own AWSRequest takes 40 µs more to make."""

    __slots__ = ("body", "chosen", "context", "headers", "method", "params", "url")

    def __init__(self, url: str, headers: dict[str, str], body: bytes, timestamp: str) -> None:
        self.method = "POST"
        self.url = url
        self.headers = headers
        self.body = body
        self.params: dict[str, str] = {}
        self.context: dict[str, object] = {"timestamp": timestamp}
        self.chosen: HTTPHeaders | None = None


class _SigV4Auth(SigV4Auth):
    """botocore's signer, with two differences.

    It signs with the time in `request.context`; botocore's own reads the wall clock. It logs nothing; botocore's own
    logs the canonical request, which contains the session's credentials.
    """

    def headers_to_sign(self, request: _Request) -> HTTPHeaders:
        # botocore calls this twice, and it is the slowest part of signing.
        if request.chosen is None:
            request.chosen = super().headers_to_sign(request)
        return request.chosen

    def add_auth(self, request: _Request) -> None:
        self._modify_request_before_signing(request)
        string_to_sign = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(string_to_sign, request))


class Signer:
    """Signs requests with the session's credentials. Thread-safe.

    botocore refreshes credentials shortly before they expire. `renew` is for those that the service refuses anyway.

    Raises:
      CredentialsError: no credentials were found, or their source failed, here and in every method.
      UnavailableError: the source of the credentials did not answer.
    """

    def __init__(self, session: Session, now: Callable[[], float]) -> None:
        self._session = session
        self._now = now
        self._lock = threading.Lock()
        credentials = _resolve(session.get_credentials)
        if credentials is None:
            raise CredentialsError(
                "no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a "
                "profile with AWS_PROFILE, or run with a role (for a local endpoint any two words will do)"
            )
        self._credentials: Credentials = credentials

    def credentials(self) -> ReadOnlyCredentials:
        """Return the credentials to sign with now, refreshed if they are about to expire."""
        frozen: ReadOnlyCredentials = _resolve(self._credentials.get_frozen_credentials)
        return frozen

    def sign(
        self,
        signing_name: str,
        region_name: str,
        url: str,
        headers: dict[str, str],
        body: bytes,
        credentials: ReadOnlyCredentials,
    ) -> None:
        """Add the date and the signature to `headers`. All headers that are there already are signed."""
        timestamp = time.strftime(SIGV4_TIMESTAMP, time.gmtime(self._now()))
        signer = _SigV4Auth(credentials, signing_name, region_name)
        signer.add_auth(_Request(url, headers, body, timestamp))

    def renew(self, refused: ReadOnlyCredentials) -> bool:
        """Look for credentials other than `refused`, once for all threads. Return whether there are any."""
        with self._lock:
            if self.credentials() != refused:
                return True
            if isinstance(self._credentials, RefreshableCredentials):
                _resolve(self._refresh)
            elif self._credentials.method != "explicit":
                # Keys in the environment or in a file that something else keeps fresh.
                chain = self._session.get_component("credential_provider")
                self._credentials = _resolve(chain.load_credentials) or self._credentials
            return bool(self.credentials() != refused)

    def _refresh(self) -> None:
        # botocore has no public way to refresh before the expiry that it knows of.
        with self._credentials._refresh_lock:
            self._credentials._protected_refresh(is_mandatory=True)


# botocore's own exceptions are not all that a source of credentials raises:
# - RuntimeError: "Credentials were refreshed, but the refreshed credentials are still expired."
# - OSError: the file of a web identity token, or the program of a credential_process, is not there.
# - ValueError: a credential_process printed something that is not JSON.
def _resolve(source: Callable[[], _T]) -> _T:
    try:
        return source()
    except (SourceConnectionError, HTTPClientError) as error:
        raise UnavailableError(f"the source of the credentials did not answer: {error}") from error
    except (BotoCoreError, ClientError, RuntimeError, OSError, ValueError) as error:
        raise CredentialsError(f"the credentials could not be read or refreshed: {error}") from error
