"""A zonal configuration: one Availability Zone after the other, with a look in between.

AWS page: "Working with deployment configurations", zonal configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

pytestmark = [pytest.mark.slow, pytest.mark.guests]

ZONES = ["us-east-1a", "us-east-1a", "us-east-1b"]
FAIL_ON = "#!/bin/sh\ntest $INSTANCE_ID != {}\n"
SPEC = "version: 0.0\nos: linux\nhooks: {AfterInstall: [{location: go.sh}]}\n"


@pytest.fixture(scope="module")
def hosts(fleet: Any) -> Iterator[list[str]]:
    """Two hosts in one zone and one in another; all have the tag `zones`."""
    tag = [{"ResourceType": "instance", "Tags": [{"Key": "zones", "Value": "yes"}]}]
    made = [
        fleet.aws.client("ec2").run_instances(
            ImageId=fleet.aws.image,
            MinCount=1,
            MaxCount=1,
            Placement={"AvailabilityZone": zone},
            IamInstanceProfile={"Name": fleet.profile},
            TagSpecifications=tag,
        )["Instances"][0]["InstanceId"]
        for zone in ZONES
    ]
    yield made
    fleet.aws.client("ec2").terminate_instances(InstanceIds=made)


def group(fleet: Any, minimum: int, zonal: dict[str, Any]) -> str:
    name = f"zonal-{uuid4().hex[:8]}"
    fleet.codedeploy.create_deployment_config(
        deploymentConfigName=name,
        minimumHealthyHosts={"type": "HOST_COUNT", "value": minimum},
        zonalConfig=zonal,
    )
    shown = fleet.codedeploy.get_deployment_config(deploymentConfigName=name)
    assert shown["deploymentConfigInfo"]["zonalConfig"] == zonal
    tags = [{"Key": "zones", "Value": "yes", "Type": "KEY_AND_VALUE"}]
    return fleet.group(ec2TagFilters=tags, deploymentConfigName=name)


def spans(fleet: Any, info: dict[str, Any], hosts: list[str]) -> list[tuple[Any, Any]]:
    found = [fleet.target(info["deploymentId"], host)["lifecycleEvents"] for host in hosts]
    return [(events[0]["startTime"], events[-1]["endTime"]) for events in found]


def test_the_second_zone_begins_after_the_first_was_watched(fleet: Any, hosts: list[str]) -> None:
    named = group(fleet, 0, {"firstZoneMonitorDurationInSeconds": 60})
    info = fleet.deploy(named, {"appspec.yml": SPEC, "go.sh": "true"})
    assert info["status"] == "Succeeded"
    one, two, three = spans(fleet, info, hosts)
    waited = (three[0] - max(one[1], two[1])).total_seconds()
    assert waited >= 0.9  # a minute of AWS
    assert one[0] < two[1] and two[0] < one[1]  # side by side


def test_a_minimum_per_zone_is_kept(fleet: Any, hosts: list[str]) -> None:
    zonal = {"minimumHealthyHostsPerZone": {"type": "FLEET_PERCENT", "value": 50}}
    named = group(fleet, 0, zonal)
    info = fleet.deploy(named, {"appspec.yml": SPEC, "go.sh": "true"})
    # the zone of one host cannot keep half of it
    assert info["errorInformation"]["code"] == "HEALTH_CONSTRAINTS_INVALID"


def test_a_failure_in_the_first_zone_spares_the_second(fleet: Any, hosts: list[str]) -> None:
    named = group(fleet, 2, {"monitorDurationInSeconds": 1})
    info = fleet.deploy(named, {"appspec.yml": SPEC, "go.sh": FAIL_ON.format(hosts[0])})
    assert info["errorInformation"]["code"] == "HEALTH_CONSTRAINTS"
    states = {host: fleet.target(info["deploymentId"], host)["status"] for host in hosts}
    assert states[hosts[0]] == "Failed"
    assert states[hosts[2]] == "Skipped"


def test_only_servers_have_zones(fleet: Any) -> None:
    with pytest.raises(ClientError) as refused:
        fleet.codedeploy.create_deployment_config(
            deploymentConfigName="x",
            computePlatform="Lambda",
            trafficRoutingConfig={"type": "AllAtOnce"},
            zonalConfig={"monitorDurationInSeconds": 1},
        )
    code = refused.value.response["Error"]["Code"]
    assert code == "InvalidZonalDeploymentConfigurationException"
