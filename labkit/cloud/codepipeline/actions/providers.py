"""Who runs which action and which rule: one function a provider.

AWS pages: "Valid action types and providers in CodePipeline"; "Rule structure reference".
"""

from __future__ import annotations

from collections.abc import Callable

from labkit.cloud.codepipeline import jobs
from labkit.cloud.codepipeline.actions import (
    Action,
    ActionFailed,
    approval,
    codebuild,
    codecommit,
    codedeploy,
    commands,
    git_source,
    rules,
)

# by provider, or by category and provider where two categories share a name
PROVIDERS: dict[str, Callable[[Action], None]] = {
    "CodeCommit": codecommit.run,
    "CodeBuild": codebuild.run,
    "Manual": approval.run,
    "CodeDeploy": codedeploy.run,
    "Commands": commands.run,
    "CodeStarSourceConnection": git_source.connection,
    "GitHub": git_source.github,
    "Rule/CloudWatchAlarm": rules.cloudwatch_alarm,
    "Rule/DeploymentWindow": rules.deployment_window,
    "Rule/VariableCheck": rules.variable_check,
}


def find(kind: dict[str, str]) -> Callable[[Action], None]:
    """What runs an action or a rule of this type.

    Raises:
        ActionFailed: the lab does not run that provider.
    """
    if kind["owner"] == "Custom":
        return jobs.run
    provider, category = kind["provider"], kind["category"]
    known = PROVIDERS.get(f"{category}/{provider}") or PROVIDERS.get(provider)
    if known is None and kind["owner"] == "ThirdParty" and category != "Source":
        return jobs.run
    if known is None:
        raise ActionFailed(
            "ConfigurationError",
            f"The lab's local AWS does not run {category} actions of provider {provider} "
            "(nothing was done)",
        )
    return known
