"""The deploy actions ECS (rolling) and CodeDeployToECS (blue/green), on services that answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cloud.balancers import get
from tests.cloud.clusters import Cluster
from tests.cloud.conftest import cluster  # noqa: F401
from tests.codedeploy.test_ecs import SERVER, Service, role, service  # noqa: F401
from tests.codepipeline.test_actions import Site
from tests.codepipeline.test_sources import Account, action
from tests.conftest import Aws
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.guests]


@pytest.fixture
def site(account: Account) -> Site:
    return Site(account)


def test_ecs_rolls_out_the_images_of_the_file(
    lab_environment: Aws,
    cluster: Cluster,  # noqa: F811
    site: Site,
    tmp_path: Path,
) -> None:
    # "Amazon Elastic Container Service deploy action reference"
    cluster.serve(cluster.site("1"), 1)
    eventually(lambda: cluster.service["runningCount"] == 1)
    before = cluster.service["taskDefinition"]
    uri = cluster.push("2", {"server.js": SERVER}, "node", "server.js", VERSION="2")
    site.put({"imagedefinitions.json": json.dumps([{"name": "app", "imageUri": uri}])})
    given = {"ClusterName": cluster.name, "ServiceName": "site"}
    run = site.run(action("Deploy", "ECS", "Ship", given, inputs=["Code"]))
    assert run["status"] == "Succeeded", run
    after = cluster.service["taskDefinition"]
    assert after != before
    found = cluster.ecs.describe_task_definition(taskDefinition=after)["taskDefinition"]
    assert found["containerDefinitions"][0]["image"] == uri
    assert run["output"]["executionResult"]["externalExecutionId"] == after
    [task] = cluster.tasks()
    assert cluster.task(task)["taskDefinitionArn"] == after


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "Did not find the file imagedefinitions.json"),
        ({"imagedefinitions.json": "{}"}, None),
        ({"imagedefinitions.json": "[1]"}, "is not a list of name and imageUri"),
        (
            {"imagedefinitions.json": '[{"name": "x", "imageUri": "y"}]'},
            "The container x is not in",
        ),
    ],
)
def test_image_definitions_that_cannot_be(
    cluster: Cluster,  # noqa: F811
    site: Site,
    files: dict[str, str],
    message: str | None,
) -> None:
    cluster.serve(cluster.site("1"), 0)
    site.put({"other": "", **files})
    given = {"ClusterName": cluster.name, "ServiceName": "site", "DeploymentTimeout": "1"}
    run = site.run(action("Deploy", "ECS", "Ship", given, inputs=["Code"]))
    assert run["status"] == ("Failed" if message else "Succeeded")
    if message:
        assert message in run["output"]["executionResult"]["errorDetails"]["message"]


@pytest.mark.parametrize("rollback", [False, True])
def test_a_release_that_exits_at_once_fails_its_action(
    cluster: Cluster,  # noqa: F811
    site: Site,
    rollback: bool,
) -> None:
    # "How the Amazon ECS deployment circuit breaker detects failures"
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": rollback}}
    good = cluster.site("1")
    cluster.serve(good, 1, deploymentConfiguration=breaker)
    eventually(lambda: cluster.service["deployments"][0]["rolloutState"] == "COMPLETED")
    uri = cluster.push("bad", {"a": "bad"}, "sh", "-c", "exit 1")
    site.put({"imagedefinitions.json": json.dumps([{"name": "app", "imageUri": uri}])})
    given = {"ClusterName": cluster.name, "ServiceName": "site"}
    run = site.run(action("Deploy", "ECS", "Ship", given, inputs=["Code"]))
    assert run["status"] == "Failed"
    assert "circuit breaker" in run["output"]["executionResult"]["errorDetails"]["message"]
    assert cluster.service["runningCount"] == 1
    assert (cluster.service["taskDefinition"] == good) is rollback


def test_codedeploy_swaps_the_task_set_of_the_templates(
    service: Service,  # noqa: F811
    site: Site,
) -> None:
    # "Amazon ECS and CodeDeploy blue-green deploy action reference"
    service.group()
    uri = service.cluster.push("2", {"server.js": SERVER}, "node", "server.js", VERSION="2")
    definition = {
        "family": service.cluster.name,
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": service.cluster.role,
        "containerDefinitions": [
            {"name": "app", "image": "<IMAGE1_NAME>", "portMappings": [{"containerPort": 8080}]}
        ],
    }
    appspec = (
        "version: 0.0\nResources:\n  - TargetService:\n      Type: AWS::ECS::Service\n"
        "      Properties:\n        TaskDefinition: <TASK_DEFINITION>\n"
        "        LoadBalancerInfo: {ContainerName: app, ContainerPort: 8080}\n"
    )
    site.put(
        {
            "taskdef.json": json.dumps(definition),
            "appspec.yaml": appspec,
            "imageDetail.json": json.dumps({"ImageURI": uri}),
        }
    )
    given: dict[str, Any] = {
        "ApplicationName": service.name,
        "DeploymentGroupName": "site",
        "TaskDefinitionTemplateArtifact": "Code",
        "AppSpecTemplateArtifact": "Code",
        "Image1ArtifactName": "Code",
        "Image1ContainerName": "IMAGE1_NAME",
    }
    run = site.run(action("Deploy", "CodeDeployToECS", "Swap", given, inputs=["Code"]))
    assert run["status"] == "Succeeded", run
    assert get(f"{service.url}/") == (200, "2")
    deployment = run["output"]["executionResult"]["externalExecutionId"]
    assert service.get(deployment)["status"] == "Succeeded"
