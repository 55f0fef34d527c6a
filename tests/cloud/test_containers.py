"""Images in ECR, tasks that run, and services that keep them running, without Docker."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from labkit import Lab
from labkit.provision import image
from tests.cloud.test_balancer import Balancer, get, to
from tests.conftest import Aws
from tests.waiting import eventually

pytestmark = pytest.mark.slow

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
        trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}
        document = {"Version": "2012-10-17", "Statement": [{**trust, "Action": "sts:AssumeRole"}]}
        made = aws.client("iam").create_role(
            RoleName=self.name, AssumeRolePolicyDocument=json.dumps(document)
        )
        self.role = made["Role"]["Arn"]
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
        options = {
            "awslogs-group": self.name,
            "awslogs-region": "us-east-1",
            "awslogs-stream-prefix": "t",
        }
        log = {"logDriver": "awslogs", "options": options}
        made = self.ecs.register_task_definition(
            family=self.name,
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            executionRoleArn=self.role,
            cpu="256",
            memory="512",
            containerDefinitions=[
                {"name": "app", "image": uri, "logConfiguration": log, **container}
            ],
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

    def wait(self, arn: str, status: str) -> dict[str, Any]:
        eventually(lambda: self.task(arn)["lastStatus"] == status)
        return self.task(arn)

    def log(self, arn: str) -> list[str]:
        stream = f"t/app/{arn.split('/')[-1]}"
        found = self.aws.client("logs").get_log_events(
            logGroupName=self.name, logStreamName=stream
        )["events"]
        return [event["message"] for event in found]

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


@pytest.fixture
def cluster(lab_environment: Aws, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(lab_environment, tmp_path)
    yield made
    for arn in made.ecs.list_services(cluster=made.name)["serviceArns"]:
        made.ecs.delete_service(cluster=made.name, service=arn, force=True)
    for arn in made.ecs.list_tasks(cluster=made.name)["taskArns"]:
        made.ecs.stop_task(cluster=made.name, task=arn)


def port_of(task: dict[str, Any]) -> int:
    return task["containers"][0]["networkBindings"][0]["hostPort"]


def test_a_task_runs_answers_logs_and_stops(cluster: Cluster) -> None:
    # "Amazon ECS task lifecycle"
    arn = cluster.run(cluster.site("1"))
    task = cluster.wait(arn, "RUNNING")
    details = {one["name"]: one["value"] for one in task["attachments"][0]["details"]}
    url = f"http://{details['privateIPv4Address']}:{port_of(task)}/"

    def answers() -> bool:
        try:
            return urllib.request.urlopen(url).read() == b"1"
        except OSError:
            return False

    eventually(answers)
    cluster.ecs.stop_task(cluster=cluster.name, task=arn, reason="enough")
    task = cluster.wait(arn, "STOPPED")
    assert (task["stoppedReason"], task["stopCode"]) == ("enough", "UserInitiated")
    assert task["containers"][0]["exitCode"] == 0
    assert cluster.log(arn) == [f"listening {port_of(task)}", "bye"]
    assert not answers()


def test_an_essential_container_that_exits_stops_the_task(cluster: Cluster) -> None:
    # "Stopped tasks error messages"
    uri = cluster.push("x", {"go.sh": "#!/bin/sh\necho $GREETING; exit 3\n"}, "./go.sh")
    arn = cluster.run(cluster.define(uri, environment=[{"name": "GREETING", "value": "hello"}]))
    task = cluster.wait(arn, "STOPPED")
    assert task["stoppedReason"] == "Essential container in task exited"
    assert task["containers"][0]["exitCode"] == 3
    assert cluster.log(arn) == ["hello"]


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("node:22", "the lab pulls from nowhere else"),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/{name}:none", "not found"),
    ],
)
def test_an_image_that_cannot_be_pulled(cluster: Cluster, uri: str, reason: str) -> None:
    arn = cluster.run(cluster.define(uri.format(name=cluster.name)))
    task = cluster.wait(arn, "STOPPED")
    assert task["stoppedReason"].startswith("CannotPullContainerError")
    assert reason in task["stoppedReason"]


def test_the_same_files_are_the_same_image(cluster: Cluster) -> None:
    for tag in ("one", "two"):
        cluster.push(tag, {"a": "a"}, "true")
    found = cluster.aws.client("ecr").describe_images(repositoryName=cluster.name)["imageDetails"]
    assert len(found) == 1
    assert set(found[0]["imageTags"]) == {"one", "two"}


def test_a_layer_has_to_be_what_its_digest_says(cluster: Cluster) -> None:
    # "CompleteLayerUpload", "PutImage" in the ECR API Reference
    ecr = cluster.aws.client("ecr")
    upload = ecr.initiate_layer_upload(repositoryName=cluster.name)["uploadId"]
    ecr.upload_layer_part(
        repositoryName=cluster.name,
        uploadId=upload,
        partFirstByte=0,
        partLastByte=2,
        layerPartBlob=b"abc",
    )
    false = f"sha256:{'0' * 64}"
    with pytest.raises(ecr.exceptions.InvalidLayerException):
        ecr.complete_layer_upload(
            repositoryName=cluster.name, uploadId=upload, layerDigests=[false]
        )
    manifest = {"mediaType": "x", "layers": [{"digest": false}], "config": {"digest": false}}
    with pytest.raises(ecr.exceptions.LayersNotFoundException):
        ecr.put_image(repositoryName=cluster.name, imageManifest=json.dumps(manifest), imageTag="x")


def test_a_service_keeps_its_tasks_running(cluster: Cluster) -> None:
    # "Amazon ECS services"
    cluster.serve(cluster.site("1"), 2)
    eventually(lambda: cluster.service["runningCount"] == 2)
    [first, _] = cluster.tasks()
    cluster.ecs.stop_task(cluster=cluster.name, task=first)
    eventually(lambda: first not in cluster.tasks() and cluster.service["runningCount"] == 2)
    cluster.ecs.update_service(cluster=cluster.name, service="site", desiredCount=1)
    eventually(lambda: len(cluster.tasks()) == 1)
    eventually(
        lambda: (
            "reached a steady state" in "".join(one["message"] for one in cluster.service["events"])
        )
    )


def test_a_new_task_definition_rolls_out_without_a_gap(cluster: Cluster) -> None:
    # "Deploy Amazon ECS services by replacing tasks"
    balancer = Balancer(cluster.aws)
    group = balancer.group()
    delay = [{"Key": "deregistration_delay.timeout_seconds", "Value": "10"}]
    balancer.elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=delay)
    url = balancer.listen(to(group))
    balanced = [{"targetGroupArn": group, "containerName": "app", "containerPort": 8080}]
    cluster.serve(cluster.site("1"), 2, loadBalancers=balanced)
    eventually(lambda: cluster.service["deployments"][0]["rolloutState"] == "COMPLETED")
    second = cluster.site("2")
    cluster.ecs.update_service(cluster=cluster.name, service="site", taskDefinition=second)
    seen = set()

    def rolled() -> bool:
        seen.add(get(f"{url}/"))
        service = cluster.service
        return len(service["deployments"]) == 1 and service["runningCount"] == 2

    eventually(rolled)
    assert seen <= {(200, "1"), (200, "2")}
    assert {get(f"{url}/")[1] for _ in range(6)} == {"2"}
    cluster.ecs.delete_service(cluster=cluster.name, service="site", force=True)
    balancer.elb.delete_load_balancer(LoadBalancerArn=balancer.arn)


def test_task_sets(cluster: Cluster) -> None:
    # "CreateTaskSet", "UpdateServicePrimaryTaskSet" in the ECS API Reference
    cluster.serve(cluster.site("1"), 2, deploymentController={"type": "CODE_DEPLOY"})
    [blue] = cluster.service["taskSets"]
    assert blue["status"] == "PRIMARY"
    names = {"cluster": cluster.name, "service": "site"}
    made = cluster.ecs.create_task_set(
        **names, taskDefinition=cluster.site("2"), launchType="FARGATE",
        networkConfiguration=cluster.network, scale={"value": 50, "unit": "PERCENT"},
    )["taskSet"]  # fmt: skip

    def sets() -> dict[str, dict[str, Any]]:
        found = cluster.ecs.describe_task_sets(**names)["taskSets"]
        return {one["taskSetArn"]: one for one in found}

    green = made["taskSetArn"]
    eventually(lambda: {one["stabilityStatus"] for one in sets().values()} == {"STEADY_STATE"})
    assert (sets()[green]["status"], sets()[green]["runningCount"]) == ("ACTIVE", 1)
    cluster.ecs.update_task_set(**names, taskSet=green, scale={"value": 100, "unit": "PERCENT"})
    eventually(lambda: sets()[green]["runningCount"] == 2)
    cluster.ecs.update_service_primary_task_set(**names, primaryTaskSet=green)
    cluster.ecs.delete_task_set(**names, taskSet=blue["taskSetArn"], force=True)
    eventually(lambda: cluster.service["runningCount"] == 2)
    assert list(sets()) == [green]


def test_what_needs_container_instances_is_refused(cluster: Cluster) -> None:
    definition = cluster.site("1")
    with pytest.raises(ClientError, match="use FARGATE"):
        cluster.ecs.run_task(cluster=cluster.name, taskDefinition=definition)


def test_an_image_of_ecr_needs_an_execution_role(cluster: Cluster) -> None:
    # "Amazon ECS task execution IAM role"
    uri = cluster.push("x", {"a": "a"}, "true")
    made = cluster.ecs.register_task_definition(
        family=cluster.name,
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[{"name": "app", "image": uri}],
    )
    with pytest.raises(ClientError, match="execution role ARN to support ECR images"):
        cluster.run(made["taskDefinition"]["taskDefinitionArn"])
