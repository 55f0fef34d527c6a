"""The log of a build, out of CloudWatch Logs.

AWS page: "View build details in AWS CodeBuild"; GetLogEvents in the CloudWatch Logs API Reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labkit.lab import Lab
from labkit.missing import says_what_is_missing


class Follower:
    """Hands out the lines of a build's log that have come since it was asked last."""

    def __init__(self, lab: Lab, build_id: str) -> None:
        self._lab, self._build_id = lab, build_id
        self._stream: dict[str, str] | None = None
        self._token: dict[str, str] = {}

    def new_lines(self) -> list[str]:
        """The lines since the last call; none while the build has no log yet."""
        self._stream = self._stream or _stream(self._lab, self._build_id)
        if self._stream is None:
            return []
        logs, lines = self._lab.client("logs"), []
        try:
            while True:
                answer = logs.get_log_events(**self._stream, **self._token, startFromHead=True)
                lines += [event["message"].rstrip("\n") for event in answer["events"]]
                # the same token again means: that was all, so far
                if answer["nextForwardToken"] == self._token.get("nextToken"):
                    return lines
                self._token = {"nextToken": answer["nextForwardToken"]}
        except logs.exceptions.ResourceNotFoundException:
            return lines


def lines(lab: Lab, build_id: str) -> Iterator[str]:
    """All lines of a build's log so far."""
    yield from Follower(lab, build_id).new_lines()


@says_what_is_missing
def log(lab: Lab, build_id: str | None = None, *, last: int | None = None) -> None:
    """Print a build's log.

    Args:
        build_id: None takes the build that started last.
        last: that many lines from the end; None prints all.
    """
    chosen = build_id or _latest_build(lab)
    if chosen is None:
        print("No build has run yet.")
        return
    found = list(lines(lab, chosen))
    print("\n".join(found[-last:] if last else found) or f"Build {chosen} has no log.")


def _latest_build(lab: Lab) -> str | None:
    ids = lab.client("codebuild").list_builds_for_project(
        projectName=lab.project, sortOrder="DESCENDING"
    )["ids"]
    return ids[0] if ids else None


def _stream(lab: Lab, build_id: str) -> dict[str, str] | None:
    builds: list[dict[str, Any]] = lab.client("codebuild").batch_get_builds(ids=[build_id])[
        "builds"
    ]
    where = builds[0].get("logs", {}) if builds else {}
    if not where.get("groupName") or not where.get("streamName"):
        return None
    return {"logGroupName": where["groupName"], "logStreamName": where["streamName"]}
