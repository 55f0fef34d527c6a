"""What a task definition says of its containers, and what RunTask says over it, is done.

AWS pages: "Amazon ECS task definition parameters for Fargate"; "RunTask" in the ECS API Reference.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.cloud.clusters import Cluster
from tests.conftest import Aws
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.guests]


class Tasks(Cluster):
    """A cluster whose tasks run shell scripts, several containers in each."""

    uri: str

    def define_all(self, *containers: dict[str, Any]) -> str:
        return super().define_all(*({"image": self.uri, **one} for one in containers))

    def run_all(self, *containers: dict[str, Any], **settings: Any) -> str:
        return self.run(self.define_all(*containers), **settings)


@pytest.fixture
def tasks(lab_environment: Aws, tmp_path: Path) -> Iterator[Tasks]:
    made = Tasks(lab_environment, tmp_path)
    made.uri = made.push("it", {"file": ""}, "sh", "-c", "echo image $NAME", NAME="image")
    yield made
    made.close()


def script(name: str, text: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "command": ["sh", "-c", text], **more}


def test_run_task_overrides_command_and_environment(tasks: Tasks) -> None:
    # "ContainerOverride": what is not overridden is as the task definition has it
    overrides = [
        {"name": "app", "command": ["sh", "-c", "echo $NAME $OTHER"],
         "environment": [{"name": "NAME", "value": "over"}]}
    ]  # fmt: skip
    other = [{"name": "OTHER", "value": "kept"}]
    arn = tasks.run_all(
        {"name": "app", "environment": other}, overrides={"containerOverrides": overrides}
    )
    tasks.wait(arn, "STOPPED")
    assert tasks.log(arn) == ["over kept"]


def test_an_entry_point_makes_the_images_command_void(tasks: Tasks) -> None:
    arn = tasks.run_all({"name": "app", "entryPoint": ["echo", "entry"]})
    tasks.wait(arn, "STOPPED")
    assert tasks.log(arn) == ["entry"]


def test_secrets_whole_and_by_key(tasks: Tasks) -> None:
    # "Pass Secrets Manager secrets through Amazon ECS environment variables"
    manager, ssm = tasks.aws.client("secretsmanager"), tasks.aws.client("ssm")
    secret = manager.create_secret(Name=tasks.name, SecretString='{"user":"u","password":"p"}')
    ssm.put_parameter(Name=f"/{tasks.name}/url", Value="db", Type="SecureString")
    sources = {
        "WHOLE": secret["ARN"],
        "KEY": f"{secret['ARN']}:password::",
        "URL": f"/{tasks.name}/url",
    }
    named = [{"name": name, "valueFrom": source} for name, source in sources.items()]
    arn = tasks.run_all(script("app", 'echo "$WHOLE $KEY $URL"', secrets=named))
    tasks.wait(arn, "STOPPED")
    assert tasks.log(arn) == ['{"user":"u","password":"p"} p db']
    missing = [{"name": "KEY", "valueFrom": f"{secret['ARN']}:none::"}]
    task = tasks.wait(tasks.run_all(script("app", "true", secrets=missing)), "STOPPED")
    assert "did not contain json key none" in task["stoppedReason"]


def test_each_container_has_ports_of_its_own(tasks: Tasks) -> None:
    # "Port mappings": in the lab a free port stands for each containerPort
    hold = "echo $PORT; while :; do sleep 0.1; done"
    arn = tasks.run_all(
        script("one", hold, portMappings=[{"containerPort": 80}]),
        script("two", f"echo $PORT_81 $PORT_82; {hold}",
               portMappings=[{"containerPort": 81}, {"containerPort": 82}]),
    )  # fmt: skip
    task = tasks.wait(arn, "RUNNING")
    bindings = {
        item["containerPort"]: item["hostPort"]
        for container in task["containers"]
        for item in container["networkBindings"]
    }
    assert len(set(bindings.values())) == 3
    eventually(lambda: len(tasks.log(arn, "two")) == 2)
    assert tasks.log(arn, "one") == [str(bindings[80])]
    assert tasks.log(arn, "two") == [f"{bindings[81]} {bindings[82]}", str(bindings[81])]


def test_stop_timeout(tasks: Tasks) -> None:
    # "stopTimeout": who does not stop on TERM is killed after it, 30 s if it is not said
    stubborn = "trap '' TERM; echo up; while :; do sleep 0.1; done"
    arn = tasks.run_all(script("app", stubborn, stopTimeout=1))
    tasks.wait(arn, "RUNNING")
    eventually(lambda: tasks.log(arn) == ["up"])
    started = time.monotonic()
    tasks.ecs.stop_task(cluster=tasks.name, task=arn)
    task = tasks.wait(arn, "STOPPED")
    assert 0.9 < time.monotonic() - started < 20
    assert task["containers"][0]["exitCode"] == 137


# containers that wait for others: "Container dependency"


def test_a_container_waits_until_another_has_succeeded(tasks: Tasks) -> None:
    waits = [{"containerName": "init", "condition": "SUCCESS"}]
    arn = tasks.run_all(
        script("app", "date +%s.%N", dependsOn=waits),
        script("init", "sleep 0.4; date +%s.%N", essential=False),
    )
    task = tasks.wait(arn, "STOPPED")
    [first], [second] = tasks.log(arn, "init"), tasks.log(arn, "app")
    assert float(first) < float(second)
    assert {one["exitCode"] for one in task["containers"]} == {0}


def test_a_container_never_starts_when_what_it_waits_for_fails(tasks: Tasks) -> None:
    waits = [{"containerName": "init", "condition": "SUCCESS"}]
    arn = tasks.run_all(
        script("init", "exit 1", essential=False), script("app", "true", dependsOn=waits)
    )
    task = tasks.wait(arn, "STOPPED")
    assert "[init] for target [app]" in task["stoppedReason"]
    assert task["stopCode"] == "TaskFailedToStart"
    assert [one.get("exitCode") for one in task["containers"]] == [1, None]


def test_a_container_waits_until_another_is_healthy(tasks: Tasks) -> None:
    check = {"command": ["CMD-SHELL", "test -e ready"], "interval": 6, "retries": 9}
    waits = [{"containerName": "db", "condition": "HEALTHY"}]
    arn = tasks.run_all(
        script("db", "sleep 0.5; touch ready; date +%s.%N; sleep 30", healthCheck=check),
        script("app", "date +%s.%N; sleep 30", dependsOn=waits),
    )
    task = tasks.wait(arn, "RUNNING")
    eventually(lambda: bool(tasks.log(arn, "app")))
    assert float(tasks.log(arn, "db")[0]) < float(tasks.log(arn, "app")[0])
    assert {one["name"]: one["healthStatus"] for one in task["containers"]}["db"] == "HEALTHY"


def test_containers_that_wait_for_one_another_never_start(tasks: Tasks) -> None:
    arn = tasks.run_all(
        script("a", "true", dependsOn=[{"containerName": "b", "condition": "START"}]),
        script("b", "true", dependsOn=[{"containerName": "a", "condition": "START"}]),
    )
    assert "wait for one another" in tasks.wait(arn, "STOPPED")["stoppedReason"]


# health: "Determine Amazon ECS task health using container health checks"


@pytest.mark.parametrize(
    ("command", "health"),
    [
        (["CMD-SHELL", "exit 0"], "HEALTHY"),
        (["CMD-SHELL", "exit 1"], "UNHEALTHY"),
        (["CMD", "true"], "HEALTHY"),
        (["CMD", "there-is-no-such-program"], "UNHEALTHY"),
        (["CMD-SHELL", "sleep 20"], "UNHEALTHY"),  # its timeout
    ],
)
def test_a_health_check(tasks: Tasks, command: list[str], health: str) -> None:
    check = {"command": command, "interval": 5, "retries": 1, "timeout": 2}
    arn = tasks.run_all(script("app", "sleep 30", healthCheck=check))
    eventually(lambda: tasks.task(arn)["healthStatus"] == health)
    # of a task that no service keeps, nothing more becomes
    assert tasks.task(arn)["lastStatus"] == "RUNNING"


def test_a_task_without_a_health_check_is_of_unknown_health(tasks: Tasks) -> None:
    arn = tasks.run_all(script("app", "sleep 30"))
    assert tasks.wait(arn, "RUNNING")["healthStatus"] == "UNKNOWN"


@pytest.mark.parametrize(
    ("name", "port", "told"),
    [
        ("none", 80, "The container none does not exist in the task definition."),
        ("app", 81, "The container app did not have a container port 81 defined."),
    ],
)
def test_a_load_balancer_names_a_port_of_a_container(
    tasks: Tasks, name: str, port: int, told: str
) -> None:
    # "CreateService" in the ECS API Reference
    definition = tasks.define_all(script("app", "true", portMappings=[{"containerPort": 80}]))
    arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/none/0"
    balanced = {"targetGroupArn": arn, "containerName": name, "containerPort": port}
    with pytest.raises(ClientError, match=told):
        tasks.serve(definition, 1, loadBalancers=[balanced])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mountPoints", [{"sourceVolume": "data", "containerPath": "/data"}]),
        ("environmentFiles", [{"value": "arn:aws:s3:::bucket/app.env", "type": "s3"}]),
        ("logConfiguration", {"logDriver": "splunk"}),
    ],
)
def test_what_the_lab_would_not_do_is_refused(tasks: Tasks, name: str, value: Any) -> None:
    definition = tasks.define_all(script("app", "true", **{name: value}))
    told = "splunk" if name == "logConfiguration" else name
    with pytest.raises(ClientError, match=told):
        tasks.run(definition)
    with pytest.raises(ClientError, match=told):
        tasks.serve(definition, 1)
