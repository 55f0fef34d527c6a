"""One deployment to a function: hooks are asked, and an alias's traffic is shifted in steps.

The new version gets its share of the traffic by the alias's weights, as the deployment configuration
says; AWS's minutes between the steps pass on the scaled clock. An alarm or a hook that fails ends it.

AWS pages: "AppSpec File structure" for Lambda deployments; "Deployments on an AWS Lambda compute
platform"; "AppSpec 'hooks' section"; "Monitoring deployments with CloudWatch alarms in CodeDeploy".
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from botocore.exceptions import ClientError

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
from labkit.cloud.codedeploy.strategies.strategy import Strategy

HOOKS = ("BeforeAllowTraffic", "AfterAllowTraffic")
EVENTS = ("BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic")
ALL_AT_ONCE = "CodeDeployDefault.LambdaAllAtOnce"


@dataclass(frozen=True)
class Shift:
    """What the AppSpec asks for.

    Args:
        hooks: functions by lifecycle event.
    """

    function: str
    alias: str
    current: str
    target: str
    hooks: dict[str, str]

    def back(self) -> str:
        """The AppSpec of the way back, without hooks."""
        properties = {
            "name": self.function,
            "alias": self.alias,
            "currentversion": self.target,
            "targetversion": self.current,
        }
        resource = {"type": "AWS::Lambda::Function", "properties": properties}
        return json.dumps({"version": 0.0, "Resources": [{self.function: resource}]})


def deploy(backend: CodeDeployBackend, group: Group, deployment: Deployment) -> None:
    """Ask the hooks and shift the traffic.

    Raises:
        DeploymentFailed: the AppSpec, the function or a hook is not good.
    """
    _Shifting(backend, group, deployment).run()


def rollback_of(deployment: Deployment) -> Deployment | None:
    """The deployment that shifts the traffic back; None where none was shifted."""
    target = next(iter(deployment.targets.values()), None)
    if target is None or target.events[1].status == "Pending" or not target.function:
        return None
    shown = target.function
    shift = Shift(
        shown["functionName"],
        shown["functionAlias"],
        shown["currentVersion"],
        shown["targetVersion"],
        {},
    )
    if target.events[1].status == "Skipped":
        return None
    revision = {"revisionType": "AppSpecContent", "appSpecContent": {"content": shift.back()}}
    return Deployment(
        deployment.application,
        deployment.group,
        deployment.group_id,
        ALL_AT_ONCE,
        revision,
        creator="codeDeployRollback",
        description=f"Rollback of {deployment.id}",
        platform="Lambda",
    )


def parse(text: str) -> Shift:
    """Read an AppSpec of the Lambda platform.

    Raises:
        DeploymentFailed: INVALID_REVISION, with what is wrong.
    """
    given, hooks = content.resource(text, "AWS::Lambda::Function")
    properties = {str(key).lower(): value for key, value in given.items()}
    values: list[str] = []
    for key in ("name", "alias", "currentversion", "targetversion"):
        value = str(properties.get(key) or "").strip()
        if not value or (key.endswith("version") and not value.isdigit()):
            raise content.invalid(f"the property {key} is missing or not a version: {value!r}")
        values.append(value)
    name, alias, current, target = values
    return Shift(name, alias, current, target, content.hooks(hooks, HOOKS))


class _Shifting(Strategy):
    fault = "ScriptFailed"

    def __init__(self, backend: CodeDeployBackend, group: Group, deployment: Deployment) -> None:
        super().__init__(backend, group, deployment)
        self.lambda_ = self.session.client("lambda")

    def run(self) -> None:
        shift = parse(content.read(self.session, self.deployment.revision))
        self._check(shift)
        target = self._target(shift)
        try:
            for event in target.events:
                self._perform(event, shift, target)
        except watching.Stopped:
            self.end(target, "Failed")
        except DeploymentFailed:
            self.end(target, "Failed")
            raise
        else:
            self.end(target, "Succeeded")

    def _check(self, shift: Shift) -> None:
        try:
            alias = self.lambda_.get_alias(FunctionName=shift.function, Name=shift.alias)
        except ClientError as error:
            raise DeploymentFailed("INVALID_LAMBDA_FUNCTION", str(error)) from error
        serving = {alias["FunctionVersion"], *_weights(alias)}
        if shift.current not in serving and self.deployment.creator == "user":
            raise DeploymentFailed(
                "INVALID_LAMBDA_CONFIGURATION",
                f"The alias {shift.alias} serves version {alias['FunctionVersion']}, not the "
                f"currentversion {shift.current} of the AppSpec file.",
            )

    def _target(self, shift: Shift) -> Target:
        arn = (
            f"arn:aws:lambda:{self.backend.region_name}:{self.backend.account_id}"
            f":function:{shift.function}:{shift.alias}"
        )
        target = Target(
            f"{shift.function}:{shift.alias}",
            arn,
            events=[LifecycleEvent(name) for name in EVENTS],
            function={
                "functionName": shift.function,
                "functionAlias": shift.alias,
                "currentVersion": shift.current,
                "targetVersion": shift.target,
                "targetVersionWeight": 0.0,
            },
        )
        self.deployment.targets = {target.instance_id: target}
        self.set_status(target, "InProgress")
        return target

    def _perform(self, event: LifecycleEvent, shift: Shift, target: Target) -> None:
        def work() -> None:
            if event.name == "AllowTraffic":
                self._shift(shift, target)
            elif event.name in shift.hooks:
                lambda_hooks.ask(self.session, self.deployment, event.name, shift.hooks[event.name])

        watching.go_on(self.deployment)
        self.perform(event, work, shift.hooks)

    def _shift(self, shift: Shift, target: Target) -> None:
        config = self.backend.config(self.deployment.config)
        for share, minutes in config.steps():
            self._set_weight(shift, share)
            assert target.function is not None
            target.function = {**target.function, "targetVersionWeight": float(share)}
            self.set_status(target, "InProgress")
            watching.wait_minutes(self.deployment, minutes)

    def _set_weight(self, shift: Shift, share: int) -> None:
        """Give the new version its share; the alias names it alone once it has all.

        That there is such a version Lambda says here: CodeDeploy's managed policy reads no function.
        """
        whole = share >= 100
        weights = {} if whole else {shift.target: share / 100}
        try:
            self.lambda_.update_alias(
                FunctionName=shift.function,
                Name=shift.alias,
                FunctionVersion=shift.target if whole else shift.current,
                RoutingConfig={"AdditionalVersionWeights": weights},
            )
        except self.lambda_.exceptions.ResourceNotFoundException as error:
            raise DeploymentFailed("INVALID_LAMBDA_FUNCTION", str(error)) from error
        except ClientError as error:
            raise DeploymentFailed("INVALID_LAMBDA_CONFIGURATION", str(error)) from error


def _weights(alias: Fields) -> dict[str, float]:
    return (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
