"""CreateService, CreateTaskSet and the like, over moto's: what they declare is kept running.

AWS pages: "CreateService", "UpdateService", "DeleteService", "CreateTaskSet", "UpdateTaskSet",
"DeleteTaskSet" in the ECS API Reference.
"""

from __future__ import annotations

from typing import Any

from moto.ecs.exceptions import EcsClientException, InvalidParameterException
from moto.ecs.models import EC2ContainerServiceBackend, Service

from labkit.cloud.compute.containers import definitions, fleets, services
from labkit.cloud.shared.service import named


def start() -> None:
    """Make moto's services serve: called once, when the local AWS starts."""
    backend = EC2ContainerServiceBackend
    create, update, delete = backend.create_service, backend.update_service, backend.delete_service
    make_set, drop_set, scale_set = (
        backend.create_task_set,
        backend.delete_task_set,
        backend.update_task_set,
    )

    def create_service(self: Any, *arguments: Any, **keywords: Any) -> Any:
        given = named(create, self, *arguments, **keywords)
        if given.get("launch_type") != "FARGATE":
            raise EcsClientException(
                "The lab has no container instances; create the service with launchType FARGATE"
            )
        network = given.get("network_configuration")
        definitions.complete_network(network)
        if given.get("task_definition_str"):
            _check(self, given["task_definition_str"], given.get("load_balancers"))
        service = create(**given)
        if service.task_definition:
            services.begin(self, service, service.task_definition, network or None)
        return service

    def update_service(self: Any, service_properties: dict[str, Any]) -> Any:
        given = dict(service_properties)
        known = self._get_service(
            given.get("cluster") or "default", given["service"].split("/")[-1]
        )
        if given.get("task_definition") and known.deployment_controller["type"] != "ECS":
            raise InvalidParameterException(
                "Unable to update task definition on services with a CODE_DEPLOY deployment "
                "controller. Use AWS CodeDeploy to trigger a new deployment."
            )
        if given.get("task_definition"):
            _check(self, given["task_definition"], known.load_balancers)
        service = update(self, service_properties)
        services.change(self, service, given)
        return service

    def delete_service(self: Any, cluster_name: str, service_name: str, force: bool) -> Any:
        service = delete(self, cluster_name, service_name, force)
        with fleets.lock:
            service.desired_count = 0
            for fleet in fleets.of(service):
                fleet.end()
        fleets.wake.set()
        return service

    def create_task_set(self: Any, *arguments: Any, **keywords: Any) -> Any:
        given = named(make_set, self, *arguments, **keywords)
        # moto would run the tasks of a scale itself, and once
        scale = given.pop("scale", None) or {"value": 100.0, "unit": "PERCENT"}
        if given.get("launch_type") not in (None, "FARGATE"):
            raise EcsClientException("The lab has no container instances; use launchType FARGATE")
        _check(self, given["task_definition"], given.get("load_balancers"))
        made = make_set(**given)
        made.scale, made.launch_type = scale, "FARGATE"
        service = self._get_service(made.cluster, made.service.split("/")[-1])
        services.add_set(self, service, made)
        return made

    def update_task_set(
        self: Any, cluster: str, service: str, task_set: str, scale: dict[str, Any]
    ) -> Any:
        changed: Any = scale_set(self, cluster, service, task_set, scale)
        with fleets.lock:
            owner = self._get_service(cluster, service.split("/")[-1])
            changed.fleet.wanted = services.share(owner, scale)
        fleets.wake.set()
        return changed

    def delete_task_set(self: Any, cluster: str, service: str, task_set: str) -> Any:
        dropped: Any = drop_set(self, cluster, service, task_set)
        with fleets.lock:
            dropped.fleet.end()
        dropped.status = "DRAINING"
        fleets.wake.set()
        return dropped

    for name, change in (
        ("create_service", create_service),
        ("update_service", update_service),
        ("delete_service", delete_service),
        ("create_task_set", create_task_set),
        ("update_task_set", update_task_set),
        ("delete_task_set", delete_task_set),
    ):
        setattr(backend, name, change)
    _count(Service)


def _check(backend: Any, name: str, load_balancers: list[dict[str, Any]] | None) -> None:
    definition = backend.describe_task_definition(name)
    definitions.check(definition)
    definitions.check_ports(definition, load_balancers or [])


def _count(owner: Any) -> None:
    """running_count and pending_count are those of the tasks."""

    def counted(kind: str) -> property:
        def read(self: Any) -> int:
            return sum(getattr(fleet, kind) for fleet in fleets.of(self))

        return property(read, lambda self, value: None)

    owner.running_count, owner.pending_count = counted("running"), counted("pending")
