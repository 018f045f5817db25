"""What Beam raises where a runner cannot be started, in one sentence with the way out. The texts are Beam's (2.77)."""

from __future__ import annotations

import difflib
import re
from typing import Final

RUNNERS: Final = ("DirectRunner", "PrismRunner", "FlinkRunner", "FnApiRunner", "PortableRunner", "DataflowRunner")

_UNKNOWN: Final = re.compile(r"Unexpected pipeline runner: (.+?)\. Valid values are")
_INVALID: Final = re.compile(r"Pipeline has validations errors: \n(.+)", re.DOTALL)
_NO_JAR: Final = re.compile(r"Unable to fetch remote job server jar at (\S+): (.+?)(?:\. Also|\n|$)")
_NO_BINARY: Final = re.compile(r'Unable to parse binary URL "(.+?)"')
_NO_ENDPOINT: Final = "You must specify a --job_endpoint"
_JOB_SERVER: Final = "start one with `python -m runners.flink`, or name one that runs with --job_endpoint=HOST:PORT"
_BUILD_PRISM: Final = "build Prism (`make prism` in the source tree), and add --prism_location=PATH"


def runner_mistake(failure: BaseException, job_endpoint: str | None = None) -> str | None:
    """Return what is wrong with the runner or its options, and the fix; None if the failure is of another kind.

    Args:
        failure: what Beam raised while it made or submitted a pipeline.
        job_endpoint: the job server that the options name.
    """
    text = str(failure)
    if found := _UNKNOWN.match(text):
        near = difflib.get_close_matches(found[1], RUNNERS, 1, 0.6)
        return f"--runner={found[1]} is unknown to Beam: " + (
            f"did you mean {near[0]}?" if near else f"use {', '.join(RUNNERS[:-1])} or {RUNNERS[-1]}"
        )
    if found := _INVALID.match(text):
        return "the runner's options: " + "; ".join(line.strip().rstrip(".") for line in found[1].splitlines() if line)
    if found := _NO_JAR.match(text):
        return f"Beam cannot download its job server ({found[1]}: {found[2]}): {_JOB_SERVER}"
    if found := _NO_BINARY.match(text):
        return f"--prism_location={found[1]} does not exist: {_BUILD_PRISM}"
    if text.startswith(_NO_ENDPOINT):
        return f"--runner=PortableRunner needs a job server: {_JOB_SERVER}"
    if type(failure).__name__ == "FutureTimeoutError" and type(failure).__module__.startswith("grpc"):
        where = f" at {job_endpoint}" if job_endpoint else ""
        return f"the job server{where} does not answer: {_JOB_SERVER}"
    if isinstance(failure, FileNotFoundError) and failure.filename == "java":
        return "Java is not installed, which Beam's job server needs: install it, or use --runner=PrismRunner"
    if isinstance(failure, OSError | RuntimeError) and "prism" in text.lower() and "github.com" in text:
        return f"Prism cannot be downloaded ({text.partition(chr(10))[0]}): {_BUILD_PRISM}"
    return None
