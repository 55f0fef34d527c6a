"""Deployments and their targets, on top of what was declared.

AWS page: "CreateDeployment" and its neighbours in the CodeDeploy API Reference.
"""

from __future__ import annotations

from labkit.cloud.codedeploy import deployment as engine
from labkit.cloud.codedeploy.api.checks import check_alarms, check_revision
from labkit.cloud.codedeploy.api.declarations import Answer, Declarations, register
from labkit.cloud.codedeploy.models import Deployment, Group, Target
from labkit.cloud.shared.service import AWSError, page

_BEHAVIORS = ("DISALLOW", "OVERWRITE", "RETAIN")


class Deployments(Declarations):
    """The operations on deployments."""

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
        check_revision(revision, application.platform)
        _check_green(group, targetInstances)
        check_alarms(overrideAlarmConfiguration)
        if fileExistsBehavior not in _BEHAVIORS:
            raise AWSError(
                "InvalidFileExistsBehaviorException",
                f"Invalid fileExistsBehavior: {fileExistsBehavior}",
            )
        config = self.backend.config(deploymentConfigName or group.config)
        if config.platform != application.platform:
            raise AWSError(
                "InvalidDeploymentConfigNameException",
                f"{config.name} is not a configuration of the platform {application.platform}",
            )
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
                platform=application.platform,
                alarms=overrideAlarmConfiguration,
                green=targetInstances,
            )
            register(application, revision, description)
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
        if deploymentGroupName and not applicationName:
            raise AWSError("ApplicationNameRequiredException", "An application name is required.")
        if applicationName and not deploymentGroupName:
            raise AWSError(
                "DeploymentGroupNameRequiredException", "A deployment group name is required."
            )
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
        deployment.changed.set()
        return {
            "status": "Pending",
            "statusMessage": "The deployment stops when the lifecycle events that run now have ended.",
        }

    def continue_deployment(
        self, deploymentId: str | None = None, deploymentWaitType: str | None = None
    ) -> Answer:
        """AWS page: "ContinueDeployment" in the CodeDeploy API Reference."""
        deployment = self.backend.deployment(deploymentId or "")
        wanted = deploymentWaitType or "READY_WAIT"
        if deployment.over:
            raise AWSError(
                "DeploymentAlreadyCompletedException",
                f"The deployment {deploymentId} is already completed",
            )
        if deployment.style["deploymentType"] != "BLUE_GREEN" or deployment.platform == "Lambda":
            raise AWSError(
                "UnsupportedActionForDeploymentTypeException",
                "Only a blue/green deployment of servers or of an ECS service can be continued",
            )
        if deployment.waiting_for != wanted:
            raise AWSError(
                "DeploymentIsNotInReadyStateException",
                f"The deployment {deploymentId} does not wait for {wanted}",
            )
        deployment.continued.add(wanted)
        deployment.changed.set()
        return {}

    def skip_wait_time_for_instance_termination(self, deploymentId: str | None = None) -> Answer:
        """AWS page: "SkipWaitTimeForInstanceTermination" in the CodeDeploy API Reference."""
        return self.continue_deployment(deploymentId, "TERMINATION_WAIT")

    def put_lifecycle_event_hook_execution_status(
        self,
        deploymentId: str | None = None,
        lifecycleEventHookExecutionId: str | None = None,
        status: str | None = None,
    ) -> Answer:
        """AWS page: "PutLifecycleEventHookExecutionStatus" in the CodeDeploy API Reference."""
        deployment = self.backend.deployment(deploymentId or "")
        if deployment.platform == "Server":
            raise AWSError(
                "UnsupportedActionForDeploymentTypeException",
                "Hooks of the platform Server are scripts, not functions",
            )
        hook = deployment.hooks.get(lifecycleEventHookExecutionId or "")
        if hook is None:
            raise AWSError(
                "InvalidLifecycleEventHookExecutionIdException",
                f"No hook execution {lifecycleEventHookExecutionId} in {deployment.id}",
            )
        if status not in ("Succeeded", "Failed"):
            raise AWSError(
                "InvalidLifecycleEventHookExecutionStatusException",
                f"The status must be Succeeded or Failed, not {status}",
            )
        if hook.status != "Pending":
            raise AWSError(
                "LifecycleEventAlreadyCompletedException",
                f"The lifecycle event {hook.event} has been answered already",
            )
        hook.status = status
        deployment.changed.set()
        return {"lifecycleEventHookExecutionId": hook.id}

    # targets and instances

    def list_deployment_targets(
        self,
        deploymentId: str,
        nextToken: str | None = None,
        targetFilters: dict[str, list[str]] | None = None,
    ) -> Answer:
        statuses = (targetFilters or {}).get("TargetStatus")
        labels = (targetFilters or {}).get("ServerInstanceLabel")
        targets = self.backend.deployment(deploymentId).targets.values()
        found = [
            item.instance_id
            for item in targets
            if (not statuses or item.status in statuses) and (not labels or item.label in labels)
        ]
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
        given = {"TargetStatus": instanceStatusFilter, "ServerInstanceLabel": instanceTypeFilter}
        filters = {key: value for key, value in given.items() if value}
        answer = self.list_deployment_targets(deploymentId, nextToken, filters)
        return {"instancesList": answer["targetIds"], "nextToken": answer["nextToken"]}

    def get_deployment_instance(self, deploymentId: str, instanceId: str) -> Answer:
        target = self._target(deploymentId, instanceId)
        return {"instanceSummary": _instance_fields(deploymentId, target)}

    def batch_get_deployment_instances(self, deploymentId: str, instanceIds: list[str]) -> Answer:
        found = [self._target(deploymentId, item) for item in instanceIds]
        return {"instancesSummary": [_instance_fields(deploymentId, item) for item in found]}

    # within

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


