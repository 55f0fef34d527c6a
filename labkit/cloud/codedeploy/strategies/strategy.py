"""What deployments have in common, whatever they go to: events, targets, and the waits in between.

AWS pages: "ContinueDeployment" in the CodeDeploy API Reference; "DeploymentReadyOption".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.codedeploy import events
from labkit.cloud.codedeploy.models import (
    CodeDeployBackend,
    Deployment,
    DeploymentFailed,
    Fields,
    Group,
    LifecycleEvent,
    Target,
    now,
)
from labkit.cloud.codedeploy.role import service_session
from labkit.cloud.codedeploy.strategies import watching

READY_WAIT, TERMINATION_WAIT = "READY_WAIT", "TERMINATION_WAIT"


class Strategy:
    """One deployment to one deployment group, through the group's service role."""

    fault = "UnknownError"  # the errorCode of an event that fails without a hook

    def __init__(self, backend: CodeDeployBackend, group: Group, deployment: Deployment) -> None:
        self.backend, self.group, self.deployment = backend, group, deployment
        self.session = service_session(backend, group)

    # events and targets

    def perform(
        self, event: LifecycleEvent, work: Callable[[], object], hooks: Mapping[str, str]
    ) -> None:
        """Do the work of one lifecycle event, and note how it went.

        Args:
            hooks: functions by lifecycle event.

        Raises:
            watching.Stopped, DeploymentFailed, ClientError, BotoCoreError: as `work` does.
        """
        event.status, event.started = "InProgress", now()
        try:
            work()
        except watching.Stopped:
            event.status, event.ended = "Failed", now()
            raise
        except (DeploymentFailed, ClientError, BotoCoreError) as failed:
            event.status, event.ended = "Failed", now()
            event.diagnostics = {
                "errorCode": "ScriptFailed" if event.name in hooks else self.fault,
                "scriptName": hooks.get(event.name, ""),
                "message": str(failed),
                "logTail": "",
            }
            raise
        event.status, event.ended = "Succeeded", now()

    def end(self, target: Target, status: str) -> None:
        """End a target: what has not begun is skipped."""
        for event in target.events:
            if event.status == "Pending":
                event.status = "Skipped"
        self.set_status(target, status)

    def set_status(self, target: Target, status: str) -> None:
        target.status, target.updated = status, now()
        events.instance_changed(self.backend, self.deployment, target)

    # waits

    def wait_until_ready(self, option: Fields) -> None:
        """STOP_DEPLOYMENT: wait for ContinueDeployment.

        Raises:
            watching.Stopped: nobody has called it in time, or the deployment was stopped.
        """
        if not stops_before_rerouting(option):
            return
        self._set_deployment("Ready")
        minutes = option.get("waitTimeInMinutes") or 0
        if not self.wait_for(READY_WAIT, minutes):
            self.deployment.timed_out = (
                f"The deployment was not continued within {minutes} minutes."
            )
            raise watching.Stopped
        self._set_deployment("InProgress")

    def wait_for(self, wait_type: str, minutes: float) -> bool:
        """Wait for ContinueDeployment; returns whether it was called in time."""
        deployment = self.deployment
        deployment.waiting_for = wait_type
        try:
            return watching.wait_minutes(
                deployment, minutes, lambda: wait_type in deployment.continued
            )
        finally:
            deployment.waiting_for = None

    def _set_deployment(self, status: str) -> None:
        self.deployment.status = status
        events.deployment_changed(self.backend, self.deployment)


def stops_before_rerouting(option: Fields) -> bool:
    """Whether a deploymentReadyOption wants somebody to continue the deployment."""
    return option.get("actionOnTimeout") == "STOP_DEPLOYMENT"
