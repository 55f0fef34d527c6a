"""Tasks: moto's tasks get processes, and say what becomes of them.

A container is a process whose directory is the image's working directory; it sees the machine's own
root, and `PORT` is the free loopback port that stands for its containerPort. AWS pages: "Amazon ECS
task lifecycle"; "Stopped tasks error messages"; "Task metadata available for tasks".
"""

from __future__ import annotations

import contextlib
import inspect
import json
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
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from moto.ecs.exceptions import EcsClientException
from moto.ecs.models import Container, EC2ContainerServiceBackend, Task

from labkit.cloud import bus, clients, runtime, runtimes
from labkit.cloud.clients import Session
from labkit.cloud.compute import hosts
from labkit.cloud.compute.containers import health, images, layers
from labkit.cloud.compute.containers.health import DependencyError, HealthCheck
from labkit.cloud.compute.containers.images import ImageError, Unpacked
from labkit.cloud.processes import passed_on_environment

logger = logging.getLogger(__name__)

ECS_TASKS = "ecs-tasks.amazonaws.com"
STOP_SECONDS = 30.0  # between TERM and KILL
_NOT_DONE = ("environmentFiles", "mountPoints", "volumesFrom", "firelensConfiguration")
_LOG_LINES = 500  # that are sent to CloudWatch Logs at once


def start() -> None:
    """Make moto's tasks run: called once, when the local AWS starts."""
    run, stop = EC2ContainerServiceBackend.run_task, EC2ContainerServiceBackend.stop_task
    listed = EC2ContainerServiceBackend.list_tasks
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
        check(self.describe_task_definition(given["task_definition_str"]))
        network = given.get("networking_configuration") or {}
        network.get("awsvpcConfiguration", {}).setdefault("securityGroups", [])
        tasks: list[Any] = run(**given)
        for task in tasks:
            task.running.begin()
        return tasks

    def stop_task(self: Any, cluster_str: str, task_str: str, reason: str) -> Task:
        for task in self.tasks.get(self._get_cluster(cluster_str).name, {}).values():
            if task.id == task_str.split("/")[-1]:
                task.running.stop(reason or "Task stopped by user", "UserInitiated")
                return task
        return stop(self, cluster_str, task_str, reason)

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


def named(operation: Callable[..., Any], *arguments: Any, **keywords: Any) -> dict[str, Any]:
    """What an operation of moto's backend was given, by name; `self` is among it."""
    return inspect.signature(operation).bind(*arguments, **keywords).arguments


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


