"""Credentials that can be renewed, and signatures with them by the service's clock."""

from __future__ import annotations

import logging
import pkgutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import botocore
from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as SourceConnectionError
from botocore.session import Session

from beam_dynamodb_streams.errors import ConnectorError, CredentialsError, UnavailableError
from beam_dynamodb_streams.wire.error_codes import SIGNATURE_CODES
from beam_dynamodb_streams.wire.signature import Signatures

_T = TypeVar("_T")


class Signer:
    """Signs requests with the session's credentials. Thread-safe.

    botocore refreshes credentials shortly before they expire. `renew` is for those that the service refuses anyway.

    Raises:
      CredentialsError: no credentials were found, or their source failed, here and in every method.
      UnavailableError: the source of the credentials did not answer.
    """

    def __init__(self, session: Session, now: Callable[[], float]) -> None:
        self._session = session
        self._signatures = Signatures(now)
        self._lock = threading.Lock()
        _quieten_botocore()
        credentials = from_source(session.get_credentials)
        if credentials is None:
            raise CredentialsError(
                "no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a "
                "profile with AWS_PROFILE, or run with a role (for a local endpoint any two words will do)"
            )
        self._credentials: Credentials = credentials

    def credentials(self) -> ReadOnlyCredentials:
        """Return the credentials to sign with now, refreshed if they are about to expire."""
        frozen: ReadOnlyCredentials = from_source(self._credentials.get_frozen_credentials)
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
        self._signatures.add(signing_name, region_name, url, headers, body, credentials)

    def renew(self, refused: ReadOnlyCredentials) -> bool:
        """Look for credentials other than `refused`, once for all threads. Return whether there are any."""
        with self._lock:
            if self.credentials() != refused:
                return True
            if isinstance(self._credentials, RefreshableCredentials):
                from_source(self._refresh)
            elif self._credentials.method != "explicit":
                # Keys in the environment or in a file that something else keeps fresh.
                chain = self._session.get_component("credential_provider")
                self._credentials = from_source(chain.load_credentials) or self._credentials
            return bool(self.credentials() != refused)

    def _refresh(self) -> None:
        # botocore has no public way to refresh before the expiry that it knows of.
        with self._credentials._refresh_lock:
            self._credentials._protected_refresh(is_mandatory=True)


def from_source(source: Callable[[], _T]) -> _T:
    """Return what a source of credentials returns. botocore logs nothing at DEBUG meanwhile: it would log the secrets.

    Raises:
      CredentialsError: the source failed: its file, program, token or answer is missing or is not what it should be.
      UnavailableError: the source did not answer.
    """
    try:
        with _silence.held():
            return source()
    except ConnectorError:
        raise
    except (SourceConnectionError, HTTPClientError) as error:
        raise UnavailableError(f"the source of the credentials did not answer: {_one_line(error)}") from error
    # Any class, since botocore's own exceptions are not all that a source raises: RuntimeError for credentials that are
    # still expired after a refresh, OSError for a file or program that is missing, ValueError, KeyError, TypeError and
    # AttributeError for output that is not JSON, or JSON of another form.
    except Exception as error:  # noqa: BLE001
        quoted, reason = _reason(error)
        raise CredentialsError(
            f"the credentials could not be read or refreshed: {reason}; check the profile in use and the files, "
            "programs and roles that it names"
        ) from (error if quoted else None)


def _reason(error: Exception) -> tuple[bool, str]:
    """Return whether the text of the error has no secret in it, and what may be said of it."""
    if isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") in SIGNATURE_CODES:
        # The text quotes the signed request, with its session token.
        return False, f"{error.operation_name} was refused ({error.response['Error']['Code']})"
    if isinstance(error, BotoCoreError | ClientError | RuntimeError | OSError | ValueError):
        return True, _one_line(error)
    return True, f"their source returned something else than credentials ({type(error).__name__}: {_one_line(error)})"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


class _Silence(logging.Filter):
    """Drops what botocore logs at DEBUG in the threads that read credentials, and the tracebacks of its warnings.

    botocore's clients for STS and SSO log requests with their session token, and answers with the new secret key. A
    refresh that fails is logged with a traceback. Where it was mandatory, the error is raised as well and says more.
    """

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.local()

    @contextmanager
    def held(self) -> Iterator[None]:
        before = getattr(self._thread, "silent", False)
        self._thread.silent = True
        try:
            yield
        finally:
            self._thread.silent = before

    def filter(self, record: logging.LogRecord) -> bool:
        if not getattr(self._thread, "silent", False):
            return True
        if record.exc_info and isinstance(error := record.exc_info[1], Exception):
            if "mandatory" in record.getMessage():
                return False
            record.msg, record.args, record.exc_info = f"{record.getMessage()} {_reason(error)[1]}", (), None
        return record.levelno > logging.DEBUG


_silence = _Silence()


def _quieten_botocore() -> None:
    """Let `_silence` see what each module of botocore logs. A logger's filter does not see its children's records."""
    for package in ("botocore", "botocore.retries", "botocore.crt"):
        path = [f"{root}/{package.partition('.')[2]}" for root in botocore.__path__]
        for module in pkgutil.iter_modules(path, f"{package}."):
            logging.getLogger(module.name).addFilter(_silence)
