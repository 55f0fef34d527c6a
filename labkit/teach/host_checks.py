"""The check of the lesson on registered machines and Auto Scaling: it reads what CodeDeploy has kept.

AWS pages: "ListDeployments", "GetDeployment" in the CodeDeploy API Reference.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from labkit.lab import Lab
from labkit.observe.deployments import deployments_of
from labkit.teach.result import Result, line


def hosts(lab: Lab) -> Result:
    """Deployments to machines elsewhere, to launched instances, and to one launched in between."""

    @cache
    def deployments() -> list[dict[str, Any]]:
        return deployments_of(lab, lab.application)

    def some(creator: str) -> bool:
        return any(
            one["creator"] == creator and one["status"] == "Succeeded" for one in deployments()
        )

    @cache
    def targets() -> list[dict[str, Any]]:
        found, codedeploy = [], lab.client("codedeploy")
        for one in deployments():
            ids = {"deploymentId": one["deploymentId"]}
            for target in codedeploy.list_deployment_targets(**ids)["targetIds"]:
                answer = codedeploy.get_deployment_target(**ids, targetId=target)
                found.append(answer["deploymentTarget"]["instanceTarget"])
        return found

    def elsewhere(status: str) -> list[dict[str, Any]]:
        machines = [one for one in targets() if not one["targetId"].startswith("i-")]
        return [one for one in machines if one["status"] == status]

    return Result(
        "hosts",
        (
            line(
                "a release runs on machines that are not instances of EC2",
                "register them, tag them, and deploy to the group mixed",
                lambda: elsewhere("Succeeded"),
            ),
            line(
                "one of them could not fetch a release",
                "take its user's policy away, and deploy",
                lambda: elsewhere("Failed"),
            ),
            line(
                "an instance that was launched got the last release by itself",
                "let the Auto Scaling group have 2",
                lambda: some("autoscaling"),
            ),
            line(
                "one that was launched in mid-deployment was brought up to date",
                "deploy version 4, and let the group have 3 meanwhile",
                lambda: some("CodeDeployAutoUpdate"),
            ),
        ),
    )
