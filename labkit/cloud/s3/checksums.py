"""Checksums of objects, checked as S3 checks them. moto takes their word for it.

CRC-32C and CRC-64/NVME are in no library that the lab has: what a client says of them is kept as it
said it, and none is made up where it said nothing.

AWS page: "Checking object integrity in Amazon S3".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from moto.s3.exceptions import S3ClientError

from labkit.cloud.shared.bodies import Body, new_sum, sum_of

_KNOWN = ("CRC32", "SHA1", "SHA256")


def check(environ: dict[str, Any], body: Body) -> None:
    """Compare an upload with the checksums in its headers; one that was only named is added to them.

    Raises:
        S3ClientError: `BadDigest`, `InvalidDigest`.
    """
    md5 = environ.get("HTTP_CONTENT_MD5")
    if md5 is not None and sum_of(body, "md5") != _decoded(md5):
        raise S3ClientError(
            "BadDigest", "The Content-MD5 you specified did not match what we received."
        )
    for algorithm in _KNOWN:
        if (given := environ.get(_header(algorithm))) is not None and given != encoded(
            body, algorithm
        ):
            raise S3ClientError(
                "BadDigest", f"The {algorithm} you specified did not match the calculated checksum."
            )
    named = environ.get("HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM", "").upper()
    if named and _header(named) not in environ:
        if named in _KNOWN:
            environ[_header(named)] = encoded(body, named)
        else:
            del environ["HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM"]


def encoded(body: Body, algorithm: str) -> str:
    """A checksum as S3's headers have it: in base64.

    Raises:
        NotImplementedError: nobody here can calculate it.
    """
    if algorithm.upper() not in _KNOWN:
        raise NotImplementedError(f"the checksum {algorithm}")
    return base64.b64encode(sum_of(body, algorithm.lower())).decode()


def of_parts(
    parts: Sequence[Body], algorithm: str | None, kind: str | None
) -> tuple[str, str, int] | None:
    """The checksum of a completed upload: its type, itself, and of how many parts it is.

    Args:
        kind: `COMPOSITE`, a checksum of the parts' own, or `FULL_OBJECT`.
    """
    if algorithm not in _KNOWN:
        return None
    if kind == "FULL_OBJECT":
        return kind, encoded(Body.join(parts), algorithm), 1
    running = new_sum(algorithm.lower())
    for part in parts:
        running.update(sum_of(part, algorithm.lower()))
    return "COMPOSITE", base64.b64encode(running.digest()).decode(), len(parts)


def _header(algorithm: str) -> str:
    return f"HTTP_X_AMZ_CHECKSUM_{algorithm}"


def _decoded(md5: str) -> bytes:
    try:
        return base64.b64decode(md5, validate=True)
    except (ValueError, binascii.Error) as error:
        raise S3ClientError(
            "InvalidDigest", "The Content-MD5 you specified was invalid."
        ) from error
