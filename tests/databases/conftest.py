"""A PostgreSQL server of Debian's packages on loopback, in a temporary directory, as a user who is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), Path("/usr/lib/postgresql"))


def _owner() -> dict[str, Any]:
    """Return how to start a program of the server: as another user if this one is root, which it refuses."""
    if os.getuid() != 0:
        return {}
    names = {each.pw_name for each in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a database on a server of its own."""
    if not (FOLDER / "initdb").exists():
        pytest.skip("NOT RUN: no PostgreSQL server; Debian's package is postgresql")
    psycopg = pytest.importorskip("psycopg", reason="NOT RUN: psycopg is not installed")
    owner = _owner()
    directory = Path(tempfile.mkdtemp(prefix="postgresql-"))
    if owner:
        os.chown(directory, owner["user"], owner["group"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = directory / "data"
    initdb = [FOLDER / "initdb", "-D", data, "--no-sync", "--auth=trust", "--username=tests", "--encoding=UTF8"]
    # A collation in which text does not sort by bytes, as most servers have one.
    initdb += ["--locale-provider=icu", "--icu-locale=en"]
    subprocess.run(initdb, check=True, capture_output=True, cwd=directory, **owner)
    options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": directory, "fsync": "off"}
    command = [FOLDER / "postgres", "-D", data, *(f"--{name}={value}" for name, value in options.items())]
    log = (directory / "log").open("wb")
    server = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory, **owner)
    url = f"postgresql://tests@127.0.0.1:{port}/postgres"
    try:
        for attempt in range(100):
            try:
                psycopg.connect(url, connect_timeout=5).close()
                break
            except psycopg.OperationalError:
                assert server.poll() is None, (directory / "log").read_text()
                assert attempt < 99, (directory / "log").read_text()
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=20)
        log.close()
        shutil.rmtree(directory, ignore_errors=True)
