"""Signature Version 4 of requests that differ in their body and their date alone.

botocore's signer makes the canonical request once for each kind of request. Later ones put their date and the hash of
their body into its text, and sign with the key of the day. That takes a tenth of the time of botocore's own.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.compat import HTTPHeaders
from botocore.credentials import ReadOnlyCredentials

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_REMEMBERED: Final = 64  # kinds of requests, and keys of a day
_DATE: Final = "20000101T000000Z"  # stands for the date in the text of botocore


class _Request:
    """The parts of a request that botocore's signer reads."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.method = "POST"
        self.url = url
        self.headers = headers
        self.body = b"{}"
        self.params: dict[str, str] = {}
        self.context: dict[str, object] = {"timestamp": _DATE}


@dataclass(frozen=True, slots=True)
class _Template:
    """The canonical request before and behind its date, without the hash of the body, and the names that are signed."""

    before: str
    behind: str
    signed_headers: str


class Signatures:
    """Makes signatures. Thread-safe: what is remembered follows from the arguments alone.

    Args:
      now: returns the time to sign with, in epoch seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._templates: dict[tuple[object, ...], _Template] = {}
        self._keys: dict[tuple[str, ...], bytes] = {}
        self._second = (-1, "")

    def add(
        self,
        signing_name: str,
        region_name: str,
        url: str,
        headers: dict[str, str],
        body: bytes,
        credentials: ReadOnlyCredentials,
    ) -> None:
        """Add the date, the session token and the signature to `headers`. All headers that are there are signed."""
        if credentials.token:
            headers["X-Amz-Security-Token"] = credentials.token
        timestamp = self._timestamp()
        template = self._template(url, headers)
        scope = f"{timestamp[:8]}/{region_name}/{signing_name}/aws4_request"
        canonical = f"{template.before}{timestamp}{template.behind}{sha256(body).hexdigest()}"
        to_sign = f"{_ALGORITHM}\n{timestamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        key = self._key(credentials.secret_key, timestamp[:8], region_name, signing_name)
        headers["X-Amz-Date"] = timestamp
        headers["Authorization"] = (
            f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={template.signed_headers}, "
            f"Signature={hmac.digest(key, to_sign.encode(), 'sha256').hex()}"
        )

    def _timestamp(self) -> str:
        second = int(self._now())
        known, text = self._second
        if known != second:
            text = time.strftime(SIGV4_TIMESTAMP, time.gmtime(second))
            self._second = (second, text)
        return text

    def _template(self, url: str, headers: dict[str, str]) -> _Template:
        key = (url, *headers.items())
        found = self._templates.get(key)
        if found is None:
            found = _template_of(url, headers)
            with self._lock:
                if len(self._templates) >= _REMEMBERED:  # a session token that was renewed, again and again
                    self._templates.clear()
                self._templates[key] = found
        return found

    def _key(self, secret: str, date: str, region_name: str, signing_name: str) -> bytes:
        place = (secret, date, region_name, signing_name)
        found = self._keys.get(place)
        if found is None:
            found = f"AWS4{secret}".encode()
            for part in (date, region_name, signing_name, "aws4_request"):
                found = hmac.digest(found, part.encode(), "sha256")
            with self._lock:
                if len(self._keys) >= _REMEMBERED:
                    self._keys.clear()
                self._keys[place] = found
        return found


def _template_of(url: str, headers: dict[str, str]) -> _Template:
    signer = SigV4Auth(None, "", "")
    request = _Request(url, {**headers, "X-Amz-Date": _DATE})
    names: HTTPHeaders = signer.headers_to_sign(request)
    whole = signer.canonical_request(request)
    before, _, behind = whole.partition(f"x-amz-date:{_DATE}")
    return _Template(f"{before}x-amz-date:", behind.removesuffix(signer.payload(request)), signer.signed_headers(names))


def signed_host(url: str) -> str:
    """Return the header Host of requests to this address, as it is signed."""
    host: str = SigV4Auth(None, "", "").headers_to_sign(_Request(url, {}))["host"]
    return host
