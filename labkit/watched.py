"""A wait that somebody watches: after some seconds it says what it waits for, since when, and until when.

Only where a person looks on: in JupyterLab, or in VS Code. What a notebook stores does not depend on it.
AWS's own waiters say nothing and give up in words of their own: `wait_until` is one that does both.
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

from botocore.exceptions import WaiterError

from labkit.markup import Sentence

QUIET_SECONDS = 3.0
_AGAIN_SECONDS = 2.0
_WATCHERS = ("JPY_SESSION_NAME", "VSCODE_PID")  # variables that a person's kernel has


class GaveUp(Sentence, TimeoutError):
    """What was waited for has not come; the message says where it stands, and what to do."""


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


def somebody_looks_on() -> bool:
    """Whether this is a person's kernel; not one whose outputs are stored or compared."""
    return any(os.environ.get(name) for name in _WATCHERS)


@contextmanager
def waiting(what: str, limit: float) -> Iterator[Wait]:
    """Show a line while the block waits, if that takes longer than `QUIET_SECONDS`.

    Args:
        what: what is waited for.
        limit: after how many seconds the block gives up.
    """
    wait, over = Wait(what, limit), threading.Event()
    if not somebody_looks_on():
        yield wait
        return
    shown = threading.Thread(target=_show, args=(wait, over), name="waiting", daemon=True)
    shown.start()
    try:
        yield wait
    finally:
        over.set()
        shown.join()


def wait_until(client: Any, waiter: str, what: str, to_do: str, **parameters: Any) -> None:
    """Wait with one of AWS's waiters, for as long as it has patience.

    Args:
        client: boto3's client of the service.
        waiter: its name, as `get_waiter` takes it.
        what: what is waited for.
        to_do: what to do if that does not come, a sentence.

    Raises:
        GaveUp: it has not come.
    """
    waits = client.get_waiter(waiter)
    limit = waits.config.delay * waits.config.max_attempts
    try:
        with waiting(what, limit):
            waits.wait(**parameters)
    except WaiterError as error:
        raise GaveUp(f"Waited for {what}, in vain: {error}. {to_do}") from error


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
