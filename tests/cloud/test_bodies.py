"""Bodies: refused on their heads, bounded as they come, of any of S3's forms, and never in memory."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from werkzeug.wrappers import Response

from labkit.cloud.front.door import Visit
from labkit.cloud.front.port import Limits, Port
from labkit.cloud.front.signature import Chain, Signed
from labkit.cloud.shared.bodies import BodyError, Spool
from labkit.cloud.shared.identity import Principal
from tests.cloud.sockets import Answer, connect, exchange, head, read_answer, sign

MB = 1 << 20
MOST_GROWTH = 50 * MB
HUGE = str(300 * MB)


class Growth:
    """How much more memory the server had than at first: the most, in bytes."""

    most = 0


@contextmanager
def growth(aws: Any) -> Iterator[Growth]:
    """Watch the server's memory meanwhile."""
    server = psutil.Process(aws.description["pid"])
    before, over, grown = server.memory_info().rss, threading.Event(), Growth()

    def watch() -> None:
        while not over.wait(0.01):
            grown.most = max(grown.most, server.memory_info().rss - before)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield grown
    finally:
        over.set()
        watching.join()


@contextmanager
def growth_below(aws: Any, most: int) -> Iterator[None]:
    """Fail if the server's memory grows by more meanwhile, if only for a moment."""
    with growth(aws) as grown:
        yield
    assert grown.most < most, f"{grown.most / MB:.0f} MB more"


# what is refused on its head: the changes to a signed PutObject, its status, and what is said
REFUSED = [
    ({"Host": "evil.example"}, 403, b"loopback"),
    ({"Origin": "http://evil.example"}, 403, b"web pages"),
    ({"Authorization": ""}, 403, b"MissingAuthenticationToken"),
    ({"Authorization": "AWS4-HMAC-SHA256 nonsense"}, 403, b"IncompleteSignature"),
    ({"X-Amz-Date": "20200101T000000Z"}, 403, b"SignatureDoesNotMatch"),
    ({"x-amz-security-token": "x"}, 403, b"InvalidAccessKeyId"),
    ({"x-amz-meta-a": "b", "X-Amz-Content-SHA256": "0" * 64}, 403, b"SignatureDoesNotMatch"),
]


