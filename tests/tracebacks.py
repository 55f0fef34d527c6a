"""No traceback that only the lab's log knows: every lab that tests start is read for one.

What a learner did wrong is answered, and may be an error line in the log; a traceback is the lab's
own mistake, whether or not a test was waiting for what it spoilt.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

from labkit.cloud.front import launcher

MARK = "Traceback (most recent call last)"
_SHOWN = 6000  # characters


class Logs:
    """The logs of the labs that were started, each read once and from where it was left."""

    def __init__(self) -> None:
        self._read: dict[Path, int] = {}
        self._found: list[str] = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch every lab that this process starts; one is read before its directory may go."""
        up, down = launcher.up, launcher.down

        @wraps(up)
        def watched_up(state_dir: Path, *arguments: Any, **keywords: Any) -> Any:
            self._read.setdefault(Path(state_dir) / "log", 0)
            return up(state_dir, *arguments, **keywords)

        @wraps(down)
        def watched_down(state_dir: Path, *arguments: Any, **keywords: Any) -> Any:
            answer = down(state_dir, *arguments, **keywords)
            self._look()
            self._read.pop(Path(state_dir) / "log", None)
            return answer

        with mock.patch.multiple(launcher, up=watched_up, down=watched_down):
            yield

    def tracebacks(self) -> list[str]:
        """What has been found since this was last asked."""
        self._look()
        found, self._found = self._found, []
        return found

    def _look(self) -> None:
        for path, start in self._read.items():
            if not path.exists() or path.stat().st_size <= start:
                continue
            with path.open("rb") as file:
                file.seek(start)
                new = file.read()
            self._read[path] = start + len(new)
            text = new.decode("utf-8", "replace")
            if MARK in text:
                before = text.rfind("\n", 0, max(text.index(MARK) - 200, 0)) + 1
                self._found.append(text[before : before + _SHOWN])
