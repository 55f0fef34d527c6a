"""Services: they keep their tasks running, roll to a new task definition, and have task sets.

One thread compares what is wanted with what runs, whenever a task's status changes. A running task
is registered with the service's target groups; one that is to stop is taken out and drained first.

AWS pages: "Amazon ECS services"; "CreateTaskSet", "DescribeTaskSets" in the ECS API Reference;
"Deploy Amazon ECS services by replacing tasks" (rolling), "using a third-party controller".
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError
from moto.ecs.exceptions import EcsClientException, InvalidParameterException
from moto.ecs.models import EC2ContainerServiceBackend, Service, TaskSet

from labkit.cloud import clients, runtime
from labkit.cloud.compute.containers import rollout, tasks

logger = logging.getLogger(__name__)

ECS = "ecs.amazonaws.com"
LOOK_SECONDS = 0.25
RETRY_SECONDS = 1.0  # after a task that stopped by itself
SETTLED_SECONDS = 1.0  # a task runs so long before it counts, where nothing checks its health
MOST_EVENTS = 100
_wake = threading.Event()
_fleets: list[Fleet] = []
_lock = threading.RLock()


@dataclass(eq=False)
class Fleet:
    """The tasks of one deployment of a service, or of one task set."""

    backend: Any
    service: Any
    task_definition: str
    load_balancers: list[dict[str, Any]]
    network: dict[str, Any] | None
    wanted: int
    id: str
    tasks: list[Any] = field(default_factory=list)
    registered: dict[str, dict[str, int]] = field(default_factory=dict)  # by task, its ports
    not_before: float = 0.0
    failed: int = 0
    noted: set[str] = field(default_factory=set)  # tasks that end, and are counted as failed
    halted: bool = False  # its deployment has failed: no new tasks
    completed: bool = False  # it was steady once
    steady: bool = False

    def alive(self) -> list[Any]:
        return [task for task in self.tasks if task.desired_status == "RUNNING"]

    def count(self, *statuses: str) -> int:
        return sum(task.last_status in statuses for task in self.alive())

    @property
    def running(self) -> int:
        return self.count("RUNNING")

    @property
    def pending(self) -> int:
        return self.count("PROVISIONING", "PENDING")

    def reconcile(self) -> None:
        """Start what is missing, stop what is too much, and keep the load balancer informed."""
        for task in [one for one in self.tasks if one.desired_status == "STOPPED"]:
            self._deregister(task)
            itself = task.stop_code in ("TaskFailedToStart", "EssentialContainerExited")
            # before another is started in its place
            if itself and task.id not in self.noted:
                self.noted.add(task.id)
                self.failed += 1
                self.not_before = time.monotonic() + RETRY_SECONDS
                say(self.service, f"(task {task.id}) has stopped: {task.stopped_reason}")
            if task.running.ended.is_set():
                self.tasks.remove(task)
                self.noted.discard(task.id)
        alive = self.alive()
        for task in alive[self.wanted :]:
            self._retire(task)
        for task in alive[: self.wanted]:
            if task.running.is_unhealthy:
                self.failed += 1
                say(self.service, f"(task {task.id}) failed container health checks.")
                self._retire(task, "Task failed container health checks")
        alive = self.alive()
        missing = self.wanted - len(alive)
        if not self.completed and rollout.is_broken(self.service, self.failed):
            self.halted = True
        startable = min(missing, self.room())
        if startable > 0 and not self.halted and time.monotonic() >= self.not_before:
            self._start(int(startable))
        for task in self.alive():
            if task.last_status == "RUNNING" and task.id not in self.registered:
                self._register(task)
        was, self.steady = self.steady, self._is_steady()
        if self.steady and not was:
            # "Deployment": once its tasks run, failedTasks is zero, and no longer evaluated
            self.failed, self.completed = 0, True
            say(self.service, "has reached a steady state.")

    def end(self) -> None:
        self.wanted = 0

    def room(self) -> float:
        """How many tasks more the service may have now."""
        live = ("PROVISIONING", "PENDING", "RUNNING")
        running = sum(
            task.last_status in live for fleet in of(self.service) for task in fleet.tasks
        )
        return rollout.most(self.service) - running

    def healthy(self) -> int:
        """How many tasks run and pass the checks of their containers and target groups."""
        good = [
            task
            for task in self.alive()
            if task.last_status == "RUNNING"
            and task.id in self.registered
            and task.running.is_healthy
        ]
        checked = [task for task in good if task.running.is_checked]
        for arn in self._groups() if good else []:
            answers = self._answers(arn)
            good = [task for task in good if answers.get(self._ports(task)[arn]) is not False]
            checked += [task for task in good if answers.get(self._ports(task)[arn])]
        # what nobody checks has to run for a while: a release that exits at once never was steady
        return sum(task in checked or task.running.seconds >= SETTLED_SECONDS for task in good)

    def _start(self, count: int) -> None:
        made = self.backend.run_task(
            self.service.cluster_name,
            self.task_definition,
            count,
            None,
            self.id,
            self.service.tags if self.service.propagate_tags == "SERVICE" else [],
            launch_type="FARGATE",
            networking_configuration=self.network,
            group=f"service:{self.service.name}",
        )
        self.tasks += made
        names = "".join(f"(task {task.id})" for task in made)
        say(self.service, f"has started {len(made)} tasks: {names}.")

    def _retire(self, task: Any, why: str | None = None) -> None:
        """Drain a task, and then stop it."""
        drained = self._deregister(task)
        task.desired_status = "DRAINING"

        def stop() -> None:
            time.sleep(drained)
            task.desired_status = "RUNNING"
            reason = why or f"Scaling activity initiated by (deployment {self.id})"
            task.running.stop(reason, "ServiceSchedulerInitiated")
            _wake.set()

        threading.Thread(target=stop, daemon=True).start()

    def _groups(self) -> list[str]:
        return [one["targetGroupArn"] for one in self.load_balancers if one.get("targetGroupArn")]

    def _ports(self, task: Any) -> dict[str, int]:
        """The port of a task in each of its target groups, as the load balancer names them."""
        return {
            one["targetGroupArn"]: task.running.port(
                one.get("containerName"), one.get("containerPort")
            )
            for one in self.load_balancers
            if one.get("targetGroupArn")
        }

    def _elb(self) -> Any:
        return clients.as_service(ECS, self.service.region_name).client("elbv2")

    def _register(self, task: Any) -> None:
        ports = self._ports(task)
        try:
            for arn, port in ports.items():
                self._elb().register_targets(
                    TargetGroupArn=arn, Targets=[{"Id": "127.0.0.1", "Port": port}]
                )
        except (ClientError, BotoCoreError) as error:
            say(self.service, f"was unable to register targets: {error}")
            return
        self.registered[task.id] = ports

    def _deregister(self, task: Any) -> float:
        """Take a task out of its target groups; returns how long it drains, in the lab's seconds."""
        delay = 0.0
        for arn, port in self.registered.pop(task.id, {}).items():
            try:
                target = [{"Id": "127.0.0.1", "Port": port}]
                self._elb().deregister_targets(TargetGroupArn=arn, Targets=target)
                found = self._elb().describe_target_group_attributes(TargetGroupArn=arn)
                given = {one["Key"]: one["Value"] for one in found["Attributes"]}
                seconds = float(given.get("deregistration_delay.timeout_seconds", 300))
                delay = max(delay, runtime.current().clock.wait_seconds(seconds))
            except (ClientError, BotoCoreError) as error:
                logger.info("%s: %s", self.service.name, error)
        return delay

    def _is_steady(self) -> bool:
        alive = self.alive()
        if len(alive) != self.wanted or self.running != self.wanted:
            return False
        if self.steady:
            known = all(task.id in self.registered for task in alive)
            return known and all(task.running.is_healthy for task in alive)
        return self.healthy() == self.wanted

    def _answers(self, arn: str) -> dict[int, bool | None]:
        """By port, whether a group's health checks find a target healthy; None: it is not checked."""
        found = self._elb().describe_target_health(TargetGroupArn=arn)
        answers: dict[int, bool | None] = {}
        for one in found["TargetHealthDescriptions"]:
            state = one["TargetHealth"]
            unused = state.get("Reason") == "Target.NotInUse"
            answers[one["Target"]["Port"]] = None if unused else state["State"] == "healthy"
        return answers


