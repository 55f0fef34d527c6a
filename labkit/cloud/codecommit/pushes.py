"""The head of a push as git sends it: which references it moves; and the answer that refuses them all.

Git pages: "gitprotocol-pack", Reference Update Request and Packfile Transfer, Report Status;
"gitprotocol-common", pkt-line Format.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from labkit.cloud.shared.bodies import Body

RESULT = "application/x-git-receive-pack-result"
_FLUSH = b"0000"
_MOST_HEAD = 1 << 20  # bytes; a thousand references are a tenth of it
_BAND_OF_RESULT = b"\x01"


@dataclass(frozen=True)
class Push:
    """What a push asks for.

    Args:
        references: their full names, such as `refs/heads/main`.
        capabilities: those that the client chose.
    """

    references: tuple[str, ...]
    capabilities: frozenset[str]

    def refused(self, message: str) -> bytes:
        """The result that git shows as `! [remote rejected] main -> main (message)`."""
        lines = ["unpack ok", *(f"ng {name} {message}" for name in self.references)]
        report = b"".join(_packet(f"{line}\n".encode()) for line in lines) + _FLUSH
        if "side-band-64k" in self.capabilities:
            return _packet(_BAND_OF_RESULT + report) + _FLUSH
        return report


def read(body: Body, encoding: str = "") -> Push:
    """Read the head of a request to `git-receive-pack`.

    Args:
        encoding: of the body: `gzip`, or nothing.

    Raises:
        ValueError: it is not a push.
    """
    head = bytes(body[:_MOST_HEAD])
    if encoding == "gzip":
        try:
            head = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(head, _MOST_HEAD)
        except zlib.error as error:
            raise ValueError("not gzip") from error
    references: list[str] = []
    capabilities = ""
    for line in _lines(head):
        command, _, chosen = line.partition("\0")
        if command.startswith(("shallow ", "push-cert")):
            continue
        capabilities = capabilities or chosen
        _old, _new, name = command.rstrip("\n").split(" ", 2)
        references.append(name)
    return Push(tuple(references), frozenset(capabilities.split()))


def _lines(head: bytes) -> Iterator[str]:
    at = 0
    while (size := head[at : at + 4]) != _FLUSH:
        end = at + int(size, 16)
        if end < at + 5 or end > len(head):
            raise ValueError("not a list of references")
        yield head[at + 4 : end].decode()
        at = end


def _packet(content: bytes) -> bytes:
    return b"%04x" % (len(content) + 4) + content
