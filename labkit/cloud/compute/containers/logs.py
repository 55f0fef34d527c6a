"""What a container prints goes to CloudWatch Logs, a few times a second, if it is told to (awslogs).

AWS page: "Send Amazon ECS logs to CloudWatch".
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.shared import threads
from labkit.cloud.shared.clients import Session

logger = logging.getLogger(__name__)

_LOG_LINES = 500  # that are sent at once


def forward(
    declared: Mapping[str, Any], task: str, printed: Iterable[bytes], session: Session
) -> None:
    """Read what a container prints until it ends; without awslogs it goes nowhere."""
    settings = declared.get("logConfiguration") or {}
    options = settings.get("options") or {}
    send = None
    if settings.get("logDriver") == "awslogs" and options.get("awslogs-group"):
        stream = f"{options.get('awslogs-stream-prefix', 'ecs')}/{declared['name']}/{task}"
        send = _Stream(session, options, stream)
    for line in printed:
        if send is not None:
            send.put(line)
    if send is not None:
        send.close()


class _Stream:
    """One log stream, written a few times a second."""

    def __init__(self, session: Session, options: dict[str, str], stream: str) -> None:
        self._logs = session.client("logs")
        self._place = {"logGroupName": options["awslogs-group"], "logStreamName": stream}
        self._lines: list[dict[str, Any]] = []
        self._lock, self._sent = threading.Lock(), 0.0
        try:
            if options.get("awslogs-create-group") == "true":
                with contextlib.suppress(self._logs.exceptions.ResourceAlreadyExistsException):
                    self._logs.create_log_group(logGroupName=options["awslogs-group"])
            self._logs.create_log_stream(**self._place)
        except (ClientError, BotoCoreError) as error:
            logger.warning("no log of %s: %s", stream, error)

    def put(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\n") or " "
        with self._lock:
            self._lines.append({"timestamp": int(time.time() * 1000), "message": text})
            full = len(self._lines) >= _LOG_LINES
            if len(self._lines) == 1:
                threads.after(0.2, self.close, name="container log", failed=_not_sent)
        if full:
            self.close()

    def close(self) -> None:
        """Send what has not been sent yet."""
        with self._lock:
            lines, self._lines = self._lines, []
            if not lines:
                return
            try:
                self._logs.put_log_events(**self._place, logEvents=lines)
            except (ClientError, BotoCoreError) as error:
                _not_sent(error)


def _not_sent(error: Exception) -> None:
    logger.info("no log: %s", error)
