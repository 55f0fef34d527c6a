"""The hosts and the deployment: EC2 instances with one tag, and a group that finds them by it.

AWS pages: "Working with instances for CodeDeploy"; "Install the CodeDeploy agent for Amazon Linux";
"Create a deployment group for an in-place deployment"; "Redeploy and roll back a deployment".
"""

from __future__ import annotations

import time
from typing import Any

from labkit.lab import Lab, tag_list
from labkit.missing import says_what_is_missing
from labkit.provision.aws import created, default_vpc, found, missing_is_fine
from labkit.watched import wait_until, waiting

INSTANCES = 2
SETTLE_SECONDS = 60.0
INSTANCE_TYPE = "t3.micro"
# AWS keeps the newest Amazon Linux's image id in a public parameter.
# Page: "Reference the latest AMIs using Systems Manager public parameters".
IMAGE_PARAMETER = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
PORT = 8080
CONFIGURATION = "CodeDeployDefault.OneAtATime"
FLEET_TAG = "fleet"
_THERE = ["pending", "running", "stopping", "stopped"]

# What a fresh instance runs once, as root. The lab's hosts have Node and an agent already.
USER_DATA = """#!/bin/bash
dnf install -y nodejs22 ruby wget
alternatives --set node /usr/bin/node-22
cd /tmp
wget https://aws-codedeploy-{region}.s3.{region}.amazonaws.com/latest/install
chmod +x install
./install auto
"""


def create_security_group(lab: Lab, visitors: str = "0.0.0.0/0") -> str:
    """Let `visitors` (a CIDR block) reach the sites' port, and nothing else in; returns its id."""
    ec2, name = lab.client("ec2"), f"{lab.name}-web"
    created(
        ec2.create_security_group,
        GroupName=name,
        Description="Visitors of the sample app",
        VpcId=default_vpc(lab),
        TagSpecifications=[{"ResourceType": "security-group", "Tags": tag_list(lab)}],
    )
    group = security_groups(lab)[0]
    created(
        ec2.authorize_security_group_ingress,
        GroupId=group,
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": PORT,
                "ToPort": PORT,
                "IpRanges": [{"CidrIp": visitors}],
            }
        ],
    )
    return group


def create_instances(lab: Lab, count: int = INSTANCES) -> list[str]:
    """Run instances until there are `count`, and wait until they do; returns their ids.

    One that was stopped is started again.
    """
    ec2 = lab.client("ec2")
    _start_stopped(lab)
    there = {tags_of(one)["Name"] for one in instances(lab)}
    names = [
        name for number in range(1, count + 1) if (name := f"{lab.name}-{number}") not in there
    ]
    image = lab.client("ssm").get_parameter(Name=IMAGE_PARAMETER)["Parameter"]["Value"]
    group = create_security_group(lab)
    for name in names[: max(count - len(there), 0)]:
        tags = {**lab.tags, "Name": name, FLEET_TAG: lab.fleet}
        ec2.run_instances(
            ImageId=image,
            InstanceType=INSTANCE_TYPE,
            MinCount=1,
            MaxCount=1,
            IamInstanceProfile={"Name": lab.role("instance")},
            SecurityGroupIds=[group],
            UserData=USER_DATA.format(region=lab.region),
            # the agent, too, has to ask for its credentials with a token
            MetadataOptions={"HttpTokens": "required"},
            TagSpecifications=[
                {
                    "ResourceType": "instance",
                    "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
                }
            ],
        )
    ids = [instance["InstanceId"] for instance in instances(lab)]
    # on a real account "ok" is some minutes later than "running", and then the agent is there
    _wait(lab, "instance_running" if lab.is_local else "instance_status_ok", ids)
    return ids


def _start_stopped(lab: Lab) -> None:
    """Start the instances that somebody has stopped."""
    states = {one["InstanceId"]: one["State"]["Name"] for one in instances(lab)}
    if stopping := [one for one, state in states.items() if state == "stopping"]:
        _wait(lab, "instance_stopped", stopping)
    if stopped := [one for one, state in states.items() if state in ("stopping", "stopped")]:
        lab.client("ec2").start_instances(InstanceIds=stopped)


def _wait(lab: Lab, until: str, ids: list[str]) -> None:
    """Wait with one of EC2's waiters."""
    state = until.removeprefix("instance_").replace("_", " ")
    what = f"{len(ids)} instances to be {state}"
    to_do = "Look at them in EC2, and run this cell again."
    wait_until(lab.client("ec2"), until, what, to_do, InstanceIds=ids)


def instances(lab: Lab) -> list[dict[str, Any]]:
    """The fleet's instances as EC2 describes them, by name; terminated ones left out."""
    pages = (
        lab.client("ec2")
        .get_paginator("describe_instances")
        .paginate(
            Filters=[
                {"Name": f"tag:{FLEET_TAG}", "Values": [lab.fleet]},
                {"Name": "instance-state-name", "Values": _THERE},
            ]
        )
    )
    there = [
        instance
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    ]
    return sorted(there, key=lambda instance: tags_of(instance)["Name"])