def _target_fields(deployment_id: str, target: Target) -> Answer:
    shown = {
        "deploymentId": deployment_id,
        "targetId": target.instance_id,
        "targetArn": target.arn,
        "status": target.status,
        "lastUpdatedAt": target.updated,
        "lifecycleEvents": [event.fields() for event in target.events],
    }
    if target.ecs:
        shown["taskSetsInfo"] = target.task_sets
        return {"deploymentTargetType": "ECSTarget", "ecsTarget": shown}
    if target.function is None:
        label = {"instanceLabel": target.label} if target.label else {}
        return {"deploymentTargetType": "InstanceTarget", "instanceTarget": {**shown, **label}}
    return {
        "deploymentTargetType": "LambdaTarget",
        "lambdaTarget": {**shown, "lambdaFunctionInfo": target.function},
    }


def _instance_fields(deployment_id: str, target: Target) -> Answer:
    return {
        **({"instanceType": target.label} if target.label else {}),
        "deploymentId": deployment_id,
        "instanceId": target.arn,
        "status": target.status,
        "lastUpdatedAt": target.updated,
        "lifecycleEvents": [event.fields() for event in target.events],
    }


def _check_green(group: Group, green: Answer | None) -> None:
    """AWS page: "TargetInstances" in the CodeDeploy API Reference."""
    options = group.declared.get("blueGreenDeploymentConfiguration") or {}
    way = (options.get("greenFleetProvisioningOption") or {}).get("action", "DISCOVER_EXISTING")
    discovers = group.platform == "Server" and group.is_blue_green and way == "DISCOVER_EXISTING"
    if green and not discovers:
        raise AWSError(
            "InvalidTargetInstancesException",
            "targetInstances are for a blue/green deployment that discovers existing instances",
        )
    if discovers and not green:
        raise AWSError(
            "InvalidTargetInstancesException",
            "A blue/green deployment that discovers existing instances needs targetInstances",
        )
    if green and green.get("tagFilters") and green.get("ec2TagSet"):
        raise AWSError(
            "InvalidTargetInstancesException",
            "targetInstances take tagFilters or ec2TagSet, not both",
        )
