"""The load balancer: target groups, a listener that sends requests to them, and their addresses.

AWS pages: "Create an Application Load Balancer"; "Target groups for your Application Load
Balancers"; "Listener rules for your Application Load Balancer".
"""

from __future__ import annotations

from typing import Any

from labkit.lab import Lab, tag_list
from labkit.provision.aws import default_subnets, default_vpc, missing_is_fine
from labkit.watched import wait_until

HEALTH_PATH = "/health"
PORT = 80
DRAIN_SECONDS = 30  # AWS's own default is 300


def create_balancer(lab: Lab) -> str:
    """Create the lab's Application Load Balancer in the default VPC; returns its ARN."""
    made = lab.client("elbv2").create_load_balancer(
        Name=lab.name, Subnets=default_subnets(lab)[:2], Tags=tag_list(lab)
    )
    return str(made["LoadBalancers"][0]["LoadBalancerArn"])


def create_target_group(lab: Lab, name: str, kind: str = "instance") -> str:
    """Create a target group that asks its targets for `/health`; returns its ARN.

    Args:
        name: what follows the lab's name.
        kind: `instance`, or `ip` for containers.
    """
    elb = lab.client("elbv2")
    made = elb.create_target_group(
        Name=f"{lab.name}-{name}",
        Protocol="HTTP",
        Port=8080,
        VpcId=default_vpc(lab),
        TargetType=kind,
        HealthCheckPath=HEALTH_PATH,
        HealthCheckIntervalSeconds=10,
        Tags=tag_list(lab),
    )
    arn: str = made["TargetGroups"][0]["TargetGroupArn"]
    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": str(DRAIN_SECONDS)}
    elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=[delay])
    return arn


def create_listener(lab: Lab, balancer: str, target_group: str, port: int = PORT) -> str:
    """Have the balancer send what comes to `port` to a target group; returns the listener's ARN."""
    forward: Any = {"Type": "forward", "TargetGroupArn": target_group}
    made = lab.client("elbv2").create_listener(
        LoadBalancerArn=balancer, Protocol="HTTP", Port=port, DefaultActions=[forward]
    )
    return str(made["Listeners"][0]["ListenerArn"])


def url(lab: Lab, listener: str) -> str:
    """Where a listener answers.

    The lab's listeners share this machine, so each says its port in the tag `labkit:port`.
    """
    elb = lab.client("elbv2")
    found = elb.describe_listeners(ListenerArns=[listener])["Listeners"][0]
    balancer = elb.describe_load_balancers(LoadBalancerArns=[found["LoadBalancerArn"]])
    tags = elb.describe_tags(ResourceArns=[listener])["TagDescriptions"][0]["Tags"]
    ports = [one["Value"] for one in tags if one["Key"] == "labkit:port"]
    name = balancer["LoadBalancers"][0]["DNSName"]
    return f"http://{name}:{ports[0] if ports else found['Port']}/"


def delete_balancer(lab: Lab) -> None:
    """Delete the lab's load balancer with its listeners, and its target groups."""
    elb = lab.client("elbv2")
    with missing_is_fine():
        for one in elb.describe_load_balancers(Names=[lab.name])["LoadBalancers"]:
            arn = one["LoadBalancerArn"]
            elb.delete_load_balancer(LoadBalancerArn=arn)
            wait_until(
                elb,
                "load_balancers_deleted",
                f"the load balancer {lab.name} to be gone",
                "Run this cell again.",
                LoadBalancerArns=[arn],
            )
    for page in elb.get_paginator("describe_target_groups").paginate():
        for one in page["TargetGroups"]:
            if one["TargetGroupName"].startswith(f"{lab.name}-"):
                elb.delete_target_group(TargetGroupArn=one["TargetGroupArn"])
