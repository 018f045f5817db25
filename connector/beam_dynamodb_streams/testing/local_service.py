"""What the kit's services have in common: a server on loopback, faults, and counts of what was called."""

from __future__ import annotations

from types import TracebackType
from typing import Literal, TypedDict

from typing_extensions import Self

from beam_dynamodb_streams.testing.calls import Calls, Counts
from beam_dynamodb_streams.testing.faults import FaultRules, Faults
from beam_dynamodb_streams.testing.server import HOST, Server


class ClientOptions(TypedDict):
    """Arguments for `boto3.client` and for `botocore.session.Session.create_client`."""

    endpoint_url: str
    region_name: str
    aws_access_key_id: str
    aws_secret_access_key: str


class LocalService:
    """A service that is served on loopback between `start` and `stop`, or in a `with` block.

    Args:
        calls: Answers the requests.
        rules: The faults and the clock.
        port: The port on loopback; 0 for any free port.
        region_name: The region in ARNs.
    """

    def __init__(self, calls: Calls, rules: FaultRules, port: int, region_name: str) -> None:
        self.clock = rules.clock
        self.region_name = region_name
        self._calls = calls
        self._rules = rules
        self._lock = calls.lock
        self._server = Server(calls, port)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self.stop()
        return False

    def start(self) -> None:
        """Start serving. A service can be started once."""
        self._server.start()

    def stop(self) -> None:
        """Stop serving and close every connection. Tables and streams stay readable from Python."""
        self._server.stop()

    @property
    def endpoint_url(self) -> str:
        """The URL of the service, once started."""
        return f"http://{HOST}:{self._server.port}"

    @property
    def client_options(self) -> ClientOptions:
        """The arguments with which a boto3 or botocore client calls this service."""
        return {
            "endpoint_url": self.endpoint_url,
            "region_name": self.region_name,
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
        }

    @property
    def faults(self) -> Faults:
        """The current faults of calls and writes. Assign to change them."""
        return self._rules.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        with self._lock:
            self._rules.faults = faults

    @property
    def counts(self) -> Counts:
        """What was called and served until now."""
        return self._calls.counts()

    def reset_counts(self) -> None:
        """Set all counts to zero."""
        self._calls.reset()
