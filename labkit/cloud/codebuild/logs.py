"""A build's log: lines in a file, which CloudWatch Logs shows as they come, and S3 keeps at the end.

The role's permission is asked through the door, with the calls that AWS makes: CreateLogGroup,
CreateLogStream, PutLogEvents. What follows goes into the stream's file alone, because a build may
print more than anyone wants to send through HTTP or hold in memory.

AWS pages: "Analyze and debug build logs"; "LogsConfig" in the CodeBuild API Reference. The forms of
the lines are the build agent's own.
"""

from __future__ import annotations

import gzip
import logging
import shutil
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.shared import threads
from labkit.cloud.shared.clients import Session
from labkit.cloud.shared.log_streams import LONGEST_EVENT, LineFile, install

logger = logging.getLogger(__name__)

_MASK = b"***"
_OPENING_SECONDS = 30


class BuildLog:
    """Bytes in, whole lines of the stream's file out; secrets are masked on the way.

    Args:
        path: the file; its directory exists.
    """

    def __init__(self, path: Path) -> None:
        self.file = LineFile(path)
        self._masked: list[bytes] = []
        self._pending = b""  # the line that has no end yet
        self._lock = threading.RLock()
        self._opening: threading.Thread | None = None
        self._refused: ClientError | None = None

    def open(
        self,
        session: Session,
        group: str,
        stream: str,
        account: str,
        *,
        first: str,
        failed: Callable[[Exception], object],
    ) -> None:
        """Show the log in CloudWatch Logs, from a thread of its own: `opened` says how it went.

        Args:
            first: the build agent's first line; a stream is shown by its first event.
            failed: takes any other error than AWS's.
        """
        self.agent(first)

        def show() -> None:
            try:
                client = session.client("logs")
                try:
                    _create(client, group, stream)
                except ClientError as error:
                    self._refused = error
                    return
                install(group, stream, self.file, account=account, region=session.region)
                event = {"timestamp": self.file.time_at(0), "message": first}
                client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event])
            except (ClientError, BotoCoreError) as error:
                logger.warning("no log for %s/%s: %s", group, stream, error)

        self._opening = threads.start(show, name=f"log {stream}", failed=failed)

    def opened(self) -> ClientError | None:
        """Return when the stream is there; the error if CloudWatch Logs refused it."""
        if self._opening is not None:
            self._opening.join(timeout=_OPENING_SECONDS)
        return self._refused

    def mask(self, values: Iterable[str]) -> None:
        """Show `***` in place of these values from now on."""
        # a value of several lines comes line by line
        lines = {line for value in values for line in value.split("\n") if line.strip()}
        with self._lock:
            known = {*self._masked, *(line.strip("\r").encode() for line in lines)}
            self._masked = sorted(known, key=len, reverse=True)

    def agent(self, text: str) -> None:
        """A line of the build agent, with its time; further lines of it have none."""
        stamp = datetime.now(UTC).strftime("%Y/%m/%d %H:%M:%S.%f")
        with self._lock:
            self.end_line()
            self.write(f"[Container] {stamp} {text}\n".encode("utf-8", "replace"))

    def write(self, data: bytes) -> None:
        """Some of a command's output."""
        with self._lock:
            start = 0
            if self._pending:
                start = data.find(b"\n") + 1
                if not start:
                    self._hold(self._pending + data)
                    return
                self._append(self._pending + data[:start])
            end = data.rfind(b"\n") + 1
            self._append(data, start, end)
            self._hold(data[end:])

    def _hold(self, data: bytes) -> None:
        """Keep a line that has no end yet; of a very long one only what may begin a secret."""
        if len(data) > 2 * LONGEST_EVENT:
            for value in self._masked:
                data = data.replace(value, _MASK)
            end = len(data) - max(map(len, self._masked), default=0)
            self._append(data[:end] + b"\n")
            data = data[end:]
        self._pending = data

    def end_line(self) -> None:
        """End the line that a command left without its end."""
        with self._lock:
            data, self._pending = self._pending, b""
            if data:
                self._append(data + b"\n")

    def close(self) -> None:
        """Return when the log can be read in CloudWatch Logs."""
        self.end_line()
        self.opened()
        self.file.close()

    def _append(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        """Add the whole lines of `data[start:end]`, which is copied only where it must change."""
        end = len(data) if end is None else end
        if start == end:
            return
        change = b"\r" in data or any(value in data for value in self._masked)
        if not change and not _has_long_line(data, start, end):
            self.file.append(memoryview(data)[start:end])
            return
        lines = data[start:end]
        for value in self._masked:
            lines = lines.replace(value, _MASK)
        self.file.append(_with_short_lines(lines.replace(b"\r\n", b"\n")))


def to_s3(file: Path, session: Session, location: str, name: str, **extra: Any) -> str:
    """Keep a log in S3, as AWS does: gzipped, below the prefix; returns its ARN.

    Args:
        location: `bucket` or `bucket/prefix`.

    Raises:
        botocore.exceptions.ClientError: S3 refused.
    """
    bucket, _, prefix = location.removeprefix("arn:aws:s3:::").partition("/")
    key = "/".join(part for part in (prefix.strip("/"), f"{name}.gz") if part)
    packed = file.with_suffix(".gz")
    with file.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    try:
        session.client("s3").upload_file(str(packed), bucket, key, ExtraArgs=extra)
    finally:
        packed.unlink()
    return f"arn:aws:s3:::{bucket}/{key}"


def _has_long_line(data: bytes, start: int, end: int) -> bool:
    """Whether a line is longer than an event may be."""
    while end - start > LONGEST_EVENT:
        start = data.rfind(b"\n", start, start + LONGEST_EVENT) + 1
        if not start:
            return True
    return False


def _with_short_lines(data: bytes) -> bytes:
    """Whole lines, with an end in every one that is longer than an event may be."""
    lines = [
        line[start : start + LONGEST_EVENT]
        for line in data.removesuffix(b"\n").split(b"\n")
        for start in range(0, max(1, len(line)), LONGEST_EVENT)
    ]
    return b"\n".join(lines) + b"\n"


def _create(client: Any, group: str, stream: str) -> None:
    missing = (client.exceptions.ResourceNotFoundException,)
    exists = (client.exceptions.ResourceAlreadyExistsException,)
    try:
        client.create_log_stream(logGroupName=group, logStreamName=stream)
    except missing:
        try:
            client.create_log_group(logGroupName=group)
        except exists:
            logger.debug("%s was made by another build just now", group)
        client.create_log_stream(logGroupName=group, logStreamName=stream)
