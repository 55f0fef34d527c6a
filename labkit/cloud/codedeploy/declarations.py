"""The declared half of CodeDeploy's API: applications, deployment groups, configurations, revisions.

AWS page: "AWS CodeDeploy API Reference".
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from labkit.cloud.codedeploy import triggers
from labkit.cloud.codedeploy.models import (
    PLATFORMS,
    Application,
    CodeDeployBackend,
    Config,
    Group,
    codedeploy_backends,
    now,
    predefined,
    style_of,
)
from labkit.cloud.codedeploy.servers import scaling_groups, tag_groups
from labkit.cloud.codedeploy.traffic import target_group_names
from labkit.cloud.service import AWSError, Service, page

Answer = dict[str, Any]

_MOST_MINUTES = 2880  # of one step; "CodeDeploy limits"
_MOST_ALARMS = 10
_BUNDLES = ("zip", "tar", "tgz")
# What a deployment group may ask for, and the lab does not do.
_NOT_YET = (
    "onPremisesInstanceTagFilters",
    "onPremisesTagSet",
    "terminationHookEnabled",
)


class Declarations(Service):
    """What deployments are of and to."""

    boto3_name = "codedeploy"

    @property
    def backend(self) -> CodeDeployBackend:
        return codedeploy_backends[self.current_account][self.region]

    # applications

    def create_application(
        self,
        applicationName: str,
        computePlatform: str = "Server",
        tags: list[Answer] | None = None,
    ) -> Answer:
        if computePlatform not in PLATFORMS:
            raise AWSError(
                "InvalidComputePlatformException",
                f"The lab's local AWS does not support computePlatform {computePlatform} yet",
            )
        if applicationName in self.backend.applications:
            raise AWSError(
                "ApplicationAlreadyExistsException",
                f"Application already exists: {applicationName}",
            )
        made = Application(applicationName, tags=_tags(tags), platform=computePlatform)
        self.backend.applications[applicationName] = made
        return {"applicationId": made.id}

    def get_application(self, applicationName: str) -> Answer:
        return {"application": self.backend.application(applicationName).fields()}

    def batch_get_applications(self, applicationNames: list[str]) -> Answer:
        found = [self.backend.application(name) for name in applicationNames]
        return {"applicationsInfo": [item.fields() for item in found]}

    def list_applications(self, nextToken: str | None = None) -> Answer:
        items, token = page(sorted(self.backend.applications), nextToken, None)
        return {"applications": items, "nextToken": token}

    def update_application(self, applicationName: str, newApplicationName: str) -> Answer:
        known = self.backend.application(applicationName)
        if newApplicationName in self.backend.applications:
            raise AWSError(
                "ApplicationAlreadyExistsException",
                f"Application already exists: {newApplicationName}",
            )
        del self.backend.applications[applicationName]
        known.name = newApplicationName
        self.backend.applications[newApplicationName] = known
        for group in known.groups.values():
            group.application = newApplicationName
        return {}

    def delete_application(self, applicationName: str) -> Answer:
        self.backend.applications.pop(applicationName, None)
        return {}

    # deployment groups

    def create_deployment_group(
        self, applicationName: str, deploymentGroupName: str, **declared: Any
    ) -> Answer:
        application = self.backend.application(applicationName)
        if deploymentGroupName in application.groups:
            raise AWSError(
                "DeploymentGroupAlreadyExistsException",
                f"Deployment group name already exists: {deploymentGroupName}",
            )
        declared = {"deploymentGroupName": deploymentGroupName, **declared}
        declared.pop("tags", None)
        self._check_group(declared, application.platform)
        made = Group(applicationName, declared, platform=application.platform)
        application.groups[made.name] = made
        return {"deploymentGroupId": made.id}

    def update_deployment_group(
        self,
        applicationName: str,
        currentDeploymentGroupName: str,
        newDeploymentGroupName: str | None = None,
        **changes: Any,
    ) -> Answer:
        application = self.backend.application(applicationName)
        group = self.backend.group(applicationName, currentDeploymentGroupName)
        name = newDeploymentGroupName or currentDeploymentGroupName
        declared = {**group.declared, **changes, "deploymentGroupName": name}
        self._check_group(declared, application.platform)
        with group.lock:
            del application.groups[currentDeploymentGroupName]
            group.declared = declared
            application.groups[name] = group
        return {}

    def get_deployment_group(self, applicationName: str, deploymentGroupName: str) -> Answer:
        group = self.backend.group(applicationName, deploymentGroupName)
        return {"deploymentGroupInfo": self._group_fields(group)}

    def batch_get_deployment_groups(
        self, applicationName: str, deploymentGroupNames: list[str]
    ) -> Answer:
        known = self.backend.application(applicationName).groups
        found = [known[name] for name in deploymentGroupNames if name in known]
        missing = [name for name in deploymentGroupNames if name not in known]
        answer: Answer = {"deploymentGroupsInfo": [self._group_fields(item) for item in found]}
        if missing:
            answer["errorMessage"] = f"No deployment groups found for: {', '.join(missing)}"
        return answer

    def list_deployment_groups(self, applicationName: str, nextToken: str | None = None) -> Answer:
        names = sorted(self.backend.application(applicationName).groups)
        items, token = page(names, nextToken, None)
        return {
            "applicationName": applicationName,
            "deploymentGroups": items,
            "nextToken": token,
        }

    def delete_deployment_group(self, applicationName: str, deploymentGroupName: str) -> Answer:
        self.backend.application(applicationName).groups.pop(deploymentGroupName, None)
        return {"hooksNotCleanedUp": []}

    # deployment configurations

    def create_deployment_config(
        self,
        deploymentConfigName: str,
        minimumHealthyHosts: Answer | None = None,
        computePlatform: str = "Server",
        trafficRoutingConfig: Answer | None = None,
        zonalConfig: Answer | None = None,
    ) -> Answer:
        name = deploymentConfigName
        if name in predefined() or name in self.backend.configs:
            raise AWSError(
                "DeploymentConfigAlreadyExistsException",
                f"Deployment configuration already exists: {name}",
            )
        if name.startswith("CodeDeployDefault."):
            raise AWSError(
                "InvalidDeploymentConfigNameException",
                "Deployment configuration names cannot begin with CodeDeployDefault.",
            )
        if computePlatform not in PLATFORMS:
            raise AWSError(
                "InvalidComputePlatformException",
                f"The computePlatform must be one of {', '.join(PLATFORMS)}",
            )
        if zonalConfig and computePlatform != "Server":
            raise AWSError(
                "InvalidZonalDeploymentConfigurationException",
                "Only a configuration of the platform Server has a zonalConfig",
            )
        if computePlatform == "Server":
            made = _hosts_config(name, minimumHealthyHosts, trafficRoutingConfig)
            made = replace(made, zonal=zonalConfig)
        else:
            made = _traffic_config(name, computePlatform, minimumHealthyHosts, trafficRoutingConfig)
        self.backend.configs[name] = made
        return {"deploymentConfigId": made.id}

    def get_deployment_config(self, deploymentConfigName: str) -> Answer:
        return {"deploymentConfigInfo": self.backend.config(deploymentConfigName).fields()}

    def list_deployment_configs(self, nextToken: str | None = None) -> Answer:
        names = [*predefined(), *sorted(self.backend.configs)]
        items, token = page(names, nextToken, None)
        return {"deploymentConfigsList": items, "nextToken": token}

    def delete_deployment_config(self, deploymentConfigName: str) -> Answer:
        if deploymentConfigName in predefined():
            raise AWSError(
                "InvalidOperationException",
                f"The predefined configuration {deploymentConfigName} cannot be deleted",
            )
        used = any(
            group.config == deploymentConfigName
            for application in self.backend.applications.values()
            for group in application.groups.values()
        )
        if used:
            raise AWSError(
                "DeploymentConfigInUseException",
                f"{deploymentConfigName} is in use by a deployment group",
            )
        self.backend.configs.pop(deploymentConfigName, None)
        return {}

    # revisions

    def register_application_revision(
        self, applicationName: str, revision: Answer, description: str | None = None
    ) -> Answer:
        application = self.backend.application(applicationName)
        check_revision(revision, application.platform)
        register(application, revision, description)
        return {}

    def get_application_revision(self, applicationName: str, revision: Answer) -> Answer:
        for known in self.backend.application(applicationName).revisions:
            if known["revision"] == revision:
                return {
                    "applicationName": applicationName,
                    "revision": revision,
                    "revisionInfo": known["info"],
                }
        raise AWSError("RevisionDoesNotExistException", "The revision was not registered")

    def batch_get_application_revisions(
        self, applicationName: str, revisions: list[Answer]
    ) -> Answer:
        known = self.backend.application(applicationName).revisions
        found = [item for item in known if item["revision"] in revisions]
        answer: Answer = {
            "applicationName": applicationName,
            "revisions": [
                {"revisionLocation": item["revision"], "genericRevisionInfo": item["info"]}
                for item in found
            ],
        }
        if len(found) < len(revisions):
            answer["errorMessage"] = "Some of the revisions were not registered"
        return answer

    def list_application_revisions(
        self, applicationName: str, nextToken: str | None = None, **_: Any
    ) -> Answer:
        found = [item["revision"] for item in self.backend.application(applicationName).revisions]
        items, token = page(found, nextToken, None)
        return {"revisions": items, "nextToken": token}

    # GitHub accounts: the lab reads what needs no token

    def list_git_hub_account_token_names(self, nextToken: str | None = None) -> Answer:
        return {"tokenNameList": []}

    def delete_git_hub_account_token(self, tokenName: str | None = None) -> Answer:
        if not tokenName:
            raise AWSError("GitHubAccountTokenNameRequiredException", "The token name is missing")
        raise AWSError(
            "GitHubAccountTokenDoesNotExistException", f"No GitHub account token {tokenName}"
        )

    # tags

    def tag_resource(self, ResourceArn: str, Tags: list[Answer]) -> Answer:
        self._tagged(ResourceArn).tags.update(_tags(Tags))
        return {}

    def untag_resource(self, ResourceArn: str, TagKeys: list[str]) -> Answer:
        for key in TagKeys:
            self._tagged(ResourceArn).tags.pop(key, None)
        return {}

    def list_tags_for_resource(self, ResourceArn: str, NextToken: str | None = None) -> Answer:
        tags = self._tagged(ResourceArn).tags
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    # within

    def _check_group(self, declared: Answer, platform: str) -> None:
        for key in _NOT_YET:
            if declared.get(key):
                raise AWSError(
                    "InvalidInputException", f"The lab's local AWS does not support {key} yet"
                )
        check_alarms(declared.get("alarmConfiguration"))
        _check_triggers(declared.get("triggerConfigurations") or [])
        _check_style(declared, platform)
        if platform != "Server" and (declared.get("ec2TagFilters") or declared.get("ec2TagSet")):
            raise AWSError(
                "InvalidEC2TagException", f"Deployment groups of {platform} have no EC2 tags"
            )
        if declared.get("deploymentConfigName"):
            config = self.backend.config(declared["deploymentConfigName"])
            if config.platform != platform:
                raise AWSError(
                    "InvalidDeploymentConfigNameException",
                    f"{config.name} is a configuration of the platform {config.platform}, not {platform}",
                )
        if declared.get("ec2TagFilters") and declared.get("ec2TagSet"):
            raise AWSError(
                "InvalidEC2TagCombinationException",
                "A deployment group takes ec2TagFilters or ec2TagSet, not both",
            )
        _check_tags(declared)

    def _group_fields(self, group: Group) -> Answer:
        shown = {
            "applicationName": group.application,
            "deploymentGroupId": group.id,
            "deploymentConfigName": group.config,
            "ec2TagFilters": [],
            "autoRollbackConfiguration": {"enabled": False, "events": []},
            "deploymentStyle": style_of(group.platform),
            "outdatedInstancesStrategy": "UPDATE",
            "computePlatform": group.platform,
            "targetRevision": group.target_revision,
            "lastSuccessfulDeployment": self._brief(group.last_success),
            "lastAttemptedDeployment": self._brief(group.last_attempt),
            **group.declared,
            "autoScalingGroups": [
                {"name": name, "hook": f"CodeDeploy-managed-{group.name}"}
                for name in scaling_groups(group.declared)
            ],
        }
        return {key: value for key, value in shown.items() if value is not None}

    def _brief(self, deployment_id: str | None) -> Answer | None:
        known = self.backend.deployments.get(deployment_id or "")
        if known is None:
            return None
        shown = {
            "deploymentId": known.id,
            "status": known.status,
            "endTime": known.completed,
            "createTime": known.created,
        }
        return {key: value for key, value in shown.items() if value is not None}

    def _tagged(self, arn: str) -> Application:
        kind, _, name = arn.split(":", 5)[-1].partition(":")
        if kind != "application" or name not in self.backend.applications:
            raise AWSError("ArnNotSupportedException", f"{arn} is not an application")
        return self.backend.applications[name]


def _check_triggers(given: list[Answer]) -> None:
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


def _check_tags(declared: Answer) -> None:
    for tag in (tag for filters in tag_groups(declared) for tag in filters):
        needed = "Value" if tag.get("Type") == "VALUE_ONLY" else "Key"
        if not tag.get(needed):
            raise AWSError("InvalidEC2TagException", f"The tag filter {tag} has no {needed}")


def _check_style(declared: Answer, platform: str) -> None:
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


def _check_ecs(declared: Answer) -> None:
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


def _check_blue_green(declared: Answer, balanced: bool) -> None:
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
    if not options:
        fault = "A BLUE_GREEN deployment group needs a blueGreenDeploymentConfiguration"
    elif way == "COPY_AUTO_SCALING_GROUP" and len(scaling_groups(declared)) != 1:
        fault = "COPY_AUTO_SCALING_GROUP needs exactly one Auto Scaling group"
    elif ready.get("waitTimeInMinutes") and ready.get("actionOnTimeout") != "STOP_DEPLOYMENT":
        fault = "waitTimeInMinutes applies to the actionOnTimeout STOP_DEPLOYMENT only"
    elif not 0 <= (end.get("terminationWaitTimeInMinutes") or 0) <= _MOST_MINUTES:
        fault = f"terminationWaitTimeInMinutes must be 0 to {_MOST_MINUTES}"
    if fault:
        raise AWSError("InvalidBlueGreenDeploymentConfigurationException", fault)


def check_alarms(configuration: Answer | None) -> None:
    """Raises AWSError: InvalidAlarmConfigException."""
    given = configuration or {}
    if given.get("enabled") and not given.get("alarms"):
        raise AWSError("InvalidAlarmConfigException", "An enabled alarm configuration needs alarms")
    if len(given.get("alarms") or []) > _MOST_ALARMS:
        raise AWSError(
            "AlarmsLimitExceededException",
            f"A deployment group takes at most {_MOST_ALARMS} alarms",
        )


def _hosts_config(name: str, hosts: Answer | None, routing: Answer | None) -> Config:
    if routing:
        raise AWSError(
            "InvalidTrafficRoutingConfigurationException",
            "A configuration of the platform Server has no trafficRoutingConfig",
        )
    if not hosts:
        raise AWSError(
            "InvalidMinimumHealthyHostValueException",
            "The minimum healthy hosts value is required",
        )
    kind, value = hosts["type"], hosts["value"]
    if value < 0 or (kind == "FLEET_PERCENT" and value > 100):
        raise AWSError(
            "InvalidMinimumHealthyHostValueException",
            f"The minimum healthy hosts value {value} is not valid for {kind}",
        )
    return Config(name, kind, value)


def _traffic_config(
    name: str, platform: str, hosts: Answer | None, routing: Answer | None
) -> Config:
    """AWS page: "TrafficRoutingConfig" in the CodeDeploy API Reference."""
    kind = (routing or {}).get("type")
    if hosts or not kind:
        raise AWSError(
            "InvalidTrafficRoutingConfigurationException",
            f"A configuration of the platform {platform} needs a trafficRoutingConfig alone",
        )
    if kind == "AllAtOnce":
        return Config(name, kind, platform=platform)
    key, prefix = {
        "TimeBasedCanary": ("timeBasedCanary", "canary"),
        "TimeBasedLinear": ("timeBasedLinear", "linear"),
    }[kind]
    step = (routing or {}).get(key) or {}
    share, interval = step.get(f"{prefix}Percentage", 0), step.get(f"{prefix}Interval", 0)
    if not 1 <= share <= 99 or not 1 <= interval <= _MOST_MINUTES:
        raise AWSError(
            "InvalidTrafficRoutingConfigurationException",
            f"{key} needs a percentage of 1 to 99 and an interval of 1 to {_MOST_MINUTES} minutes",
        )
    return Config(name, kind, share, interval, platform)


def check_revision(revision: Answer, platform: str = "Server") -> None:
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


def _check_github(location: Answer) -> None:
    """AWS page: "GitHubLocation" in the CodeDeploy API Reference."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", location.get("repository") or ""):
        raise AWSError("InvalidRevisionException", "The repository must be given as account/name")
    if not re.fullmatch(r"[0-9a-f]{40}", location.get("commitId") or ""):
        raise AWSError("InvalidRevisionException", "The commitId must be a full SHA1 commit ID")


def register(application: Application, revision: Answer, description: str | None) -> None:
    for known in application.revisions:
        if known["revision"] == revision:
            known["info"]["lastUsedTime"] = now()
            return
    info: Answer = {"registerTime": now(), "firstUsedTime": now(), "lastUsedTime": now()}
    if description:
        info["description"] = description
    application.revisions.append({"revision": revision, "info": info})


def _tags(tags: list[Answer] | None) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in tags or []}
