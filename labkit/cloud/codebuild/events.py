"""CodeBuild's two events, in AWS's shape.

AWS page: "Build notifications sample for CodeBuild".
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from labkit.cloud import bus
from labkit.cloud.codebuild.models import Build, Phase


def build_changed(build: Build) -> None:
    """Publish `CodeBuild Build State Change`, and wake who waits for the build."""
    bus.changes.announce(build.arn)
    if build.batch_arn:
        bus.changes.announce(build.batch_arn)
    phase = build.phases[-1]
    detail = {
        "build-status": build.status,
        "current-phase": phase.type,
        "current-phase-context": _context(phase),
        "version": "1",
    }
    _publish(build, "CodeBuild Build State Change", detail)


def phase_changed(build: Build, phase: Phase) -> None:
    """Publish `CodeBuild Build Phase Change` for a phase that is over."""
    detail = {
        "completed-phase": phase.type,
        "completed-phase-status": phase.status,
        "completed-phase-context": _context(phase),
        "completed-phase-duration-seconds": round(phase.seconds),
        "completed-phase-start": _time(phase.started),
        "completed-phase-end": _time(phase.ended or phase.started),
        "version": "1",
    }
    _publish(build, "CodeBuild Build Phase Change", detail)


def _publish(build: Build, detail_type: str, detail: dict[str, Any]) -> None:
    if build.managed_by:
        return
    common = {
        "project-name": build.project.name,
        "build-id": build.arn,
        "additional-information": _about(build),
    }
    bus.publish(
        "aws.codebuild",
        detail_type,
        {**common, **detail},
        account=build.account,
        region=build.region,
        resources=[build.arn],
    )


def _about(build: Build) -> dict[str, Any]:
    settings, environment = build.settings, build.settings["environment"]
    return {
        "artifact": {
            "md5sum": build.artifact.get("md5sum", ""),
            "sha256sum": build.artifact.get("sha256sum", ""),
            "location": build.artifact.get("location", ""),
        },
        "environment": {
            "image": environment["image"],
            "privileged-mode": environment.get("privilegedMode", False),
            "compute-type": environment["computeType"],
            "type": environment["type"],
            "environment-variables": environment.get("environmentVariables") or [],
        },
        "timeout-in-minutes": settings.get("timeoutInMinutes", 60),
        "build-complete": build.ended is not None,
        "initiator": build.initiator,
        "build-start-time": _time(build.started),
        "source": {
            "location": settings["source"].get("location", ""),
            "type": settings["source"]["type"],
        },
        "logs": {
            "group-name": build.log_group,
            "stream-name": build.log_stream,
            "deep-link": build.fields()["logs"].get("deepLink", ""),
        },
        "phases": [_phase(phase) for phase in build.phases],
    }


def _phase(phase: Phase) -> dict[str, Any]:
    shown: dict[str, Any] = {"phase-type": phase.type, "start-time": _time(phase.started)}
    if phase.status is not None:
        shown |= {
            "phase-status": phase.status,
            "phase-context": _context_list(phase),
            "end-time": _time(phase.ended or phase.started),
            "duration-in-seconds": round(phase.seconds),
        }
    return shown


def _context_list(phase: Phase) -> list[str]:
    return [f"{item['statusCode']}: {item['message']}" for item in phase.contexts or []]


def _context(phase: Phase) -> str:
    return "[" + ", ".join(_context_list(phase)) + "]"


def _time(value: datetime) -> str:
    hour = value.hour % 12 or 12
    return f"{value:%b} {value.day}, {value:%Y} {hour}:{value:%M:%S} {value:%p}"
