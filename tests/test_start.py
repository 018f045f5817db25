"""What a start costs: imports beside Beam's own, and a sample beside its requests."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from beam_dynamodb_streams import sample
from beam_dynamodb_streams.testing import LocalStreams

_CPU = "import json, resource, sys; used = resource.getrusage(resource.RUSAGE_SELF)"
_REPORT = "; print(json.dumps([used.ru_utime + used.ru_stime, sorted(sys.modules)])); sys.stdout.flush()"


def imported(statement: str) -> tuple[float, set[str]]:
    """Return the CPU seconds of a process that runs this, and its modules."""
    code = f"{statement}; {_CPU}{_REPORT}; import os; os._exit(0)"
    answer = subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True)
    seconds, modules = json.loads(answer.stdout.splitlines()[-1])
    return seconds, set(modules)


def test_the_package_is_imported_in_little_more_time_than_beam() -> None:
    """At most 1.5 times the CPU of `import apache_beam` (1.43 measured), and here with a margin for other work."""
    beam = min(imported("import apache_beam")[0] for _ in range(2))
    ours = min(imported("from beam_dynamodb_streams import ReadFromDynamoDBStreams, sample")[0] for _ in range(2))
    assert ours < 1.75 * beam
    assert imported("import beam_dynamodb_streams")[0] < beam


def test_what_a_pipeline_does_not_use_is_not_imported() -> None:
    _, modules = imported("from beam_dynamodb_streams import ReadFromDynamoDBStreams, WriteChangesToParquet")
    for name in ("lakehouse", "kinesis.client", "commands.run_pipeline", "testing"):
        assert f"beam_dynamodb_streams.{name}" not in modules
    assert "beam_dynamodb_streams.records.beam_coders" in modules


def test_a_sample_answers_at_once_where_changes_are_there(service: LocalStreams) -> None:
    orders = service.create_table("orders", keys={"id": "S"}, shards=4)
    orders.put_many({"id": f"o-{number}"} for number in range(500))
    began, used = time.perf_counter(), time.process_time()
    assert len(sample("orders", limit=100, endpoint_url=service.endpoint_url)) == 100
    assert time.process_time() - used < 0.5  # 0.1, with the service: most of it is botocore's models
    if time.perf_counter() - began > 1.0:  # other work on this machine: then a second one shows that nothing waits
        began = time.perf_counter()
        assert len(sample("orders", limit=100, endpoint_url=service.endpoint_url)) == 100
        assert time.perf_counter() - began < 1.0
