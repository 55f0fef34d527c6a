"""Log streams of CloudWatch Logs whose events lie in a file, not in memory.

A build may print hundreds of megabytes. Its stream is moto's, extended: events are the lines of a
file, read back a page at a time. AWS pages: "GetLogEvents" (a page has 10,000 events or 1 MB) and
"PutLogEvents" (an event has at most 256 KB) in the CloudWatch Logs API Reference.
"""

from __future__ import annotations

import threading
import time
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moto.logs.exceptions import InvalidParameterException
from moto.logs.models import LogGroup, LogStream, logs_backends
from moto.logs.utils import EventMessageFilter

Event = dict[str, Any]
LONGEST_EVENT = 200_000  # bytes of a line; what is longer goes on in the next event
_PAGE_EVENTS, _PAGE_BYTES = 10_000, 1 << 20


class LineFile:
    """A file of whole lines, and when each of them was written.

    Lines are appended by one thread at a time and may be read by others meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._text = path.open("wb", buffering=0)
        self.size = 0
        self._offsets, self._times = array("Q"), array("Q")  # of what came within one millisecond
        self._lock = threading.Lock()

    def append(self, lines: bytes | memoryview) -> None:
        """Add lines, each with its end."""
        if not lines:
            return
        with self._lock:
            moment = int(time.time() * 1000)
            if not self._times or moment > self._times[-1]:
                self._offsets.append(self.size)
                self._times.append(moment)
            self._text.write(lines)
            self.size += len(lines)

    def close(self) -> None:
        """Let go of the file; it can be read on."""
        with self._lock:
            self._text.close()

    def time_at(self, offset: int) -> int:
        """When the line at `offset` was written, in milliseconds since 1970."""
        with self._lock:
            return self._times[bisect_right(self._offsets, offset) - 1]

    def read(self, start: int, end: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)


class FileLogStream(LogStream):
    """A log stream that reads its events out of a `LineFile`.

    It shows nothing before its writer's first PutLogEvents was let through the door: what that call
    brings is the head of the file.
    """

    def __init__(self, log_group: LogGroup, name: str, file: LineFile) -> None:
        super().__init__(log_group, name)
        self._file, self._open = file, False

    @property
    def _size(self) -> int:
        return self._file.size if self._open else 0

    @property
    def stored_bytes(self) -> int:
        """Its size in bytes, of which moto would keep count itself."""
        return self._size

    @stored_bytes.setter
    def stored_bytes(self, size: int) -> None:
        pass

    def to_describe_dict(self) -> Event:
        shown = super().to_describe_dict()
        if self._size:
            last = self._file.time_at(self._size)
            shown |= {"firstEventTimestamp": self._file.time_at(0), "lastEventTimestamp": last}
            shown |= {"lastIngestionTime": last, "uploadSequenceToken": "1"}
        return shown

    def put_log_events(self, log_events: list[Event]) -> str:
        if self._open:
            lines = "".join(event["message"].rstrip("\n") + "\n" for event in log_events)
            self._file.append(lines.encode())
        self._open = True
        return f"{1:056d}"

    def get_log_events(  # type: ignore[override]
        self,
        start_time: int | None,
        end_time: int | None,
        limit: int | None,
        next_token: str | None,
        start_from_head: bool,
    ) -> tuple[list[Event], str, str]:
        forward, offset = self._place(next_token, start_from_head)
        most = min(limit or _PAGE_EVENTS, _PAGE_EVENTS)
        pages = self._forward(offset) if forward else self._backward(offset)
        found: list[tuple[int, bytes]] = []
        for start, line in pages:
            if _within(self._file.time_at(start), start_time, end_time):
                found.append((start, line))
            offset = start + len(line) if forward else start
            if len(found) == most:
                break
        found.sort()
        first = found[0][0] if found else offset
        last = found[-1][0] + len(found[-1][1]) if found else offset
        return [self._event(*item) for item in found], f"b/{first:056d}", f"f/{last:056d}"

    def filter_log_events(self, start_time: int, end_time: int, filter_pattern: str) -> list[Event]:
        wanted = EventMessageFilter(filter_pattern)
        offset, found = 0, list[Event]()
        while offset < self._size:
            for start, line in self._forward(offset):
                offset = start + len(line)
                event = self._event(start, line)
                if _within(event["timestamp"], start_time, end_time) and wanted.matches(
                    event["message"]
                ):
                    own = {"eventId": f"{start:056d}", "logStreamName": self.log_stream_name}
                    found.append({**event, **own})
        return found

    def _place(self, token: str | None, from_head: bool) -> tuple[bool, int]:
        """Which way to read, and from where."""
        if token is None:
            return from_head, 0 if from_head else self._size
        way, _, number = token.partition("/")
        if way not in ("f", "b") or not number.removeprefix("-").isdigit():
            raise InvalidParameterException("The specified nextToken is invalid.")
        # -1 is what moto gives out for a stream that is still empty
        return way == "f", min(max(int(number), 0), self._size)

    def _forward(self, offset: int) -> Iterator[tuple[int, bytes]]:
        """The lines of the next page: where each begins, and its bytes."""
        block = self._file.read(offset, min(offset + _PAGE_BYTES, self._size))
        block = block[: block.rfind(b"\n") + 1]
        yield from _lines(offset, block)

    def _backward(self, offset: int) -> Iterator[tuple[int, bytes]]:
        """The lines before `offset`, the nearest first."""
        start = max(0, offset - _PAGE_BYTES)
        block = self._file.read(start, offset)
        if start:
            cut = block.find(b"\n") + 1
            start, block = start + cut, block[cut:]
        yield from reversed(list(_lines(start, block)))

    def _event(self, start: int, line: bytes) -> Event:
        moment = self._file.time_at(start)
        return {
            "timestamp": moment,
            "message": line.decode("utf-8", "replace"),
            "ingestionTime": moment,
        }


def install(group: str, name: str, file: LineFile, *, account: str, region: str) -> None:
    """Have an existing, empty log stream read its events out of `file`."""
    log_group = logs_backends[account][region].groups[group]
    log_group.streams[name] = FileLogStream(log_group, name, file)


def _lines(start: int, block: bytes) -> Iterator[tuple[int, bytes]]:
    for line in block.splitlines(keepends=True) if b"\r" not in block else _split(block):
        yield start, line
        start += len(line)


def _split(block: bytes) -> list[bytes]:
    """Lines by `\\n` alone; a carriage return is part of a line."""
    return [line + b"\n" for line in block.split(b"\n")[:-1]]


def _within(moment: int, start: int | None, end: int | None) -> bool:
    return not (start and moment < start) and not (end and moment > end)
