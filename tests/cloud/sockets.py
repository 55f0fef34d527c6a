"""Requests as bytes, sent and answered over sockets: what no client library would let one send."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from typing import Any

import h11
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Answer:
    """What came back: the status is 0 where the connection was closed without a word."""

    status: int
    headers: dict[str, str]
    body: bytes


def connect(aws: Any) -> socket.socket:
    """A connection to the lab's port."""
    host, port = aws.endpoint_url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), TIMEOUT_SECONDS)


def exchange(aws: Any, content: bytes, *, method: str = "GET") -> Answer:
    """Send bytes on a connection of their own, and read the answer to them.

    Raises:
        TimeoutError: there is none.
    """
    with connect(aws) as client:
        with contextlib.suppress(ConnectionError):  # refused before it was all sent
            client.sendall(content)
        return read_answer(client, method)


def read_answer(client: socket.socket, method: str = "GET") -> Answer:
    """The next answer on a connection."""
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    http.send(h11.EndOfMessage())
    status, headers, body = 0, {}, b""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            if not (content := client.recv(1 << 16)):
                return Answer(status, headers, body)
            http.receive_data(content)
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif not isinstance(event, h11.InformationalResponse):
            return Answer(status, headers, body)


def head(method: str, target: str, headers: dict[str, str]) -> bytes:
    """A request's head on the wire."""
    lines = [
        f"{method} {target} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def sign(
    aws: Any,
    service: str,
    method: str,
    target: str,
    headers: dict[str, str],
    body: bytes | None,
    region: str = "us-east-1",
) -> dict[str, str]:
    """The headers of a request that the learner has signed.

    Args:
        body: None leaves the digest to what `x-amz-content-sha256` says.
    """
    keys = Credentials(aws.description["access_key_id"], aws.description["secret_access_key"])
    host = aws.endpoint_url.removeprefix("http://")
    request = AWSRequest(method, aws.endpoint_url + target, headers, body or b"")
    signer = (S3SigV4Auth if service == "s3" else SigV4Auth)(keys, service, region)
    if "X-Amz-Content-SHA256" in headers:
        digest = headers["X-Amz-Content-SHA256"]
        signer.payload = lambda request: digest  # type: ignore[method-assign]
    signer.add_auth(request)
    return {"Host": host, **dict(request.headers.items())}
