"""A build while it runs: a line for each phase that ends, and between them what its commands print.

The order comes from the log, so the same build is shown the same way however fast it was.
AWS page: "View build details in AWS CodeBuild".
"""

from __future__ import annotations

import re
import time
from typing import Any

from labkit.lab import Lab
from labkit.observe.waiting import TIMEOUT_SECONDS, poll_seconds
from labkit.show.logs import Follower
from labkit.show.states import duration

_SIGNS = {"SUCCEEDED": "✔", "FAILED": "✘", "TIMED_OUT": "■", "STOPPED": "■", "FAULT": "✘"}
_AGENT = re.compile(r"\[Container\] \S+ \S+ (.*)", re.DOTALL)
_COMPLETE = re.compile(r"Phase complete: (\w+) ")
# phases that the log does not tell of
_UNTOLD = ("SUBMITTED", "QUEUED", "PROVISIONING", "FINALIZING")


def follow(lab: Lab, build_id: str, *, timeout: float = TIMEOUT_SECONDS) -> dict[str, Any]:
    """Print a build's phases and its commands' output until it is complete.

    Args:
        timeout: seconds.

    Returns:
        The build, as BatchGetBuilds then describes it.

    Raises:
        LookupError: there is no such build.
        TimeoutError: it is not complete in time.
    """
    codebuild, shown = lab.client("codebuild"), _Shown(Follower(lab, build_id))
    deadline = time.monotonic() + timeout
    while True:
        with lab.must_answer():
            builds = codebuild.batch_get_builds(ids=[build_id])["builds"]
        if not builds:
            raise LookupError(f"CodeBuild has no build {build_id}")
        shown.update(builds[0])
        if builds[0]["buildComplete"]:
            print(f"{builds[0]['buildStatus']}: build {builds[0]['buildNumber']}")
            build: dict[str, Any] = builds[0]
            return build
        if time.monotonic() > deadline:
            raise TimeoutError(f"Build {build_id} is not complete after {timeout:.0f} s")
        time.sleep(poll_seconds(lab))


class _Shown:
    """How far a build has been printed."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._lines: list[str] = []
        self._phases = 0  # that have been printed
        self._begun = self._whole = False  # the lines of the next one

    def update(self, build: dict[str, Any]) -> None:
        """Print what is new."""
        self._lines += self._follower.new_lines()
        for phase in build["phases"][self._phases :]:
            self._print_lines_of(phase["phaseType"])
            over = self._whole or build["buildComplete"]
            if "phaseStatus" not in phase or not over:
                return
            _print_phase(phase)
            self._phases += 1
            self._begun = self._whole = False

    def _print_lines_of(self, phase: str) -> None:
        """Print the lines of a phase that have come."""
        self._whole = self._whole or phase in _UNTOLD
        while self._lines and not self._whole:
            line = self._lines.pop(0)
            agent = _AGENT.match(line)
            if agent is None:
                self._print(phase, f"    | {line}")
            elif agent[1].startswith("Running command "):
                self._print(phase, f"    $ {agent[1].removeprefix('Running command ')}")
            elif complete := _COMPLETE.match(agent[1]):
                self._whole = complete[1] == phase

    def _print(self, phase: str, line: str) -> None:
        if not self._begun:
            print(f"▶ {phase}")
        self._begun = True
        print(line)


def _print_phase(phase: dict[str, Any]) -> None:
    status = phase["phaseStatus"]
    seconds = (phase["endTime"] - phase["startTime"]).total_seconds()
    said = " ".join(context.get("message") or "" for context in phase.get("contexts") or [])
    why = f": {said.strip()}" if said.strip() else ""
    sign = "⚠" if why and status == "SUCCEEDED" else _SIGNS.get(status, "•")
    print(f"{sign} {phase['phaseType']} {status} {duration(seconds)}{why}")
