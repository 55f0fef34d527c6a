"""A wait that somebody watches: after some seconds it says what it waits for, since when, and until when.

Only where a person looks on: in JupyterLab, or in VS Code. What a notebook stores does not depend on it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import Any

QUIET_SECONDS = 3.0
_AGAIN_SECONDS = 2.0
_WATCHERS = ("JPY_SESSION_NAME", "VSCODE_PID")  # variables that a person's kernel has


@dataclass
class Wait:
    """A wait that goes on; whoever waits sets `state` to what it has seen last."""

    what: str
    limit: float
    state: str = ""
    since: str = field(default_factory=lambda: time.strftime("%H:%M:%S"))
    begun: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        gone = time.monotonic() - self.begun
        state = f" ({self.state})" if self.state else ""
        return (
            f"Waiting for {self.what}{state}: since {self.since}, {gone:.0f} s so far; "
            f"gives up after {self.limit:.0f} s."
        )


@contextmanager
def waiting(what: str, limit: float) -> Iterator[Wait]:
    """Show a line while the block waits, if that takes longer than `QUIET_SECONDS`.

    Args:
        what: what is waited for.
        limit: after how many seconds the block gives up.
    """
    wait, over = Wait(what, limit), threading.Event()
    if not any(os.environ.get(name) for name in _WATCHERS):
        yield wait
        return
    shown = threading.Thread(target=_show, args=(wait, over), name="waiting", daemon=True)
    shown.start()
    try:
        yield wait
    finally:
        over.set()
        shown.join()


def _show(wait: Wait, over: threading.Event) -> None:
    from IPython import display as shown_by

    if over.wait(QUIET_SECONDS):
        return
    display: Any = shown_by.display
    line = display(_Line(str(wait)), display_id=True)
    while line is not None and not over.wait(_AGAIN_SECONDS):
        line.update(_Line(str(wait)))
    if line is not None:
        line.update(_Line(""))


@dataclass(frozen=True)
class _Line:
    text: str

    def _repr_html_(self) -> str:
        return f"<small>{escape(self.text)}</small>"

    def __repr__(self) -> str:
        return self.text
