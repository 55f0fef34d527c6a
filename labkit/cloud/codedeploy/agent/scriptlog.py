"""What a host's agent writes of the scripts it runs (rules D14-D16).

AWS page: "View log data for CodeDeploy EC2/On-Premises deployments"; aws-codedeploy-agent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

LOG_TAIL = 2048  # characters
COMBINED = "deployment-logs/codedeploy-agent-deployments.log"  # below the deployment root
ROTATED_AT = 64 << 20  # bytes
KEPT = 8  # files of the combined log


class ScriptLog:
    """`scripts.log` of one deployment on one host, and the tail that diagnostics show.

    Args:
        path: of `scripts.log`.
        combined: the log of all deployments on the host, which takes every line as well.
    """

    def __init__(self, path: Path, combined: Path, deployment_id: str) -> None:
        self.path, self.combined, self._id = path, combined, deployment_id
        self._tail: deque[str] = deque()
        self._size = 0

    def start_event(self, name: str) -> None:
        self._tail.clear()
        self._size = 0
        self.write(f"LifecycleEvent - {name}")

    def write(self, *lines: str) -> None:
        """Write lines to both logs."""
        self.note(*lines)
        for line in _last(lines):
            self._tail.append(line)
            self._size += len(line) + 1
        # D16: as many of the last lines as are less than the size together
        while self._size >= LOG_TAIL:
            self._size -= len(self._tail.popleft()) + 1

    def note(self, *lines: str) -> None:
        """Write lines that diagnostics do not show."""
        now = datetime.now()
        _append(self.path, (f"{now:%Y-%m-%d %H:%M:%S} {line}\n" for line in lines))
        stamp = f"[{now:%Y-%m-%d %H:%M:%S}.{now.microsecond // 1000:03d}] [{self._id}]"
        _rotate(self.combined)
        _append(self.combined, (f"{stamp}{line.strip()}\n" for line in lines))

    def tail(self) -> str:
        """The last lines of the event."""
        return "".join(f"{line}\n" for line in self._tail)


def _last(lines: tuple[str, ...]) -> Iterable[str]:
    size = count = 0
    while count < len(lines) and size < LOG_TAIL:
        count += 1
        size += len(lines[-count]) + 1
    return lines[len(lines) - count :]


def _append(path: Path, lines: Iterable[str]) -> None:
    try:
        log = path.open("a", encoding="utf-8")
    except FileNotFoundError:  # the first line, or a script has deleted the directory
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("a", encoding="utf-8")
    with log:
        log.writelines(lines)


def _rotate(path: Path) -> None:
    with suppress(FileNotFoundError):
        if path.stat().st_size < ROTATED_AT:
            return
        for number in range(KEPT - 2, -1, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        path.replace(path.with_name(f"{path.name}.0"))
