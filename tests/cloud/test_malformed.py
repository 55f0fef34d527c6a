"""Whatever is sent, it is answered, and never with a 500: the door's promise to whoever guesses.

Requests are made of pieces that are right by themselves (a method, an operation, a signature) and of
such as are not, in any combination; those that are signed are signed rightly, so that what they ask
for reaches the services.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import botocore.session
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from labkit.cloud.front.services import SERVICES
from tests.cloud.sockets import Answer, exchange, head, sign

pytestmark = pytest.mark.slow

NOT_HERE = ["athena", "acm-pca", "no-such-service", "s3control", "", "S3", "..", "%00", "ä"]
METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE", "FOO", "get"]
TARGETS = [
    "/", "/?", "//", "/a", "/a/b", "/a//b/", "/%", "/%zz", "/%00", "/%ff%fe", "/a/../b", "/?Action=", "/?Action=ListUsers",
    "/?a=b&a=c&=&&", "/?X-Amz-Algorithm=AWS4-HMAC-SHA256", "/v1/repos/", "/v1/repos/none/info/refs", "/webhooks/",
    "/webhooks/none", "/2015-03-31/functions/%ff/invocations", "/bucket?acl&policy", "/bucket/key?uploadId=1&partNumber=x",
    "/bucket/key?partNumber=99999", "/service/x/operation/y", "/moto-api/data.json", "/favicon.ico", "/latest/meta-data/", "/*",
]  # fmt: skip
HEADERS = [
    ("Content-Type", ["application/json", "application/x-amz-json-1.1", "application/x-amz-json-1.0", "application/cbor",
                      "application/x-www-form-urlencoded", "multipart/form-data", "multipart/form-data; boundary=x", "text/xml", "", "x"]),
    ("Range", ["bytes=0-", "bytes=a-b", "x", "bytes=5-1", "="]),
    ("If-Modified-Since", ["yesterday"]),
    ("Content-Encoding", ["gzip", "aws-chunked", "x"]),
    ("Accept-Encoding", ["gzip"]),
    ("Content-MD5", ["x", "AAAA"]),
    ("x-amz-copy-source", ["", "x", "/bucket/key?versionId=", "%ff"]),
    ("x-amz-sdk-checksum-algorithm", ["CRC32", "CRC64NVME", "nonsense"]),
    ("x-amz-tagging", ["a=b&c", "%%"]),
    ("x-amz-acl", ["x"]),
    ("x-amz-meta-a_b", ["\xe4"]),
    ("x-amz-decoded-content-length", ["x", "-1", "5"]),
    ("smithy-protocol", ["rpc-v2-cbor"]),
    ("Cookie", ["a=b; c"]),
    ("X-Amzn-Trace-Id", ["\xff"]),
    ("X-GitHub-Event", ["push"]),
    ("Expect", ["100-continue", "x"]),
    ("Upgrade", ["websocket"]),
]  # fmt: skip
BODIES = [b"", b"{}", b"[]", b"null", b"{", b'"\\ud800"', b"\xff\xfe", b"Action=&Version=", b"Action=ListUsers&Version=2010-05-08", b"a=%zz&b",
          b"<a/>", b"<", b"<a>&b;</a>", b"\xbf\xff", b"\x1f\x8b", b"5\r\nhello\r\n0\r\n\r\n", b"--x\r\n\r\n--x--", b'{"a": ' * 2000]  # fmt: skip

names = st.sampled_from([*SERVICES, *NOT_HERE])
text = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
targets = st.sampled_from(TARGETS) | text.map(lambda rest: "/" + rest)
headers = st.dictionaries(
    st.sampled_from([name for name, _ in HEADERS]), st.integers(0, 9), max_size=4
).map(lambda chosen: {name: values[chosen[name] % len(values)] for name, values in HEADERS if name in chosen})  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
bodies = st.sampled_from(BODIES) | st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode())  # fmt: skip


@cache
def model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(SERVICES[service])


@st.composite
def operations(draw: Any) -> tuple[str, str, str, dict[str, str], bytes]:
    """A service, and a request for one of its operations as its model writes it, with any body."""
    service = draw(st.sampled_from([*SERVICES]))
    known = model(service)
    operation = known.operation_model(draw(st.sampled_from(list(known.operation_names))))
    method, uri = operation.http["method"], operation.http["requestUri"]
    for part in uri.split("{")[1:]:
        name = part.split("}")[0]
        uri = uri.replace("{" + name + "}", draw(st.sampled_from(["a", "%ff", "x/y", "%00", "-"])))
    members = list(operation.input_shape.members) if operation.input_shape else []
    given = {name: draw(values) for name in members[:3] if draw(st.booleans())}
    protocols = known.metadata.get("protocols", [known.metadata["protocol"]])
    if "json" in protocols:
        prefix = known.metadata.get("targetPrefix", "x")
        named = {"X-Amz-Target": f"{prefix}.{operation.name}"}
        named["Content-Type"] = f"application/x-amz-json-{known.metadata.get('jsonVersion', '1.1')}"
        body = draw(st.just(json.dumps(given).encode()) | bodies)
    elif {"query", "ec2"} & {*protocols}:
        named = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        fields = {"Action": operation.name, "Version": known.api_version} | given
        body = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
    else:
        named, body = {}, draw(st.just(json.dumps(given).encode()) | bodies)
    return service, method, uri, named, body


@st.composite
def any_of(draw: Any) -> tuple[str, str, str, dict[str, str], bytes]:
    return draw(names), draw(st.sampled_from(METHODS)), draw(targets), {}, draw(bodies)


AUTHORIZATIONS = [
    None, "", "Basic", "Basic !", "Basic YTpi", "Bearer x", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256 Credential=a/b/c/d/e",
    "AWS4-HMAC-SHA256 Credential=a/b/c/{service}/aws4_request, SignedHeaders=, Signature=",
    "AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host;x, Signature=\xff",
    "AWS4-HMAC-SHA256 Credential={key}/a/b/c/d/e/f, SignedHeaders=host, Signature=0", "AWS AKIA:abc",
]  # fmt: skip
DATES = ["20260101T000000Z", "00010101T000000Z", "99991231T235959Z", "x", ""]


def answered(aws: Any, content: bytes, method: str) -> Answer:
    answer = exchange(aws, content, method=method if method in ("HEAD", "CONNECT") else "GET")
    assert 200 <= answer.status < 500, (answer, content)
    return answer


def check_signed(aws: Any, request: Any, more: dict[str, str], region: str) -> None:
    service, method, target, named, body = request
    more = {name: value for name, value in more.items() if name not in ("Expect", "Upgrade")}
    sent = sign(aws, service, method, target, {**more, **named}, body, region)
    sent |= {"Content-Length": str(len(body)), "Connection": "close"}
    answered(aws, head(method, target, sent) + body, method)


def check_unsigned(
    aws: Any, request: Any, more: dict[str, str], authorization: str | None, date: str
) -> None:
    service, method, target, named, body = request
    sent = {"Host": aws.endpoint_url.removeprefix("http://"), **more, **named, "X-Amz-Date": date}
    if authorization is not None:
        key = aws.description["access_key_id"]
        filled = authorization.replace("{service}", service).replace("{key}", key)
        sent["Authorization"] = filled
    sent |= {"Content-Length": str(len(body)), "Connection": "close"}
    answered(aws, head(method, target, sent) + body, method)


requests = operations() | any_of()
regions = st.sampled_from(["us-east-1", "eu-central-1", "nowhere", "", "*"])
few = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(few, max_examples=5000)


@few
@given(request=requests, more=headers, region=regions)
@example(("monitoring", "POST", "/", {"Content-Type": "application/cbor"}, b""), {}, "us-east-1")
def test_a_signed_request_is_answered_whatever_it_says(
    aws: Any, request: Any, more: dict[str, str], region: str
) -> None:
    check_signed(aws, request, more, region)


@few
@given(
    request=requests,
    more=headers,
    authorization=st.sampled_from(AUTHORIZATIONS),
    date=st.sampled_from(DATES),
)
def test_an_unsigned_request_is_answered_whatever_it_says(
    aws: Any, request: Any, more: dict[str, str], authorization: str | None, date: str
) -> None:
    check_unsigned(aws, request, more, authorization, date)


@pytest.mark.parametrize(
    "content",
    [
        b"\r\n\r\n\r\n", b"GET\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", b"G\xff / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\na: \x00\r\n\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=lambda content: repr(content[:40]),
)  # fmt: skip
def test_what_is_hardly_http_is_answered_too(aws: Any, content: bytes) -> None:
    answer = exchange(aws, content)
    assert 400 <= answer.status < 500


@pytest.mark.long
@pytest.mark.timeout(7200)
@many
@given(request=requests, more=headers, region=regions)
def test_five_thousand_signed_requests(
    aws: Any, request: Any, more: dict[str, str], region: str
) -> None:
    check_signed(aws, request, more, region)


@pytest.mark.long
@pytest.mark.timeout(7200)
@many
@given(
    request=requests,
    more=headers,
    authorization=st.sampled_from(AUTHORIZATIONS),
    date=st.sampled_from(DATES),
)
def test_five_thousand_unsigned_requests(
    aws: Any, request: Any, more: dict[str, str], authorization: str | None, date: str
) -> None:
    check_unsigned(aws, request, more, authorization, date)
