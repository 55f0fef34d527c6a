"""Services: their deployments and task sets, one thread that compares what is wanted with what runs.

It looks whenever a task's status changes; `fleets` does what is missing, `rolling` goes from one
deployment to the next.

AWS pages: "Amazon ECS services"; "CreateTaskSet", "DescribeTaskSets" in the ECS API Reference;
"Deploy Amazon ECS services by replacing tasks" (rolling), "using a third-party controller".
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.compute.containers import events, fleets, rolling, tasks
from labkit.cloud.compute.containers.fleets import Fleet
from labkit.cloud.shared import threads

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.25


def start() -> None:
    """Keep services as they are declared: called once, when the local AWS starts."""
    tasks.listeners.append(fleets.wake.set)
    threads.repeat(_reconcile_all, name="ecs-services")


def begin(backend: Any, service: Any, definition: str, network: dict[str, Any] | None) -> None:
    """The first deployment; under CODE_DEPLOY a task set, which is the primary one."""
    if service.deployment_controller["type"] == "ECS":
        shown = service.deployments[0]
        _deploy(backend, service, shown, network)
        return
    if service.deployment_controller["type"] == "CODE_DEPLOY":
        made: Any = backend.create_task_set(
            service.name,
            service.cluster_name,
            definition,
            network_configuration=network,
            load_balancers=service.load_balancers,
            launch_type="FARGATE",
        )
        made.status = "PRIMARY"


def _deploy(
    backend: Any, service: Any, shown: dict[str, Any], network: dict[str, Any] | None
) -> None:
    """Begin one of the service's own deployments; `shown` is what DescribeServices shows of it."""
    shown.update(status="PRIMARY", launchType="FARGATE", rolloutState=None)
    rolling.reach(service, shown, "IN_PROGRESS", f"ECS deployment {shown['id']} in progress.")
    fleet = Fleet(
        backend,
        service,
        shown["taskDefinition"],
        service.load_balancers,
        network,
        service.desired_count,
        shown["id"],
    )
    with fleets.lock:
        fleets.fleets.append(fleet)
    fleets.wake.set()


def change(backend: Any, service: Any, given: dict[str, Any]) -> None:
    """What UpdateService asks for: another count, another task definition, or all tasks anew."""
    with fleets.lock:
        current = fleets.of(service)
        if given.get("desired_count") is not None:
            for fleet in current[-1:]:
                fleet.wanted = service.desired_count
            for task_set in service.task_sets:
                task_set.fleet.wanted = share(service, task_set.scale)
        again = given.get("task_definition") or given.get("force_new_deployment")
        if again and service.deployment_controller["type"] == "ECS":
            for shown in service.deployments:
                shown["status"] = "ACTIVE"
            definition = backend.describe_task_definition(service.task_definition)
            service.task_definition = definition.arn
            made = {
                "id": f"ecs-svc/{uuid4().int % 10**19}",
                "taskDefinition": definition.arn,
                "createdAt": datetime.now(UTC),
                "updatedAt": datetime.now(UTC),
            }
            service.deployments.insert(0, made)
            network = given.get("network_configuration") or (
                current[-1].network if current else None
            )
            _deploy(backend, service, made, network)
    fleets.wake.set()


def add_set(backend: Any, service: Any, made: Any) -> None:
    fleet = Fleet(
        backend,
        service,
        made.task_definition,
        made.load_balancers,
        made.network_configuration,
        share(service, made.scale),
        made.id,
    )
    made.fleet = fleet
    with fleets.lock:
        fleets.fleets.append(fleet)
        _show(made)
    fleets.wake.set()


def share(service: Any, scale: dict[str, Any]) -> int:
    """How many tasks a task set is to have: a percentage of the service's, rounded up."""
    return -int(-(service.desired_count * float(scale.get("value", 100)) / 100) // 1)


def _show(task_set: Any) -> None:
    fleet: Fleet = task_set.fleet
    task_set.computed_desired_count = fleet.wanted
    task_set.running_count, task_set.pending_count = fleet.running, fleet.pending
    state = "STEADY_STATE" if fleet.steady else "STABILIZING"
    if task_set.stabilityStatus != state:
        task_set.stabilityStatus, task_set.stabilityStatusAt = state, datetime.now(UTC)


def _reconcile_all() -> None:
    fleets.wake.wait(LOOK_SECONDS)
    fleets.wake.clear()
    for fleet in list(fleets.fleets):
        with fleets.lock:
            threads.attempt(
                partial(_reconcile, fleet),
                name=f"service {fleet.service.name}",
                failed=partial(_say_fault, fleet.service),
            )


def _reconcile(fleet: Fleet) -> None:
    try:
        fleet.reconcile()
    except (ClientError, BotoCoreError) as error:
        _say_fault(fleet.service, error)
    _tell(fleet.service)
    rolling.advance(fleet.service)
    _forget_ended(fleet.service)


def _say_fault(service: Any, error: Exception) -> None:
    """Among the service's events, once as long as it is the same."""
    what = f"was unable to reach its desired state: {error}"
    if not service.events or not service.events[0]["message"].endswith(what):
        events.say(service, what)


def _tell(service: Any) -> None:
    """Bring up to date what is shown of a service."""
    for task_set in service.task_sets:
        _show(task_set)
    mine = {one.id: one for one in fleets.of(service)}
    for shown in service.deployments:
        if fleet := mine.get(shown["id"]):
            shown.update(
                runningCount=fleet.running,
                pendingCount=fleet.pending,
                desiredCount=fleet.wanted,
                failedTasks=fleet.failed,
            )


def _forget_ended(service: Any) -> None:
    """Fleets that are to have no tasks, and have none any more."""
    mine = fleets.of(service)
    for one in mine:
        if one.wanted == 0 and not one.tasks and one is not mine[-1]:
            fleets.fleets.remove(one)
            service.deployments = [item for item in service.deployments if item["id"] != one.id]
    if service.status == "INACTIVE" and not any(one.tasks for one in mine):
        for one in fleets.of(service):
            fleets.fleets.remove(one)