def start() -> None:
    """Make moto's services serve: called once, when the local AWS starts."""
    backend = EC2ContainerServiceBackend
    create, update, delete = backend.create_service, backend.update_service, backend.delete_service
    make_set, drop_set, scale_set = (
        backend.create_task_set,
        backend.delete_task_set,
        backend.update_task_set,
    )

    def create_service(self: Any, *arguments: Any, **keywords: Any) -> Service:
        given = tasks.named(create, self, *arguments, **keywords)
        if given.get("launch_type") != "FARGATE":
            raise EcsClientException(
                "The lab has no container instances; create the service with launchType FARGATE"
            )
        network = given.get("network_configuration") or {}
        network.get("awsvpcConfiguration", {}).setdefault("securityGroups", [])
        if given.get("task_definition_str"):
            definition = self.describe_task_definition(given["task_definition_str"])
            tasks.check(definition)
            check_ports(definition, given.get("load_balancers") or [])
        service: Any = create(**given)
        if service.task_definition:
            _begin(self, service, service.task_definition, network or None)
        return service

    def update_service(self: Any, service_properties: dict[str, Any]) -> Service:
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
            definition = self.describe_task_definition(given["task_definition"])
            tasks.check(definition)
            check_ports(definition, known.load_balancers or [])
        service: Any = update(self, service_properties)
        _change(self, service, given)
        return service

    def delete_service(self: Any, cluster_name: str, service_name: str, force: bool) -> Service:
        service: Any = delete(self, cluster_name, service_name, force)
        with _lock:
            service.desired_count = 0
            for fleet in of(service):
                fleet.end()
        _wake.set()
        return service

    def create_task_set(self: Any, *arguments: Any, **keywords: Any) -> TaskSet:
        given = tasks.named(make_set, self, *arguments, **keywords)
        # moto would run the tasks of a scale itself, and once
        scale = given.pop("scale", None) or {"value": 100.0, "unit": "PERCENT"}
        if given.get("launch_type") not in (None, "FARGATE"):
            raise EcsClientException("The lab has no container instances; use launchType FARGATE")
        definition = self.describe_task_definition(given["task_definition"])
        tasks.check(definition)
        check_ports(definition, given.get("load_balancers") or [])
        made: Any = make_set(**given)
        made.scale, made.launch_type = scale, "FARGATE"
        service = self._get_service(made.cluster, made.service.split("/")[-1])
        _add_set(self, service, made)
        return made

    def update_task_set(
        self: Any, cluster: str, service: str, task_set: str, scale: dict[str, Any]
    ) -> TaskSet:
        changed: Any = scale_set(self, cluster, service, task_set, scale)
        with _lock:
            owner = self._get_service(cluster, service.split("/")[-1])
            changed.fleet.wanted = _share(owner, scale)
        _wake.set()
        return changed

    def delete_task_set(self: Any, cluster: str, service: str, task_set: str) -> TaskSet:
        dropped: Any = drop_set(self, cluster, service, task_set)
        with _lock:
            dropped.fleet.end()
        dropped.status = "DRAINING"
        _wake.set()
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
    rollout.start()
    tasks.listeners.append(_wake.set)
    threading.Thread(target=_reconcile_all, name="ecs-services", daemon=True).start()


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


