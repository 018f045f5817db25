"""What an export says at its end: rows, files, dead letters and losses, also where it is interrupted."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from beam_dynamodb_streams.testing import Clock, LocalStreams
from pipelines import export
from tests.pipelines.processes import interrupted, program, until

BAD = b'{"eventID":"1","dynamodb":{"SequenceNumber":"%SEQUENCE%"}}'


def run(service: LocalStreams, output: Path, *arguments: str) -> int:
    source = [f"--endpoint-url={service.endpoint_url}", "--region=us-east-1", "--table=orders", "--runner=FnApiRunner"]
    return export.main([*source, f"--output={output}", "--format=parquet", *arguments])


def rows_in(output: Path) -> int:
    return int(ds.dataset(output, format="parquet").count_rows())


def test_it_names_dead_letters_and_losses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock(time.time())
    output, dead = tmp_path / "out", tmp_path / "dead"
    options = ["--on-data-loss=continue", f"--dead-letters={dead}"]
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        orders.put_many({"id": f"o-{n}"} for n in range(4))
        assert run(service, output, "--stop=2", *options) == 0
        assert capsys.readouterr().out == f"2 changes in 1 new file in {output}\nno dead letters, no losses\n"
        clock.advance(25 * 3600)
        orders.put({"id": "o-5"})
        for _ in range(2):
            orders.append(orders.open_shard_ids[0], BAD)
        orders.put({"id": "o-6"})
        assert run(service, output, "--stop=2", *options) == 0
        said = capsys.readouterr().out.splitlines()
        assert said == [f"2 changes in 1 new file in {output}", f"2 dead letters in {dead}, 1 loss of changes"]
        orders.append(orders.open_shard_ids[0], BAD)
        orders.put({"id": "o-7"})
        assert run(service, output, "--stop=1", *options) == 0
        assert capsys.readouterr().out.splitlines()[1] == f"1 dead letter in {dead}, no losses"


def test_a_run_that_fails_says_what_it_wrote_only_if_it_wrote(
    service: LocalStreams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.append(orders.open_shard_ids[0], BAD)
    with pytest.raises(SystemExit) as ended:
        run(service, tmp_path / "out", "--stop=1")
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (1, "")
    assert "malformed record" in printed.err


@pytest.mark.prism
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_it_with_what_it_wrote_and_the_same_command_resumes(
    number: signal.Signals, service: LocalStreams, tmp_path: Path, prism: str
) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    output = tmp_path / "out"
    words = [
        *("-m", "pipelines.export", "--table=orders", f"--endpoint-url={service.endpoint_url}", "--region=us-east-1"),
        *(f"--output={output}", "--format=parquet", "--window=1s"),
    ]
    on_prism = ["--runner=PrismRunner", f"--prism_location={prism}"]
    with program(*words, *on_prism, f"--dead_letters={tmp_path / 'dead'}", "--on_data_loss=continue") as process:
        for n in range(200):
            orders.put({"id": f"o-{n}"})
            if list(output.glob("*.parquet")):
                break
            time.sleep(0.25)
        until(lambda: bool(list(output.glob("_manifests/*"))))
        printed, said = interrupted(process, number)
    lines = printed.splitlines()
    found = re.fullmatch(r"([\d,]+) changes? in (\d+) new files? in (.+)", lines[0])
    assert found is not None
    assert (int(found[1]), int(found[2])) == (rows_in(output), len(list(output.glob("*.parquet"))))
    assert lines[1:] == ["no dead letters, no losses"]
    assert said == "interrupted: the same command resumes where the files end\n"
    with program(*words, "--stop", f"{len(orders.changes) - int(found[1])}", "--runner=FnApiRunner") as process:
        printed, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert rows_in(output) == len(orders.changes)
