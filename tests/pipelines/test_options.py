"""The options of the commands: their spelling, what is said about a mistyped one, and how soon `--help` answers."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from beam_dynamodb_streams.commands import COMMANDS, main
from beam_dynamodb_streams.commands.aws_profile import aws_profile
from beam_dynamodb_streams.commands.options import kinesis, pipeline_parser
from beam_dynamodb_streams.commands.options.parser import Parser
from beam_dynamodb_streams.commands.options.spelling import respelled, suggestions
from beam_dynamodb_streams.kinesis.losses import ON_DATA_LOSS
from beam_dynamodb_streams.kinesis.record_data import DATA_FORMS
from beam_dynamodb_streams.kinesis.record_page import CACHE_BYTES
from beam_dynamodb_streams.sinks.batches import PARTITIONS
from beam_dynamodb_streams.sinks.layouts import Layout
from beam_dynamodb_streams.testing import LocalStreams

ROOT = Path(__file__).parents[2]


def parser_of(name: str) -> Parser:
    return import_module(f"beam_dynamodb_streams.commands.options.{name}").parser_of(name)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the one line on stderr with which a command line is refused."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out, printed.err.count("\n")) == (2, "", 1)
    return printed.err.rstrip("\n")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "progress"])
def test_every_option_is_taken_with_underscores_and_with_dashes(name: str) -> None:
    parser = parser_of(name)
    for option in parser.own_options:
        dashed = f"--{option[2:].replace('_', '-')}"
        underscored = f"--{option[2:].replace('-', '_')}"
        assert respelled([dashed, f"{underscored}=a_b-c"], parser.own_options) == [option, f"{option}=a_b-c"]


@pytest.mark.parametrize(
    "words",
    [
        [
            "--table=t",
            "--region=eu-west-1",
            "--endpoint-url=http://h:1",
            "--on-new-stream",
            "fail",
            "--scan-segments=2",
        ],
        [
            "--table=t",
            "--region_name=eu-west-1",
            "--endpoint_url=http://h:1",
            "--on_new_stream=fail",
            "--scan_segments",
            "2",
        ],
        [
            "--table",
            "t",
            "--region-name",
            "eu-west-1",
            "--endpoint-url",
            "http://h:1",
            "--on_new-stream=fail",
            "--scan_segments=2",
        ],
    ],
)
def test_both_spellings_are_one_option(words: list[str]) -> None:
    arguments, rest = parser_of("tail").parse_with_beam([*words, "--direct-num-workers=1"])  # type: ignore[attr-defined]
    assert (arguments.table, arguments.region_name, arguments.endpoint_url) == ("t", "eu-west-1", "http://h:1")
    assert (arguments.on_new_stream, arguments.scan_segments) == ("fail", 2)
    assert rest == ["--direct_num_workers=1"]  # Beam's options too


def test_region_is_dataflows_own_on_its_runner_and_the_streams_elsewhere() -> None:
    words = ["--table=t", "--region=us-central1", "--region_name=eu-west-1", "--runner=DataflowRunner"]
    arguments, rest = parser_of("tail").parse_with_beam(words)  # type: ignore[attr-defined]
    assert (arguments.region_name, rest) == ("eu-west-1", ["--region=us-central1", "--runner=DataflowRunner"])


def test_a_word_behind_a_double_dash_is_not_an_option() -> None:
    assert respelled(["--a-b", "--", "--a-b"], ["--a_b"]) == ["--a_b", "--", "--a-b"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("export --tabel=orders", "--tabel: did you mean --table?"),
        ("export --table=o --output=d --fromat parquet", "--fromat: did you mean --format?"),
        ("export --table=o --outptu=d --format=avro", "--outptu: did you mean --output?"),
        ("export --tab=orders", "--tab: did you mean --table?"),
        ("tail -table orders", "-table: did you mean --table?"),
        ("tail --table=o --end http://h", "--end: did you mean --endpoint_url?"),
        ("tail --table=o --endpoint=http://h", "--endpoint: did you mean --endpoint_url?"),
        ("tail --table=o --st=NOW", "--st: did you mean --start, --stop or --stream_arn?"),
        ("tail --arn=x", "--arn: did you mean --stream_arn?"),
        ("tail --Table=x", "--Table: did you mean --table?"),
        ("tail --table=o --aws-region=x", "--aws-region: did you mean --region?"),
        ("tail --table=o --runer=FlinkRunner", "--runer: did you mean --runner?"),
        ("tail --table=o --runner=FlinkRunner --endpoint-ulr=h", "--endpoint-ulr: did you mean --endpoint_url?"),
        ("inspect --tabel=orders", "--tabel: did you mean --table?"),
        ("inspect --wach", "--wach: did you mean --watch?"),
        ("schema --tabble=x", "--tabble: did you mean --table?"),
        ("kinesis --prot=1", "--prot: did you mean --port?"),
        ("handle --handeler=a.b", "--handeler: did you mean --handler?"),
        ("handle --handler=a.b --batch-sise=3", "--batch-sise: did you mean --batch_size?"),
        ("repair --tbale=x", "--tbale: did you mean --table?"),
        ("progress list file:x --regoin=x", "--regoin: did you mean --region?"),
        ("progress reset file:x --stream-anr=x", "--stream-anr: did you mean --stream_arn?"),
        ("inspect --frobnicate", "--frobnicate: --help lists the options"),
        ("tail --frobnicate", "--frobnicate, here and in Beam: --help lists the options of this command"),
        ("tail orders", "'orders' belongs to no option: did you mean --table orders?"),
    ],
)  # fmt: skip
def test_a_mistyped_or_shortened_option_is_named_before_what_is_missing(
    words: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, *words.split())
    assert said.startswith("dynamodb-streams ")
    assert said.partition(": error: ")[2] == (says if "belongs" in says else f"unknown option {says}")


def test_nothing_is_suggested_that_is_not_near() -> None:
    assert suggestions("--parallelism", ["--table", "--start", "--stop"]) == []
    assert suggestions("--", ["--table"]) == []


def test_the_choices_of_the_options_are_those_of_the_library() -> None:
    from beam_dynamodb_streams.commands.export import WRITERS

    assert sorted(WRITERS) == list(pipeline_parser.FORMATS)
    assert (get_args(Layout), PARTITIONS) == (pipeline_parser.LAYOUTS, pipeline_parser.PARTITIONS)
    assert (kinesis.DATA_FORMS, kinesis.ON_DATA_LOSS, kinesis.CACHE_BYTES) == (DATA_FORMS, ON_DATA_LOSS, CACHE_BYTES)


def cpu_seconds(*command: str) -> tuple[float, str]:
    """Return the CPU time of a command, which does not depend on what else the machine does, and its output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    printed = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, printed


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_the_help_of_each_command_takes_less_than_half_a_second(name: str) -> None:
    taken, printed = cpu_seconds("-m", "beam_dynamodb_streams", *name.split(), "--help")
    assert printed.startswith(f"usage: dynamodb-streams {name or 'COMMAND'}")
    assert taken < 0.5


