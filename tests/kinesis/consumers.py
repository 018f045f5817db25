"""Unmodified consumers of Kinesis, as processes that append what they processed to a file."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

PEERS = Path(__file__).parent / "peers"
ROOT = Path(__file__).parents[2]

#: What `make kcl` sets up, or CONNECTOR_KCL in a copy of the tree.
BUILT = Path(os.environ.get("CONNECTOR_KCL", ROOT / ".build" / "kcl"))

#: KCL 1 with the DynamoDB Streams Kinesis Adapter, which reads DynamoDB Streams itself.
ADAPTER = "adapter 1.6.1"

NAMES = ("kcl 3.1.3", "kcl 2.7.2", "kcl 1.14.9", "npm", "async-kinesis")

_JAVA = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

_PROPERTIES = """\
executableName = {python} {app}
streamName = {stream}
applicationName = {application}
workerId = {worker}
AwsCredentialsProvider = DefaultCredentialsProvider
initialPositionInStream = TRIM_HORIZON
regionName = us-east-1
kinesisEndpoint = {kinesis}
dynamoDBEndpoint = {leases}
metricsLevel = NONE
retrievalMode = POLLING
failoverTimeMillis = 4000
idleTimeBetweenReadsInMillis = 250
parentShardPollIntervalMillis = 500
shardSyncIntervalMillis = 2000
"""


def require(name: str) -> None:
    """Skip the test, and say so, where a consumer is not on this machine."""
    needs = {
        "kcl 3.1.3": ("java", BUILT / "kclpy3" / ".ready"),
        "kcl 2.7.2": ("java", BUILT / "kclpy2" / ".ready"),
        "kcl 1.14.9": ("java", BUILT / "kcl1" / "classpath.txt"),
        ADAPTER: ("java", BUILT / "kcl1" / "classpath.txt"),
        "npm": ("node", BUILT / "npm" / ".ready"),
        "async-kinesis": ("python3", BUILT / "async" / ".ready"),
    }
    program, file = needs[name]
    if shutil.which(program) is None or not file.exists():
        pytest.skip(f"NOT RUN: {name} is not here; `make kcl` sets it up where {program} is installed")


@dataclass
class Consumer:
    """A running consumer. `file` has a line for each record and each end of a shard that it processed."""

    name: str
    application: str
    file: Path
    output: Path
    process: subprocess.Popen[bytes]

    @property
    def lines(self) -> list[dict[str, Any]]:
        if not self.file.exists():
            return []
        whole = self.file.read_text("utf-8").rpartition("\n")[0]
        return [json.loads(line) for line in whole.split("\n") if line]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == "record"]

    def kill(self) -> None:
        """Kill the consumer and what it started, so that it cannot give anything back."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Consumers:
    """Starts consumers of a stream, and the servers that keep their leases. `stream` is for those of amazon_kclpy.

    `adapted`: the ARN of the stream and the address of DynamoDB Streams, for the adapter.
    """

    kinesis: str
    directory: Path
    leases: Callable[[str], str]
    stream: str = "orders"
    adapted: tuple[str, str] = ("", "")
    started: list[Consumer] = field(default_factory=list)

    def start(self, name: str, *, application: str = "", file: str = "") -> Consumer:
        """Start a consumer. Two of one application share leases; two of one file append to it."""
        application = application or name.replace(" ", "-")
        worker = f"worker-{len(self.started)}"
        records = self.directory / (file or f"{worker}.jsonl")
        output = self.directory / f"{worker}.txt"
        environment = {**os.environ, "KCL_RECORDS": str(records), "AWS_REGION": "us-east-1"}
        with output.open("wb") as said:
            process = subprocess.Popen(
                self._command(name, application, worker, records),
                env=environment,
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                start_new_session=True,
            )
        consumer = Consumer(name, application, records, output, process)
        self.started.append(consumer)
        return consumer

    def leases_of(self, consumer: Consumer) -> str:
        """Return the URL of the server that has the leases of a consumer."""
        return self.leases("dynalite" if consumer.name in ("kcl 1.14.9", ADAPTER) else "moto")

    def _command(self, name: str, application: str, worker: str, records: Path) -> list[str]:
        match name:
            case "kcl 3.1.3" | "kcl 2.7.2":
                home = BUILT / ("kclpy3" if name == "kcl 3.1.3" else "kclpy2")
                (jars,) = home.glob("lib/python*/site-packages/amazon_kclpy/jars")
                properties = self.directory / f"{worker}.properties"
                text = _PROPERTIES.format(
                    stream=self.stream,
                    python=home / "bin" / "python",
                    app=PEERS / "kcl_app.py",
                    application=application,
                    worker=worker,
                    kinesis=self.kinesis,
                    leases=self.leases("moto"),
                )
                properties.write_text(text + ("leaseAssignmentIntervalMillis = 2000\n" if "3." in name else ""))
                daemon = "software.amazon.kinesis.multilang.MultiLangDaemon"
                return ["java", *_JAVA, "-cp", f"{jars}/*", daemon, "--properties-file", str(properties)]
            case "kcl 1.14.9" | "adapter 1.6.1":
                path = (BUILT / "kcl1" / "classpath.txt").read_text().strip()
                program = [str(PEERS / "Kcl1Worker.java"), self.kinesis, self.leases("dynalite")]
                words = ["java", *_JAVA, "-cp", path, *program, application, worker, str(records)]
                return words if name == "kcl 1.14.9" else [*words, *self.adapted]
            case "npm":
                modules = f"{BUILT / 'npm'}/"
                return ["node", str(PEERS / "npm_client.mjs"), self.kinesis, str(records), modules]
        python = BUILT / "async" / "bin" / "python"
        return [str(python), str(PEERS / "async_client.py"), self.kinesis, str(records)]

    def stop(self) -> None:
        for consumer in self.started:
            consumer.kill()


@contextmanager
def lease_servers(moto: Callable[[], Any]) -> Iterator[Callable[[str], str]]:
    """Yield a function that starts the server of lease tables of a name, once, and returns its URL.

    moto serves KCL 2 and 3. KCL 1 loses its leases there, and dynalite serves it.
    """
    urls: dict[str, str] = {}
    with ExitStack() as stack:

        def url(name: str) -> str:
            if name not in urls:
                urls[name] = stack.enter_context(moto() if name == "moto" else _dynalite())
            return urls[name]

        yield url


@contextmanager
def _dynalite() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = BUILT / "npm" / "node_modules" / "dynalite" / "cli.js"
    command = ["node", str(program), "--port", str(port), "--createTableMs", "0", "--host", "127.0.0.1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _accepts(port), 20, "dynalite has not started")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_until(happened: Callable[[], bool], seconds: float, what: str | Callable[[], str]) -> None:
    """Return once something has happened. Fail after `seconds`, with `what`."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            pytest.fail(what if isinstance(what, str) else what())
        time.sleep(0.1)


def tail(file: Path | IO[bytes], lines: int = 15) -> str:
    text = file.read_text("utf-8", "replace") if isinstance(file, Path) else ""
    return "\n".join(line[:300] for line in text.splitlines()[-lines:])
