"""What ECS tells: a service's own events, and those of tasks and deployments on the bus.

AWS pages: "Amazon ECS service event messages"; "Amazon ECS task state change events"; "Amazon ECS
service deployment state change events".
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from labkit.cloud import bus

MOST_EVENTS = 100


def say(service: Any, what: str, task_set: str | None = None) -> None:
    """One of the service's events, newest first, as DescribeServices shows them."""
    who = f"service {service.name}" + (f", taskSet {task_set}" if task_set else "")
    event = {
        "id": str(uuid4()),
        "createdAt": datetime.now(UTC),
        "message": f"({who}) {what}",
    }
    service.events.insert(0, event)
    del service.events[MOST_EVENTS:]


def announce_task(task: Any) -> None:
    """A task has got another status."""
    bus.publish(
        "aws.ecs",
        "ECS Task State Change",
        {
            "clusterArn": task.cluster_arn,
            "taskArn": task.task_arn,
            "taskDefinitionArn": task.task_definition_arn,
            "lastStatus": task.last_status,
            "desiredStatus": task.desired_status,
            "group": task.group,
            "launchType": task.launch_type,
            "stoppedReason": task.stopped_reason,
            "containers": [
                {"name": one.name, "lastStatus": one.last_status} for one in task.containers
            ],
        },
        account=task._account_id,
        region=task.region_name,
        resources=[task.task_arn],
    )


def announce_deployment(service: Any, deployment: dict[str, Any]) -> None:
    """The service's event on the bus: a deployment is in progress, completed or failed."""
    state = deployment["rolloutState"]
    bus.publish(
        "aws.ecs",
        "ECS Deployment State Change",
        {
            "eventType": "ERROR" if state == "FAILED" else "INFO",
            "eventName": f"SERVICE_DEPLOYMENT_{state}",
            "deploymentId": deployment["id"],
            "updatedAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reason": deployment.get("rolloutStateReason", ""),
        },
        account=service._account_id,
        region=service.region_name,
        resources=[service.arn],
    )