@pytest.mark.parametrize(("changes", "status", "said"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_body_is_not_read_of_a_request_that_is_refused_on_its_head(
    aws: Any, changes: dict[str, str], status: int, said: bytes
) -> None:
    sent = sign(aws, "s3", "PUT", "/refused/key", {}, b"") | {"Content-Length": HUGE} | changes
    answer = exchange(aws, head("PUT", "/refused/key", sent))
    assert answer.status == status
    assert said in answer.body
    assert answer.headers["connection"] == "close"


# services' own bounds, and how they say that something is larger
TOO_LARGE = [
    ("s3", "PUT", "/bucket/key", 5 * 1024 * MB + 1, 400, b"<Code>EntityTooLarge</Code>"),
    ("s3", "PUT", "/bucket?policy", 6 * MB, 400, b"<Code>EntityTooLarge</Code>"),
    ("codebuild", "POST", "/", 3 * MB, 413, b"RequestEntityTooLargeException"),
    ("sts", "POST", "/", 3 * MB, 413, b"<Code>RequestEntityTooLargeException</Code>"),
    ("lambda", "POST", "/2015-03-31/functions", 70 * MB, 413, b"RequestEntityTooLargeException"),
    ("athena", "POST", "/", 1, 400, b"does not have the service athena"),
]


@pytest.mark.parametrize(
    ("service", "method", "target", "size", "status", "said"), TOO_LARGE, ids=str
)
def test_what_is_too_large_by_its_head_is_refused_unread(
    aws: Any, service: str, method: str, target: str, size: int, status: int, said: bytes
) -> None:
    sent = sign(aws, service, method, target, {}, b"") | {"Content-Length": str(size)}
    answer = exchange(aws, head(method, target, sent))
    assert (answer.status, said in answer.body) == (status, True), answer


def test_what_turns_out_too_large_is_refused_as_well(aws: Any) -> None:
    """Of a chunked body, nobody knows the size before it is there."""
    sent = sign(aws, "codebuild", "POST", "/", {}, b"") | {"Transfer-Encoding": "chunked"}
    chunk = b"100000\r\n" + b" " * MB + b"\r\n"
    answer = exchange(aws, head("POST", "/", sent) + chunk * 3)
    assert answer.status == 413


def test_an_unsigned_body_of_300_mb_takes_no_memory(aws: Any) -> None:
    sent = {"Host": aws.endpoint_url.removeprefix("http://"), "Content-Length": HUGE}
    block = b"x" * MB
    with growth_below(aws, 20 * MB), connect(aws) as client:
        client.sendall(head("PUT", "/bucket/key", sent))
        try:
            for _ in range(300):
                client.sendall(block)
        except ConnectionError:
            return  # it was not listened to any longer
        assert read_answer(client).status == 403


def test_a_client_that_asks_first_is_told_to_go_on_or_not_to(aws: Any) -> None:
    aws.client("s3").create_bucket(Bucket="asks-first")
    sent = sign(aws, "s3", "PUT", "/asks-first/key", {}, b"content") | {
        "Content-Length": "7",
        "Expect": "100-continue",
    }
    with connect(aws) as client:
        client.sendall(head("PUT", "/asks-first/key", sent))
        assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"content")
        assert read_answer(client).status == 200
    assert (
        exchange(aws, head("PUT", "/asks-first/key", sent | {"Authorization": "x"})).status == 403
    )


def test_several_requests_on_one_connection(aws: Any) -> None:
    sent = sign(aws, "s3", "GET", "/", {}, b"")
    with connect(aws) as client:
        for _ in range(3):
            client.sendall(head("GET", "/", sent))
            assert read_answer(client).status == 200
        client.sendall(head("GET", "/", sent) * 2)  # at once
        assert read_answer(client).status == 200


def test_an_answer_comes_beside_200_halves_of_requests(aws: Any) -> None:
    """A client that sends half a head or half a body keeps nobody waiting."""
    signed = sign(aws, "s3", "PUT", "/none/key", {}, b"x" * 100) | {"Content-Length": "100"}
    halves = [b"GET / HTTP/1.1\r\nHost: x\r\nA", head("PUT", "/none/key", signed) + b"x" * 50, b""]
    with ExitStack() as stack:
        for number in range(200):
            client = stack.enter_context(connect(aws))
            client.sendall(halves[number % len(halves)])
        answered = aws.client("codebuild").list_projects()
    assert answered["ResponseMetadata"]["HTTPStatusCode"] == 200


class Slow:
    """A door that admits everybody, behind a port of its own with bounds that a test can wait for."""

    def __init__(self, place: Path, **limits: Any) -> None:
        self._place = place
        self.listener = socket.create_server(("127.0.0.1", 0))
        Port(self, self.listener, Limits(**limits)).start()

    def admit(self, environ: dict[str, Any]) -> Visit:
        def refuse(error: Any) -> Response:
            return Response(error.code, 408)

        return Visit(Spool(self._place, MB), lambda body: Response(b"x" * len(body)), refuse)

    def exchange(self, *pieces: bytes) -> Answer:
        with socket.create_connection(self.listener.getsockname(), 30) as client:
            for piece in pieces:
                client.sendall(piece)
            return read_answer(client)


POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ([], 0),
        ([b"GET /"], 0),
        ([POST], 408),
        ([POST, b"12345"], 408),
        ([POST, b"1234567890"], 200),
    ],
    ids=str,
)
def test_nobody_is_waited_for_for_long(tmp_path: Path, pieces: list[bytes], status: int) -> None:
    slow = Slow(tmp_path, head_seconds=0.2, silence_seconds=0.2, linger_seconds=0.2)
    assert slow.exchange(*pieces).status == status


def test_a_connection_too_many_is_told_so(tmp_path: Path) -> None:
    slow = Slow(tmp_path, connections=3)
    with ExitStack() as stack:
        for _ in range(3):
            client = socket.create_connection(slow.listener.getsockname(), 30)
            stack.enter_context(client)
            client.sendall(POST + b"1234567890")
            assert read_answer(client).status == 200
        assert slow.exchange().status == 503


# aws-chunked: S3's clients' three forms of a body that is signed without having been read
CONTENT = os.urandom(200_000)
CHUNK = 70_000
CHECKSUM = base64.b64encode(zlib.crc32(CONTENT).to_bytes(4, "big")).decode()


def chunks(content: bytes) -> list[bytes]:
    return [content[start : start + CHUNK] for start in range(0, len(content), CHUNK)] + [b""]


