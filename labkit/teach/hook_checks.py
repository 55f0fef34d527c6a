"""The check of the lesson on hooks, health and rollback: it reads the deployments and their events.

AWS pages: "GetDeployment" and "BatchGetDeploymentTargets" in the CodeDeploy API Reference.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from labkit.lab import Lab
from labkit.observe import lifecycle_events
from labkit.observe.deployments import deployments_of
from labkit.teach.result import Result, line


def hooks(lab: Lab) -> Result:
    """A script failed and was found; hosts were spared; a rollback; a way past ApplicationStop."""

    @cache
    def deployments() -> list[dict[str, Any]]:
        return deployments_of(lab, lab.application)

    def ended(status: str, creator: str = "user") -> list[dict[str, Any]]:
        return [
            one for one in deployments() if (one["status"], one["creator"]) == (status, creator)
        ]

    def failed_in(event: str) -> bool:
        for one in ended("Failed"):
            events = lifecycle_events(lab, one["deploymentId"])
            if not events[(events["event"] == event) & (events["status"] == "Failed")].empty:
                return True
        return False

    def skipped() -> set[bool]:
        return {one["deploymentOverview"]["Skipped"] > 0 for one in ended("Failed")}

    return Result(
        "hooks",
        (
            line(
                "an AfterInstall script failed",
                "deploy the revision whose AfterInstall ends with exit 3",
                lambda: failed_in("AfterInstall"),
            ),
            line(
                "a bad release has hit all hosts, and another has spared some",
                "deploy the same bad release with AllAtOnce and with OneAtATime",
                lambda: skipped() == {True, False},
            ),
            line(
                "ValidateService refused a release",
                "let ValidateService look for what a user would see, and deploy nonsense",
                lambda: failed_in("ValidateService"),
            ),
            line(
                "a rollback has brought the last good revision back",
                "deploy a bad release to a group with a rollback on DEPLOYMENT_FAILURE",
                lambda: bool(ended("Succeeded", "codeDeployRollback")),
            ),
            line(
                "once there was nothing to go back to",
                "deploy a bad release first to a new group",
                lambda: any(
                    one.get("rollbackInfo", {}).get("rollbackMessage")
                    and not one["rollbackInfo"].get("rollbackDeploymentId")
                    for one in ended("Failed")
                ),
            ),
            line(
                "a deployment got past a failing ApplicationStop",
                "deploy with ignoreApplicationStopFailures",
                lambda: (
                    failed_in("ApplicationStop")
                    and any(one["ignoreApplicationStopFailures"] for one in ended("Succeeded"))
                ),
            ),
            line(
                "a file that was there already was met in all three ways",
                "deploy with fileExistsBehavior DISALLOW, OVERWRITE and RETAIN",
                lambda: (
                    {one["fileExistsBehavior"] for one in deployments()}
                    == {"DISALLOW", "OVERWRITE", "RETAIN"}
                ),
            ),
        ),
    )