def of(service: Any) -> list[Fleet]:
    """The fleets of one service, oldest first."""
    return [fleet for fleet in _fleets if fleet.service is service]


def say(service: Any, what: str) -> None:
    """One of the service's events, newest first, as DescribeServices shows them."""
    event = {
        "id": str(uuid4()),
        "createdAt": datetime.now(UTC),
        "message": f"(service {service.name}) {what}",
    }
    service.events.insert(0, event)
    del service.events[MOST_EVENTS:]


def _count(owner: Any) -> None:
    """running_count and pending_count are those of the tasks."""

    def counted(kind: str) -> property:
        def read(self: Any) -> int:
            return sum(getattr(fleet, kind) for fleet in of(self))

        return property(read, lambda self, value: None)

    owner.running_count, owner.pending_count = counted("running"), counted("pending")


def _begin(backend: Any, service: Any, definition: str, network: dict[str, Any] | None) -> None:
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
    _reach(service, shown, "IN_PROGRESS", f"ECS deployment {shown['id']} in progress.")
    fleet = Fleet(
        backend,
        service,
        shown["taskDefinition"],
        service.load_balancers,
        network,
        service.desired_count,
        shown["id"],
    )
    with _lock:
        _fleets.append(fleet)
    _wake.set()


def _change(backend: Any, service: Any, given: dict[str, Any]) -> None:
    """What UpdateService asks for: another count, another task definition, or all tasks anew."""
    with _lock:
        current = of(service)
        if given.get("desired_count") is not None:
            for fleet in current[-1:]:
                fleet.wanted = service.desired_count
            for task_set in service.task_sets:
                task_set.fleet.wanted = _share(service, task_set.scale)
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
    _wake.set()


