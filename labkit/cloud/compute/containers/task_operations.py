"""RunTask, StopTask and ListTasks, over moto's: tasks get processes, and tell what became of them.

AWS pages: "RunTask", "StopTask", "ListTasks" in the ECS API Reference.
"""

from __future__ import annotations

from typing import Any

from moto.ecs.exceptions import EcsClientException, InvalidParameterException
from moto.ecs.models import EC2ContainerServiceBackend, Task

from labkit.cloud.compute.containers import definitions
from labkit.cloud.compute.containers.tasks import Running
from labkit.cloud.shared.service import named


def start() -> None:
    """Make moto's tasks run: called once, when the local AWS starts."""
    run, listed = EC2ContainerServiceBackend.run_task, EC2ContainerServiceBackend.list_tasks
    init = Task.__init__

    def __init__(self: Any, *arguments: Any, **keywords: Any) -> None:
        init(self, *arguments, **keywords)
        definition = keywords.get("task_definition") or arguments[1]
        self.running = Running(self, definition)

    def run_task(self: Any, *arguments: Any, **keywords: Any) -> list[Task]:
        given = named(run, self, *arguments, **keywords)
        kind = given.get("launch_type")
        if kind != "FARGATE" and not given.get("capacity_provider_strategy"):
            raise EcsClientException(
                f"The lab has no container instances for launchType {kind or 'EC2'}; use FARGATE"
            )
        definitions.check(self.describe_task_definition(given["task_definition_str"]))
        definitions.complete_network(given.get("networking_configuration"))
        tasks: list[Any] = run(**given)
        for task in tasks:
            task.running.begin()
        return tasks

    def stop_task(self: Any, cluster_str: str, task_str: str, reason: str) -> Any:
        for task in self.tasks.get(self._get_cluster(cluster_str).name, {}).values():
            if task.id == task_str.split("/")[-1]:
                task.running.stop(reason or "Task stopped by user", "UserInitiated")
                return task
        raise InvalidParameterException("The referenced task was not found.")

    def list_tasks(self: Any, *arguments: Any, **keywords: Any) -> list[Task]:
        """AWS lists tasks that have stopped only if it is asked for them."""
        given = named(listed, self, *arguments, **keywords)
        given["desiredStatus"] = given.get("desiredStatus") or "RUNNING"
        service = given.get("service_name")
        found = listed(**given)
        if service:
            found = [one for one in found if one.group == f"service:{service.split('/')[-1]}"]
        return found

    # moto counts what container instances would have to offer, and fails where none is said
    EC2ContainerServiceBackend._calculate_task_resource_requirements = staticmethod(  # type: ignore[assignment]
        lambda definition: {"CPU": 0, "MEMORY": 0, "PORTS": [], "PORTS_UDP": []}
    )
    Task.__init__ = __init__  # type: ignore[method-assign]
    Task.last_status = property(lambda self: self.running.status)  # type: ignore[assignment]
    Task.advance = lambda self: None  # type: ignore[method-assign]
    EC2ContainerServiceBackend.run_task = run_task  # type: ignore[method-assign]
    EC2ContainerServiceBackend.stop_task = stop_task  # type: ignore[method-assign]
    EC2ContainerServiceBackend.list_tasks = list_tasks  # type: ignore[method-assign]
