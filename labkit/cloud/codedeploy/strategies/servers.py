"""Deployments to hosts: which, in what order, how many at a time, and when it is enough.

Hosts are deployed to as many at a time as the minimum of healthy hosts allows. A failure takes a
host from the healthy ones; when they have fallen to the minimum and hosts are left, the deployment
stops there. The agent's polling wait does not exist here: a host starts its next event at once.

AWS pages: "CodeDeploy instance health"; "Tagging instances for deployment groups in CodeDeploy";
"AppSpec 'hooks' section", the order of the events.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.codedeploy import onpremises
from labkit.cloud.codedeploy.agent.agent import GONE, Agent, EventError
from labkit.cloud.codedeploy.models import (
    ALLOW,
    BLOCK,
    EVENTS,
    CodeDeployBackend,
    Config,
    Deployment,
    DeploymentFailed,
    Fields,
    Group,
    LifecycleEvent,
    Target,
    now,
)
from labkit.cloud.codedeploy.strategies import watching
from labkit.cloud.codedeploy.strategies.strategy import Strategy
from labkit.cloud.codedeploy.strategies.traffic import Balancers, target_group_names
from labkit.cloud.compute import hosts
from labkit.cloud.shared import threads
from labkit.cloud.shared.clients import Session

logger = logging.getLogger(__name__)

HALF_AT_A_TIME = "CodeDeployDefault.HalfAtATime"
# events whose failure ignoreApplicationStopFailures ignores
STOPPING = ("ApplicationStop", "BeforeBlockTraffic", "AfterBlockTraffic")
_UNHEALTHY = (
    "The overall deployment failed because too many individual instances failed deployment, too few "
    "healthy instances are available for deployment, or some instances in your deployment group are "
    "experiencing problems."
)
_NO_INSTANCES = (
    "The deployment failed because no instances were found for your deployment group. Check your "
    "deployment group settings to make sure the tags for your Amazon EC2 instances or Auto Scaling "
    "groups correctly identify the instances you want to deploy to, and then try again."
)
_TAG_FILTER = {"KEY_ONLY": "tag-key", "VALUE_ONLY": "tag-value"}


class Servers(Strategy):
    """One deployment to the hosts of one deployment group."""

    def __init__(self, backend: CodeDeployBackend, group: Group, deployment: Deployment) -> None:
        super().__init__(backend, group, deployment)
        self.balancers: Balancers | None = None
        if group.style["deploymentOption"] == "WITH_TRAFFIC_CONTROL":
            names = target_group_names(group.declared.get("loadBalancerInfo"))
            self.balancers = Balancers(self.session, names)

    def in_place(self) -> None:
        """Deploy to the group's own hosts.

        Raises:
            DeploymentFailed: there are none, or too few have succeeded.
        """
        names = (*BLOCK, *EVENTS, *ALLOW) if self.balancers else EVENTS
        targets = [self.target(one, names) for one in self.instances()]
        self.deployment.targets = {target.instance_id: target for target in targets}
        self.roll_out(targets, names, last=True)

    def launched(self, instances: list[str]) -> None:
        """Deploy to instances that Auto Scaling has launched; it registers them itself.

        Raises:
            DeploymentFailed: too few have succeeded.
        """
        targets = [self.target(one, EVENTS) for one in instances]
        self.deployment.targets = {target.instance_id: target for target in targets}
        self.roll_out(targets, EVENTS, last=True)

    def roll_out(self, targets: list[Target], names: tuple[str, ...], *, last: bool) -> None:
        """Walk the targets through these events, as many at a time as the configuration allows.

        Args:
            last: whether a target that has walked through them has succeeded.

        Raises:
            DeploymentFailed: there are no targets, or too few of them are left.
        """
        if not targets:
            raise DeploymentFailed("NO_INSTANCES", _NO_INSTANCES)
        config = self.backend.config(self.deployment.config)
        minimum = config.minimum_healthy(len(targets))
        at_a_time = _at_a_time(config, len(targets), minimum)
        if at_a_time <= 0:
            raise DeploymentFailed(
                "HEALTH_CONSTRAINTS_INVALID",
                "The deployment can't go forward because the minimum number of healthy hosts "
                f"({minimum}) is not less than the number of instances ({len(targets)}).",
            )
        zones = self._zones(targets) if config.zonal is not None else [targets]
        for number, zone in enumerate(zones):
            here = min(at_a_time, len(zone) - config.minimum_per_zone(len(zone)))
            if here <= 0:
                raise DeploymentFailed(
                    "HEALTH_CONSTRAINTS_INVALID",
                    "The deployment can't go forward because the minimum number of healthy hosts "
                    f"per zone is not less than the number of instances of a zone ({len(zone)}).",
                )
            self._side_by_side(
                zone, here, minimum, lambda one: self.walk(one, names, last), targets
            )
            if number < len(zones) - 1:
                watching.wait_minutes(self.deployment, config.monitor_seconds(number) / 60)
        if self.deployment.stopping:
            raise watching.Stopped
        good = sum(target.status != "Failed" and target.status != "Skipped" for target in targets)
        if good == 0 or good < minimum:
            raise DeploymentFailed("HEALTH_CONSTRAINTS", _UNHEALTHY)

    def _side_by_side(
        self,
        targets: list[Target],
        at_a_time: int,
        minimum: int,
        walk: Callable[[Target], None],
        every: list[Target],
    ) -> None:
        """Walk some targets; how many have failed is counted among `every`.

        What has failed is out of service as what is being deployed to is: both count against the minimum.
        AWS page: "Instance health", Minimum healthy instances and deployments.
        """
        waiting, failures = list(targets), sum(one.status == "Failed" for one in every)
        running: set[Future[None]] = set()
        with threads.workers(at_a_time, self.deployment.id) as pool:
            while waiting or running:
                exhausted = failures > 0 and len(every) - failures <= minimum
                if exhausted or self.deployment.stopping:
                    for target in waiting:
                        self.end(target, "Skipped")
                    waiting.clear()
                room = min(at_a_time, len(every) - failures - minimum) if failures else at_a_time
                while waiting and len(running) < room:
                    running.add(pool.submit(walk, waiting.pop(0)))
                if running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for finished in done:
                        finished.result()
                failures = sum(target.status == "Failed" for target in every)

    def _zones(self, targets: list[Target]) -> list[list[Target]]:
        """The targets by Availability Zone, in the order of the zones' names; those without first."""
        ids = [
            target.instance_id
            for target in targets
            if target.instance_id not in self.backend.on_premises
        ]
        found = self.session.client("ec2").describe_instances(InstanceIds=ids)["Reservations"]
        zone_of = {
            one["InstanceId"]: one["Placement"]["AvailabilityZone"]
            for reservation in found
            for one in reservation["Instances"]
        }
        zones: dict[str, list[Target]] = {}
        for target in targets:
            zones.setdefault(zone_of.get(target.instance_id, ""), []).append(target)
        return [zones[name] for name in sorted(zones)]

    # one host

    def walk(self, target: Target, names: tuple[str, ...], last: bool) -> None:
        """These lifecycle events on one host, in order; the first failure ends them."""
        self.set_status(target, "InProgress")
        host = self._host(target.instance_id)
        agent = Agent(host, self.deployment) if host else None
        good = True
        for event in [event for event in target.events if event.name in names]:
            if self.deployment.stopping:
                good = False
                break
            event.status, event.started = "InProgress", now()
            error = self._perform(agent, target, event)
            event.ended = now()
            event.diagnostics = _diagnostics(error)
            event.status = "Failed" if error else "Succeeded"
            if event.name == "Install" and not error:
                self.group.revisions[target.instance_id] = self.deployment.revision
            ignored = event.name in STOPPING and self.deployment.ignore_stop_failures
            if error and not ignored:
                good = False
                break
        if good and not last:
            return
        if target.label != "Blue":
            self.group.health[target.instance_id] = good
        self.end(target, "Succeeded" if good else "Failed")

    def _perform(
        self, agent: Agent | None, target: Target, event: LifecycleEvent
    ) -> EventError | None:
        try:
            if event.name in ("BlockTraffic", "AllowTraffic"):
                return self._move_traffic(target, event.name)
            # an instance may have been stopped or terminated since the last event
            if agent is None or not agent.host.runs:
                return EventError("UnknownError", GONE)
            agent.perform(event.name)
        except watching.Stopped:
            return EventError("UnknownError", "The deployment was stopped.")
        except EventError as error:
            return error
        except Exception as broken:  # the agent, too, reports whatever happens as UnknownError
            logger.exception("%s on %s", event.name, target.instance_id)
            return EventError("UnknownError", str(broken) or repr(broken))
        return None

    def _move_traffic(self, target: Target, event: str) -> EventError | None:
        assert self.balancers is not None
        move = self.balancers.block if event == "BlockTraffic" else self.balancers.allow
        try:
            fault = move(self.deployment, target.instance_id)
        except (ClientError, BotoCoreError) as error:
            fault = str(error)
        return EventError("UnknownError", fault) if fault else None

    def _host(self, name: str) -> hosts.Host | None:
        backend = self.backend
        return onpremises.find(backend, name) or hosts.find(
            name, backend.region_name, backend.account_id
        )

    def target(self, instance: str, names: tuple[str, ...], label: str | None = None) -> Target:
        place = f"{self.backend.region_name}:{self.backend.account_id}:instance"
        known = self.backend.on_premises.get(instance)
        arn = known.arn if known else f"arn:aws:ec2:{place}/{instance}"
        return Target(instance, arn, events=[LifecycleEvent(name) for name in names], label=label)

    # which hosts

    def instances(self) -> list[str]:
        """The group's running instances, in the order in which they are deployed to.

        Unhealthy ones come first, then those of an unknown, an old, and the current revision.
        """
        ids = self.found(self.group.declared)
        if self.deployment.update_outdated_only:
            ids = [one for one in ids if self.group.revisions.get(one) != self.deployment.revision]
        return sorted(ids, key=lambda one: _order(self.group, one))

    def found(self, declared: Fields) -> list[str]:
        """The running instances that tags and Auto Scaling groups name, as the service role sees them."""
        try:
            tagged: set[str] | None = None
            for filters in tag_groups(declared):
                matching = {item for tag in filters for item in running(self.session, tag)}
                tagged = matching if tagged is None else tagged & matching
            scaled = in_service(self.session, scaling_groups(declared))
        except ClientError as error:
            detail = error.response["Error"]
            raise DeploymentFailed(
                "IAM_ROLE_PERMISSIONS",
                "The IAM role doesn't give you permission to perform operations in the following "
                f"AWS service: AmazonEC2 ({detail.get('Message', detail['Code'])})",
            ) from error
        except BotoCoreError as error:
            raise DeploymentFailed("INTERNAL_ERROR", str(error)) from error
        here = onpremises.tagged(self.backend, declared)
        return sorted({*(tagged or ()), *scaled, *here})


