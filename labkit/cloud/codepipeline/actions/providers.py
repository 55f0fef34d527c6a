"""Who runs which action and which rule: one function a provider.

AWS pages: "Valid action types and providers in CodePipeline"; "Rule structure reference".
"""

from __future__ import annotations

from collections.abc import Callable

from labkit.cloud.codepipeline import jobs
from labkit.cloud.codepipeline.action import Action, ActionFailed
from labkit.cloud.codepipeline.actions import (
    approval,
    cloudformation,
    codebuild,
    codecommit,
    codedeploy,
    commands,
    ecr_source,
    ecs,
    git_source,
    lambda_,
    lambda_deploy,
    nested,
    rules,
    s3_deploy,
    s3_source,
    stepfunctions,
)

# by provider, or by category and provider where two categories share a name
PROVIDERS: dict[str, Callable[[Action], None]] = {
    "CodeCommit": codecommit.run,
    "CodeBuild": codebuild.run,
    "Manual": approval.run,
    "CodeDeploy": codedeploy.run,
    "CodeDeployToECS": ecs.code_deploy,
    "ECS": ecs.run,
    "Commands": commands.run,
    "CodeStarSourceConnection": git_source.connection,
    "GitHub": git_source.github,
    "Source/S3": s3_source.run,
    "Source/ECR": ecr_source.run,
    "Deploy/S3": s3_deploy.run,
    "CloudFormation": cloudformation.run,
    "Deploy/Lambda": lambda_deploy.run,
    "Invoke/Lambda": lambda_.run,
    "Invoke/CodePipeline": nested.run,
    "StepFunctions": stepfunctions.run,
    "Rule/LambdaInvoke": lambda_.run,
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