def _add_set(backend: Any, service: Any, made: Any) -> None:
    fleet = Fleet(
        backend,
        service,
        made.task_definition,
        made.load_balancers,
        made.network_configuration,
        _share(service, made.scale),
        made.id,
    )
    made.fleet = fleet
    with _lock:
        _fleets.append(fleet)
        _show(made)
    _wake.set()


def _share(service: Any, scale: dict[str, Any]) -> int:
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
    while True:
        _wake.wait(LOOK_SECONDS)
        _wake.clear()
        for fleet in list(_fleets):
            with _lock:
                try:
                    fleet.reconcile()
                except (ClientError, BotoCoreError) as error:
                    logger.info("service %s: %s", fleet.service.name, error)
                except Exception:
                    logger.exception("service %s", fleet.service.name)
                _tell(fleet)


def _reach(service: Any, shown: dict[str, Any], state: str, reason: str) -> None:
    """Have one of the service's deployments be in this state, and say so once."""
    if shown.get("rolloutState") != state:
        shown.update(rolloutState=state, rolloutStateReason=reason, updatedAt=datetime.now(UTC))
        rollout.announce(service, shown)


def _roll(service: Any, primary: dict[str, Any], mine: list[Fleet]) -> None:
    """Make room for the new tasks of a deployment, or end it when too many have failed."""
    new = next((one for one in mine if one.id == primary["id"]), None)
    if new is None:
        return
    if new.halted:
        _fail(service, primary, new)
    elif len(new.alive()) < new.wanted and new.room() <= 0:
        keep = max(rollout.least(service) - new.healthy(), 0)
        for one in mine:
            if one is not new:
                one.wanted = min(one.wanted, keep)


def _fail(service: Any, shown: dict[str, Any], fleet: Fleet) -> None:
    """The circuit breaker ends a deployment: no new tasks, or back to the one before it.

    AWS page: "How the Amazon ECS deployment circuit breaker detects failures".
    """
    _reach(service, shown, "FAILED", f"{rollout.BREAKER}: tasks failed to start.")
    say(service, f"(deployment {shown['id']}) deployment failed: tasks failed to start.")
    completed = [one for one in service.deployments if one.get("rolloutState") == "COMPLETED"]
    before = next((one for one in of(service) if completed and one.id == completed[0]["id"]), None)
    if before is None or not rollout.goes_back(service):
        return
    old = completed[0]
    say(service, f"rolling back to (deployment {old['id']}).")
    shown["status"], old["status"] = "ACTIVE", "PRIMARY"
    service.deployments.remove(old)
    service.deployments.insert(0, old)
    service.task_definition = old["taskDefinition"]
    fleet.end()
    before.wanted, before.steady = service.desired_count, False
    _fleets.remove(before)  # the newest is the last
    _fleets.append(before)
    _reach(
        service, old, "IN_PROGRESS", f"{rollout.BREAKER}: rolling back to deploymentId {old['id']}."
    )


def _tell(fleet: Fleet) -> None:
    """Bring up to date what is shown of a service, and end what was replaced."""
    service = fleet.service
    for task_set in service.task_sets:
        _show(task_set)
    mine = of(service)
    for shown in service.deployments:
        for one in mine:
            if one.id == shown["id"]:
                shown.update(
                    runningCount=one.running,
                    pendingCount=one.pending,
                    desiredCount=one.wanted,
                    failedTasks=one.failed,
                )
                underway = shown.get("rolloutState") == "IN_PROGRESS"
                if one.steady and underway and shown["status"] == "PRIMARY":
                    told = shown.get("rolloutStateReason") or ""
                    if not told.startswith(rollout.BREAKER):  # why it is the primary one again
                        told = f"ECS deployment {one.id} completed."
                    _reach(service, shown, "COMPLETED", told)
    primary = next((one for one in service.deployments if one["status"] == "PRIMARY"), None)
    if primary is not None and primary.get("rolloutState") == "IN_PROGRESS":
        _roll(service, primary, mine)
    if primary is not None and primary.get("rolloutState") == "COMPLETED":
        for one in mine:
            if one.id != primary["id"] and not service.task_sets:
                one.end()
    gone = [one for one in mine if one.wanted == 0 and not one.tasks and one is not mine[-1]]
    for one in gone:
        _fleets.remove(one)
        service.deployments = [item for item in service.deployments if item["id"] != one.id]
    if service.status == "INACTIVE" and not any(one.tasks for one in mine):
        for one in of(service):
            _fleets.remove(one)
