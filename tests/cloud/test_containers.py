"""Images in ECR, tasks that run, and services that keep them running, without Docker."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.cloud.balancers import Balancer, get, to
from tests.cloud.clusters import Cluster, port_of
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.guests]


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
