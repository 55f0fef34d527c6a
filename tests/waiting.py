"""How the tests wait: on a condition, with a deadline that only a failure reaches."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE_SECONDS = 30.0
_PAUSES = (0.005, 0.01, 0.02)


def eventually(
    read: Callable[[], T],
    seconds: float = DEADLINE_SECONDS,
    *,
    enough: Callable[[T], object] = bool,
    what: str = "it did not come about",
) -> T:
    """Read until it is enough; returns what was read.

    Args:
        seconds: of real time; generous, for a machine that does other work beside the tests.
        enough: whether what was read will do; that it is true, if not given.
        what: what to say otherwise.
    """
    deadline = time.monotonic() + seconds
    for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
        if enough(found := read()):
            return found
        assert time.monotonic() < deadline, f"{what}: {found!r}"
        time.sleep(pause)
    raise AssertionError(what)
