"""The containers: a repository, a cluster, a task definition, and a service that CodeDeploy updates.

AWS pages: "Creating an Amazon ECS service", deployment controller; "Amazon ECS task execution IAM
role"; "Amazon ECS task definition parameters for Fargate".
"""

from __future__ import annotations

import json
from typing import Any

from labkit.lab import Lab, tag_list
from labkit.provision.aws import created, default_subnets, missing_is_fine
from labkit.provision.roles import service_trust

PORT = 8080
CONTAINER = "app"
_EXECUTION_POLICY = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"


def application(lab: Lab) -> str:
    """What the CodeDeploy application of the service is called: an application has one platform."""
    return f"{lab.name}-ecs"


def create_cluster(lab: Lab) -> str:
    """Create the repository of the images, the execution role and the cluster; returns its name."""
    iam = lab.client("iam")
    trust = {"Version": "2012-10-17", "Statement": [service_trust("ecs-tasks.amazonaws.com")]}
    created(lab.client("ecr").create_repository, repositoryName=lab.name, tags=tag_list(lab))
    created(
        iam.create_role,
        RoleName=lab.role("execution"),
        AssumeRolePolicyDocument=json.dumps(trust),
        Tags=tag_list(lab),
    )
    iam.attach_role_policy(RoleName=lab.role("execution"), PolicyArn=_EXECUTION_POLICY)
    lab.client("ecs").create_cluster(clusterName=lab.name, tags=tag_list(lab, "key", "value"))
    return lab.name


def register_task(lab: Lab, image: str) -> str:
    """Register a task definition of one container of this image; returns its ARN."""
    container = {
        "name": CONTAINER,
        "image": image,
        "portMappings": [{"containerPort": PORT}],
        "environment": [{"name": "PORT", "value": str(PORT)}],
    }
    made = lab.client("ecs").register_task_definition(
        family=lab.name,
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        executionRoleArn=lab.role_arn("execution"),
        containerDefinitions=[container],
    )
    return str(made["taskDefinition"]["taskDefinitionArn"])


def create_service(lab: Lab, task_definition: str, target_group: str, count: int = 2) -> str:
    """Create a service that only CodeDeploy updates, in a target group; returns its name."""
    network: Any = {"subnets": default_subnets(lab)[:2], "assignPublicIp": "ENABLED"}
    lab.client("ecs").create_service(
        cluster=lab.name,
        serviceName=lab.fleet,
        taskDefinition=task_definition,
        desiredCount=count,
        launchType="FARGATE",
        deploymentController={"type": "CODE_DEPLOY"},
        networkConfiguration={"awsvpcConfiguration": network},
        loadBalancers=[
            {"targetGroupArn": target_group, "containerName": CONTAINER, "containerPort": PORT}
        ],
    )
    return lab.fleet


def delete_cluster(lab: Lab) -> None:
    """Delete what deploys to the service, the service with its tasks, the cluster, images and role."""
    ecs, iam = lab.client("ecs"), lab.client("iam")
    lab.client("codedeploy").delete_application(applicationName=application(lab))
    with missing_is_fine():
        ecs.delete_service(cluster=lab.name, service=lab.fleet, force=True)
    with missing_is_fine():
        ecs.delete_cluster(cluster=lab.name)
    for page in ecs.get_paginator("list_task_definitions").paginate(familyPrefix=lab.name):
        for arn in page["taskDefinitionArns"]:
            ecs.deregister_task_definition(taskDefinition=arn)
    with missing_is_fine():
        lab.client("ecr").delete_repository(repositoryName=lab.name, force=True)
    with missing_is_fine():
        iam.detach_role_policy(RoleName=lab.role("execution"), PolicyArn=_EXECUTION_POLICY)
    with missing_is_fine():
        iam.delete_role(RoleName=lab.role("execution"))
