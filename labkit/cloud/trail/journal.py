"""The lab's records in the order of the calls, a line of JSON each, in one file.

It is only ever appended to. Who looks for the newest reads it from its end, who delivers it goes on from
where they were: neither holds it in memory.
"""

from __future__ import annotations

import json
import mmap
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from labkit.cloud.shared import runtime

Record = dict[str, Any]
listeners: list[Callable[[Record], None]] = []  # told of each record once it is kept
_lock = threading.Lock()
_encode = json.JSONEncoder(default=str, separators=(",", ":")).encode


@cache
def _opened(state_dir: Path) -> BinaryIO:
    """For writing at its end, as long as this process lives; nothing waits in a buffer."""
    return path().open("ab", buffering=0)


def path() -> Path:
    """The file of this lab."""
    return runtime.current().state_dir / "trail.jsonl"


def append(record: Record) -> None:
    """Keep one more record."""
    line = f"{_encode(record)}\n".encode()
    with _lock:
        _opened(runtime.current().state_dir).write(line)
    for listener in listeners:
        listener(record)


def end() -> int:
    """Where the next record will be: an offset in bytes."""
    with _lock:
        return path().stat().st_size if path().exists() else 0


def forwards(start: int, stop: int) -> Iterator[Record]:
    """The records between two offsets, the oldest first."""
    if start >= stop:
        return
    with path().open("rb") as file:
        file.seek(start)
        while file.tell() < stop:
            yield json.loads(file.readline())


def backwards(before: int | None, having: Iterable[str] = ()) -> Iterator[tuple[int, Record]]:
    """The records from the newest to the oldest, each with its offset.

    Args:
        before: only those that lie before this offset.
        having: texts that must all occur in a record for it to be read at all.
    """
    last = end() if before is None else before
    if last == 0:
        return
    needles = [json.dumps(text)[1:-1].encode() for text in having]
    with path().open("rb") as file, mmap.mmap(file.fileno(), last, access=mmap.ACCESS_READ) as text:
        while last > 0:
            first = text.rfind(b"\n", 0, last - 1) + 1
            line = text[first:last]
            if all(needle in line for needle in needles):
                yield first, json.loads(line)
            last = first
