"""Containers (ECS) without Docker: a task is processes started from the content of OCI images.

A request passes moto's dispatcher into `task_operations` or `service_operations`, which refuse what
`definitions` does not allow. `tasks` runs a task's containers, from what `images` keeps of ECR, with
the `environment` they are told, their `health` checks and `logs`. `services` keeps as many tasks
running as a service or a task set wants: `fleets`, registered in `targets`, `rolling` from one
deployment to the next within its `deployment_configuration`. docs/deployments.md says what such a
container is not.

AWS pages: "Amazon ECS task lifecycle"; "Amazon ECS services"; "TaskSet" in the ECS API Reference.
"""

from labkit.cloud.compute.containers import (
    deployment_configuration,
    images,
    service_operations,
    services,
    task_operations,
)


def start() -> None:
    """Make moto's ECR and ECS do their work: called once, when the local AWS starts."""
    images.start()
    task_operations.start()
    service_operations.start()
    deployment_configuration.start()
    services.start()
