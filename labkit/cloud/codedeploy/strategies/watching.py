"""What can end a deployment from outside while it runs: a stop, and an alarm.

AWS pages: "Stop a deployment with CodeDeploy"; "Monitoring deployments with CloudWatch alarms in
CodeDeploy".
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.codedeploy.models import CodeDeployBackend, Deployment, Group
from labkit.cloud.codedeploy.role import service_session
from labkit.cloud.shared import runtime, threads
from labkit.cloud.shared.clients import Session

_LOOK_SECONDS = 0.1


class Stopped(Exception):
    """The deployment was stopped, or an alarm did."""


@contextlib.contextmanager
def alarms(backend: CodeDeployBackend, group: Group, deployment: Deployment) -> Iterator[None]:
    """Look at the deployment's alarms before it begins and as long as it runs.

    One that is in the state ALARM is noted in `deployment.alarm`.
    """
    declared = deployment.alarms or group.declared.get("alarmConfiguration") or {}
    if not declared.get("enabled") or deployment.creator == "codeDeployRollback":
        yield
        return
    session, over = service_session(backend, group), threading.Event()
    names = [item["name"] for item in declared.get("alarms") or []]
    tolerant = bool(declared.get("ignorePollAlarmFailure"))

    def look() -> None:
        deployment.alarm = _active(session, names, tolerant)
        if deployment.alarm:
            deployment.changed.set()

    def watch() -> None:
        while not deployment.alarm and not over.wait(_LOOK_SECONDS):
            look()

    def unread(error: Exception) -> None:
        deployment.alarm = _unread(names, error)
        deployment.changed.set()

    look()
    watching = threads.start(watch, name=f"alarms-{deployment.id}", failed=unread)
    try:
        yield
    finally:
        over.set()
        watching.join()


def _active(session: Session, names: list[str], tolerant: bool) -> str | None:
    """The alarms that are on; those that cannot be read are, unless that is to be ignored."""
    try:
        found = session.client("cloudwatch").describe_alarms(
            AlarmNames=names, AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
    except (ClientError, BotoCoreError) as error:
        return None if tolerant else _unread(names, error)
    alarms = found["MetricAlarms"] + found["CompositeAlarms"]
    missing = set(names) - {item["AlarmName"] for item in alarms}
    if missing and not tolerant:
        return f"{', '.join(sorted(missing))} (does not exist)"
    return ", ".join(i["AlarmName"] for i in alarms if i["StateValue"] == "ALARM") or None


def _unread(names: list[str], error: Exception) -> str:
    return f"{', '.join(names)} (could not be read: {error})"


def go_on(deployment: Deployment) -> None:
    """Raises Stopped if the deployment is to end here."""
    if deployment.stopping:
        raise Stopped


def wait(
    deployment: Deployment,
    seconds: float,
    done: Callable[[], bool] = lambda: False,
    look_seconds: float = 0.25,
) -> bool:
    """Wait `seconds` of the lab, or until it is `done`; returns whether it is.

    Raises:
        Stopped: by the user, or by an alarm.
    """
    deadline = time.monotonic() + seconds
    while True:
        go_on(deployment)
        if done():
            return True
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        deployment.changed.wait(min(left, look_seconds))
        deployment.changed.clear()


def wait_minutes(
    deployment: Deployment, minutes: float, done: Callable[[], bool] = lambda: False
) -> bool:
    """Wait AWS's minutes on the scaled clock."""
    return wait(deployment, runtime.current().clock.wait_seconds(60.0 * minutes), done)
