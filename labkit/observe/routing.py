"""Where a load balancer sends its requests at this moment, as shares of a whole.

AWS pages: "ForwardActionConfig", "DescribeTargetHealth" in the Elastic Load Balancing API Reference.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from labkit.lab import Lab


def shares(lab: Lab, listener: str, tag: str = "Name") -> dict[str, float]:
    """The percentage of a listener's requests by where they go.

    The weight of a target group is shared by its instances that are in service. Instances with the
    same value of a tag are counted together; containers, which come and go, by target group.

    Args:
        listener: its ARN; its default action is looked at.
        tag: what instances go by.
    """
    elb = lab.client("elbv2")
    [found] = elb.describe_listeners(ListenerArns=[listener])["Listeners"]
    weights = dict(one for action in found["DefaultActions"] for one in _weights(action))
    whole = sum(weights.values()) or 1
    told: dict[str, float] = defaultdict(float)
    for group in elb.describe_target_groups(TargetGroupArns=list(weights))["TargetGroups"]:
        arn = group["TargetGroupArn"]
        percent = 100 * weights[arn] / whole
        if group["TargetType"] == "instance":
            for name, part in _by_tag(lab, arn, percent, tag).items():
                told[name] += part
        else:
            told[_short(lab, group["TargetGroupName"])] += percent
    return dict(told)


def _weights(action: Any) -> list[tuple[str, int]]:
    groups = action.get("ForwardConfig", {}).get("TargetGroups") or [action]
    return [
        (one["TargetGroupArn"], one.get("Weight", 1)) for one in groups if "TargetGroupArn" in one
    ]


def _by_tag(lab: Lab, group: str, percent: float, tag: str) -> dict[str, float]:
    described = lab.client("elbv2").describe_target_health(TargetGroupArn=group)
    states = {
        one["Target"]["Id"]: one["TargetHealth"]["State"]
        for one in described["TargetHealthDescriptions"]
    }
    serving = [one for one, state in states.items() if state == "healthy"]
    told: dict[str, float] = defaultdict(float)
    if not states:
        return told
    found = lab.client("ec2").describe_instances(InstanceIds=list(states))["Reservations"]
    for instance in (one for reservation in found for one in reservation["Instances"]):
        tags = {one["Key"]: one["Value"] for one in instance.get("Tags", [])}
        name = _short(lab, tags.get(tag, instance["InstanceId"]))
        told[name] += percent / len(serving) if instance["InstanceId"] in serving else 0
    return told


def _short(lab: Lab, name: str) -> str:
    return name.removeprefix(f"{lab.name}-")
