"""Flink's REST interface, as far as tests need it: jobs, checkpoints, savepoints, cancelling."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Final

#: Jobs in these states are over. GONE means that Flink has ended too, as an embedded one does with its job.
OVER: Final = frozenset({"FINISHED", "CANCELED", "FAILED", "GONE"})


@dataclass(frozen=True, slots=True)
class Job:
    """One job of a running Flink, whose REST interface is at `url`."""

    url: str
    job_id: str

    @property
    def state(self) -> str:
        """RUNNING, RESTARTING, CREATED and others, or one of `OVER`."""
        try:
            return str(self.get()["state"])
        except urllib.error.HTTPError:
            raise
        except (urllib.error.URLError, ConnectionError):
            return "GONE"

    def get(self, path: str = "") -> Any:
        """Return the answer of `/jobs/ID` + `path`."""
        return call(f"{self.url}/jobs/{self.job_id}{path}")

    @property
    def checkpoints(self) -> int:
        """How many checkpoints completed."""
        return int(self.get("/checkpoints")["counts"]["completed"])

    @property
    def checkpoint_bytes(self) -> int:
        """The size of the latest completed checkpoint; 0 before the first."""
        latest = self.get("/checkpoints")["latest"]["completed"]
        return int(latest["state_size"]) if latest else 0

    @property
    def checkpoint_path(self) -> str:
        """The directory of the latest completed checkpoint."""
        return str(self.get("/checkpoints")["latest"]["completed"]["external_path"])

    def cancel(self, *, seconds: float = 30.0) -> None:
        """Stop the job. Beam's own `cancel()` reports CANCELLED while the job still runs (2.43 to 2.70)."""
        call(f"{self.url}/jobs/{self.job_id}?mode=cancel", method="PATCH")
        self.wait(seconds=seconds)

    def wait(self, *, seconds: float) -> str:
        """Wait until the job is over, and return its state."""
        deadline = time.monotonic() + seconds
        while (state := self.state) not in OVER:
            if time.monotonic() > deadline:
                raise TimeoutError(f"job {self.job_id} is still {state} after {seconds} seconds")
            time.sleep(0.1)
        return state

    def stop_with_savepoint(self, directory: str, *, seconds: float = 60.0) -> str:
        """Stop the job without draining it, and return the path of the savepoint."""
        asked = call(
            f"{self.url}/jobs/{self.job_id}/stop",
            method="POST",
            body={"targetDirectory": directory, "drain": False},
        )
        deadline = time.monotonic() + seconds
        while True:
            answer = self.get(f"/savepoints/{asked['request-id']}")
            if answer["status"]["id"] == "COMPLETED":
                if "location" not in answer["operation"]:
                    raise RuntimeError(f"no savepoint of job {self.job_id}: {answer['operation']}")
                return str(answer["operation"]["location"])
            if time.monotonic() > deadline:
                raise TimeoutError(f"the savepoint of job {self.job_id} took longer than {seconds} seconds")
            time.sleep(0.1)


def jobs(url: str) -> list[Job]:
    """Return all jobs of this REST interface, finished ones too."""
    return [Job(url, listed["id"]) for listed in call(f"{url}/jobs")["jobs"]]


def call(url: str, *, method: str = "GET", body: object = None) -> Any:
    """Return the decoded answer. Raise an error of urllib for any status other than 2xx."""
    request = urllib.request.Request(  # noqa: S310 - http on loopback
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        text = answer.read()
    return json.loads(text) if text else None
