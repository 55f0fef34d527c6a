"""Clusters that a test makes, with images, task definitions, tasks and a service."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

from labkit import Lab
from labkit.provision import image
from tests.conftest import Aws
from tests.roles import create_role
from tests.waiting import eventually

SERVER = (
    "console.log('listening', process.env.PORT);"
    "require('http').createServer((request, answer) => answer.end(process.env.VERSION))"
    ".listen(process.env.PORT, '127.0.0.1');"
    "process.on('SIGTERM', () => { console.log('bye'); process.exit(0); });"
)


class Cluster:
    """One cluster, one repository, and a way to make images and task definitions."""

    def __init__(self, aws: Aws, tmp_path: Path) -> None:
        self.aws, self.ecs, self.tmp_path = aws, aws.client("ecs"), tmp_path
        self.name = f"t-{uuid4().hex[:10]}"
        self.ecs.create_cluster(clusterName=self.name)
        aws.client("ecr").create_repository(repositoryName=self.name)
        aws.client("logs").create_log_group(logGroupName=self.name)
        self.role = create_role(aws, self.name, "ecs-tasks.amazonaws.com")
        subnets = aws.client("ec2").describe_subnets()["Subnets"]
        self.network = {"awsvpcConfiguration": {"subnets": [subnets[0]["SubnetId"]]}}

    def push(self, tag: str, files: dict[str, str], *command: str, **environment: str) -> str:
        directory = self.tmp_path / tag
        directory.mkdir()
        for name, text in files.items():
            (directory / name).write_text(text)
            (directory / name).chmod(0o755)
        return image.push(Lab(self.name), self.name, tag, directory, command, environment)

    def site(self, version: str) -> str:
        """A task definition of a site that answers with its version."""
        uri = self.push(version, {"server.js": SERVER}, "node", "server.js", VERSION=version)
        return self.define(uri, portMappings=[{"containerPort": 8080}])

    def define(self, uri: str, **container: Any) -> str:
        """A task definition of one container, `app`."""
        return self.define_all({"name": "app", "image": uri, **container})

    def define_all(self, *containers: dict[str, Any]) -> str:
        options = {
            "awslogs-group": self.name,
            "awslogs-region": "us-east-1",
            "awslogs-stream-prefix": "t",
        }
        log = {"logConfiguration": {"logDriver": "awslogs", "options": options}}
        made = self.ecs.register_task_definition(
            family=self.name,
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            executionRoleArn=self.role,
            cpu="256",
            memory="512",
            containerDefinitions=[{**log, **one} for one in containers],
        )
        return made["taskDefinition"]["taskDefinitionArn"]

    def run(self, definition: str, **settings: Any) -> str:
        answer = self.ecs.run_task(
            cluster=self.name,
            taskDefinition=definition,
            launchType="FARGATE",
            networkConfiguration=self.network,
            **settings,
        )
        return answer["tasks"][0]["taskArn"]

    def task(self, arn: str) -> dict[str, Any]:
        return self.ecs.describe_tasks(cluster=self.name, tasks=[arn])["tasks"][0]

    def files(self, arn: str) -> Path:
        """The working directory of a task's container."""
        return self.aws.guests_dir / "tasks" / arn.split("/")[-1] / "app" / "app"

    def wait(self, arn: str, status: str) -> dict[str, Any]:
        eventually(lambda: self.task(arn)["lastStatus"] == status)
        return self.task(arn)

    def log(self, arn: str, container: str = "app") -> list[str]:
        """What a container wrote; nothing while its stream is not there yet."""
        logs, stream = self.aws.client("logs"), f"t/{container}/{arn.split('/')[-1]}"
        try:
            found = logs.get_log_events(logGroupName=self.name, logStreamName=stream)
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in found["events"]]

    def serve(self, definition: str, count: int, **settings: Any) -> None:
        self.ecs.create_service(
            cluster=self.name,
            serviceName="site",
            taskDefinition=definition,
            desiredCount=count,
            launchType="FARGATE",
            networkConfiguration=self.network,
            **settings,
        )

    @property
    def service(self) -> dict[str, Any]:
        return self.ecs.describe_services(cluster=self.name, services=["site"])["services"][0]

    def tasks(self) -> list[str]:
        return self.ecs.list_tasks(cluster=self.name, serviceName="site")["taskArns"]

    @property
    def primary(self) -> dict[str, Any]:
        """The service's primary deployment."""
        [found] = [one for one in self.service["deployments"] if one["status"] == "PRIMARY"]
        return found

    def wait_completed(self) -> None:
        eventually(lambda: self.primary["rolloutState"] == "COMPLETED")

    def update(self, **settings: Any) -> None:
        self.ecs.update_service(cluster=self.name, service="site", **settings)

    def said(self) -> str:
        """The service's events."""
        return "\n".join(one["message"] for one in self.service["events"])

    def close(self) -> None:
        for arn in self.ecs.list_services(cluster=self.name)["serviceArns"]:
            self.ecs.delete_service(cluster=self.name, service=arn, force=True)
        for arn in self.ecs.list_tasks(cluster=self.name)["taskArns"]:
            self.ecs.stop_task(cluster=self.name, task=arn)


def port_of(task: dict[str, Any]) -> int:
    return task["containers"][0]["networkBindings"][0]["hostPort"]
