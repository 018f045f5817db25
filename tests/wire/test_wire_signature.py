"""botocore's signer is the oracle: the same headers for every request, whatever was signed before."""

from __future__ import annotations

import time
from types import SimpleNamespace

from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams.wire.signature import Signatures

URLS = ["https://streams.dynamodb.eu-west-1.amazonaws.com", "http://127.0.0.1:8000", "http://[::1]:80/a b/%20?x=1&a=2"]
words = st.text("abcXYZ019+/=_-", min_size=1, max_size=40)
requests = st.tuples(
    st.sampled_from(["dynamodb", "kinesis"]),
    st.sampled_from(["eu-west-1", "us-east-1"]),
    st.sampled_from(URLS),
    st.sampled_from(["GetRecords", "DescribeStream"]),
    st.binary(min_size=1, max_size=50),
    st.builds(ReadOnlyCredentials, words, words, st.none() | words),
    st.floats(0, 4e9),
)


def by_botocore(name, region, url, headers, body, credentials, now) -> dict[str, str]:
    context = {"timestamp": time.strftime(SIGV4_TIMESTAMP, time.gmtime(now))}
    request = SimpleNamespace(method="POST", params={}, url=url, headers=dict(headers), body=body, context=context)
    signer = SigV4Auth(credentials, name, region)
    signer._modify_request_before_signing(request)
    to_sign = signer.string_to_sign(request, signer.canonical_request(request))
    signer._inject_signature_to_request(request, signer.signature(to_sign, request))
    return request.headers


@given(st.lists(requests, min_size=1, max_size=6))
def test_every_signature_is_that_of_botocore(several):
    now = 0.0
    signatures = Signatures(lambda: now)
    for name, region, url, operation, body, credentials, now in [*several, *several]:
        headers = {"X-Amz-Target": f"S.{operation}", "Content-Type": "application/x-amz-json-1.0", "User-Agent": "a b"}
        expected = by_botocore(name, region, url, headers, body, credentials, now)
        signatures.add(name, region, url, headers, body, credentials)
        assert headers == expected


def test_credentials_that_rotate_and_days_that_pass_are_not_kept_for_ever():
    now = 0.0
    signatures = Signatures(lambda: now)
    for day in range(300):
        now = day * 86_400.0
        credentials = ReadOnlyCredentials("key", f"secret {day}", f"token {day}")
        headers = {"X-Amz-Target": "S.GetRecords"}
        expected = by_botocore("dynamodb", "eu-west-1", URLS[0], headers, b"{}", credentials, now)
        signatures.add("dynamodb", "eu-west-1", URLS[0], headers, b"{}", credentials)
        assert headers == expected
    assert len(signatures._templates) <= 64
    assert len(signatures._keys) <= 64
