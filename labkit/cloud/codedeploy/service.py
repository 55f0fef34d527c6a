"""CodeDeploy's API: applications, deployment groups, configurations, revisions and deployments.

AWS page: "AWS CodeDeploy API Reference".
"""

from __future__ import annotations

from typing import Any

from labkit.cloud.codedeploy import deployment as engine
from labkit.cloud.codedeploy.models import (
    Application,
    CodeDeployBackend,
    Config,
    Deployment,
    Group,
    Target,
    codedeploy_backends,
    now,
    predefined,
)
from labkit.cloud.service import AWSError, Service, page

Answer = dict[str, Any]

_BEHAVIORS = ("DISALLOW", "OVERWRITE", "RETAIN")
_BUNDLES = ("zip", "tar", "tgz")
# What a deployment group may ask for, and the lab does not do.
_NOT_YET = (
    "onPremisesInstanceTagFilters",
    "onPremisesTagSet",
    "autoScalingGroups",
    "triggerConfigurations",
    "blueGreenDeploymentConfiguration",
    "loadBalancerInfo",
    "ecsServices",
    "terminationHookEnabled",
)


class CodeDeploy(Service):
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
        if computePlatform != "Server":
            raise AWSError(
                "InvalidComputePlatformException",
                f"The lab's local AWS does not support computePlatform {computePlatform} yet",
            )
        if applicationName in self.backend.applications:
            raise AWSError(
                "ApplicationAlreadyExistsException",
                f"Application already exists: {applicationName}",
            )
        made = Application(applicationName, tags=_tags(tags))
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
        self._check_group(declared)
        made = Group(applicationName, declared)
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
        self._check_group(declared)
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
        if computePlatform != "Server" or trafficRoutingConfig or zonalConfig:
            raise AWSError(
                "InvalidComputePlatformException",
                "The lab's local AWS supports minimumHealthyHosts of the Server platform only",
            )
        if not minimumHealthyHosts:
            raise AWSError(
                "InvalidMinimumHealthyHostValueException",
                "The minimum healthy hosts value is required",
            )
        kind, value = minimumHealthyHosts["type"], minimumHealthyHosts["value"]
        if value < 0 or (kind == "FLEET_PERCENT" and value > 100):
            raise AWSError(
                "InvalidMinimumHealthyHostValueException",
                f"The minimum healthy hosts value {value} is not valid for {kind}",
            )
        made = Config(name, kind, value)
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
        _check_revision(revision)
        _register(application, revision, description)
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

    def list_application_revisions(
        self, applicationName: str, nextToken: str | None = None, **_: Any
    ) -> Answer:
        found = [item["revision"] for item in self.backend.application(applicationName).revisions]
        items, token = page(found, nextToken, None)
        return {"revisions": items, "nextToken": token}

    # deployments

    def create_deployment(
        self,
        applicationName: str,
        deploymentGroupName: str | None = None,
        revision: Answer | None = None,
        deploymentConfigName: str | None = None,
        description: str | None = None,
        ignoreApplicationStopFailures: bool = False,
        autoRollbackConfiguration: Answer | None = None,
        updateOutdatedInstancesOnly: bool = False,
        fileExistsBehavior: str = "DISALLOW",
        targetInstances: Answer | None = None,
        overrideAlarmConfiguration: Answer | None = None,
    ) -> Answer:
        application = self.backend.application(applicationName)
        if deploymentGroupName is None:
            raise AWSError(
                "DeploymentGroupNameRequiredException", "Deployment group name is missing"
            )
        group = self.backend.group(applicationName, deploymentGroupName)
        revision = revision or group.target_revision
        if revision is None:
            raise AWSError("RevisionRequiredException", "Revision is missing")
        _check_revision(revision)
        for name, value in (("targetInstances", targetInstances), ("overrideAlarmConfiguration", overrideAlarmConfiguration)):  # fmt: skip
            if value:
                raise AWSError(
                    "InvalidTargetInstancesException" if name == "targetInstances" else "InvalidAlarmConfigException",
                    f"The lab's local AWS does not support {name} yet",
                )  # fmt: skip
        if fileExistsBehavior not in _BEHAVIORS:
            raise AWSError(
                "InvalidFileExistsBehaviorException",
                f"Invalid fileExistsBehavior: {fileExistsBehavior}",
            )
        config = self.backend.config(deploymentConfigName or group.config)
        with group.lock:
            self._refuse_second(group)
            made = Deployment(
                applicationName,
                deploymentGroupName,
                group.id,
                config.name,
                revision,
                description=description,
                ignore_stop_failures=ignoreApplicationStopFailures,
                file_exists_behavior=fileExistsBehavior,
                rollback_configuration=autoRollbackConfiguration,
                update_outdated_only=updateOutdatedInstancesOnly,
            )
            _register(application, revision, description)
            engine.start(self.backend, group, made)
        return {"deploymentId": made.id}

    def get_deployment(self, deploymentId: str) -> Answer:
        return {"deploymentInfo": self.backend.deployment(deploymentId).fields()}

    def batch_get_deployments(self, deploymentIds: list[str]) -> Answer:
        found = (self.backend.deployments.get(item) for item in deploymentIds)
        return {"deploymentsInfo": [item.fields() for item in found if item]}

    def list_deployments(
        self,
        applicationName: str | None = None,
        deploymentGroupName: str | None = None,
        externalId: str | None = None,
        includeOnlyStatuses: list[str] | None = None,
        createTimeRange: Answer | None = None,
        nextToken: str | None = None,
    ) -> Answer:
        if applicationName and deploymentGroupName:
            self.backend.group(applicationName, deploymentGroupName)
        elif applicationName:
            self.backend.application(applicationName)
        span = createTimeRange or {}
        found = [
            item.id
            for item in reversed(list(self.backend.deployments.values()))
            if applicationName in (None, item.application)
            and deploymentGroupName in (None, item.group)
            and (not includeOnlyStatuses or item.status in includeOnlyStatuses)
            and not (span.get("start") and item.created < span["start"])
            and not (span.get("end") and item.created > span["end"])
        ]
        items, token = page(found, nextToken, None)
        return {"deployments": items, "nextToken": token}

    def stop_deployment(self, deploymentId: str, autoRollbackEnabled: bool | None = None) -> Answer:
        deployment = self.backend.deployment(deploymentId)
        if deployment.over:
            raise AWSError(
                "DeploymentAlreadyCompletedException",
                f"The deployment {deploymentId} is already completed",
            )
        deployment.stop_rolls_back = autoRollbackEnabled
        deployment.stop_requested = True
        return {
            "status": "Pending",
            "statusMessage": "The deployment stops when the lifecycle events that run now have ended.",
        }

    def continue_deployment(
        self, deploymentId: str | None = None, deploymentWaitType: str | None = None
    ) -> Answer:
        self.backend.deployment(deploymentId or "")
        raise AWSError(
            "UnsupportedActionForDeploymentTypeException",
            "Only a blue/green deployment can be continued",
        )

    # targets and instances

    def list_deployment_targets(
        self,
        deploymentId: str,
        nextToken: str | None = None,
        targetFilters: dict[str, list[str]] | None = None,
    ) -> Answer:
        statuses = (targetFilters or {}).get("TargetStatus")
        targets = self.backend.deployment(deploymentId).targets.values()
        found = [item.instance_id for item in targets if not statuses or item.status in statuses]
        items, token = page(found, nextToken, None)
        return {"targetIds": items, "nextToken": token}

    def get_deployment_target(self, deploymentId: str, targetId: str) -> Answer:
        target = self._target(deploymentId, targetId)
        return {"deploymentTarget": _target_fields(deploymentId, target)}

    def batch_get_deployment_targets(self, deploymentId: str, targetIds: list[str]) -> Answer:
        found = [self._target(deploymentId, item) for item in targetIds]
        return {"deploymentTargets": [_target_fields(deploymentId, item) for item in found]}

    def list_deployment_instances(
        self,
        deploymentId: str,
        nextToken: str | None = None,
        instanceStatusFilter: list[str] | None = None,
        instanceTypeFilter: list[str] | None = None,
    ) -> Answer:
        filters = {"TargetStatus": instanceStatusFilter} if instanceStatusFilter else None
        answer = self.list_deployment_targets(deploymentId, nextToken, filters)
        return {"instancesList": answer["targetIds"], "nextToken": answer["nextToken"]}

    def get_deployment_instance(self, deploymentId: str, instanceId: str) -> Answer:
        target = self._target(deploymentId, instanceId)
        return {"instanceSummary": _instance_fields(deploymentId, target)}

    def batch_get_deployment_instances(self, deploymentId: str, instanceIds: list[str]) -> Answer:
        found = [self._target(deploymentId, item) for item in instanceIds]
        return {"instancesSummary": [_instance_fields(deploymentId, item) for item in found]}

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

    def _check_group(self, declared: Answer) -> None:
        for key in _NOT_YET:
            if declared.get(key):
                raise AWSError(
                    "InvalidInputException", f"The lab's local AWS does not support {key} yet"
                )
        if (declared.get("alarmConfiguration") or {}).get("enabled"):
            raise AWSError(
                "InvalidAlarmConfigException",
                "The lab's local AWS does not support alarmConfiguration yet",
            )
        style = declared.get("deploymentStyle") or {}
        wanted = (style.get("deploymentType"), style.get("deploymentOption"))
        if wanted[0] == "BLUE_GREEN" or wanted[1] == "WITH_TRAFFIC_CONTROL":
            raise AWSError(
                "InvalidDeploymentStyleException",
                "The lab's local AWS supports IN_PLACE and WITHOUT_TRAFFIC_CONTROL only, so far",
            )
        if declared.get("ec2TagFilters") and declared.get("ec2TagSet"):
            raise AWSError(
                "InvalidEC2TagCombinationException",
                "A deployment group takes ec2TagFilters or ec2TagSet, not both",
            )
        _check_tags(declared)
        if declared.get("deploymentConfigName"):
            self.backend.config(declared["deploymentConfigName"])

    def _group_fields(self, group: Group) -> Answer:
        shown = {
            "applicationName": group.application,
            "deploymentGroupId": group.id,
            "deploymentConfigName": group.config,
            "ec2TagFilters": [],
            "autoRollbackConfiguration": {"enabled": False, "events": []},
            "deploymentStyle": {
                "deploymentType": "IN_PLACE",
                "deploymentOption": "WITHOUT_TRAFFIC_CONTROL",
            },
            "outdatedInstancesStrategy": "UPDATE",
            "computePlatform": "Server",
            "targetRevision": group.target_revision,
            "lastSuccessfulDeployment": self._brief(group.last_success),
            "lastAttemptedDeployment": self._brief(group.last_attempt),
            **group.declared,
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

    def _refuse_second(self, group: Group) -> None:
        if group.active is not None:
            raise AWSError(
                "DeploymentLimitExceededException",
                f"The Deployment Group '{group.name}' already has an active Deployment '{group.active}'",
            )

    def _target(self, deployment_id: str, target_id: str) -> Target:
        targets = self.backend.deployment(deployment_id).targets
        name = target_id.rpartition("/")[2]
        if name not in targets:
            raise AWSError(
                "DeploymentTargetDoesNotExistException",
                f"Target {target_id} is not part of deployment {deployment_id}",
            )
        return targets[name]

    def _tagged(self, arn: str) -> Application:
        kind, _, name = arn.split(":", 5)[-1].partition(":")
        if kind != "application" or name not in self.backend.applications:
            raise AWSError("ArnNotSupportedException", f"{arn} is not an application")
        return self.backend.applications[name]


def _check_tags(declared: Answer) -> None:
    for tag in (tag for filters in engine.tag_groups(declared) for tag in filters):
        needed = "Value" if tag.get("Type") == "VALUE_ONLY" else "Key"
        if not tag.get(needed):
            raise AWSError("InvalidEC2TagException", f"The tag filter {tag} has no {needed}")


def _check_revision(revision: Answer) -> None:
    kind = revision.get("revisionType")
    location = revision.get("s3Location") or {}
    if kind != "S3":
        raise AWSError(
            "InvalidRevisionException",
            f"The lab's local AWS does not support revisionType {kind} on the Server platform yet",
        )
    if not location.get("bucket") or not location.get("key"):
        raise AWSError("InvalidRevisionException", "The revision needs a bucket and a key")
    if location.get("bundleType", "zip") not in _BUNDLES:
        raise AWSError(
            "InvalidRevisionException",
            f"bundleType {location['bundleType']} is not one of {', '.join(_BUNDLES)}",
        )


def _register(application: Application, revision: Answer, description: str | None) -> None:
    for known in application.revisions:
        if known["revision"] == revision:
            known["info"]["lastUsedTime"] = now()
            return
    info: Answer = {"registerTime": now(), "firstUsedTime": now(), "lastUsedTime": now()}
    if description:
        info["description"] = description
    application.revisions.append({"revision": revision, "info": info})


def _target_fields(deployment_id: str, target: Target) -> Answer:
    return {
        "deploymentTargetType": "InstanceTarget",
        "instanceTarget": {
            "deploymentId": deployment_id,
            "targetId": target.instance_id,
            "targetArn": target.arn,
            "status": target.status,
            "lastUpdatedAt": target.updated,
            "lifecycleEvents": [event.fields() for event in target.events],
        },
    }


def _instance_fields(deployment_id: str, target: Target) -> Answer:
    return {
        "deploymentId": deployment_id,
        "instanceId": target.arn,
        "status": target.status,
        "lastUpdatedAt": target.updated,
        "lifecycleEvents": [event.fields() for event in target.events],
    }


def _tags(tags: list[Answer] | None) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in tags or []}
