"""Containers (ECS) without Docker: a task is processes started from the content of OCI images.

`images` keeps the blobs that moto's ECR forgets, and unpacks an image; `tasks` runs a task's
containers; `services` keeps as many tasks running as a service or a task set wants, and registers
them with the load balancer. docs/deployments.md says what such a container is not.

AWS pages: "Amazon ECS task lifecycle"; "Amazon ECS services"; "TaskSet" in the ECS API Reference.
"""

from labkit.cloud.compute.containers import images, services, tasks


def start() -> None:
    """Make moto's ECR and ECS do their work: called once, when the local AWS starts."""
    images.start()
    tasks.start()
    services.start()
