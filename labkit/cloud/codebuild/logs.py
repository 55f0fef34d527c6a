"""A build's log, written to CloudWatch Logs as it comes.

AWS page: "Analyze and debug build logs"; the line forms are the build agent's own.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.clients import Session

logger = logging.getLogger(__name__)

_LINGER_SECONDS = 0.2  # lines that come within it go in one call
_MOST_EVENTS, _MOST_BYTES = 1000, 900_000
_END = None


class BuildLog:
    """Lines in, PutLogEvents out, from a thread of its own; secrets are masked on the way.

    A role that may not write logs does not fail the build: it only leaves no log. Without a
    session, nothing is written.
    """

    def __init__(self, session: Session | None, group: str, stream: str) -> None:
        self._session, self._group, self._stream = session, group, stream
        self._lines: queue.SimpleQueue[tuple[int, str] | None] = queue.SimpleQueue()
        self._masked: list[str] = []
        self._thread = threading.Thread(target=self._send_all, name=f"log {stream}", daemon=True)
        if session is not None:
            self._thread.start()

    def mask(self, values: Iterable[str]) -> None:
        """Show `***` in place of these values from now on."""
        # a value of several lines comes line by line
        lines = {line for value in values for line in (value, *value.split("\n")) if line}
        self._masked = sorted({*self._masked, *lines}, key=len, reverse=True)

    def agent(self, text: str) -> None:
        """A line of the build agent, with its time; further lines of it have none."""
        stamp = datetime.now(UTC).strftime("%Y/%m/%d %H:%M:%S.%f")
        self.write(f"[Container] {stamp} {text}")

    def write(self, line: str) -> None:
        """A line of a command's output."""
        for value in self._masked:
            line = line.replace(value, "***")
        self._lines.put((int(time.time() * 1000), line + "\n"))

    def close(self) -> None:
        """Return when every line has been sent."""
        self._lines.put(_END)
        if self._session is not None:
            self._thread.join(timeout=30)

    def _send_all(self) -> None:
        assert self._session is not None
        try:
            client = self._session.client("logs")
            _create(client, self._group, self._stream)
            more = True
            while more:
                batch, more = self._next_batch()
                if batch:
                    client.put_log_events(
                        logGroupName=self._group, logStreamName=self._stream, logEvents=batch
                    )
        except (ClientError, BotoCoreError) as error:
            logger.warning("no log for %s/%s: %s", self._group, self._stream, error)

    def _next_batch(self) -> tuple[list[dict[str, Any]], bool]:
        """What has come, waiting a moment for more; and whether there will be more after it."""
        batch: list[dict[str, Any]] = []
        size, deadline = 0, None
        while len(batch) < _MOST_EVENTS and size < _MOST_BYTES:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                item = self._lines.get(timeout=left)
            except queue.Empty:
                break
            if item is _END:
                return batch, False
            when, message = item
            batch.append({"timestamp": when, "message": message})
            size += len(message.encode()) + 26
            deadline = deadline or time.monotonic() + _LINGER_SECONDS
        return batch, True


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
