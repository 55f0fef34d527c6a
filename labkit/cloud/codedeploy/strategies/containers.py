"""Deployments to an ECS service: a replacement task set, and the listener's traffic moved to it.

The replacement task set is registered with the target group that serves nobody; the production
listener's weights then move as the deployment configuration says. The original task set waits for
its end, so that the way back is short.

AWS pages: "Deployments on an Amazon ECS compute platform"; "AppSpec File structure" for Amazon ECS
deployments; "ECSTarget" in the CodeDeploy API Reference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.codedeploy.models import (
    CodeDeployBackend,
    Deployment,
    DeploymentFailed,
    Fields,
    Group,
    LifecycleEvent,
    Target,
)
from labkit.cloud.codedeploy.strategies import content, lambda_hooks, watching
from labkit.cloud.codedeploy.strategies.strategy import (
    TERMINATION_WAIT,
    Strategy,
    stops_before_rerouting,
)

TYPE = "AWS::ECS::Service"
FARGATE = ("FARGATE", "FARGATE_SPOT")  # the same here
HOOKS = (
    "BeforeInstall",
    "AfterInstall",
    "AfterAllowTestTraffic",
    "BeforeAllowTraffic",
    "AfterAllowTraffic",
)
EVENTS = (
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "AllowTestTraffic",
    "AfterAllowTestTraffic",
    "BeforeAllowTraffic",
    "AllowTraffic",
    "AfterAllowTraffic",
)
TEST_EVENTS = ("AllowTestTraffic", "AfterAllowTestTraffic")
ALL_AT_ONCE = "CodeDeployDefault.ECSAllAtOnce"
_STEADY_MINUTES = 60.0


@dataclass(frozen=True)
class Release:
    """What the AppSpec asks for."""

    task_definition: str
    container: str
    port: int
    network: Fields | None = None
    platform_version: str | None = None
    hooks: dict[str, str] = field(default_factory=dict)


@dataclass
class Swap:
    """What a deployment has changed so far, and how to undo it; ARNs."""

    blue_set: str
    blue_group: str
    green_group: str
    green_set: str | None = None


def parse(text: str) -> Release:
    """Read an AppSpec of the ECS platform.

    Raises:
        DeploymentFailed: INVALID_REVISION, with what is wrong.
    """
    properties, given = content.resource(text, TYPE)
    definition = properties.get("TaskDefinition")
    if not isinstance(definition, str) or not definition:
        raise content.invalid("the property TaskDefinition is missing")
    balancer = properties.get("LoadBalancerInfo")
    if not isinstance(balancer, dict):
        raise content.invalid("the property LoadBalancerInfo is missing")
    name, port = balancer.get("ContainerName"), balancer.get("ContainerPort")
    if not isinstance(name, str) or not str(port).isdigit():
        raise content.invalid("LoadBalancerInfo needs a ContainerName and a ContainerPort")
    for one in properties.get("CapacityProviderStrategy") or []:
        provider = one.get("CapacityProvider") if isinstance(one, dict) else one
        if provider not in FARGATE:
            raise content.invalid(
                f"the lab has the capacity providers {' and '.join(FARGATE)}, and not {provider}"
            )
    return Release(
        definition,
        name,
        int(str(port)),
        _network(properties.get("NetworkConfiguration")),
        properties.get("PlatformVersion"),
        content.hooks(given, HOOKS),
    )


def _network(given: Any) -> Fields | None:
    if not given:
        return None
    found = given.get("AwsvpcConfiguration") if isinstance(given, dict) else None
    if not isinstance(found, dict) or set(found) != {"Subnets", "SecurityGroups", "AssignPublicIp"}:
        raise content.invalid(
            "NetworkConfiguration needs an AwsvpcConfiguration with Subnets, SecurityGroups and "
            "AssignPublicIp"
        )
    return {"awsvpcConfiguration": {key[0].lower() + key[1:]: one for key, one in found.items()}}


class Containers(Strategy):
    """One deployment to one ECS service, or the way back from one."""

    def __init__(self, backend: CodeDeployBackend, group: Group, deployment: Deployment) -> None:
        super().__init__(backend, group, deployment)
        self.ecs, self.elb = self.session.client("ecs"), self.session.client("elbv2")
        [service] = group.declared["ecsServices"]
        self.names = {"cluster": service["clusterName"], "service": service["serviceName"]}
        [self.pair] = group.declared["loadBalancerInfo"]["targetGroupPairInfoList"]
        self.options = group.declared["blueGreenDeploymentConfiguration"]
        self.test = bool((self.pair.get("testTrafficRoute") or {}).get("listenerArns"))

    def run(self) -> None:
        """Raises DeploymentFailed and watching.Stopped."""
        try:
            if self.deployment.back:
                self._back(self.deployment.swap)
            else:
                self._forth()
        except (ClientError, BotoCoreError) as error:
            raise DeploymentFailed("ECS_UPDATE_ERROR", str(error)) from error

    # there

    def _forth(self) -> None:
        release = parse(content.read(self.session, self.deployment.revision))
        service = self._service()
        swap = self.deployment.swap = self._begin(service)
        names = [name for name in EVENTS if self.test or name not in TEST_EVENTS]
        target = self._target(service, names)
        try:
            for event in target.events:
                if event.name == "BeforeAllowTraffic":
                    option = self.options.get("deploymentReadyOption") or {}
                    if stops_before_rerouting(option):
                        target.status = "Ready"
                    self.wait_until_ready(option)
                self._perform(event, release, service, swap, target)
            self._retire(swap, target)
        except (watching.Stopped, DeploymentFailed, ClientError, BotoCoreError):
            self.end(target, "Failed")
            raise
        self.end(target, "Succeeded")

    def _described(self) -> list[Fields]:
        named = {"cluster": self.names["cluster"], "services": [self.names["service"]]}
        services: list[Fields] = self.ecs.describe_services(**named)["services"]
        return services

    def _task_sets(self) -> list[Fields]:
        """As the service tells of them: CodeDeploy's role may not ask for them (AWSCodeDeployRoleForECS)."""
        return [one for service in self._described() for one in service.get("taskSets", [])]

    def _service(self) -> Fields:
        found = self._described()
        if not found or found[0]["status"] != "ACTIVE":
            raise DeploymentFailed(
                "INVALID_ECS_SERVICE",
                f"The ECS service {self.names['service']} is not in the cluster {self.names['cluster']}.",
            )
        service = found[0]
        if service.get("deploymentController", {}).get("type") != "CODE_DEPLOY":
            raise DeploymentFailed(
                "INVALID_ECS_SERVICE",
                f"The deployment controller of {self.names['service']} is not CODE_DEPLOY.",
            )
        return service

    def _begin(self, service: Fields) -> Swap:
        primary = [one for one in service["taskSets"] if one["status"] == "PRIMARY"]
        if not primary:
            raise DeploymentFailed("INVALID_ECS_SERVICE", "The service has no primary task set.")
        named = [one["name"] for one in self.pair["targetGroups"]]
        found = self.elb.describe_target_groups(Names=named)["TargetGroups"]
        arns = [one["TargetGroupArn"] for one in found]
        serving = primary[0]["loadBalancers"][0].get("targetGroupArn")
        if serving not in arns:
            raise DeploymentFailed(
                "INVALID_ECS_SERVICE",
                "The primary task set is not in a target group of the deployment group.",
            )
        [other] = [arn for arn in arns if arn != serving]
        return Swap(primary[0]["taskSetArn"], serving, other)

    def _target(self, service: Fields, names: list[str]) -> Target:
        target = Target(
            f"{self.names['cluster']}:{self.names['service']}",
            service["serviceArn"],
            events=[LifecycleEvent(name) for name in names],
            ecs=True,
        )
        self.deployment.targets = {target.instance_id: target}
        self._note(target)
        return target

    def _perform(
        self,
        event: LifecycleEvent,
        release: Release,
        service: Fields,
        swap: Swap,
        target: Target,
    ) -> None:
        def work() -> None:
            match event.name:
                case "Install":
                    self._install(release, service, swap)
                case "AllowTestTraffic":
                    self._route(self.pair["testTrafficRoute"], swap, 100)
                case "AllowTraffic":
                    self._shift(swap, target)
                case name if name in release.hooks:
                    lambda_hooks.ask(self.session, self.deployment, name, release.hooks[name])

        watching.go_on(self.deployment)
        self.perform(event, work, release.hooks)
        self._note(target)

    def _install(self, release: Release, service: Fields, swap: Swap) -> None:
        """The replacement task set, as large as the service, and steady."""
        primary = next(one for one in service["taskSets"] if one["taskSetArn"] == swap.blue_set)
        settings: Fields = {"platformVersion": release.platform_version}
        network = release.network or primary.get("networkConfiguration")
        settings["networkConfiguration"] = network
        made = self.ecs.create_task_set(
            **self.names,
            taskDefinition=release.task_definition,
            externalId=self.deployment.id,
            launchType="FARGATE",
            loadBalancers=[
                {
                    "targetGroupArn": swap.green_group,
                    "containerName": release.container,
                    "containerPort": release.port,
                }
            ],
            scale={"value": 100.0, "unit": "PERCENT"},
            **{key: value for key, value in settings.items() if value},
        )["taskSet"]
        swap.green_set = made["taskSetArn"]

        def steady() -> bool:
            return any(
                one["stabilityStatus"] == "STEADY_STATE"
                for one in self._task_sets()
                if one["taskSetArn"] == made["taskSetArn"]
            )

        if not watching.wait_minutes(self.deployment, _STEADY_MINUTES, steady):
            told = [one["message"] for one in self._service()["events"][:3]]
            raise DeploymentFailed(
                "ECS_UPDATE_ERROR",
                f"The replacement task set did not become steady in time: {' '.join(told)}",
            )

    def _shift(self, swap: Swap, target: Target) -> None:
        config = self.backend.config(self.deployment.config)
        for share, minutes in config.steps():
            self._route(self.pair["prodTrafficRoute"], swap, share)
            self._note(target)
            watching.wait_minutes(self.deployment, minutes)
        self.ecs.update_service_primary_task_set(
            cluster=self.names["cluster"],
            service=self.names["service"],
            primaryTaskSet=swap.green_set,
        )

    def _route(self, route: Fields, swap: Swap, share: int) -> None:
        """Give the replacement its share of a listener's traffic."""
        weights = ((swap.blue_group, 100 - share), (swap.green_group, share))
        groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in weights]
        forward = {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}
        for arn in route["listenerArns"]:
            self.elb.modify_listener(ListenerArn=arn, DefaultActions=[forward])
        if route is self.pair["prodTrafficRoute"]:
            self.deployment.weight = float(share)

    def _retire(self, swap: Swap, target: Target) -> None:
        option = self.options.get("terminateBlueInstancesOnDeploymentSuccess") or {}
        self.deployment.termination_wait_started = True
        self._note(target)
        self.wait_for(TERMINATION_WAIT, option.get("terminationWaitTimeInMinutes") or 0)
        self._delete(swap.blue_set)

    def _delete(self, task_set: str) -> None:
        self.ecs.delete_task_set(**self.names, taskSet=task_set, force=True)

    # and back

    def _back(self, swap: Swap) -> None:
        """The listener's traffic to the original task set again; the replacement goes."""
        service = self._service()
        target = self._target(service, ["Install", "AllowTraffic"])
        install, allow = target.events
        try:
            self.perform(install, lambda: None, {})
            self.perform(allow, lambda: self._swap_back(swap), {})
        except (ClientError, BotoCoreError):
            self.end(target, "Failed")
            raise
        self.end(target, "Succeeded")

    def _swap_back(self, swap: Swap) -> None:
        self._route(self.pair["prodTrafficRoute"], swap, 0)
        if self.test:
            self._route(self.pair["testTrafficRoute"], swap, 0)
        self.ecs.update_service_primary_task_set(
            cluster=self.names["cluster"],
            service=self.names["service"],
            primaryTaskSet=swap.blue_set,
        )
        if swap.green_set:
            self._delete(swap.green_set)

    # what is shown

    def _note(self, target: Target) -> None:
        """taskSetsInfo, as it is now."""
        swap = self.deployment.swap
        found = self._task_sets()
        named = {swap.blue_set: "Blue", swap.green_set: "Green"} if swap else {}
        weight = self.deployment.weight
        shares = {"Blue": 100.0 - weight, "Green": weight}
        groups = {"Blue": swap.blue_group, "Green": swap.green_group} if swap else {}
        target.task_sets = [
            {
                "identifer": one["id"],
                "desiredCount": one["computedDesiredCount"],
                "pendingCount": one["pendingCount"],
                "runningCount": one["runningCount"],
                "status": one["status"],
                "trafficWeight": shares[label],
                "targetGroup": {"name": groups[label].split("/")[-2]},
                "taskSetLabel": label,
            }
            for one in found
            if (label := named.get(one["taskSetArn"]))
        ]
        if target.status != "InProgress":
            self.set_status(target, "InProgress")


def rollback_of(deployment: Deployment) -> Deployment | None:
    """The deployment that swaps the task sets back; None where no replacement was made."""
    swap = deployment.swap
    if swap is None or swap.green_set is None:
        return None
    return Deployment(
        deployment.application,
        deployment.group,
        deployment.group_id,
        ALL_AT_ONCE,
        deployment.previous_revision or deployment.revision,
        creator="codeDeployRollback",
        description=f"Rollback of {deployment.id}",
        platform="ECS",
        swap=swap,
        back=True,
    )