def tag_groups(declared: Fields) -> list[list[dict[str, str]]]:
    """Lists of tag filters: any of a list has to match, and every list.

    AWS page: "Tagging instances for deployment groups in CodeDeploy".
    """
    if declared.get("ec2TagSet"):
        return declared["ec2TagSet"].get("ec2TagSetList") or []
    filters = declared.get("ec2TagFilters") or declared.get("tagFilters")
    return [filters] if filters else []


def scaling_groups(declared: Fields) -> list[str]:
    """The names of the Auto Scaling groups; GetDeploymentGroup's own form has them in mappings."""
    return [
        one["name"] if isinstance(one, dict) else one
        for one in declared.get("autoScalingGroups") or []
    ]


def in_service(session: Session, names: list[str]) -> list[str]:
    """The instances of some Auto Scaling groups that are in service."""
    if not names:
        return []
    found = session.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=names)
    return [
        instance["InstanceId"]
        for group in found["AutoScalingGroups"]
        for instance in group["Instances"]
        if instance["LifecycleState"] == "InService"
    ]


def running(session: Session, tag: dict[str, str]) -> list[str]:
    """The running instances that one tag filter finds."""
    kind = tag.get("Type", "KEY_AND_VALUE")
    if kind == "KEY_AND_VALUE":
        name, value = f"tag:{tag['Key']}", tag.get("Value", "")
    else:
        name, value = _TAG_FILTER[kind], tag["Key" if kind == "KEY_ONLY" else "Value"]
    filters: Any = [
        {"Name": name, "Values": [value]},
        {"Name": "instance-state-name", "Values": ["running"]},
    ]
    pages = session.client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
    return [
        instance["InstanceId"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    ]


def _at_a_time(config: Config, count: int, minimum: int) -> int:
    if config.name == HALF_AT_A_TIME:
        return max(count // 2, 1)
    return count - minimum


def _order(group: Group, instance_id: str) -> tuple[bool, int]:
    revision = group.revisions.get(instance_id)
    age = 0 if revision is None else 2 if revision == group.target_revision else 1
    return group.health.get(instance_id, False), age


def _diagnostics(error: EventError | None) -> dict[str, str]:
    if error is None:
        return {"errorCode": "Success", "scriptName": "", "message": "Succeeded", "logTail": ""}
    return {
        "errorCode": error.code,
        "scriptName": error.script,
        "message": error.message,
        "logTail": error.log_tail,
    }
