"""A load balancer's traffic to the instances of a deployment: the events BlockTraffic, AllowTraffic.

Blocking deregisters an instance from the target groups and waits until they have drained it;
allowing registers it and waits until it is healthy there. Both through the service role.

AWS pages: "AppSpec 'hooks' section", traffic; "Integrating CodeDeploy with Elastic Load Balancing".
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.codedeploy.models import Deployment, DeploymentFailed, Fields
from labkit.cloud.codedeploy.strategies import watching
from labkit.cloud.shared import runtime
from labkit.cloud.shared.clients import Session

EVENT_SECONDS = 3600.0  # that one lifecycle event may take
_LOOK_SECONDS = 0.05


def target_group_names(load_balancer: Fields | None) -> list[str]:
    """The target groups that a deployment group's loadBalancerInfo names."""
    return [item["name"] for item in (load_balancer or {}).get("targetGroupInfoList") or []]


class Balancers:
    """The target groups of one deployment group."""

    def __init__(self, session: Session, names: list[str]) -> None:
        self._elb = session.client("elbv2")
        try:
            self.arns = [self._arn(name) for name in names]
        except (ClientError, BotoCoreError) as error:
            raise DeploymentFailed("ELASTIC_LOAD_BALANCING_INVALID", str(error)) from error

    def _arn(self, name: str) -> str:
        return str(
            self._elb.describe_target_groups(Names=[name])["TargetGroups"][0]["TargetGroupArn"]
        )

    def block(self, deployment: Deployment, instance: str) -> str | None:
        """Take an instance out; returns what went wrong, if something did."""
        for arn in self.arns:
            if self._health(arn, instance)["State"] == "unused":
                continue  # it was not in, or nothing is sent there
            self._elb.deregister_targets(TargetGroupArn=arn, Targets=[{"Id": instance}])
        out = watching.wait(
            deployment,
            _limit(),
            lambda: all(self._health(arn, instance)["State"] == "unused" for arn in self.arns),
            _LOOK_SECONDS,
        )
        return None if out else f"The instance {instance} was not deregistered in time."

    def allow(self, deployment: Deployment, instance: str) -> str | None:
        """Put an instance in; returns what went wrong, if something did."""
        for arn in self.arns:
            self._elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": instance}])
        if watching.wait(deployment, _limit(), lambda: self._serves(instance), _LOOK_SECONDS):
            return None
        told = "; ".join(
            f"{health['State']} {health.get('Description', '')}".strip()
            for arn in self.arns
            for health in [self._health(arn, instance)]
        )
        return f"The instance {instance} did not become healthy in its target group: {told}"

    def _serves(self, instance: str) -> bool:
        """Healthy everywhere; a target group that no listener uses checks nobody's health."""
        return all(
            health["State"] == "healthy" or health.get("Reason") == "Target.NotInUse"
            for arn in self.arns
            for health in [self._health(arn, instance)]
        )

    def _health(self, arn: str, instance: str) -> dict[str, Any]:
        found = self._elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        mine = [one["TargetHealth"] for one in found if one["Target"]["Id"] == instance]
        return mine[0] if mine else {"State": "unused", "Reason": "Target.NotRegistered"}


def _limit() -> float:
    return runtime.current().clock.wait_seconds(EVENT_SECONDS)