@pytest.mark.parametrize("name", [*COMMANDS, "demo"])
def test_the_help_of_each_program_takes_less_than_half_a_second(name: str) -> None:
    taken, printed = cpu_seconds("-m", f"pipelines.{name}", "--help")
    assert printed.startswith(f"usage: python -m pipelines.{name} ")
    assert taken < 0.5


def test_a_profile_has_its_region_and_its_keys_and_wins_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config").write_text("[profile shop]\nregion = eu-west-3\n")
    (tmp_path / "credentials").write_text("[shop]\naws_access_key_id = KEYOFSHOP\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    with aws_profile("shop"):
        assert os.environ["AWS_PROFILE"] == "shop"
        assert "AWS_ACCESS_KEY_ID" not in os.environ
    assert "AWS_PROFILE" not in os.environ
    with LocalStreams(region_name="eu-west-3") as service:
        service.create_table("orders", keys={"id": "S"}).put({"id": "o-1"})
        words = ["--table=orders", f"--endpoint-url={service.endpoint_url}"]
        assert main(["inspect", *words, "--json", "--profile=shop"]) == 0
        assert '"region":"eu-west-3"' in capsys.readouterr().out
        assert main(["tail", *words, "--start=TRIM_HORIZON", "--stop=1", "--profile", "shop"]) == 0
        assert "o-1" in capsys.readouterr().out
        assert main(["schema", *words, "--profile=shop"]) == 0


@pytest.mark.parametrize("name", ["tail", "inspect", "schema"])
def test_a_profile_that_does_not_exist_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, name, "--table=orders", "--region=us-east-1", "--profile=nobody")
    assert "profile (nobody) could not be found" in said
