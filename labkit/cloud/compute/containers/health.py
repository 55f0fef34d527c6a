"""What one container of a task waits for in another, and whether a container is healthy.

AWS pages: "Container dependency", "Health check" in "Amazon ECS task definition parameters for
Fargate"; "Determine Amazon ECS task health using container health checks".
"""

from __future__ import annotations

import graphlib
import logging
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from labkit.cloud.shared import runtime, threads

logger = logging.getLogger(__name__)

UNKNOWN, HEALTHY, UNHEALTHY = "UNKNOWN", "HEALTHY", "UNHEALTHY"
_INTERVAL, _TIMEOUT, _RETRIES = 30, 5, 3  # Amazon ECS's own, where the check does not say


class DependencyError(Exception):
    """A container that can never start, because of another."""


def in_order(declared: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Containers, those first that others depend on.

    Raises:
        DependencyError: they wait for one another, or for one that is not there.
    """
    named = {one["name"]: one for one in declared}
    graph = {
        name: [item["containerName"] for item in one.get("dependsOn") or []]
        for name, one in named.items()
    }
    for name, needed in graph.items():
        for other in needed:
            if other not in named:
                raise DependencyError(f"{name} depends on {other}, which is not in the task")
    try:
        return [named[name] for name in graphlib.TopologicalSorter(graph).static_order()]
    except graphlib.CycleError as error:
        circle = ", ".join(error.args[1])
        raise DependencyError(f"the containers wait for one another: {circle}") from error


def may_start(
    declared: Mapping[str, Any], status: Callable[[str], int | None], health: Callable[[str], str]
) -> bool:
    """Whether all that a container depends on has come about.

    Args:
        status: the exit status of a container that has started, or None while it runs.

    Raises:
        DependencyError: it cannot come about any more.
    """
    for item in declared.get("dependsOn") or []:
        other, condition = item["containerName"], item["condition"]
        exited = status(other)
        if condition == "SUCCESS" and exited not in (None, 0):
            raise DependencyError(_unresolved(declared, other, "did not exit successfully"))
        if condition == "HEALTHY" and (exited is not None or health(other) == UNHEALTHY):
            raise DependencyError(_unresolved(declared, other, "is not healthy"))
        if condition in ("COMPLETE", "SUCCESS") and exited is None:
            return False
        if condition == "HEALTHY" and health(other) != HEALTHY:
            return False
    return True


def _unresolved(declared: Mapping[str, Any], other: str, what: str) -> str:
    return (
        f"failed to resolve container ordering dependency [{other}] for target "
        f"[{declared['name']}] as dependency {what}"
    )


class HealthCheck:
    """The health check of one container, run again and again until the task ends.

    The command runs in real time; the interval and the start period pass on the scaled clock.
    """

    def __init__(
        self,
        declared: Mapping[str, Any],
        owner: str,
        environment: Mapping[str, str],
        directory: Path,
        changed: Callable[[str], None],
    ) -> None:
        self._check, self._changed = declared["healthCheck"], changed
        self._owner, self._environment, self._directory = owner, environment, directory
        self.status = UNKNOWN

    def begin(self, ended: threading.Event) -> None:
        """Check until `ended` is set."""
        threads.start(
            lambda: self._run(ended),
            name=f"health of {self._owner}",
            failed=lambda error: self._become(UNHEALTHY),
        )

    def _run(self, ended: threading.Event) -> None:
        clock = runtime.current().clock
        interval = clock.wait_seconds(self._check.get("interval") or _INTERVAL)
        grace = clock.wait_seconds(self._check.get("startPeriod") or 0)
        begun, failed = time.monotonic(), 0
        while not ended.wait(interval):
            if self._passes():
                failed = 0
                self._become(HEALTHY)
                continue
            # "startPeriod": failures in it do not count towards the retries
            if self.status == HEALTHY or time.monotonic() - begun >= grace:
                failed += 1
            if failed >= (self._check.get("retries") or _RETRIES):
                self._become(UNHEALTHY)

    def _become(self, status: str) -> None:
        if status != self.status:
            self.status = status
            self._changed(status)

    def _passes(self) -> bool:
        first, *rest = self._check["command"]
        if first == "CMD-SHELL":
            command = ["/bin/sh", "-c", *rest]
        else:
            command = rest if first == "CMD" else ["/bin/sh", "-c", first]
        seconds = self._check.get("timeout") or _TIMEOUT
        try:
            process = runtime.current().processes.start(
                command,
                owner=self._owner,
                env=self._environment,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            logger.info("%s: %s", self._owner, error)
            return False
        try:
            return process.wait(runtime.current().clock.work_seconds(seconds)) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False
