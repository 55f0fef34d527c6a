"""Objects that lie on disk: moto's S3, with bodies of any size in the place of bytes.

moto reads a request's body, keeps an object's and answers with it as bytes. Here all three are a
`Body`: an upload is what the door spooled, a copy or a completed upload shares its parts' files, and
an answer is read from disk as it is sent. Who reads an object from inside moto (a Lambda function's
code, a template) gets bytes, as ever.

AWS page: "Uploading and copying objects using multipart upload".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextvars import ContextVar
from functools import wraps
from typing import Any

from moto.core.request import Request
from moto.iam.access_control import PermissionResult
from moto.s3 import responses
from moto.s3.exceptions import EntityTooSmall, InvalidPart, MalformedXML
from moto.s3.models import FakeBucket, FakeKey, FakeMultipart, S3Backend
from moto.s3.responses import S3Response
from moto.settings import S3_UPLOAD_PART_MIN_SIZE

from labkit.cloud.s3 import acls, checksums, encryption, lifecycle, notices
from labkit.cloud.shared.bodies import Body, sum_of

BODY = "labkit.body"  # in the environment of an upload, whose `wsgi.input` is empty

_as_bodies: ContextVar[bool] = ContextVar("_as_bodies", default=False)


class _Forgetful(list[Any]):
    """moto keeps every object that there ever was, for its own tests; here it would keep their files."""

    def append(self, item: Any, /) -> None:
        pass


def start() -> None:
    """Make moto's S3 keep its objects on disk: called once, when the local AWS starts."""
    for kept in (FakeKey, FakeMultipart):
        kept.instances_tracked = _Forgetful()  # type: ignore[union-attr]
    FakeKey.value = property(_value, _set_value)  # type: ignore[assignment, method-assign]
    FakeKey.etag = property(_etag)  # type: ignore[assignment, method-assign]
    FakeMultipart.complete = _complete  # type: ignore[assignment, method-assign]
    responses.compute_checksum = _checksum  # type: ignore[assignment, attr-defined]
    _take_bodies()
    _within(S3Response, "key_response", True)
    _within(S3Response, "bucket_response", True)
    _within(S3Backend, "select_object_content", False)  # which reads the whole object
    acls.start()
    notices.start()
    lifecycle.start()
    # the bucket's policy has been asked at the door; moto would ask it again, without conditions
    FakeBucket.get_permission = lambda *_: PermissionResult.NEUTRAL  # type: ignore[method-assign]


def _value(self: Any) -> Body | bytes:
    return self._body if _as_bodies.get() else bytes(self._body)


def _set_value(self: Any, value: Body | bytes) -> None:
    self._body = value if isinstance(value, Body) else Body.of(value)
    self.contentsize = len(value)


def _etag(self: Any) -> str:
    if self._etag is None:
        self._etag = sum_of(self._body, "md5").hex()
    return f'"{self._etag}"'


def _complete(
    self: Any, listed: Iterable[tuple[int, str]]
) -> tuple[Body, str, tuple[str, str, int] | None]:
    """CompleteMultipartUpload: the parts' bodies one after the other; ETag and checksum of the whole."""
    parts: list[Any] = []
    for number, etag in listed:
        part = self.parts.get(number)
        if part is None or part.etag.strip('"') != etag.strip('"'):
            raise InvalidPart()
        if parts and parts[-1].contentsize < S3_UPLOAD_PART_MIN_SIZE:
            raise EntityTooSmall()
        parts.append(part)
    if not parts:
        raise MalformedXML()
    digests = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
    etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
    bodies = [part._body for part in parts]
    algorithm = self.metadata.get("x-amz-checksum-algorithm")
    kind = self.metadata.get("x-amz-checksum-type")
    return Body.join(bodies), etag, checksums.of_parts(bodies, algorithm, kind)


def _checksum(body: Body | bytes, algorithm: str) -> bytes:
    return checksums.encoded(body if isinstance(body, Body) else Body.of(body), algorithm).encode()


def _take_bodies() -> None:
    """S3's own answers take the spooled body, once it is the one that its checksums say."""
    setup, respond = S3Response.setup_class, S3Response._key_response

    def setup_class(self: Any, request: Request, *arguments: Any, **keywords: Any) -> None:
        encryption.settle(request.environ)
        setup(self, request, *arguments, **keywords)
        self.body = request.environ.get(BODY, self.body)

    def key_response(self: Any, request: Request, full_url: str) -> Any:
        if (body := request.environ.get(BODY)) is not None:
            checksums.check(request.environ, body)
        return respond(self, request, full_url)

    S3Response.setup_class = setup_class  # type: ignore[method-assign]
    S3Response._key_response = key_response  # type: ignore[method-assign]


def _within(owner: Any, name: str, wanted: bool) -> None:
    """While this is done, an object's value is its body, or its bytes."""
    real = getattr(owner, name)

    @wraps(real)
    def call(*arguments: Any, **keywords: Any) -> Any:
        token = _as_bodies.set(wanted)
        try:
            return real(*arguments, **keywords)
        finally:
            _as_bodies.reset(token)

    setattr(owner, name, call)