class Running:
    """The processes of one task."""

    def __init__(self, task: Any, definition: Any) -> None:
        self.task, self.definition = task, definition
        self.status = "PROVISIONING"
        # on AWS a task has one address, and its containers the ports that they declare
        self._ports = {
            (one["name"], mapping.get("containerPort")): hosts.free_port()
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
        return runtime.current().state_dir / "tasks" / self.task.id

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
        return self.task.health_status == health.UNHEALTHY

    @property
    def is_healthy(self) -> bool:
        """Whether no health check is failing, or has still to say."""
        checks = [check for name, check in self._checks.items() if name in self._essential()]
        return all(check.status == health.HEALTHY for check in checks)

    @property
    def is_checked(self) -> bool:
        """Whether a health check has found an essential container healthy."""
        return self.task.health_status == health.HEALTHY

    @property
    def seconds(self) -> float:
        """How long it has been RUNNING, in real time."""
        started = getattr(self.task, "started_at", None)
        return (datetime.now(UTC) - started).total_seconds() if started else 0.0

    def begin(self) -> None:
        threading.Thread(target=self._run, name=self.owner, daemon=True).start()

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
        command = _command(declared, image, self._override(name))
        inside = layers.inside(image.root, declared.get("workingDirectory") or image.directory)
        inside.mkdir(parents=True, exist_ok=True)
        env = self._environment(declared, image, session)
        try:
            process = runtime.current().processes.start(
                [_found(command[0], inside, image.root), *command[1:]],
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
        reader = threading.Thread(
            target=self._log, args=(declared, process, session), name=self.owner, daemon=True
        )
        reader.start()
        self._readers.append(reader)
        for container in self.task.containers:
            if container.name == name:
                container.last_status, container.image_digest = "RUNNING", image.digest

    def _override(self, name: str) -> dict[str, Any]:
        """What RunTask said of a container, over its definition."""
        overrides = (self.task.overrides or {}).get("containerOverrides") or []
        return next((one for one in overrides if one.get("name") == name), {})

    def _check(self, declared: Mapping[str, Any], env: dict[str, str], directory: Path) -> None:
        name = declared["name"]

        def changed(status: str) -> None:
            for container in self.task.containers:
                if container.name == name:
                    container.health_status = status
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

    def _environment(
        self, declared: Mapping[str, Any], image: Unpacked, session: Session
    ) -> dict[str, str]:
        lab, definition = runtime.current(), self.definition
        role = role_of(definition, "task_role_arn")
        given = {one["name"]: one["value"] for one in declared.get("environment") or []}
        override = self._override(declared["name"])
        given |= {one["name"]: one["value"] for one in override.get("environment") or []}
        own = {
            number: port for (name, number), port in self._ports.items() if name == declared["name"]
        }
        node = runtimes.nodejs()
        return {
            **passed_on_environment(),
            "PATH": os.pathsep.join([str(node.bin_dir), os.environ.get("PATH", os.defpath)]),
            "HOME": str(image.root),
            "AWS_REGION": self.task.region_name,
            "AWS_DEFAULT_REGION": self.task.region_name,
            "AWS_ENDPOINT_URL": lab.endpoint_url,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
            **{key: value for key, value in image.environment.items() if key != "PATH"},
            **given,
            **_secrets(declared, session),
            **{f"PORT_{number}": str(port) for number, port in own.items() if number},
            "PORT": str(next(iter(own.values()))),
            "LISTEN_ADDRESS": "127.0.0.1",
            **(self._session(role).environment if role else {}),
        }

    def _session(self, role: str | None) -> Session:
        if role:
            return clients.assume_role(
                ECS_TASKS, role, self.task.id, self.task.region_name, source_arn=self.task.task_arn
            )
        return clients.as_service(ECS_TASKS, self.task.region_name)

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
        for container in self.task.containers:
            if container.name == name and container.last_status != "STOPPED":
                container.last_status = "STOPPED"
                container.exit_code = status if status >= 0 else 128 - status

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

    def _become(self, status: str) -> None:
        self.status = status
        task = self.task
        bus.publish(
            "aws.ecs",
            "ECS Task State Change",
            {
                "clusterArn": task.cluster_arn,
                "taskArn": task.task_arn,
                "taskDefinitionArn": task.task_definition_arn,
                "lastStatus": status,
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
        for changed in list(listeners):
            changed()

    def _log(
        self, declared: Mapping[str, Any], process: subprocess.Popen[bytes], session: Session
    ) -> None:
        """What the container prints, to CloudWatch Logs if it is told to (awslogs), else nowhere."""
        settings = declared.get("logConfiguration") or {}
        options = settings.get("options") or {}
        send = None
        if settings.get("logDriver") == "awslogs" and options.get("awslogs-group"):
            stream = (
                f"{options.get('awslogs-stream-prefix', 'ecs')}/{declared['name']}/{self.task.id}"
            )
            send = _Stream(session, options, stream)
        assert process.stdout is not None
        for line in process.stdout:
            if send is not None:
                send.put(line)
        if send is not None:
            send.close()


class _Stream:
    """One log stream, written a few times a second."""

    def __init__(self, session: Session, options: dict[str, str], stream: str) -> None:
        self._logs = session.client("logs")
        self._place = {"logGroupName": options["awslogs-group"], "logStreamName": stream}
        self._lines: list[dict[str, Any]] = []
        self._lock, self._sent = threading.Lock(), 0.0
        try:
            if options.get("awslogs-create-group") == "true":
                with contextlib.suppress(self._logs.exceptions.ResourceAlreadyExistsException):
                    self._logs.create_log_group(logGroupName=options["awslogs-group"])
            self._logs.create_log_stream(**self._place)
        except (ClientError, BotoCoreError) as error:
            logger.warning("no log of %s: %s", stream, error)

    def put(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\n") or " "
        with self._lock:
            self._lines.append({"timestamp": int(time.time() * 1000), "message": text})
            full = len(self._lines) >= _LOG_LINES
            if len(self._lines) == 1:
                timer = threading.Timer(0.2, self.close)
                timer.daemon = True
                timer.start()
        if full:
            self.close()

    def close(self) -> None:
        """Send what has not been sent yet."""
        with self._lock:
            lines, self._lines = self._lines, []
            if not lines:
                return
            try:
                self._logs.put_log_events(**self._place, logEvents=lines)
            except (ClientError, BotoCoreError) as error:
                logger.info("no log: %s", error)


listeners: list[Callable[[], None]] = []  # called when a task's status has changed


def _command(
    declared: Mapping[str, Any], image: Unpacked, override: Mapping[str, Any]
) -> list[str]:
    """As Docker has it: an entryPoint of the task definition makes the image's Cmd void."""
    entry = declared.get("entryPoint")
    command = override.get("command") or declared.get("command") or ([] if entry else image.command)
    whole = [*(entry or image.entrypoint), *command]
    if not whole:
        raise ImageError(f"CannotStartContainerError: no command specified in {declared['image']}")
    return whole


def _found(program: str, directory: Path, root: Path) -> str:
    """A program of the image's own, if it has it; otherwise the machine's."""
    if "/" not in program:
        return program
    own = layers.inside(root, program) if program.startswith("/") else directory / program
    return str(own) if own.exists() else program


def _secrets(declared: Mapping[str, Any], session: Session) -> dict[str, str]:
    """AWS page: "Pass sensitive data to an Amazon ECS container"."""
    found = {}
    for secret in declared.get("secrets") or []:
        source = secret["valueFrom"]
        if ":secretsmanager:" in source:
            found[secret["name"]] = _secret(source, session)
        else:
            name = source.split(":parameter")[-1] if source.startswith("arn:") else source
            answer = session.client("ssm").get_parameter(Name=name, WithDecryption=True)
            found[secret["name"]] = answer["Parameter"]["Value"]
    return found


def _secret(source: str, session: Session) -> str:
    """A secret, or one key of it: `<arn>:json-key:version-stage:version-id`, each may be empty.

    AWS page: "Pass Secrets Manager secrets through Amazon ECS environment variables".
    """
    parts = source.split(":")
    key, stage, version = [*parts[7:], "", "", ""][:3]
    wanted = {"VersionStage": stage} if stage else {}
    wanted |= {"VersionId": version} if version else {}
    arn = ":".join(parts[:7])
    text = session.client("secretsmanager").get_secret_value(SecretId=arn, **wanted)["SecretString"]
    if not key:
        return text
    try:
        value = json.loads(text)[key]
    except (ValueError, KeyError, TypeError) as error:
        raise ImageError(
            f"ResourceInitializationError: unable to pull secrets or registry auth: retrieved secret "
            f"from Secrets Manager did not contain json key {key}"
        ) from error
    return value if isinstance(value, str) else json.dumps(value)