def put_in_chunks(aws: Any, form: str, *, content: bytes = CONTENT, spoilt: str = "") -> Answer:
    """PutObject of `content` in that form, as an SDK sends it.

    Args:
        spoilt: what is wrong: `chunk`, `signature`, `checksum`, or `length`.
    """
    length = len(content) - (spoilt == "length")
    headers = {
        "X-Amz-Content-SHA256": form,
        "x-amz-decoded-content-length": str(length),
        "Content-Encoding": "aws-chunked",
        "x-amz-sdk-checksum-algorithm": "CRC32",
    }
    trailer = f"x-amz-checksum-crc32:{'AAAAAA==' if spoilt == 'checksum' else CHECKSUM}"
    if form.endswith("TRAILER"):
        headers["x-amz-trailer"] = "x-amz-checksum-crc32"
    sent = sign(aws, "s3", "PUT", "/chunked/key", headers, None)
    chain = Signer(aws, sent) if "HMAC" in form else None
    body = b""
    for number, chunk in enumerate(chunks(content)):
        signature = f";chunk-signature={chain.chunk(chunk)}" if chain else ""
        if spoilt == "signature" and number == 1:
            signature = signature[:-1] + ("0" if signature[-1] != "0" else "1")
        kept = chunk[::-1] if spoilt == "chunk" and number == 0 else chunk
        body += f"{len(chunk):x}{signature}\r\n".encode() + kept + (b"\r\n" if chunk else b"")
    if form.endswith("TRAILER"):
        body += trailer.encode() + b"\r\n"
        if chain:
            body += f"x-amz-trailer-signature:{chain.trailer(trailer)}\r\n".encode()
    body += b"\r\n"
    sent["Content-Length"] = str(len(body))
    return exchange(aws, head("PUT", "/chunked/key", sent) + body)


class Signer:
    """Signs chunks as the page says: "Transferring payload in multiple chunks"."""

    def __init__(self, aws: Any, sent: dict[str, str]) -> None:
        credential = sent["Authorization"].split("Credential=")[1].split(",")[0]
        self.scope, self.time = credential.split("/", 1)[1], sent["X-Amz-Date"]
        self.last = sent["Authorization"].split("Signature=")[1]
        self.key = b"AWS4" + aws.description["secret_access_key"].encode()
        for part in self.scope.split("/"):
            self.key = hmac.new(self.key, part.encode(), "sha256").digest()

    def _next(self, kind: str, *digests: str) -> str:
        text = "\n".join([f"AWS4-HMAC-SHA256-{kind}", self.time, self.scope, self.last, *digests])
        self.last = hmac.new(self.key, text.encode(), "sha256").hexdigest()
        return self.last

    def chunk(self, content: bytes) -> str:
        empty, own = hashlib.sha256().hexdigest(), hashlib.sha256(content).hexdigest()
        return self._next("PAYLOAD", empty, own)

    def trailer(self, line: str) -> str:
        return self._next("TRAILER", hashlib.sha256(f"{line}\n".encode()).hexdigest())


FORMS = (
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
)


@pytest.mark.parametrize("form", FORMS)
def test_a_body_in_chunks_is_the_object(aws: Any, form: str) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="chunked")
    assert put_in_chunks(aws, form).status == 200
    found = s3.get_object(Bucket="chunked", Key="key", ChecksumMode="ENABLED")
    assert found["Body"].read() == CONTENT
    assert found["ETag"] == f'"{hashlib.md5(CONTENT).hexdigest()}"'
    assert found["ChecksumCRC32"] == CHECKSUM
    assert "aws-chunked" not in found.get("ContentEncoding", "")


@pytest.mark.parametrize(
    ("form", "spoilt", "code"),
    [
        (FORMS[1], "chunk", b"SignatureDoesNotMatch"),
        (FORMS[1], "signature", b"SignatureDoesNotMatch"),
        (FORMS[2], "signature", b"SignatureDoesNotMatch"),
        (FORMS[0], "chunk", b"BadDigest"),
        (FORMS[0], "checksum", b"BadDigest"),
        (FORMS[0], "length", b"InvalidRequest"),
        ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "", b"NotImplemented"),
    ],
)
def test_chunks_that_are_not_what_was_signed_are_no_object(
    aws: Any, form: str, spoilt: str, code: bytes
) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="chunked")
    s3.delete_object(Bucket="chunked", Key="key")
    answer = put_in_chunks(aws, form, spoilt=spoilt)
    assert (400 <= answer.status < 500, code in answer.body) == (True, True), answer
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket="chunked", Key="key")


