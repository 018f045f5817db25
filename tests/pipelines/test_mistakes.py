"""A mistake in the runner's options, or in S3's, is one line: the right one."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from beam_dynamodb_streams.commands import export
from beam_dynamodb_streams.commands.runner_mistakes import runner_mistake
from beam_dynamodb_streams.sinks.directory import _cause
from beam_dynamodb_streams.testing import LocalStreams
from tests.moto_server import moto_server


def refused(capsys: pytest.CaptureFixture[str], service: LocalStreams, *words: str) -> str:
    service.create_table("orders", keys={"id": "S"})
    with pytest.raises(SystemExit) as ended:
        export.main(
            [
                "--table=orders",
                f"--endpoint-url={service.endpoint_url}",
                "--region=us-east-1",
                "--format=parquet",
                *words,
            ]
        )
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (2, 1), said
    return said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--runner=PrsimRunner"], "--runner=PrsimRunner is unknown to Beam: did you mean PrismRunner?"),
        (["--runner=Nothing"], "--runner=Nothing is unknown to Beam: use DirectRunner, PrismRunner, FlinkRunner,"),
        (["--runner=PortableRunner"], "--runner=PortableRunner needs a job server: start one with `python -m"),
        (["--runner=PortableRunner", "--job_endpoint=h:1", "--environment_type=EXTERNAL"], "external_service_address"),
        (["--runner=FlinkRunner", "--flink_version=9.9"], "argument --flink_version: invalid choice: '9.9'"),
        (["--runner=PrismRunner", "--prism_location=/no/prism"], "--prism_location=/no/prism does not exist: build"),
        (["--runner=FnApiRunner", "--output=s3a://b/x"], "write s3:// in place of s3a://"),
        (["--runner=FnApiRunner", "--output=s3:///x"], "write s3://BUCKET/FOLDER"),
    ],
)
def test_each_is_one_line_with_the_way_out(
    words: list[str], says: str, service: LocalStreams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = [] if any(word.startswith("--output") for word in words) else [f"--output={tmp_path / 'out'}"]
    assert says in refused(capsys, service, "--stop=1", *output, *words)


def test_a_bucket_that_does_not_exist_is_one_line(service: LocalStreams, capsys: pytest.CaptureFixture[str]) -> None:
    with moto_server() as url:
        s3 = [f"--s3_endpoint_url={url}", "--s3_region_name=us-east-1"]
        said = refused(capsys, service, "--stop=1", "--runner=FnApiRunner", "--output=s3://no-such-bucket/x", *s3)
    assert said.rstrip().endswith("the bucket does not exist: create it, or check its name and the region")


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("An error occurred (AccessDenied) when calling PutObject", "access denied: allow s3:PutObject"),
        ("An error occurred (PermanentRedirect) when calling", "the bucket is in another region"),
        ("Unable to locate credentials", "no AWS credentials were found"),
        ("Could not connect to the endpoint URL", "the endpoint does not answer"),
        ("something else", "use a directory in which this process may create"),
    ],
)
def test_what_s3_says_has_its_own_fix(text: str, fix: str) -> None:
    assert _cause(OSError(text)).startswith(f"(OSError: {text}): {fix}")


def test_no_hint_says_to_install_this_package_from_where_it_is_not() -> None:
    source = Path(__file__).parents[2]
    texts = [
        path.read_text("utf-8") for folder in ("connector", "pipelines") for path in (source / folder).rglob("*.py")
    ]
    for wrong in ("install beam-dynamodb-streams", "install 'beam-dynamodb-streams", 'install "beam-dynamodb-streams'):
        assert not [text for text in texts if wrong in text]


def test_a_job_server_that_does_not_answer_is_named_and_other_errors_are_not_ours() -> None:
    assert "the job server at flink:8099 does not answer" in str(
        runner_mistake(grpc.FutureTimeoutError(), "flink:8099")
    )
    no_jar = RuntimeError("Unable to fetch remote job server jar at https://m/x.jar: HTTP Error 404. Also failed to")
    assert "Beam cannot download its job server (https://m/x.jar: HTTP Error 404): start" in str(runner_mistake(no_jar))
    assert "Java is not installed" in str(runner_mistake(FileNotFoundError(2, "No such file", "java")))
    for other in (ValueError("mine"), RuntimeError("mine"), OSError("mine")):
        assert runner_mistake(other) is None
