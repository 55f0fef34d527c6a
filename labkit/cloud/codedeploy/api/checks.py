"""What may be declared: the checks of deployment groups and of revisions, with AWS's errors.

AWS pages: "CreateDeploymentGroup", "CreateDeployment" in the CodeDeploy API Reference.
"""

from __future__ import annotations

import re
from typing import Any

from labkit.cloud.codedeploy import onpremises, triggers
from labkit.cloud.codedeploy.models import CodeDeployBackend, style_of
from labkit.cloud.codedeploy.strategies.servers import scaling_groups, tag_groups
from labkit.cloud.codedeploy.strategies.traffic import target_group_names
from labkit.cloud.shared.service import AWSError

Fields = dict[str, Any]

MOST_MINUTES = 2880  # of one step; "CodeDeploy limits"
_MOST_ALARMS = 10
_BUNDLES = ("zip", "tar", "tgz")
# tags: filters, sets of them, what both at once and a faulty one answer with
_TAGS = (
    ("ec2TagFilters", "ec2TagSet", "InvalidEC2TagCombinationException", "InvalidEC2TagException"),
    (
        "onPremisesInstanceTagFilters",
        "onPremisesTagSet",
        "InvalidOnPremisesTagCombinationException",
        "InvalidTagException",
    ),
)


def check_group(backend: CodeDeployBackend, declared: Fields, platform: str) -> None:
    """Refuse a deployment group that could not be deployed to.

    Raises:
        AWSError: with the code of what is wrong.
    """
    if declared.get("terminationHookEnabled"):
        raise AWSError(
            "InvalidInputException",
            "The lab's local AWS does not support terminationHookEnabled yet",
        )
    check_alarms(declared.get("alarmConfiguration"))
    _check_triggers(declared.get("triggerConfigurations") or [])
    _check_style(declared, platform)
    if declared.get("deploymentConfigName"):
        config = backend.config(declared["deploymentConfigName"])
        if config.platform != platform:
            raise AWSError(
                "InvalidDeploymentConfigNameException",
                f"{config.name} is a configuration of the platform {config.platform}, not {platform}",
            )
    _check_tags(declared, platform)


def _check_tags(declared: Fields, platform: str) -> None:
    """AWS page: "Tagging instances for deployment groups in CodeDeploy"."""
    for filters, sets, both, faulty in _TAGS:
        given = [key for key in (filters, sets) if declared.get(key)]
        if given and platform != "Server":
            raise AWSError(faulty, f"Deployment groups of {platform} have no {given[0]}")
        if len(given) == 2:
            raise AWSError(both, f"A deployment group takes {filters} or {sets}, not both")
    for tag in (tag for group in tag_groups(declared) for tag in group):
        onpremises.check_filter(tag, "InvalidEC2TagException")
    for tag in (tag for group in onpremises.tag_groups(declared) for tag in group):
        onpremises.check_filter(tag, "InvalidTagException")


def _check_style(declared: Fields, platform: str) -> None:
    """AWS page: "DeploymentStyle" in the CodeDeploy API Reference."""
    style = {**style_of(platform), **(declared.get("deploymentStyle") or {})}
    if platform != "Server":
        if style != style_of(platform):
            raise AWSError(
                "InvalidDeploymentStyleException",
                f"Deployments of the platform {platform} are BLUE_GREEN and WITH_TRAFFIC_CONTROL",
            )
        if platform == "ECS":
            _check_ecs(declared)
        return
    balanced = style["deploymentOption"] == "WITH_TRAFFIC_CONTROL"
    info = declared.get("loadBalancerInfo") or {}
    if info.get("elbInfoList"):
        raise AWSError(
            "InvalidLoadBalancerInfoException",
            "The lab's local AWS has no Classic Load Balancers; use targetGroupInfoList",
        )
    if info.get("targetGroupPairInfoList"):
        raise AWSError(
            "InvalidLoadBalancerInfoException",
            "targetGroupPairInfoList is for deployments of the platform ECS",
        )
    if balanced and not target_group_names(info):
        raise AWSError(
            "InvalidLoadBalancerInfoException",
            "A deployment group WITH_TRAFFIC_CONTROL needs a loadBalancerInfo that names a target group",
        )
    if style["deploymentType"] == "BLUE_GREEN":
        _check_blue_green(declared, balanced)


def _check_ecs(declared: Fields) -> None:
    """AWS page: "Create a deployment group for an Amazon ECS deployment"."""
    services = declared.get("ecsServices") or []
    if len(services) != 1 or not all(
        services[0].get(one) for one in ("serviceName", "clusterName")
    ):
        raise AWSError(
            "InvalidECSServiceException",
            "A deployment group of ECS names one service and its cluster",
        )
    pairs = (declared.get("loadBalancerInfo") or {}).get("targetGroupPairInfoList") or []
    routes = [(one.get("prodTrafficRoute") or {}).get("listenerArns") or [] for one in pairs]
    if len(pairs) != 1 or len(pairs[0].get("targetGroups") or []) != 2 or len(routes[0]) != 1:
        raise AWSError(
            "InvalidLoadBalancerInfoException",
            "A deployment group of ECS has one target group pair: two target groups and the "
            "listener of the production traffic",
        )
    if not declared.get("blueGreenDeploymentConfiguration"):
        raise AWSError(
            "InvalidBlueGreenDeploymentConfigurationException",
            "A deployment group of ECS needs a blueGreenDeploymentConfiguration",
        )


