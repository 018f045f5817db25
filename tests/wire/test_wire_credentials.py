"""Who signs, with what clock, and what happens when the service does not accept it."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable
from pathlib import Path

import botocore.session
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import ConnectTimeoutError
from scripted_endpoint import (
    ACCESS_KEY,
    SECRET_KEY,
    SESSION_TOKEN,
    Received,
    ScriptedEndpoint,
    Turn,
    refusal,
)

from beam_dynamodb_streams.errors import CredentialsError, InvalidOptionError, UnavailableError
from beam_dynamodb_streams.wire import Client, DynamoDB

MakeClient = Callable[..., Client]
NOW = 1_700_000_000.0
PAGE = Turn({"Records": [], "NextShardIterator": "next"}, date=NOW)
STAMP = "20231114T221320Z"


def botocores_signature(received: Received, endpoint: ScriptedEndpoint) -> str:
    """The Authorization header that botocore puts on the same request at the same time."""
    names = received.headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    headers = {name: value for name, value in received.headers.items() if name.lower() in names}
    request = AWSRequest("POST", endpoint.url + "/", headers, received.body)
    request.context["timestamp"] = received.headers["X-Amz-Date"]
    credentials = Credentials(ACCESS_KEY, SECRET_KEY, SESSION_TOKEN)
    signer = SigV4Auth(credentials, "dynamodb", "eu-west-1")
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    signer._inject_signature_to_request(request, signature)
    return str(request.headers["Authorization"])


def test_a_request_is_signed_as_botocore_signs_it(endpoint: ScriptedEndpoint, make_client: MakeClient) -> None:
    endpoint.script = [PAGE]
    make_client(clock=lambda: NOW).get_records("iterator")
    received = endpoint.received[0]
    assert received.headers["X-Amz-Date"] == STAMP
    assert received.headers["X-Amz-Security-Token"] == SESSION_TOKEN
    assert "/20231114/eu-west-1/dynamodb/aws4_request" in received.headers["Authorization"]
    signed = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target"
    assert f"SignedHeaders={signed}, " in received.headers["Authorization"]
    assert received.headers["Authorization"] == botocores_signature(received, endpoint)


def refreshing(keys: list[str], lifetime: float = 3600) -> botocore.session.Session:
    """A session whose credentials take the next of `keys` at each refresh."""
    remaining = iter(keys)

    def fresh() -> dict[str, str]:
        expiry = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=lifetime)
        key = next(remaining)
        return {
            "access_key": key,
            "secret_key": SECRET_KEY,
            "token": f"token of {key}",
            "expiry_time": expiry.isoformat(),
        }

    session = botocore.session.Session()
    session._credentials = RefreshableCredentials.create_from_metadata(fresh(), fresh, "test")
    return session


def access_keys(endpoint: ScriptedEndpoint) -> list[str]:
    return [
        received.headers["Authorization"].partition("Credential=")[2].partition("/")[0]
        for received in endpoint.received
    ]


@pytest.mark.parametrize("code", ["ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException"])
def test_expired_credentials_are_refreshed_and_the_call_is_repeated_at_once(
    code: str, endpoint: ScriptedEndpoint, make_client: MakeClient, waits: list[float]
) -> None:
    endpoint.script = [refusal(code, "The security token included in the request is expired"), PAGE]
    client = make_client(session=refreshing(["first", "second"]))
    assert client.get_records("iterator").next_iterator == "next"
    assert access_keys(endpoint) == ["first", "second"]
    assert endpoint.received[1].headers["X-Amz-Security-Token"] == "token of second"
    assert (waits, client.calls.totals().retries) == ([], {"GetRecords": 1})


def test_credentials_that_are_refused_after_a_refresh_are_refused(
    endpoint: ScriptedEndpoint, make_client: MakeClient
) -> None:
    endpoint.script = [refusal("ExpiredTokenException", SESSION_TOKEN)]
    client = make_client(session=refreshing(["first", "second", "third"]))
    with pytest.raises(CredentialsError, match="have expired and no newer ones were found") as raised:
        client.get_records("iterator")
    assert raised.value.code == "ExpiredTokenException"
    assert access_keys(endpoint) == ["first", "second"]


def test_credentials_about_to_expire_are_refreshed_before_they_are_used(
    endpoint: ScriptedEndpoint, make_client: MakeClient
) -> None:
    endpoint.script = [PAGE]
    client = make_client(session=refreshing(["first", "second", "third", "fourth"], lifetime=60))
    client.get_records("iterator")
    assert "first" not in access_keys(endpoint)


def test_keys_that_were_changed_in_their_file_are_read_again(
    endpoint: ScriptedEndpoint, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)

    def write(key: str) -> None:
        lines = ["[default]", f"aws_access_key_id={key}", "aws_secret_access_key=s", "aws_session_token=t"]
        (tmp_path / "credentials").write_text("\n".join(lines))

    write("first")
    endpoint.script = [PAGE, refusal("ExpiredTokenException"), PAGE]
    client = make_client()
    client.get_records("iterator")
    write("second")
    client.get_records("iterator")
    assert access_keys(endpoint) == ["first", "first", "second"]


def test_a_source_of_credentials_that_fails_is_named(make_client: MakeClient) -> None:
    session = refreshing(["first"], lifetime=60)  # the second refresh has nothing to give
    session._credentials._refresh_using = dict
    client = make_client(session=session)
    with pytest.raises(CredentialsError, match="could not be read or refreshed"):
        client.get_records("iterator")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("InvalidSignatureException", "Signature expired: 20231114T214320Z is now earlier than …"),
        ("InvalidSignatureException", "Signature not yet current: 20231114T224320Z is still later than …"),
        ("RequestTimeTooSkewed", ""),
        ("RequestExpired", "Request has expired."),
    ],
)
@pytest.mark.parametrize("skew", [-1800.0, 1800.0])
def test_a_skewed_clock_is_corrected_and_the_call_is_retried_at_once(
    code: str,
    message: str,
    skew: float,
    endpoint: ScriptedEndpoint,
    make_client: MakeClient,
    waits: list[float],
) -> None:
    endpoint.script = [refusal(code, message, date=NOW), PAGE]
    client = make_client(clock=lambda: NOW + skew)
    assert client.get_records("iterator").next_iterator == "next"
    assert endpoint.received[0].headers["X-Amz-Date"] != STAMP
    assert endpoint.received[1].headers["X-Amz-Date"] == STAMP
    assert endpoint.received[1].headers["Authorization"] == botocores_signature(endpoint.received[1], endpoint)
    client.get_records("iterator")
    assert endpoint.received[2].headers["X-Amz-Date"] == STAMP
    assert waits == []


def test_a_clock_that_cannot_be_corrected_is_named(endpoint: ScriptedEndpoint, make_client: MakeClient) -> None:
    endpoint.script = [refusal("RequestTimeTooSkewed", date=NOW)]
    with pytest.raises(CredentialsError, match="the clock of this machine"):
        make_client().get_records("iterator")
    assert len(endpoint.received) == 2


@pytest.mark.parametrize(
    ("code", "fix"),
    [
        ("InvalidSignatureException", "the secret access key does not belong to the access key"),
        ("UnrecognizedClientException", "the access key is unknown or incomplete"),
        ("MissingAuthenticationToken", "the access key is unknown or incomplete"),
    ],
)
def test_refused_credentials_name_the_fix_and_nothing_secret(
    code: str,
    fix: str,
    endpoint: ScriptedEndpoint,
    make_client: MakeClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    quoted = f"The Canonical String should have been 'POST x-amz-security-token:{SESSION_TOKEN} {SECRET_KEY}'"
    endpoint.script = [refusal(code, quoted)]
    client = make_client()
    with pytest.raises(CredentialsError, match=fix) as raised:
        client.get_records("iterator")
    seen = f"{raised.value} {raised.value!r} {client!r} {caplog.text}"
    assert SESSION_TOKEN not in seen
    assert SECRET_KEY not in seen


def test_no_item_and_no_credential_is_ever_logged(
    endpoint: ScriptedEndpoint, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    record = {"eventID": "1", "eventName": "INSERT", "dynamodb": {"Keys": {"id": {"S": "private"}}}}
    endpoint.script = [refusal("ThrottlingException"), Turn({"Records": [record]})]
    page = make_client().get_records("iterator")
    seen = f"{caplog.text} {page!r} {page.malformed!r}"
    assert "private" not in seen
    assert SESSION_TOKEN not in seen
    assert not [line for line in caplog.records if line.levelno >= logging.INFO and "credential" not in line.name]


def test_without_credentials_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(CredentialsError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        Client()


def test_half_a_pair_of_keys_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(CredentialsError, match="AWS_SECRET_ACCESS_KEY"):
        Client()


def test_an_unknown_profile_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises((CredentialsError, InvalidOptionError), match="nobody"):
        Client()


def test_without_a_region_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(InvalidOptionError, match="pass region_name="):
        Client()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("endpoint_url", "not an address"),
        ("region_name", "eu west"),
        ("max_connections", 0),
        ("max_attempts", 0),
        ("read_timeout", 0),
        ("connect_timeout", -1.0),
    ],
)
def test_a_bad_option_is_refused_with_its_value(option: str, value: object) -> None:
    with pytest.raises(InvalidOptionError, match=f"{option}={value!r}"):
        Client(**{option: value})  # type: ignore[arg-type]


def test_a_source_of_credentials_that_does_not_answer_is_a_delay(
    endpoint: ScriptedEndpoint, make_client: MakeClient, waits: list[float]
) -> None:
    def silent() -> dict[str, str]:
        raise ConnectTimeoutError(endpoint_url="http://sts")

    session = refreshing(["first"], lifetime=60)
    session._credentials._refresh_using = silent
    client = make_client(session=session)
    with pytest.raises(UnavailableError, match="source of the credentials"):
        client.get_records("iterator")
    assert len(waits) == 3


@pytest.mark.parametrize(
    "settings",
    [
        ["credential_process = echo no-json"],
        ["credential_process = /no/such/program"],
        ["role_arn = arn:aws:iam::123456789012:role/reader", "web_identity_token_file = /no/such/token"],
        ["sso_session = none", "sso_account_id = 123456789012", "sso_role_name = reader"],
    ],
    ids=["a process without JSON", "no process", "no token file", "no SSO session"],
)
@pytest.mark.parametrize("make", [Client, DynamoDB])
def test_whatever_a_source_of_credentials_raises_is_one_error(
    settings: list[str], make: type[Client] | type[DynamoDB], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text("\n".join(["[default]", *settings]))
    with pytest.raises(CredentialsError, match="the credentials could not be read or refreshed"):
        make().describe_table("orders")


PROFILES = {
    "a program that prints no JSON": "credential_process = /bin/echo not-json",
    "a program that prints a list": "credential_process = /bin/echo []",
    "a program that is missing": "credential_process = /nope/helper",
    "a program that fails": "credential_process = /bin/false",
    "a command with an open quotation": 'credential_process = /bin/echo "',
    "a token file that is missing": "role_arn = arn:aws:iam::123456789012:role/r\nweb_identity_token_file = {dir}/none",
    "a token file that is a directory": "role_arn = arn:aws:iam::123456789012:role/r\nweb_identity_token_file = {dir}",
    "a single sign-on that was not signed on": (
        "sso_session = x\nsso_account_id = 123456789012\nsso_role_name = r\n"
        "[sso-session x]\nsso_start_url = https://x.awsapps.com/start\nsso_region = us-east-1"
    ),
    "a single sign-on without a session": "sso_session = x\nsso_account_id = 123456789012\nsso_role_name = r",
    "a source profile that is missing": "role_arn = arn:aws:iam::123456789012:role/r\nsource_profile = nope",
}


@pytest.mark.parametrize("kind", PROFILES)
def test_a_broken_source_of_credentials_is_one_line(
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    endpoint: ScriptedEndpoint,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(f"[default]\nregion = eu-west-1\n{PROFILES[kind].format(dir=tmp_path)}\n")
    for make in (Client, DynamoDB):
        with pytest.raises(CredentialsError, match="the credentials could not be read") as raised:
            make(endpoint_url=endpoint.url).describe_table("orders")
        assert "\n" not in str(raised.value)
    assert not [record for record in caplog.records if record.exc_info]
    assert endpoint.received == []


def test_a_credential_that_no_header_can_carry_is_refused_without_quoting_it(
    endpoint: ScriptedEndpoint, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for token in ("geheim\nX-Evil: 1", "ключ"):
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
        with pytest.raises(CredentialsError, match="no HTTP header can carry") as raised:
            make_client().describe_table("orders")
        assert token[:4] not in str(raised.value)
        assert raised.value.__cause__ is None


def test_a_role_that_is_assumed_logs_no_secret_at_any_level(
    endpoint: ScriptedEndpoint,
    make_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """botocore itself logs the answer of AssumeRole, with the new secret key, and the request's session token."""
    answer = (
        '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
        "<AccessKeyId>ASSUMED</AccessKeyId><SecretAccessKey>canary-secret</SecretAccessKey>"
        "<SessionToken>canary-token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>"
        "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )
    caplog.set_level(logging.DEBUG)
    endpoint.script = [Turn(answer.encode(), headers={"Content-Type": "text/xml", "x-amz-crc32": ""}), PAGE]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", endpoint.url)
    (tmp_path / "config").write_text(
        "[default]\nregion = eu-west-1\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = long\n"
        "[profile long]\naws_access_key_id = LONG\naws_secret_access_key = canary-source\n"
        "aws_session_token = canary-of-the-source\n"
    )
    make_client().get_records("iterator")
    assert endpoint.received[1].headers["X-Amz-Security-Token"] == "canary-token"
    logged = "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records)
    assert "canary" not in logged


def test_a_role_that_is_refused_is_reported_without_the_signed_request(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    endpoint.script = [
        Turn(
            b"<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>The Canonical String was "
            b"x-amz-security-token:canary</Message></Error></ErrorResponse>",
            status=403,
            headers={"x-amz-crc32": ""},
        )
    ]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", endpoint.url)
    (tmp_path / "config").write_text(
        "[default]\nregion = eu-west-1\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = long\n"
        "[profile long]\naws_access_key_id = LONG\naws_secret_access_key = s\n"
    )
    with pytest.raises(CredentialsError, match=r"AssumeRole was refused \(SignatureDoesNotMatch\)") as raised:
        Client(endpoint_url=endpoint.url).get_records("i")
    assert "canary" not in f"{raised.value}{raised.value.__cause__}"
