"""The check of the lesson on functions: it reads what CodeDeploy has kept, and what the alias says.

AWS pages: "ListDeployments", "GetDeploymentTarget" in the CodeDeploy API Reference; "GetAlias" in the
Lambda API Reference.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from labkit.lab import Lab
from labkit.observe.deployments import ROLLBACK, deployments_of
from labkit.observe.invocations import alias_shares
from labkit.provision.functions import application
from labkit.teach.result import Result, line


def functions(lab: Lab) -> Result:
    """An alias that leads to a version, a test that refused one, a canary that was taken back."""

    @cache
    def deployments() -> list[dict[str, Any]]:
        return deployments_of(lab, application(lab))

    def some(status: str, code: str) -> list[dict[str, Any]]:
        return [
            one
            for one in deployments()
            if one["status"] == status and one.get("errorInformation", {}).get("code", "") == code
        ]

    def shares() -> dict[str, float]:
        return alias_shares(lab, lab.name, "live")

    return Result(
        "functions",
        (
            line(
                "the alias live leads to a version that does not change",
                "publish a version and create the alias on it",
                lambda: all(version.isdigit() for version in shares()),
            ),
            line(
                "a test has refused a version before any traffic moved",
                "deploy the release without a greeting, with the hook BeforeAllowTraffic",
                lambda: some("Failed", "HOOK_EXECUTION_FAILURE"),
            ),
            line(
                "a canary was stopped by the alarm",
                "deploy the bad release with a canary configuration, and call the alias meanwhile",
                lambda: some("Stopped", "ALARM_ACTIVE"),
            ),
            line(
                "and was taken back",
                "set autoRollbackConfiguration with DEPLOYMENT_STOP_ON_ALARM",
                lambda: any(
                    one["creator"] == ROLLBACK and one["status"] == "Succeeded"
                    for one in deployments()
                ),
            ),
            line(
                "a good version has all the traffic",
                "deploy the good release",
                lambda: (
                    len(shares()) == 1
                    and deployments()[-1]["status"] == "Succeeded"
                    and deployments()[-1]["creator"] == "user"
                ),
            ),
        ),
    )