def _check_blue_green(declared: Fields, balanced: bool) -> None:
    if not balanced:
        raise AWSError(
            "InvalidDeploymentStyleException",
            "A blue/green deployment of servers is WITH_TRAFFIC_CONTROL",
        )
    options = declared.get("blueGreenDeploymentConfiguration") or {}
    ready = options.get("deploymentReadyOption") or {}
    way = (options.get("greenFleetProvisioningOption") or {}).get("action")
    end = options.get("terminateBlueInstancesOnDeploymentSuccess") or {}
    fault = None
    if onpremises.tag_groups(declared):
        fault = "Blue/green deployments are not for on-premises instances"
    elif not options:
        fault = "A BLUE_GREEN deployment group needs a blueGreenDeploymentConfiguration"
    elif way == "COPY_AUTO_SCALING_GROUP" and len(scaling_groups(declared)) != 1:
        fault = "COPY_AUTO_SCALING_GROUP needs exactly one Auto Scaling group"
    elif ready.get("waitTimeInMinutes") and ready.get("actionOnTimeout") != "STOP_DEPLOYMENT":
        fault = "waitTimeInMinutes applies to the actionOnTimeout STOP_DEPLOYMENT only"
    elif not 0 <= (end.get("terminationWaitTimeInMinutes") or 0) <= MOST_MINUTES:
        fault = f"terminationWaitTimeInMinutes must be 0 to {MOST_MINUTES}"
    if fault:
        raise AWSError("InvalidBlueGreenDeploymentConfigurationException", fault)


def _check_triggers(given: list[Fields]) -> None:
    """AWS page: "TriggerConfig" in the CodeDeploy API Reference."""
    if len(given) > triggers.MOST:
        raise AWSError(
            "TriggerTargetsLimitExceededException",
            f"A deployment group takes at most {triggers.MOST} triggers",
        )
    for trigger in given:
        for key in ("triggerName", "triggerTargetArn", "triggerEvents"):
            if not trigger.get(key):
                raise AWSError("InvalidTriggerConfigException", f"A trigger needs a {key}")
        if ":sns:" not in trigger["triggerTargetArn"]:
            raise AWSError(
                "InvalidTriggerConfigException",
                f"{trigger['triggerTargetArn']} is not the ARN of an SNS topic",
            )


def check_alarms(configuration: Fields | None) -> None:
    """Raises AWSError: InvalidAlarmConfigException."""
    given = configuration or {}
    if given.get("enabled") and not given.get("alarms"):
        raise AWSError("InvalidAlarmConfigException", "An enabled alarm configuration needs alarms")
    if len(given.get("alarms") or []) > _MOST_ALARMS:
        raise AWSError(
            "AlarmsLimitExceededException",
            f"A deployment group takes at most {_MOST_ALARMS} alarms",
        )


def check_revision(revision: Fields, platform: str = "Server") -> None:
    """Refuse a revision that the platform cannot deploy.

    Raises:
        AWSError: InvalidRevisionException.
    """
    kind = revision.get("revisionType")
    if platform != "Server" and kind in ("AppSpecContent", "String"):
        given = revision.get("appSpecContent" if kind == "AppSpecContent" else "string") or {}
        if not given.get("content"):
            raise AWSError("InvalidRevisionException", "The revision has no content")
        return
    if platform == "Server" and kind == "GitHub":
        _check_github(revision.get("gitHubLocation") or {})
        return
    location = revision.get("s3Location") or {}
    if kind != "S3":
        raise AWSError(
            "InvalidRevisionException",
            f"The lab's local AWS does not support revisionType {kind} on the Server platform yet",
        )
    if not location.get("bucket") or not location.get("key"):
        raise AWSError("InvalidRevisionException", "The revision needs a bucket and a key")
    if platform != "Server":
        if location.get("bundleType", "YAML") not in ("YAML", "JSON"):
            raise AWSError("InvalidRevisionException", "The bundleType must be YAML or JSON")
        return
    if location.get("bundleType", "zip") not in _BUNDLES:
        raise AWSError(
            "InvalidRevisionException",
            f"bundleType {location['bundleType']} is not one of {', '.join(_BUNDLES)}",
        )


def _check_github(location: Fields) -> None:
    """AWS page: "GitHubLocation" in the CodeDeploy API Reference."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", location.get("repository") or ""):
        raise AWSError("InvalidRevisionException", "The repository must be given as account/name")
    if not re.fullmatch(r"[0-9a-f]{40}", location.get("commitId") or ""):
        raise AWSError("InvalidRevisionException", "The commitId must be a full SHA1 commit ID")