def test_the_signatures_of_chunks_are_aws_s_own() -> None:
    """The example of the page "Transferring payload in multiple chunks": 65 KiB of `a`."""
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    keys = Principal("", "", "AKIAIOSFODNN7EXAMPLE", secret)
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    signed = Signed("AKIAIOSFODNN7EXAMPLE", "20130524", "us-east-1", "s3", [], seed, "20130524T000000Z", None)  # fmt: skip
    chain = Chain(signed, keys)
    for content, signature in (
        (b"a" * 65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
        (b"a" * 1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
        (b"", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
    ):
        chain.check_chunk(hashlib.sha256(content).hexdigest(), signature)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"ContentMD5": base64.b64encode(b"0" * 16).decode()}, "BadDigest"),
        ({"ContentMD5": "x"}, "InvalidDigest"),
        ({"ChecksumSHA256": base64.b64encode(b"0" * 32).decode()}, "BadDigest"),
        ({"ChecksumSHA1": base64.b64encode(b"0" * 20).decode()}, "BadDigest"),
        ({"ChecksumCRC32": "AAAAAA=="}, "BadDigest"),
    ],
    ids=str,
)
def test_an_object_with_another_checksum_is_refused(
    aws: Any, given: dict[str, str], code: str
) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="checksums")
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket="checksums", Key="key", Body=b"content", **given)
    assert refused.value.response["Error"]["Code"] == code


def large_file(place: Path, size: int) -> Path:
    """A file of random megabytes, each another."""
    path, block = place / "large", os.urandom(MB)
    with path.open("wb") as file:
        for number in range(size // MB):
            file.write(number.to_bytes(4, "big") + block[4:])
    return path


def digest_of(stream: Any) -> str:
    running = hashlib.sha256()
    for block in iter(lambda: stream.read(MB), b""):
        running.update(block)
    return running.hexdigest()


@pytest.mark.slow
def test_objects_larger_than_memory(aws: Any, tmp_path: Path) -> None:
    """Put, get, a range, a copy, parts, deletion: none of them holds the object in memory."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="large")
    s3.put_object(Bucket="large", Key="first", Body=b"")
    path = large_file(tmp_path, 200 * MB)
    with path.open("rb") as file:
        expected = digest_of(file)
    parts = TransferConfig(multipart_chunksize=8 * MB, max_concurrency=4)
    with growth_below(aws, MOST_GROWTH):
        with path.open("rb") as file:
            s3.put_object(Bucket="large", Key="put", Body=file)
        s3.copy_object(Bucket="large", Key="copy", CopySource="large/put")
        s3.upload_file(str(path), "large", "parts", Config=parts)
        for key in ("put", "copy", "parts"):
            found = s3.get_object(Bucket="large", Key=key)
            assert digest_of(found["Body"]) == expected, key
        found = s3.get_object(Bucket="large", Key="parts", Range=f"bytes={8 * MB - 2}-{8 * MB + 3}")
        with path.open("rb") as file:
            file.seek(8 * MB - 2)
            assert found["Body"].read() == file.read(6)
    bodies = aws.state_dir / "bodies"
    assert sum(one.stat().st_size for one in bodies.iterdir()) < 450 * MB  # a copy shares its bytes
    for key in ("put", "copy", "parts"):
        s3.delete_object(Bucket="large", Key=key)
    assert sum(one.stat().st_size for one in bodies.iterdir()) < 100 * MB


def test_an_object_that_is_deleted_while_it_is_sent_is_sent_whole(aws: Any, tmp_path: Path) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="deleted")
    content = os.urandom(3 * MB)
    s3.put_object(Bucket="deleted", Key="key", Body=content)
    body = s3.get_object(Bucket="deleted", Key="key")["Body"]
    first = body.read(10)
    s3.delete_object(Bucket="deleted", Key="key")
    assert first + body.read() == content


def test_a_spool_takes_what_it_may_and_no_more(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 100_000, ["md5"])
    spool.write(b"a" * 70_000)
    with pytest.raises(BodyError, match="exceeds the maximum"):
        spool.write(b"a" * 70_000)
    spool.close()
    assert not list(tmp_path.iterdir())
