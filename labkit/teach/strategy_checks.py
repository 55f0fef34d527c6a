"""The check of the lesson on strategies: it reads what CodeDeploy has kept of the deployments.

AWS pages: "ListDeployments" and "BatchGetDeployments" in the CodeDeploy API Reference.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from labkit.lab import Lab
from labkit.observe.deployments import deployments_of
from labkit.teach.result import Result, line


def strategies(lab: Lab) -> Result:
    """In place behind a balancer; blue/green and canary stopped by an alarm and taken back."""

    @cache
    def deployments() -> list[dict[str, Any]]:
        names = (lab.application, f"{lab.name}-ecs")
        return [one for name in names for one in deployments_of(lab, name)]

    def some(platform: str, kind: str, status: str, creator: str = "user") -> list[dict[str, Any]]:
        return [
            one
            for one in deployments()
            if one["computePlatform"] == platform
            and one["deploymentStyle"]["deploymentType"] == kind
            and (one["status"], one["creator"]) == (status, creator)
        ]

    def taken_back(platform: str) -> bool:
        stopped = some(platform, "BLUE_GREEN", "Stopped")
        alarmed = [one for one in stopped if one["errorInformation"]["code"] == "ALARM_ACTIVE"]
        back = some(platform, "BLUE_GREEN", "Succeeded", "codeDeployRollback")
        return bool(alarmed and back)

    return Result(
        "strategies",
        (
            line(
                "a release has gone to hosts in place, behind the load balancer",
                "deploy to the group in-place",
                lambda: any(
                    one.get("loadBalancerInfo") for one in some("Server", "IN_PLACE", "Succeeded")
                ),
            ),
            line(
                "a blue/green deployment to hosts was stopped by the alarm and taken back",
                "deploy the bad release to the group blue-green",
                lambda: taken_back("Server"),
            ),
            line(
                "a canary to the ECS service was stopped by the alarm and taken back",
                "deploy the bad task definition with a canary configuration",
                lambda: taken_back("ECS"),
            ),
            line(
                "a good release has reached the ECS service",
                "deploy the good task definition",
                lambda: bool(some("ECS", "BLUE_GREEN", "Succeeded")),
            ),
        ),
    )
