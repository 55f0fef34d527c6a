"""The declared half of CodeDeploy's API: applications, deployment groups, configurations, revisions.

AWS page: "AWS CodeDeploy API Reference".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from labkit.cloud.codedeploy.api.checks import MOST_MINUTES, check_group, check_revision
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
from labkit.cloud.codedeploy.strategies.servers import scaling_groups
from labkit.cloud.shared.service import AWSError, Service, page

Answer = dict[str, Any]


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

    def update_application(self, applicationName: str = "", newApplicationName: str = "") -> Answer:
        if not applicationName or not newApplicationName:
            raise AWSError("ApplicationNameRequiredException", "Application name is required.")
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
        self,
        applicationName: str,
        deploymentGroupName: str,
        tags: list[Answer] | None = None,
        **declared: Any,
    ) -> Answer:
        application = self.backend.application(applicationName)
        if deploymentGroupName in application.groups:
            raise AWSError(
                "DeploymentGroupAlreadyExistsException",
                f"Deployment group name already exists: {deploymentGroupName}",
            )
        declared = {"deploymentGroupName": deploymentGroupName, **declared}
        check_group(self.backend, declared, application.platform)
        made = Group(applicationName, declared, platform=application.platform, tags=_tags(tags))
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
        check_group(self.backend, declared, application.platform)
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

    def _tagged(self, arn: str) -> Application | Group:
        """What an ARN names: `...:application:NAME` or `...:deploymentgroup:NAME/GROUP`."""
        kind, _, name = arn.split(":", 5)[-1].partition(":")
        if kind == "application":
            return self.backend.application(name)
        if kind == "deploymentgroup":
            application, _, group = name.partition("/")
            return self.backend.group(application, group)
        raise AWSError(
            "ArnNotSupportedException", f"{arn} is not an application or a deployment group"
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
    if not 1 <= share <= 99 or not 1 <= interval <= MOST_MINUTES:
        raise AWSError(
            "InvalidTrafficRoutingConfigurationException",
            f"{key} needs a percentage of 1 to 99 and an interval of 1 to {MOST_MINUTES} minutes",
        )
    return Config(name, kind, share, interval, platform)


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
