"""The target groups of a service: its tasks are registered in them, drained, and judged by them.

AWS pages: "Use load balancing to distribute Amazon ECS service traffic"; "DescribeTargetHealth" in
the Elastic Load Balancing API Reference.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.shared import clients, runtime

logger = logging.getLogger(__name__)

ECS = "ecs.amazonaws.com"

Target = tuple[str, int]  # a target group's ARN, and a port


def of(task: Any, load_balancers: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The port of a task in each of its target groups, as the load balancer names them."""
    return {
        one["targetGroupArn"]: task.running.port(one.get("containerName"), one.get("containerPort"))
        for one in load_balancers
        if one.get("targetGroupArn")
    }


def register(service: Any, ports: Mapping[str, int]) -> None:
    """Register a task, by its port in each target group.

    Raises:
        botocore.exceptions.ClientError: a target group is not there, ...
    """
    for arn, port in ports.items():
        _elb(service).register_targets(TargetGroupArn=arn, Targets=_targets(port))


def deregister(service: Any, ports: Mapping[str, int]) -> float:
    """Take a task out of its target groups; returns how long it drains, in the lab's seconds."""
    delay = 0.0
    for arn, port in ports.items():
        try:
            _elb(service).deregister_targets(TargetGroupArn=arn, Targets=_targets(port))
            found = _elb(service).describe_target_group_attributes(TargetGroupArn=arn)
            given = {one["Key"]: one["Value"] for one in found["Attributes"]}
            seconds = float(given.get("deregistration_delay.timeout_seconds", 300))
            delay = max(delay, runtime.current().clock.wait_seconds(seconds))
        except (ClientError, BotoCoreError) as error:
            logger.info("%s: %s", service.name, error)
    return delay


def health(service: Any, groups: Iterable[str]) -> dict[Target, dict[str, Any]]:
    """What the target groups find of their targets: State, Reason and Description."""
    found = {}
    for arn in groups:
        try:
            answer = _elb(service).describe_target_health(TargetGroupArn=arn)
        except (ClientError, BotoCoreError) as error:
            logger.info("%s: %s", service.name, error)
            continue
        for one in answer["TargetHealthDescriptions"]:
            found[arn, one["Target"]["Port"]] = one["TargetHealth"]
    return found


def _elb(service: Any) -> Any:
    return clients.as_service(ECS, service.region_name, service._account_id).client("elbv2")


def _targets(port: int) -> list[dict[str, Any]]:
    return [{"Id": "127.0.0.1", "Port": port}]
