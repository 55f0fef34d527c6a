"""What a task definition may say here: what the lab's containers do not have is refused.

AWS pages: "Amazon ECS task definition parameters for Fargate"; "Amazon ECS task execution IAM role";
"CreateService" in the ECS API Reference.
"""

from __future__ import annotations

from typing import Any

from moto.ecs.exceptions import EcsClientException, InvalidParameterException

from labkit.cloud.compute.containers import images

_NOT_DONE = ("environmentFiles", "mountPoints", "volumesFrom", "firelensConfiguration")


def role_of(definition: Any, kind: str) -> str | None:
    """`execution_role_arn` or `task_role_arn`; moto has neither attribute where none is declared."""
    return getattr(definition, kind, None)


def check(definition: Any) -> None:
    """Refuse a task definition that could not be run as it says.

    Raises:
        moto.ecs.exceptions.EcsClientException: it has what the lab does not, or lacks a role.
    """
    for container in definition.container_definitions:
        driver = (container.get("logConfiguration") or {}).get("logDriver", "awslogs")
        found = [name for name in _NOT_DONE if container.get(name)]
        if driver != "awslogs":
            found.append(f"the log driver {driver}")
        if found:
            raise EcsClientException(
                f"The lab's containers do not have {found[0]} (container {container['name']}; "
                "nothing was started)"
            )
    check_roles(definition)


def check_roles(definition: Any) -> None:
    """Refuse what Fargate could not pull.

    Raises:
        moto.ecs.exceptions.EcsClientException: an image of ECR, and no execution role.

    AWS page: "Amazon ECS task execution IAM role".
    """
    uses_ecr = any(images.is_ecr(one["image"]) for one in definition.container_definitions)
    if uses_ecr and not role_of(definition, "execution_role_arn"):
        raise EcsClientException(
            "Fargate requires task definition to have execution role ARN to support ECR images."
        )


def complete_network(configuration: dict[str, Any] | None) -> None:
    """moto fails where no security groups are said; AWS takes the VPC's own."""
    (configuration or {}).get("awsvpcConfiguration", {}).setdefault("securityGroups", [])


def check_ports(definition: Any, load_balancers: list[dict[str, Any]]) -> None:
    """Refuse a load balancer that names what the task definition does not have.

    Raises:
        moto.ecs.exceptions.InvalidParameterException: no such container, or no such port of it.
    """
    containers = {one["name"]: one for one in definition.container_definitions}
    for one in load_balancers:
        name, port = one.get("containerName"), one.get("containerPort")
        if name not in containers:
            raise InvalidParameterException(
                f"The container {name} does not exist in the task definition."
            )
        mapped = [item["containerPort"] for item in containers[name].get("portMappings") or []]
        if port not in mapped:
            raise InvalidParameterException(
                f"The container {name} did not have a container port {port} defined."
            )