def tags_of(instance: dict[str, Any]) -> dict[str, str]:
    """An instance's tags as a dict."""
    return {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}


def sites(lab: Lab) -> list[dict[str, str]]:
    """Where each instance's site answers: instance_id, name and url.

    The lab's hosts share this machine, so each says its port in the tag `labkit:port`.
    """
    return [
        {
            "instance_id": instance["InstanceId"],
            "name": tags_of(instance)["Name"],
            "url": f"http://{instance['PublicIpAddress']}:{tags_of(instance).get('labkit:port', PORT)}",
        }
        for instance in instances(lab)
        if instance.get("PublicIpAddress")
    ]


def create_application(lab: Lab) -> str:
    """Create the CodeDeploy application, which is hardly more than a name; returns the name."""
    created(
        lab.client("codedeploy").create_application,
        applicationName=lab.application,
        computePlatform="Server",
        tags=tag_list(lab),
    )
    return lab.application


def create_deployment_group(lab: Lab) -> str:
    """Create the group, or bring it up to date; returns its name.

    One instance after the other; what fails is rolled back to the last revision that succeeded.
    """
    codedeploy = lab.client("codedeploy")
    wanted = {
        "serviceRoleArn": lab.role_arn("codedeploy"),
        "deploymentConfigName": CONFIGURATION,
        "ec2TagFilters": [{"Key": FLEET_TAG, "Value": lab.fleet, "Type": "KEY_AND_VALUE"}],
        "deploymentStyle": {
            "deploymentType": "IN_PLACE",
            "deploymentOption": "WITHOUT_TRAFFIC_CONTROL",
        },
        "autoRollbackConfiguration": {"enabled": True, "events": ["DEPLOYMENT_FAILURE"]},
    }
    is_new = created(
        codedeploy.create_deployment_group,
        applicationName=lab.application,
        deploymentGroupName=lab.fleet,
        tags=tag_list(lab),
        **wanted,
    )
    if is_new is None:
        codedeploy.update_deployment_group(
            applicationName=lab.application, currentDeploymentGroupName=lab.fleet, **wanted
        )
        _settle(lab)
    return lab.fleet


def _settle(lab: Lab) -> None:
    """Wait for what is still being deployed, and stop it if it does not end: a group takes one at a time."""
    deadline = time.monotonic() + SETTLE_SECONDS
    with waiting(f"the deployments that run on {lab.fleet}", SETTLE_SECONDS):
        while (running := _running(lab)) and time.monotonic() < deadline:
            time.sleep(0.25 if lab.is_local else 5.0)
    for deployment in running:
        with missing_is_fine():  # over in the meantime
            lab.client("codedeploy").stop_deployment(
                deploymentId=deployment, autoRollbackEnabled=False
            )


def _running(lab: Lab) -> list[str]:
    pages = (
        lab.client("codedeploy")
        .get_paginator("list_deployments")
        .paginate(
            applicationName=lab.application,
            deploymentGroupName=lab.fleet,
            includeOnlyStatuses=["Created", "Queued", "InProgress", "Ready"],
        )
    )
    return [one for page in pages for one in page["deployments"]]


@says_what_is_missing
def create_deployment(lab: Lab, key: str, *, description: str = "Deployed by hand") -> str:
    """Deploy a zip of the artifact bucket by hand; returns the deployment's id (`d-...`)."""
    return str(
        lab.client("codedeploy").create_deployment(
            applicationName=lab.application,
            deploymentGroupName=lab.fleet,
            description=description,
            revision={
                "revisionType": "S3",
                "s3Location": {"bucket": lab.bucket, "key": key, "bundleType": "zip"},
            },
        )["deploymentId"]
    )


def delete_deployments(lab: Lab) -> None:
    """Terminate the instances, then delete the group, the application and the security group."""
    ec2, codedeploy = lab.client("ec2"), lab.client("codedeploy")
    ids = [instance["InstanceId"] for instance in instances(lab)]
    if ids:
        ec2.terminate_instances(InstanceIds=ids)
        _wait(lab, "instance_terminated", ids)
    with missing_is_fine():
        codedeploy.delete_deployment_group(
            applicationName=lab.application, deploymentGroupName=lab.fleet
        )
    with missing_is_fine():
        codedeploy.delete_application(applicationName=lab.application)
    for group in security_groups(lab):
        ec2.delete_security_group(GroupId=group)


def security_groups(lab: Lab) -> list[str]:
    """The ids of the lab's security groups: one, or none."""
    wanted = [{"Name": "group-name", "Values": [f"{lab.name}-web"]}]
    answer = found(lab.client("ec2").describe_security_groups, Filters=wanted) or {}
    return [group["GroupId"] for group in answer.get("SecurityGroups", [])]
