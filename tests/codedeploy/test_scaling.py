"""Auto Scaling groups: launched instances get the last good revision, and blue/green copies a group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.codedeploy.test_traffic import TRAFFIC, Site, release
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.guests]


class Scaled(Site):
    """An Auto Scaling group behind a load balancer."""

    def __init__(self, fleet: Any, size: int) -> None:
        super().__init__(fleet, hosts=0)
        self.autoscaling = fleet.aws.client("autoscaling")
        fleet.aws.client("ec2").create_launch_template(
            LaunchTemplateName=self.name,
            LaunchTemplateData={
                "ImageId": fleet.aws.image,
                "InstanceType": "t3.micro",
                "IamInstanceProfile": {"Name": fleet.profile},
            },
        )
        self.autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=self.name,
            LaunchTemplate={"LaunchTemplateName": self.name},
            MinSize=0,
            MaxSize=5,
            DesiredCapacity=size,
            AvailabilityZones=["us-east-1a"],
            TargetGroupARNs=[self.target_group],
        )

    def states(self, name: str | None = None) -> dict[str, str]:
        found = self.autoscaling.describe_auto_scaling_groups(
            AutoScalingGroupNames=[name or self.name]
        )["AutoScalingGroups"]
        return {
            one["InstanceId"]: one["LifecycleState"]
            for group in found
            for one in group["Instances"]
        }

    def scale(self, size: int) -> None:
        self.autoscaling.set_desired_capacity(AutoScalingGroupName=self.name, DesiredCapacity=size)

    def scaled_group(self, **settings: Any) -> str:
        return self.fleet.group(
            autoScalingGroups=[self.name], loadBalancerInfo=self.balanced, **settings
        )

    def close(self) -> None:
        self.elb.delete_load_balancer(LoadBalancerArn=self.balancer)
        for group in self.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]:
            self.autoscaling.delete_auto_scaling_group(
                AutoScalingGroupName=group["AutoScalingGroupName"], ForceDelete=True
            )


@pytest.fixture
def scaled(fleet: Any) -> Iterator[Scaled]:
    made = Scaled(fleet, 1)
    yield made
    made.close()


def test_a_launched_instance_gets_the_revision_before_traffic(fleet: Any, scaled: Scaled) -> None:
    # "Integrating CodeDeploy with Amazon EC2 Auto Scaling"
    group = scaled.scaled_group(deploymentStyle={"deploymentType": "IN_PLACE", **TRAFFIC})
    first = fleet.deploy(group, release("1"))
    assert first["status"] == "Succeeded", first
    scaled.scale(2)
    [new] = [one for one, state in scaled.states().items() if state == "Pending:Wait"]
    assert new not in scaled.serving()
    eventually(lambda: scaled.states()[new] == "InService")
    eventually(lambda: new in scaled.serving())
    deployments = fleet.codedeploy.list_deployments(
        applicationName=fleet.application, deploymentGroupName=group
    )["deployments"]
    told = fleet.get(deployments[0])
    assert (told["creator"], told["status"]) == ("autoscaling", "Succeeded")
    assert told["revision"] == first["revision"]
    scaled.elb.get_waiter("target_in_service").wait(
        TargetGroupArn=scaled.target_group, WaiterConfig={"Delay": 1}
    )
    assert {scaled.get() for _ in range(6)} == {(200, "1")}


def test_an_instance_launched_in_mid_deployment_gets_the_old_revision_and_then_the_new(
    fleet: Any, scaled: Scaled
) -> None:
    # "Integrating CodeDeploy with Amazon EC2 Auto Scaling": outdatedInstancesStrategy UPDATE
    [old] = scaled.states()
    group = scaled.scaled_group()
    one, two = release("1"), release("2")
    two["start.sh"] = two["check.sh"] = 'until [ -f "$HOST_ROOT/go" ]; do sleep 0.1; done\n'
    first = fleet.deploy(group, one)
    second = fleet.start(group, two)
    fleet.wait_for_event(second, old, "ApplicationStart")
    scaled.scale(2)
    [new] = set(scaled.states()) - {old}
    eventually(lambda: scaled.states()[new] == "InService")
    assert fleet.get(second)["status"] == "InProgress"
    for host in (old, new):
        fleet.path(host, "/go").touch()

    def told() -> list[tuple[str, str, bool]]:
        ids = fleet.codedeploy.list_deployments(
            applicationName=fleet.application, deploymentGroupName=group
        )["deployments"]
        found = [fleet.get(one) for one in reversed(ids)]
        return [
            (one["creator"], one["status"], one["revision"] == first["revision"]) for one in found
        ]

    expected = [
        ("user", "Succeeded", True),
        ("user", "Succeeded", False),
        ("autoscaling", "Succeeded", True),
        ("CodeDeployAutoUpdate", "Succeeded", False),
    ]
    eventually(told, enough=lambda now: now == expected, what="the new host is brought up to date")


def test_blue_green_copies_the_group(fleet: Any, scaled: Scaled) -> None:
    # "GreenFleetProvisioningOption" in the CodeDeploy API Reference
    options = {
        "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT"},
        "greenFleetProvisioningOption": {"action": "COPY_AUTO_SCALING_GROUP"},
        "terminateBlueInstancesOnDeploymentSuccess": {
            "action": "TERMINATE",
            "terminationWaitTimeInMinutes": 0,
        },
    }
    group = scaled.scaled_group(
        deploymentStyle={"deploymentType": "BLUE_GREEN", **TRAFFIC},
        blueGreenDeploymentConfiguration=options,
    )
    before = set(scaled.states())
    info = fleet.deploy(group, release("2"))
    assert info["status"] == "Succeeded", info
    copy = f"CodeDeploy_{group}_{info['deploymentId']}"
    assert scaled.states() == {}
    after = scaled.states(copy)
    assert len(after) == 1 and not before & set(after)
    assert scaled.serving() == set(after)
    assert scaled.get() == (200, "2")
    shown = fleet.codedeploy.get_deployment_group(
        applicationName=fleet.application, deploymentGroupName=group
    )["deploymentGroupInfo"]
    assert [one["name"] for one in shown["autoScalingGroups"]] == [copy]
