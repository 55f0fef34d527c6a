"""The hosts of lesson 17 that are not EC2 instances of a fleet: registered machines, and an Auto Scaling group.

AWS pages: "Working with on-premises instances for CodeDeploy"; "Integrating CodeDeploy with Amazon EC2
Auto Scaling".
"""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

from labkit.lab import Lab
from labkit.observe.deployments import deployments_of
from labkit.observe.waiting import wait_for
from labkit.provision import deploy
from labkit.provision.aws import delete_user, missing_is_fine
from labkit.watched import wait_until

PATIENCE_SECONDS = 600.0
_CAPACITY = 3  # at most


def create_scaling_group(lab: Lab, size: int) -> str:
    """An Auto Scaling group whose instances are like those of the fleet; returns its name."""
    image = lab.client("ssm").get_parameter(Name=deploy.IMAGE_PARAMETER)["Parameter"]["Value"]
    lab.client("ec2").create_launch_template(
        LaunchTemplateName=lab.name,
        LaunchTemplateData={
            "ImageId": image,
            "InstanceType": deploy.INSTANCE_TYPE,
            "IamInstanceProfile": {"Name": lab.role("instance")},
            "SecurityGroupIds": [deploy.create_security_group(lab)],
            "UserData": base64.b64encode(
                deploy.USER_DATA.format(region=lab.region).encode()
            ).decode(),
            "MetadataOptions": {"HttpTokens": "required"},
        },
    )
    lab.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=lab.name,
        LaunchTemplate={"LaunchTemplateName": lab.name},
        MinSize=0,
        MaxSize=_CAPACITY,
        DesiredCapacity=size,
        AvailabilityZones=[f"{lab.region}a"],
    )
    return lab.name


def scaled(lab: Lab) -> dict[str, str]:
    """The state of each instance of the Auto Scaling group, by its id."""
    found = lab.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[lab.name])
    return {
        one["InstanceId"]: one["LifecycleState"]
        for group in found["AutoScalingGroups"]
        for one in group["Instances"]
    }


def wait_in_service(lab: Lab, size: int) -> dict[str, str]:
    """Wait until so many instances are in service; returns their states.

    Raises:
        TimeoutError: they are not after ten minutes.
    """
    return wait_for(
        lab,
        f"{size} instances of {lab.name} to be in service",
        lambda: scaled(lab),
        lambda states: list(states.values()) == ["InService"] * size,
        PATIENCE_SECONDS,
        lambda states: f"{lab.name} has {states}, and should have {size} in service.",
    )


def deployments(lab: Lab, group: str, since: datetime, at_least: int = 1) -> list[dict[str, Any]]:
    """The deployments of a group, oldest first; waits until there are so many, and all are over.

    Args:
        since: leave out earlier ones: of a group of the same name, before it was deleted.

    Raises:
        TimeoutError: there are fewer after ten minutes.
    """

    def read() -> list[dict[str, Any]]:
        return [
            one
            for one in deployments_of(lab, lab.application)
            if one["deploymentGroupName"] == group and one["createTime"] >= since
        ]

    return wait_for(
        lab,
        f"{at_least} deployment(s) of {group}",
        read,
        lambda found: len(found) >= at_least and all("completeTime" in one for one in found),
        PATIENCE_SECONDS,
        lambda found: f"{group} has had {len(found)} of {at_least} deployments.",
    )


def machines(lab: Lab) -> list[str]:
    """The names of the registered machines of this lab."""
    pages = lab.client("codedeploy").get_paginator("list_on_premises_instances")
    names = [
        name
        for page in pages.paginate(registrationStatus="Registered")
        for name in page["instanceNames"]
    ]
    return sorted(name for name in names if name.startswith(f"{lab.name}-"))


def delete_hosts(lab: Lab) -> None:
    """Deregister the machines, and delete their users, the groups and the launch template."""
    for name in machines(lab):
        lab.client("codedeploy").deregister_on_premises_instance(instanceName=name)
    users = lab.client("iam").get_paginator("list_users").paginate()
    for user in [one["UserName"] for page in users for one in page["Users"]]:
        if user.startswith(f"{lab.name}-"):
            delete_user(lab, user)
    autoscaling, ec2 = lab.client("autoscaling"), lab.client("ec2")
    launched = list(scaled(lab))
    for one in autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[lab.name])[
        "AutoScalingGroups"
    ]:
        autoscaling.delete_auto_scaling_group(
            AutoScalingGroupName=one["AutoScalingGroupName"], ForceDelete=True
        )
    if launched:  # they hold the security group
        wait_until(
            ec2,
            "instance_terminated",
            f"{len(launched)} instances to be terminated",
            "Look at them in EC2, and run this cell again.",
            InstanceIds=launched,
        )
    for group in ("mixed", "scaled"):
        with missing_is_fine():
            lab.client("codedeploy").delete_deployment_group(
                applicationName=lab.application, deploymentGroupName=group
            )
    wanted: Any = [{"Name": "launch-template-name", "Values": [lab.name]}]
    for one in ec2.describe_launch_templates(Filters=wanted)["LaunchTemplates"]:
        ec2.delete_launch_template(LaunchTemplateId=one["LaunchTemplateId"])
