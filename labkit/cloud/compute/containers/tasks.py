"""Tasks: what a task of moto's is here, namely the processes of its containers.

A container is a process whose directory is the image's working directory; it sees the machine's own
root, and `PORT` is the free loopback port that stands for its containerPort. AWS pages: "Amazon ECS
task lifecycle"; "Stopped tasks error messages".
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from moto.ecs.models import Container

from labkit.cloud.compute.containers import environment, events, health, images, layers, logs
from labkit.cloud.compute.containers.definitions import role_of
from labkit.cloud.compute.containers.health import DependencyError, HealthCheck
from labkit.cloud.compute.containers.images import ImageError
from labkit.cloud.guests.processes import free_port
from labkit.cloud.shared import clients, runtime, threads
from labkit.cloud.shared.clients import Session

logger = logging.getLogger(__name__)

ECS_TASKS = "ecs-tasks.amazonaws.com"
STOP_SECONDS = 30.0  # between TERM and KILL
listeners: list[Callable[[], None]] = []  # called when a task's status has changed


class Running:
    """The processes of one task."""

    def __init__(self, task: Any, definition: Any) -> None:
        self.task, self.definition = task, definition
        self.status = "PROVISIONING"
        # on AWS a task has one address, and its containers the ports that they declare
        self._ports = {
            (one["name"], mapping.get("containerPort")): free_port()
            for one in definition.container_definitions
            for mapping in one.get("portMappings") or [{}]
        }
        self.ended = threading.Event()
        self._stop = threading.Event()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._checks: dict[str, HealthCheck] = {}
        self._readers: list[threading.Thread] = []
        task.created_at = datetime.now(UTC)
        task.health_status = health.UNKNOWN
        task.containers = [self._container(one) for one in definition.container_definitions]
        for attachment in task.attachments:
            for detail in attachment["details"]:
                if detail["name"] == "privateIPv4Address":
                    detail["value"] = "127.0.0.1"

    @property
    def directory(self) -> Path:
        directory: Path = runtime.current().guests_dir / "tasks" / self.task.id
        return directory

    @property
    def owner(self) -> str:
        return f"task/{self.task.id}"

    def port(self, container: str | None = None, container_port: int | None = None) -> int:
        """The loopback port that stands for a container's; without names, the first that is mapped."""
        found = [
            (number is None, port)
            for (name, number), port in self._ports.items()
            if container in (None, name) and container_port in (None, number)
        ]
        if not found:
            raise LookupError(f"the task has no port {container_port} of a container {container}")
        return min(found, key=lambda item: item[0])[1]

    @property
    def is_unhealthy(self) -> bool:
        """Whether an essential container's health check has failed."""
        return bool(self.task.health_status == health.UNHEALTHY)

    @property
    def is_healthy(self) -> bool:
        """Whether no health check is failing, or has still to say."""
        checks = [check for name, check in self._checks.items() if name in self._essential()]
        return all(check.status == health.HEALTHY for check in checks)

    @property
    def is_checked(self) -> bool:
        """Whether a health check has found an essential container healthy."""
        return bool(self.task.health_status == health.HEALTHY)

    @property
    def seconds(self) -> float:
        """How long it has been RUNNING, in real time."""
        started = getattr(self.task, "started_at", None)
        return (datetime.now(UTC) - started).total_seconds() if started else 0.0

    def begin(self) -> None:
        threads.start(self._run, name=self.owner, failed=self._break_off)

    def stop(self, reason: str, code: str) -> None:
        """Have the task stop; it has when `ended` is set."""
        if self.task.desired_status == "STOPPED":
            return
        # who sees that it is to stop finds why
        self.task.stopped_reason, self.task.stop_code = reason, code
        self.task.stopping_at = datetime.now(UTC)
        self.task.desired_status = "STOPPED"
        self._stop.set()

    # within

    def _container(self, declared: dict[str, Any]) -> Any:
        container: Any = Container.__new__(Container)
        container.container_arn = self.task.task_arn.replace(":task/", ":container/") + (
            f"/{uuid.uuid4()}"
        )
        container.task_arn = self.task.task_arn
        container.name, container.image = declared["name"], declared.get("image")
        container.last_status, container.health_status = "PENDING", "UNKNOWN"
        container.network_interfaces = []
        mappings = declared.get("portMappings") or []
        container.network_bindings = [
            {
                "bindIP": "127.0.0.1",
                "containerPort": one["containerPort"],
                "hostPort": self._ports[declared["name"], one["containerPort"]],
                "protocol": one.get("protocol", "tcp"),
            }
            for one in mappings
        ]
        container.cpu, container.memory = declared.get("cpu", 0), declared.get("memory")
        return container

    def _shown(self, name: str) -> Any:
        """What DescribeTasks shows of a container."""
        return next(one for one in self.task.containers if one.name == name)

    def _run(self) -> None:
        try:
            self._become("PENDING")
            session = self._session(role_of(self.definition, "execution_role_arn"))
            for declared in health.in_order(self.definition.container_definitions):
                if self._wait_for_others(declared):
                    self._start(declared, session)
            if not self._stop.is_set():
                self.task.started_at = datetime.now(UTC)
                self._become("RUNNING")
            self._wait()
        except ImageError as error:
            self.stop(str(error), "TaskFailedToStart")
        except DependencyError as error:
            self.stop(f"CannotStartContainerError: {error}", "TaskFailedToStart")
        except (ClientError, BotoCoreError) as error:
            self.stop(f"ResourceInitializationError: {error}", "TaskFailedToStart")
        except Exception as error:
            logger.exception("task %s", self.task.id)
            self.stop(f"CannotStartContainerError: {error}", "TaskFailedToStart")
        self._end()

    def _wait_for_others(self, declared: Mapping[str, Any]) -> bool:
        """Until what the container depends on has come about; False if the task is to stop."""

        def status(name: str) -> int | None:
            return self._processes[name].poll()

        def checked(name: str) -> str:
            return self._checks[name].status if name in self._checks else health.UNKNOWN

        while not self._stop.is_set():
            if health.may_start(declared, status, checked):
                return True
            self._stop.wait(0.05)
            self._look()
        return False

    def _start(self, declared: Mapping[str, Any], session: Session) -> None:
        name = declared["name"]
        image = images.pull(declared["image"], session, self.directory / name)
        override = self._override(name)
        command = environment.command(declared, image, override)
        inside = layers.inside(image.root, declared.get("workingDirectory") or image.directory)
        inside.mkdir(parents=True, exist_ok=True)
        ports = {number: port for (owner, number), port in self._ports.items() if owner == name}
        role = role_of(self.definition, "task_role_arn")
        env = environment.variables(
            declared, override, image, ports, session, self._session(role) if role else None
        )
        try:
            process = runtime.current().processes.start(
                [environment.program_path(command[0], inside, image.root), *command[1:]],
                owner=self.owner,
                env=env,
                cwd=inside,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise ImageError(f"CannotStartContainerError: {name}: {error}") from error
        self._processes[name] = process
        if declared.get("healthCheck"):
            self._check(declared, env, inside)
        assert process.stdout is not None
        reader = threads.start(
            partial(logs.forward, declared, self.task.id, process.stdout, session),
            name=f"log of {self.owner}",
            failed=partial(self._lose_log, name),
        )
        self._readers.append(reader)
        shown = self._shown(name)
        shown.last_status, shown.image_digest = "RUNNING", image.digest

    def _override(self, name: str) -> dict[str, Any]:
        """What RunTask said of a container, over its definition."""
        overrides = (self.task.overrides or {}).get("containerOverrides") or []
        return next((one for one in overrides if one.get("name") == name), {})

    def _check(self, declared: Mapping[str, Any], env: dict[str, str], directory: Path) -> None:
        name = declared["name"]

        def changed(status: str) -> None:
            self._shown(name).health_status = status
            self._tell_health()

        self._checks[name] = HealthCheck(declared, self.owner, env, directory, changed)
        self._checks[name].begin(self._stop)

    def _tell_health(self) -> None:
        """A task is as healthy as the least healthy of its essential containers."""
        essential = self._essential()
        found = {check.status for name, check in self._checks.items() if name in essential}
        for status in (health.UNHEALTHY, health.UNKNOWN, health.HEALTHY):
            if status in found:
                self.task.health_status = status
                break
        for changed in list(listeners):
            changed()

    def _session(self, role: str | None) -> Session:
        if role:
            return clients.assume_role(
                ECS_TASKS, role, self.task.id, self.task.region_name, source_arn=self.task.task_arn
            )
        account_id = self.task.task_arn.split(":")[4]
        return clients.as_service(ECS_TASKS, self.task.region_name, account_id)

    def _wait(self) -> None:
        """Until it is to stop, or an essential container has."""
        while not self._stop.wait(0.1):
            self._look()

    def _essential(self) -> set[str]:
        return {
            one["name"]
            for one in self.definition.container_definitions
            if one.get("essential", True)
        }

    def _look(self) -> None:
        """Note which containers have exited; the task stops when an essential one has."""
        for name, process in self._processes.items():
            status = process.poll()
            if status is None:
                continue
            self._note_exit(name, status)
            if name in self._essential():
                self.stop("Essential container in task exited", "EssentialContainerExited")

    def _note_exit(self, name: str, status: int) -> None:
        shown = self._shown(name)
        if shown.last_status != "STOPPED":
            shown.last_status = "STOPPED"
            shown.exit_code = status if status >= 0 else 128 - status

    def _end(self) -> None:
        self._become("STOPPING")
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGTERM)
        limits = {
            one["name"]: one.get("stopTimeout") for one in self.definition.container_definitions
        }
        begun = time.monotonic()
        by_patience = sorted(
            self._processes.items(), key=lambda item: limits[item[0]] or STOP_SECONDS
        )
        for name, process in by_patience:
            deadline = begun + (limits[name] or STOP_SECONDS)
            try:
                process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            self._note_exit(name, process.returncode)
        runtime.current().processes.end(self.owner, grace_seconds=1)
        for reader in self._readers:
            reader.join(5)
        for container in self.task.containers:
            container.last_status = "STOPPED"
        shutil.rmtree(self.directory, ignore_errors=True)
        self.task.stopped_at = datetime.now(UTC)
        self._become("STOPPED")
        self.ended.set()

    def _lose_log(self, name: str, error: Exception) -> None:
        """A container whose output nobody reads would stand still before long."""
        self.stop(f"ResourceInitializationError: log of {name}: {error!r}", "TaskFailedToStart")

    def _break_off(self, error: Exception) -> None:
        """The task is over when not even its end went well."""
        self.task.desired_status = "STOPPED"
        self.task.stopped_reason, self.task.stop_code = repr(error), "TaskFailedToStart"
        self.task.stopped_at = datetime.now(UTC)
        self.ended.set()
        self._become("STOPPED")

    def _become(self, status: str) -> None:
        self.status = status
        events.announce_task(self.task)
        for changed in list(listeners):
            changed()
