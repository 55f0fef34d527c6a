"""Calls to targets: to each one after the other, to different ones side by side.

AWS promises no order of most deliveries; a learner who reads a queue sees events as they happened.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from labkit.cloud.shared import threads

Work = Callable[[], object]
Failed = Callable[[Exception], object]


class Lines:
    """A line of calls for each target.

    Args:
        count: how many targets are called at a time.
        name: of the threads.
    """

    def __init__(self, count: int, name: str) -> None:
        self._calls = threads.Queue(count, name)
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[tuple[Work, Failed]]] = {}

    def add(self, target: str, call: Work, failed: Failed) -> None:
        """Call when all that was added before for that target has been called.

        Args:
            failed: takes what the call raises.
        """
        with self._lock:
            line = self._waiting.get(target)
            if line is not None:
                line.append((call, failed))
                return
            self._waiting[target] = deque([(call, failed)])
        self._calls.add(partial(self._serve, target), failed=failed)

    def _serve(self, target: str) -> None:
        while True:
            with self._lock:
                line = self._waiting[target]
                if not line:
                    del self._waiting[target]
                    return
                call, failed = line.popleft()
            threads.attempt(call, name=f"target {target}", failed=failed)
