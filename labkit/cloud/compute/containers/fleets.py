"""The tasks of one deployment of a service, or of one task set: as many are kept running as it wants.

A running task is registered with the service's target groups; one that is to stop is taken out and
drained first. One that its container or a target group finds unhealthy is replaced.

AWS pages: "Amazon ECS services"; "Amazon ECS service unhealthy event messages".
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.compute.containers import deployment_configuration, events, targets
from labkit.cloud.shared import runtime, threads

RETRY_SECONDS = 1.0  # after a task that stopped by itself
SETTLED_SECONDS = 1.0  # a task runs so long before it counts, where nothing checks its health
# what starts does so in real time, but is checked on the scaled clock
STARTING_SECONDS = 5.0
STEADY_LOOK_SECONDS = 1.0  # between looks at the health of targets, when nothing else happens
lock = threading.RLock()
wake = threading.Event()
fleets: list[Fleet] = []


@dataclass(eq=False)
class Fleet:
    """What one deployment or task set wants, and the tasks that it has."""

    backend: Any
    service: Any
    task_definition: str
    load_balancers: list[dict[str, Any]]
    network: dict[str, Any] | None
    wanted: int
    id: str
    tasks: list[Any] = field(default_factory=list)
    registered: dict[str, dict[str, int]] = field(default_factory=dict)  # by task, its ports
    health: dict[targets.Target, dict[str, Any]] = field(default_factory=dict)  # when last looked
    looked: float = 0.0
    answered: set[str] = field(default_factory=set)  # tasks that a target group found healthy once
    not_before: float = 0.0
    failed: int = 0
    noted: set[str] = field(default_factory=set)  # tasks that are counted as failed
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
        self._note_stopped()
        for task in self.alive():
            if task.last_status == "RUNNING" and task.id not in self.registered:
                self._register(task)
        self._look()
        unhealthy = self._unhealthy()
        others = [task for task in self.alive() if task not in unhealthy]
        for task in others[self.wanted :]:
            self._retire(task, f"Scaling activity initiated by (deployment {self.id})")
        if not self.completed and deployment_configuration.is_broken(self.service, self.failed):
            self.halted = True
        missing = self.wanted - len(others)
        startable = min(missing, self.room())
        if startable > 0 and not self.halted and time.monotonic() >= self.not_before:
            self._start(int(startable))
        for task in self._replaced(unhealthy, missing):
            self._retire(task, unhealthy[task])
        was, self.steady = self.steady, self._is_steady(unhealthy)
        if self.steady and not was:
            # "Deployment": once its tasks run, failedTasks is zero, and no longer evaluated
            self.failed, self.completed = 0, True
            events.say(self.service, "has reached a steady state.")

    def end(self) -> None:
        self.wanted = 0

    def room(self) -> float:
        """How many tasks more the service may have now."""
        live = ("PROVISIONING", "PENDING", "RUNNING")
        running = sum(
            task.last_status in live for fleet in of(self.service) for task in fleet.tasks
        )
        return deployment_configuration.most(self.service) - running

    def healthy(self) -> int:
        """How many tasks run and pass the checks of their containers and target groups."""
        return sum(self._is_well(task) for task in self.alive())

    # what becomes of its tasks

    def _note_stopped(self) -> None:
        for task in [one for one in self.tasks if one.desired_status == "STOPPED"]:
            self._deregister(task)
            itself = task.stop_code in ("TaskFailedToStart", "EssentialContainerExited")
            # before another is started in its place
            if itself and task.id not in self.noted:
                self.noted.add(task.id)
                self.failed += 1
                self.not_before = time.monotonic() + RETRY_SECONDS
                events.say(self.service, f"(task {task.id}) has stopped: {task.stopped_reason}")
            if task.running.ended.is_set():
                self.tasks.remove(task)
                self.noted.discard(task.id)
                self.answered.discard(task.id)

    def _look(self) -> None:
        """Read the health of the targets; of a steady deployment's not all the time."""
        groups = {arn for ports in self.registered.values() for arn in ports}
        if not groups:
            self.health = {}
            return
        if self.steady and time.monotonic() < self.looked + STEADY_LOOK_SECONDS:
            return
        self.health, self.looked = targets.health(self.service, groups), time.monotonic()
        for task in self.alive():
            if "healthy" in self._states(task):
                self.answered.add(task.id)

    def _unhealthy(self) -> dict[Any, str]:
        """The tasks to be replaced, and why; each is told and counted once."""
        found = {}
        for task in self.alive():
            if why := self._why_unhealthy(task):
                told, found[task] = why
                if task.id not in self.noted:
                    self.noted.add(task.id)
                    self.failed += 1
                    events.say(self.service, f"(task {task.id}) {told}", self._task_set())
            else:
                self.noted.discard(task.id)
        return found

    def _why_unhealthy(self, task: Any) -> tuple[str, str] | None:
        """What the service's events say of an unhealthy task, and its stopped reason."""
        grace = deployment_configuration.grace_seconds(self.service)
        if task.running.seconds < runtime.current().clock.wait_seconds(grace):
            return None
        if task.running.is_unhealthy:
            return "failed container health checks.", "Task failed container health checks"
        if task.id not in self.answered and task.running.seconds < STARTING_SECONDS:
            return None
        ports = self.registered.get(task.id, {})
        for one in self.load_balancers:
            arn = one.get("targetGroupArn", "")
            health = self.health.get((arn, ports.get(arn, 0)), {})
            if health.get("State") == "unhealthy":
                where = f"(target-group {arn})"
                told = (
                    f"(port {one.get('containerPort')}) is unhealthy in {where} due to "
                    f"(reason {health['Description']})."
                )
                return told, f"Task failed ELB health checks in {where}"
        return None

    def _replaced(self, unhealthy: dict[Any, str], missing: int) -> list[Any]:
        """The unhealthy tasks that have to stop now.

        "Amazon ECS services": a replacement is started first; when it is healthy, the unhealthy task
        stops; when it is not, either does. Where the maximum percent leaves no room for it, unhealthy
        tasks stop one at a time.
        """
        if self.halted:
            return list(unhealthy)
        well = self.healthy()
        spare = len(unhealthy) - max(self.wanted - well, 0)
        if spare > 0:
            return list(unhealthy)[:spare]
        moving = len(self.tasks) > well + len(unhealthy)  # starting or stopping
        if missing > 0 and self.room() <= 0 and not moving:
            return list(unhealthy)[:1]
        return []

    def _task_set(self) -> str | None:
        return self.id if any(one.id == self.id for one in self.service.task_sets) else None

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
        events.say(self.service, f"has started {len(made)} tasks: {names}.")

    def _retire(self, task: Any, reason: str) -> None:
        """Drain a task, and then stop it."""
        drained = self._deregister(task)
        task.desired_status = "DRAINING"

        def stop() -> None:
            time.sleep(drained)
            task.desired_status = "RUNNING"
            task.running.stop(reason, "ServiceSchedulerInitiated")
            wake.set()

        def left(error: Exception) -> None:
            events.say(self.service, f"was unable to stop (task {task.id}): {error!r}")

        threads.start(stop, name=f"end of {task.id}", failed=left)

    def _register(self, task: Any) -> None:
        try:
            ports = targets.of(task, self.load_balancers)
            targets.register(self.service, ports)
        except (ClientError, BotoCoreError) as error:
            events.say(self.service, f"was unable to register targets: {error}")
            return
        self.registered[task.id] = ports

    def _deregister(self, task: Any) -> float:
        return targets.deregister(self.service, self.registered.pop(task.id, {}))

    # how they are

    def _states(self, task: Any) -> set[str | None]:
        """What its target groups find of a task; nothing where no load balancer uses them."""
        found = [self.health.get(target, {}) for target in self.registered.get(task.id, {}).items()]
        return {one.get("State") for one in found if one.get("Reason") != "Target.NotInUse"}

    def _is_well(self, task: Any) -> bool:
        running, states = task.running, self._states(task)
        known = task.last_status == "RUNNING" and task.id in self.registered
        if not known or not running.is_healthy or states - {"healthy"}:
            return False
        # what nobody checks has to run for a while: a release that exits at once never was steady
        return bool(states) or running.is_checked or running.seconds >= SETTLED_SECONDS

    def _is_steady(self, unhealthy: dict[Any, str]) -> bool:
        alive = self.alive()
        if unhealthy or len(alive) != self.wanted or self.running != self.wanted:
            return False
        if self.steady:
            known = all(task.id in self.registered for task in alive)
            return known and all(task.running.is_healthy for task in alive)
        return self.healthy() == self.wanted


def of(service: Any) -> list[Fleet]:
    """The fleets of one service, oldest first."""
    return [fleet for fleet in fleets if fleet.service is service]
