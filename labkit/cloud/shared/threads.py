"""The one place that starts threads, and sees that what breaks in one is told where its user looks.

Whoever starts a thread says what becomes of an error that nobody expected: a build ends in FAULT, a
deployment and an action fail and name it, a delivery is noted as not delivered, a poller goes on.
The traceback is in the lab's log besides, for who mends it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

logger = logging.getLogger(__name__)

Work = Callable[[], object]
Failed = Callable[[Exception], object]
_PAUSE_SECONDS = 1.0  # of what repeats, after an error


def start(work: Work, *, name: str, failed: Failed) -> threading.Thread:
    """Do `work` on a thread of its own.

    Args:
        failed: takes the error that `work` raises, and shows it to whoever asked for the work.
    """
    thread = threading.Thread(
        target=attempt,
        args=(work,),
        kwargs={"name": name, "failed": failed},
        name=name,
        daemon=True,
    )
    thread.start()
    return thread


def after(seconds: float, work: Work, *, name: str, failed: Failed) -> threading.Timer:
    """Do `work` when so much real time has passed, unless what is returned is cancelled before."""
    timer = threading.Timer(
        min(seconds, threading.TIMEOUT_MAX), attempt, (work,), {"name": name, "failed": failed}
    )
    timer.name, timer.daemon = name, True
    timer.start()
    return timer


def repeat(step: Work, *, name: str) -> None:
    """Do `step` again and again; an error ends that step, and the next one follows.

    Args:
        step: waits itself until there is something to do, and makes an `attempt` of what somebody
            has to hear of.
    """

    def run() -> None:
        while True:
            if not attempt(step, name=name, failed=logged):
                time.sleep(_PAUSE_SECONDS)

    start(run, name=name, failed=logged)


def attempt(work: Work, *, name: str, failed: Failed) -> bool:
    """Do `work` here and now, and tell of what breaks as a thread does; whether it went well."""
    try:
        work()
        return True
    except Exception as error:
        logger.exception("%s", name)
        try:
            failed(error)
        except Exception:
            logger.exception("%s: its failure could not be told", name)
        return False


class Queue:
    """Work that waits for one of a few threads, in order."""

    def __init__(self, threads: int, name: str) -> None:
        self._name = name
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def add(self, work: Work, failed: Failed) -> None:
        self._pool.submit(attempt, work, name=self._name, failed=failed)


def workers(count: int, name: str) -> ThreadPoolExecutor:
    """Threads for a `with` block that takes the result of all that it submits, errors included."""
    return ThreadPoolExecutor(count, thread_name_prefix=name)


def logged(error: Exception) -> None:
    """The `failed` of work that nobody asked for: the log has it already."""
