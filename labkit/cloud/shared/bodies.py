"""Bodies that may be larger than memory: bytes while they are small, else pieces of files on disk.

A `Spool` takes a body as it comes in and makes a `Body` of it. A body never changes, so that those
who hold it share its files; a file is deleted when the last of them lets go.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import weakref
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

SMALL_BYTES = 1 << 16  # what a body may have in memory
BLOCK_BYTES = 1 << 18  # of a larger one, at a time


class BodyError(Exception):
    """A body that is not taken; `code` is AWS's for it, as S3 names it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class _File:
    """A file that goes when nobody refers to it any more."""

    def __init__(self, path: Path) -> None:
        self.path = path
        weakref.finalize(self, path.unlink, missing_ok=True).atexit = False


@dataclass(frozen=True)
class _Piece:
    """The bytes `start` to `end` of what they lie in."""

    source: bytes | _File
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def blocks(self) -> Iterator[bytes]:
        if isinstance(self.source, bytes):
            yield self.source[self.start : self.end]
            return
        with self.source.path.open("rb", buffering=0) as file:
            position = self.start
            while position < self.end:
                block = os.pread(file.fileno(), min(BLOCK_BYTES, self.end - position), position)
                if not block:
                    raise OSError(f"{self.source.path} is shorter than it was")
                position += len(block)
                yield block


@dataclass(frozen=True)
class Body:
    """Bytes, wherever they lie: their length, slices of them (which copy nothing), and their blocks.

    Args:
        sums: digests of the whole by their algorithms, of those that were counted as it came in.
    """

    pieces: tuple[_Piece, ...] = ()
    sums: dict[str, bytes] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, content: bytes) -> Body:
        """A body of bytes that are in memory already, and may stay there."""
        return cls((_Piece(content, 0, len(content)),))

    @classmethod
    def join(cls, parts: Iterable[Body]) -> Body:
        """One after the other, without a copy."""
        return cls(tuple(piece for part in parts for piece in part.pieces))

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    def __getitem__(self, wanted: slice) -> Body:
        start, end, _ = wanted.indices(len(self))
        found, offset = [], 0
        for piece in self.pieces:
            first = max(start - offset, 0)
            last = min(end - offset, len(piece))
            if first < last:
                found.append(_Piece(piece.source, piece.start + first, piece.start + last))
            offset += len(piece)
        return Body(tuple(found))

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            yield from piece.blocks()

    def __bytes__(self) -> bytes:
        return b"".join(self)

    def __deepcopy__(self, memo: object) -> Body:
        return self

    @contextmanager
    def file(self, directory: Path) -> Iterator[IO[bytes]]:
        """An open file with these bytes, for a program to read; a copy only where there is none."""
        source = self.pieces[0].source if len(self.pieces) == 1 else b""
        if isinstance(source, _File) and len(self) == source.path.stat().st_size:
            with source.path.open("rb") as file:
                yield file
            return
        with tempfile.TemporaryFile(dir=directory) as copy:
            copy.writelines(self)
            copy.seek(0)
            yield copy


class Sum(Protocol):
    """What hashlib's objects have in common with the sums that are not among them."""

    def update(self, data: bytes, /) -> object: ...

    def digest(self) -> bytes: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def new_sum(algorithm: str) -> Any:
    """A running sum: `crc32`, or one of hashlib's."""
    return _Crc32() if algorithm == "crc32" else hashlib.new(algorithm, usedforsecurity=False)


def sum_of(body: Body, algorithm: str) -> bytes:
    """The digest of the whole body: as it was counted on its way in, or counted now."""
    if algorithm not in body.sums:
        running = new_sum(algorithm)
        for block in body:
            running.update(block)
        body.sums[algorithm] = running.digest()
    return body.sums[algorithm]


class Spool:
    """Takes a body as it comes in: in memory while it is small, then in a file.

    Args:
        directory: where the file is made.
        most: how many bytes it may have.
        algorithms: the sums that are counted on the way.
    """

    def __init__(self, directory: Path, most: int, algorithms: Iterable[str] = ()) -> None:
        self._directory, self._most = directory, most
        self._sums: dict[str, Sum] = {name: new_sum(name) for name in algorithms}
        self._memory = bytearray()
        self._output: IO[bytes] | None = None
        self._file: _File | None = None
        self._size = 0

    def write(self, block: bytes) -> None:
        """Take what came next.

        Raises:
            BodyError: `EntityTooLarge`.
        """
        self._size += len(block)
        if self._size > self._most:
            raise too_large(self._most)
        for running in self._sums.values():
            running.update(block)
        if self._output is None and self._size > SMALL_BYTES:
            descriptor, path = tempfile.mkstemp(dir=self._directory)
            self._file, self._output = _File(Path(path)), os.fdopen(descriptor, "wb")
            self._output.write(self._memory)
            self._memory.clear()
        if self._output is None:
            self._memory += block
        else:
            self._output.write(block)

    def finish(self) -> Body:
        """All that came."""
        sums = {name: running.digest() for name, running in self._sums.items()}
        source = self._file or bytes(self._memory)
        self.close()
        return Body((_Piece(source, 0, self._size),), sums)

    def close(self) -> None:
        """Take nothing more; what no body was made of is gone."""
        if self._output is not None:
            self._output.close()
        self._file, self._output = None, None


def too_large(most: int) -> BodyError:
    """The error for a body of more than `most` bytes."""
    return BodyError(
        "EntityTooLarge",
        f"Your proposed upload exceeds the maximum allowed size, {most} bytes (nothing was done).",
    )
