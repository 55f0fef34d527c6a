"""A commit becomes an image that a build made, and the image a service's tasks: no Docker anywhere.

AWS page: "Tutorial: Create a pipeline with an Amazon ECR source and ECS-to-CodeDeploy deployment",
and its "Amazon ECS standard deployment" with CodeBuild in the place of `docker build`.
"""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from labkit import Lab
from labkit.observe import wait_for_execution
from labkit.provision import aws, build, containers, image, pipeline, provision, roles, tear_down
from tests.conftest import Aws

pytestmark = [pytest.mark.slow, pytest.mark.guests]


@pytest.fixture
def lab(lab_environment: Aws, tmp_path: Path) -> Any:
    """A pipeline whose build pushes an image, and whose deploy action rolls it out to a service."""
    lab = Lab("image")
    provision(lab, until="build")
    _allow(lab)
    containers.create_cluster(lab)
    _service(lab, tmp_path)
    environment: Any = {
        "type": "LINUX_CONTAINER",
        "image": build.IMAGE,
        "computeType": build.COMPUTE_TYPE,
        "environmentVariables": [{"name": "IMAGE_REPOSITORY", "value": lab.name}],
    }
    source: Any = {"type": "CODEPIPELINE", "buildspec": "buildspec-image.yml"}
    lab.client("codebuild").update_project(name=lab.project, source=source, environment=environment)
    declared = pipeline.declaration(lab)
    declared["stages"][-1]["actions"] = [
        pipeline.action(
            ("Deploy", "ECS"),
            configuration={"ClusterName": lab.name, "ServiceName": "site"},
            takes="BuildOutput",
        )
    ]
    lab.client("codepipeline").create_pipeline(pipeline=declared)
    yield lab
    containers.delete_cluster(lab)
    tear_down(lab)


def _allow(lab: Lab) -> None:
    """What a build that pushes an image needs, and an action that deploys one.

    AWS pages: "Sample: Amazon ECR for CodeBuild"; "Amazon Elastic Container Service deploy action
    reference", service role permissions.
    """
    push = [
        "ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart",
        "ecr:CompleteLayerUpload", "ecr:PutImage", "ecr:DescribeRepositories",
    ]  # fmt: skip
    deploy = [
        "ecs:DescribeServices", "ecs:DescribeTaskDefinition", "ecs:DescribeTasks", "ecs:ListTasks",
        "ecs:RegisterTaskDefinition", "ecs:TagResource", "ecs:UpdateService",
    ]  # fmt: skip
    passed = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    statements = {
        "codebuild": [roles.allow(push, lab.arn("ecr", f"repository/{lab.name}"))],
        "codepipeline": [roles.allow(deploy), roles.allow(["iam:PassRole"], **passed)],
    }
    for who, allowed in statements.items():
        document = json.dumps({"Version": "2012-10-17", "Statement": allowed})
        lab.client("iam").put_role_policy(
            RoleName=lab.role(who), PolicyName="image", PolicyDocument=document
        )


def _service(lab: Lab, directory: Path) -> None:
    uri = image.push(lab, lab.name, "first", directory, ["sleep", "3600"])
    subnets = aws.default_subnets(lab)
    lab.client("ecs").create_service(
        cluster=lab.name,
        serviceName="site",
        taskDefinition=containers.register_task(lab, uri),
        desiredCount=2,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": subnets[:2]}},
    )


def ask(lab: Lab) -> list[dict[str, Any]]:
    """What every task of the service answers."""
    ecs, answers = lab.client("ecs"), []
    arns = ecs.list_tasks(cluster=lab.name, serviceName="site")["taskArns"]
    for task in ecs.describe_tasks(cluster=lab.name, tasks=arns)["tasks"]:
        port = task["containers"][0]["networkBindings"][0]["hostPort"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/version", timeout=5) as answer:
            answers.append(json.load(answer))
    return answers


def test_a_commit_becomes_an_image_and_the_image_a_service(lab: Lab) -> None:
    ended = wait_for_execution(lab)
    assert ended.status == "Succeeded", ended.failure
    answers = ask(lab)
    branch = lab.client("codecommit").get_branch(repositoryName=lab.name, branchName=lab.branch)
    commit = branch["branch"]["commitId"]
    assert [answer["commit"] for answer in answers] == [commit, commit]
    images = lab.client("ecr").describe_images(repositoryName=lab.name)["imageDetails"]
    assert commit[:8] in {tag for one in images for tag in one.get("imageTags", [])}
