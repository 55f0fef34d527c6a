"""aws-chunked: how S3's clients send a body whose digest they do not know when they sign its head.

    <size in hexadecimal>[;chunk-signature=<signature>]\\r\\n<bytes>\\r\\n
    0[;chunk-signature=<signature>]\\r\\n
    [x-amz-checksum-crc32:<checksum>\\r\\n [x-amz-trailer-signature:<signature>\\r\\n]]\\r\\n

AWS page: "Signature calculations for the authorization header: transferring payload in multiple
chunks" in the Amazon S3 API Reference.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator

from labkit.cloud.front.signature import Chain
from labkit.cloud.shared.bodies import Body, BodyError, Spool

FORMS = {  # x-amz-content-sha256 -> whether its chunks are signed
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER": False,
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": True,
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": True,
}
_MOST_LINE_BYTES = 4096
_MOST_TRAILERS = 16
_SIGNATURE = "x-amz-trailer-signature"


class Chunks:
    """Takes such a body as it comes in, and gives what is in it to a spool.

    Args:
        length: what `x-amz-decoded-content-length` says.
        chain: checks the signatures of the chunks, where they have some.
    """

    def __init__(self, spool: Spool, length: int, chain: Chain | None) -> None:
        self._spool, self._length, self._chain = spool, length, chain
        self._buffer = bytearray()
        self._steps = self._read()
        self._done = False
        self.trailers: dict[str, str] = {}
        next(self._steps)

    def write(self, block: bytes) -> None:
        """Take what came next.

        Raises:
            BodyError: it is not of this form, or larger than it said.
            SignatureError: a chunk is not signed as it has to be.
        """
        if self._done:
            raise _malformed("something follows the last chunk")
        self._buffer += block
        self._done = next(self._steps, True) is not None

    def finish(self) -> Body:
        """All that was in the chunks.

        Raises:
            BodyError: it ended too early.
        """
        if not self._done:
            raise BodyError("IncompleteBody", "The request body terminated unexpectedly.")
        return self._spool.finish()

    def close(self) -> None:
        """Take nothing more."""
        self._spool.close()

    def _read(self) -> Generator[None, None, None]:
        """Goes on where it was whenever more has come."""
        left = self._length
        while True:
            line = yield from self._line()
            size, _, extension = line.partition(";")
            number = _hexadecimal(size)
            if number > left:
                raise _malformed("it is longer than x-amz-decoded-content-length")
            left -= number
            digest = yield from self._chunk(number)
            if self._chain is not None:
                self._chain.check_chunk(digest, extension.partition("chunk-signature=")[2])
            if number == 0:
                break
            if (yield from self._line()):
                raise _malformed("a chunk is longer than its size")
        if left:
            raise BodyError("IncompleteBody", "The body is shorter than its decoded length.")
        yield from self._read_trailers()

    def _chunk(self, left: int) -> Generator[None, None, str]:
        running = hashlib.sha256()
        while left:
            while not self._buffer:
                yield
            block = bytes(self._buffer[:left])
            del self._buffer[:left]
            left -= len(block)
            if self._chain is not None:
                running.update(block)
            self._spool.write(block)
        return running.hexdigest()

    def _read_trailers(self) -> Generator[None, None, None]:
        signed, signature = hashlib.sha256(), ""
        for _ in range(_MOST_TRAILERS):
            line = yield from self._line()
            if not line:
                break
            name, _, value = line.partition(":")
            if name.lower() == _SIGNATURE:
                signature = value.strip()
            else:
                self.trailers[name.lower()] = value.strip()
                signed.update(f"{name.lower()}:{value.strip()}\n".encode())
        else:
            raise _malformed("it has too many trailers")
        if self._chain is not None and self.trailers:
            self._chain.check_trailer(signed.hexdigest(), signature)

    def _line(self) -> Generator[None, None, str]:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _MOST_LINE_BYTES:
                raise _malformed("a line is too long")
            yield
        line = bytes(self._buffer[:end]).rstrip(b"\r")
        del self._buffer[: end + 1]
        return line.decode("latin-1")


def _hexadecimal(text: str) -> int:
    if not re.fullmatch("[0-9a-fA-F]{1,12}", text):
        raise _malformed(f"{text[:20]!r} is not the size of a chunk")
    return int(text, 16)


def _malformed(what: str) -> BodyError:
    return BodyError("InvalidRequest", f"The aws-chunked body is malformed: {what}.")
