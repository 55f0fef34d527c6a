"""Blue/green deployments to hosts: a replacement environment, and the traffic moved to it.

The green instances are those that CreateDeployment names, or those of a copy of the Auto Scaling
group. They are deployed to like any hosts; then they are registered with the load balancer, the
original ones are taken out of it, and terminated or kept.

AWS page: "Overview of a blue/green deployment" (EC2/On-Premises compute platform).
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.codedeploy.models import (
    ALLOW,
    BLOCK,
    EVENTS,
    Deployment,
    DeploymentFailed,
    Fields,
    Target,
)
from labkit.cloud.codedeploy.strategies import watching
from labkit.cloud.codedeploy.strategies.servers import Servers, in_service, scaling_groups
from labkit.cloud.codedeploy.strategies.strategy import TERMINATION_WAIT, stops_before_rerouting

PROVISIONING_MINUTES = 60
# of a group, what CreateAutoScalingGroup takes as it is described
_COPIED = (
    "MixedInstancesPolicy",
    "LaunchConfigurationName",
    "MinSize",
    "MaxSize",
    "DesiredCapacity",
    "DefaultCooldown",
    "AvailabilityZones",
    "HealthCheckType",
    "HealthCheckGracePeriod",
    "PlacementGroup",
    "VPCZoneIdentifier",
    "TerminationPolicies",
    "NewInstancesProtectedFromScaleIn",
)


class BlueGreen(Servers):
    """One blue/green deployment, or the way back from one."""

    def run(self) -> None:
        """Raises DeploymentFailed and watching.Stopped."""
        if self.deployment.reroute is not None:
            self._back(*self.deployment.reroute)
            return
        options = self.group.declared["blueGreenDeploymentConfiguration"]
        blue = [self.target(one, BLOCK, "Blue") for one in self.found(self.group.declared)]
        green = [self.target(one, (*EVENTS, *ALLOW), "Green") for one in self._replacement(options)]
        both = {target.instance_id for target in blue} & {target.instance_id for target in green}
        if both:
            raise DeploymentFailed(
                "CUSTOMER_APPLICATION_UNHEALTHY",
                f"The instances {', '.join(sorted(both))} are in the original environment and in "
                "the replacement environment.",
            )
        self.deployment.targets = {target.instance_id: target for target in [*green, *blue]}
        self.roll_out(green, EVENTS, last=False)
        green = [target for target in green if target.status == "InProgress"]
        self._wait_ready(options.get("deploymentReadyOption") or {}, green)
        self.deployment.rerouted = True
        self.roll_out(green, ALLOW, last=True)
        self._take_out(blue)
        self._retire(options.get("terminateBlueInstancesOnDeploymentSuccess") or {}, blue)
        self._become_the_group()

    # the replacement environment

    def _replacement(self, options: Fields) -> list[str]:
        way = (options.get("greenFleetProvisioningOption") or {}).get("action")
        if way == "COPY_AUTO_SCALING_GROUP":
            return self._copy()
        return self.found(self.deployment.green or {})

    def _copy(self) -> list[str]:
        [name] = scaling_groups(self.group.declared)
        autoscaling: Any = self.session.client("autoscaling")
        self.deployment.copy = f"CodeDeploy_{self.group.name}_{self.deployment.id}"
        try:
            found = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
            if not found["AutoScalingGroups"]:
                raise DeploymentFailed(
                    "AUTO_SCALING_CONFIGURATION", f"The Auto Scaling group {name} does not exist."
                )
            original = found["AutoScalingGroups"][0]
            settings = {
                key: original[key] for key in _COPIED if original.get(key) not in (None, "", [])
            }
            if template := original.get("LaunchTemplate"):
                keys = ("LaunchTemplateId", "Version")
                settings["LaunchTemplate"] = {key: template[key] for key in keys if key in template}
            settings["Tags"] = [
                {key: tag[key] for key in ("Key", "Value", "PropagateAtLaunch")}
                for tag in original.get("Tags") or []
            ]
            autoscaling.create_auto_scaling_group(
                AutoScalingGroupName=self.deployment.copy, **settings
            )
        except (ClientError, BotoCoreError) as error:
            raise DeploymentFailed("AUTO_SCALING_CONFIGURATION", str(error)) from error
        wanted = int(original["DesiredCapacity"])

        def there() -> bool:
            return len(in_service(self.session, [self.deployment.copy or ""])) >= wanted

        if not watching.wait_minutes(self.deployment, PROVISIONING_MINUTES, there):
            raise DeploymentFailed(
                "AUTO_SCALING_CONFIGURATION", f"{self.deployment.copy} did not get its instances."
            )
        return in_service(self.session, [self.deployment.copy])

    # traffic

    def _wait_ready(self, option: Fields, green: list[Target]) -> None:
        """Green instances that nobody continues with get no traffic."""
        if stops_before_rerouting(option):
            for target in green:
                self.set_status(target, "Ready")
        try:
            self.wait_until_ready(option)
        except watching.Stopped:
            if self.deployment.timed_out:
                for target in green:
                    self.end(target, "Skipped")
            raise

    def _take_out(self, blue: list[Target]) -> None:
        for target in blue:
            watching.go_on(self.deployment)
            self.walk(target, BLOCK, last=True)
        bad = [target.instance_id for target in blue if target.status != "Succeeded"]
        watching.go_on(self.deployment)
        if bad:
            raise DeploymentFailed(
                "ELB_INVALID_INSTANCE",
                f"The original instances {', '.join(bad)} could not be taken out of the load balancer.",
            )

    def _retire(self, option: Fields, blue: list[Target]) -> None:
        if option.get("action") != "TERMINATE" or not blue:
            return
        self.deployment.termination_wait_started = True
        self.wait_for(TERMINATION_WAIT, option.get("terminationWaitTimeInMinutes") or 0)
        ids = [target.instance_id for target in blue]
        try:
            if self.deployment.copy:
                [name] = scaling_groups(self.group.declared)
                self.session.client("autoscaling").delete_auto_scaling_group(
                    AutoScalingGroupName=name, ForceDelete=True
                )
            self.session.client("ec2").terminate_instances(InstanceIds=ids)
        except (ClientError, BotoCoreError) as error:
            raise DeploymentFailed(
                "IAM_ROLE_PERMISSIONS", f"The original instances were not terminated: {error}"
            ) from error

    def _become_the_group(self) -> None:
        """The replacement environment is what the next deployment finds as the original one."""
        declared = dict(self.group.declared)
        found = {"autoScalingGroups": [self.deployment.copy]} if self.deployment.copy else None
        if found is None:
            given = dict(self.deployment.green or {})
            found = {"ec2TagFilters": given.pop("tagFilters", None), **given}
        for key in ("ec2TagFilters", "ec2TagSet", "autoScalingGroups"):
            declared.pop(key, None)
        self.group.declared = {**declared, **{key: one for key, one in found.items() if one}}

    # the way back

    def _back(self, original: list[str], replacement: list[str]) -> None:
        """Traffic to the original instances again, and then none to the others."""
        blue = [self.target(one, ALLOW, "Blue") for one in original]
        green = [self.target(one, BLOCK, "Green") for one in replacement]
        self.deployment.targets = {target.instance_id: target for target in [*blue, *green]}
        for targets, names in ((blue, ALLOW), (green, BLOCK)):
            for target in targets:
                self.walk(target, names, last=True)
        bad = [target.instance_id for target in blue if target.status != "Succeeded"]
        if bad:
            raise DeploymentFailed(
                "HEALTH_CONSTRAINTS", f"No traffic could be sent to {', '.join(bad)} again."
            )


def rollback_of(deployment: Deployment) -> Deployment | None:
    """The deployment that moves the traffic back; None where none was moved."""
    if not deployment.rerouted:
        return None
    blue = [one.instance_id for one in deployment.targets.values() if one.label == "Blue"]
    green = [one.instance_id for one in deployment.targets.values() if one.label == "Green"]
    return Deployment(
        deployment.application,
        deployment.group,
        deployment.group_id,
        deployment.config,
        deployment.previous_revision or deployment.revision,
        creator="codeDeployRollback",
        description=f"Rollback of {deployment.id}",
        reroute=(blue, green),
    )
