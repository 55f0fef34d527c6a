"""Builds wait here, in phase QUEUED, until a worker is free and their project's concurrency allows.

AWS pages: "Quotas for AWS CodeBuild"; "Project" in the CodeBuild API Reference,
`concurrentBuildLimit`; queuedTimeoutInMinutes of the same page.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from labkit.cloud.codebuild import metrics
from labkit.cloud.codebuild.models import Build
from labkit.cloud.codebuild.runner import Runner
from labkit.cloud.shared import runtime, threads

WORKERS = max(2, os.cpu_count() or 2)  # builds that run at once in the whole lab


@dataclass(frozen=True, eq=False)
class _Place:
    """A build in the queue, and how long it waits before it ends TIMED_OUT."""

    build: Build
    runner: Runner
    patience: threading.Timer
    then: Callable[[], object]

    @property
    def project(self) -> str:
        return self.build.project.arn

    @property
    def limit(self) -> int:
        return self.build.project.declared.get("concurrentBuildLimit") or WORKERS


_lock = threading.Lock()
_waiting: list[_Place] = []
_running: list[_Place] = []


def add(build: Build, then: Callable[[], object]) -> None:
    """Run a build as soon as there is a place for it, or end it if it is halted before.

    Waiting in the queue passes on the lab's scaled clock (rule R5).

    Args:
        then: called when the build has run to its end.
    """
    minutes = build.settings.get("queuedTimeoutInMinutes", 480)
    seconds = runtime.current().clock.wait_seconds(60 * minutes)
    runner = Runner(build)
    patience = threads.after(
        seconds,
        lambda: build.halt("TIMED_OUT"),
        name=f"patience of {build.id}",
        failed=build.break_off,
    )
    place = _Place(build, runner, patience, then)
    with _lock:
        _waiting.append(place)
    build.on_halt(lambda: _leave(place))
    _start_next()


def _start_next() -> None:
    """Start every build that has a place now, oldest first."""
    with _lock:
        taken = Counter(place.project for place in _running)
        for place in list(_waiting):
            if len(_running) >= WORKERS:
                return
            if taken[place.project] >= place.limit:
                continue
            taken[place.project] += 1
            _waiting.remove(place)
            _running.append(place)
            build = place.build
            threads.start(partial(_run, place), name=f"build {build.id}", failed=build.break_off)


def _run(place: _Place) -> None:
    place.patience.cancel()
    try:
        place.runner.run()
    finally:
        with _lock:
            _running.remove(place)
        _start_next()
    metrics.publish(place.build)
    place.then()


def _leave(place: _Place) -> None:
    """End a build that was halted while it waited."""
    with _lock:
        if place not in _waiting:
            return
        _waiting.remove(place)
    place.patience.cancel()
    place.runner.cancel()
