"""Deploy actions ECS and CodeDeployToECS: a new task definition, rolled out or swapped in.

AWS pages: "Amazon Elastic Container Service deploy action reference"; "Amazon Elastic Container
Service and CodeDeploy blue-green deploy action reference"; "Image definitions file reference".
"""

from __future__ import annotations

import json
import time
from typing import Any

from labkit.cloud.codepipeline.action import Action, ActionFailed, parse_json
from labkit.cloud.codepipeline.actions import codedeploy
from labkit.cloud.shared import runtime

_LOOK_SECONDS = 0.25
_DEFAULT_MINUTES = 60
# what DescribeTaskDefinition adds to what RegisterTaskDefinition takes
_DESCRIBED = (
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
)


def run(action: Action) -> None:
    """Give the service a task definition with the images of imagedefinitions.json, and wait."""
    given, ecs = action.configuration, action.client("ecs")
    images = _images(action, given.get("FileName") or "imagedefinitions.json")
    found = ecs.describe_services(cluster=given["ClusterName"], services=[given["ServiceName"]])
    if not found["services"]:
        raise ActionFailed(
            "ConfigurationError",
            f"The service {given['ServiceName']} is not in the cluster {given['ClusterName']}",
        )
    old = found["services"][0]["taskDefinition"]
    definition = ecs.describe_task_definition(taskDefinition=old)["taskDefinition"]
    known = {one["name"] for one in definition["containerDefinitions"]}
    if missing := sorted(set(images) - known):
        raise ActionFailed(
            "JobFailed", f"The container {missing[0]} is not in the task definition {old}"
        )
    for container in definition["containerDefinitions"]:
        container["image"] = images.get(container["name"], container["image"])
    made = ecs.register_task_definition(
        **{key: one for key, one in definition.items() if key not in _DESCRIBED and one}
    )["taskDefinition"]["taskDefinitionArn"]
    ecs.update_service(
        cluster=given["ClusterName"], service=given["ServiceName"], taskDefinition=made
    )
    action.report(external_id=made, summary=f"Task definition {made.split('/')[-1]}")
    _wait(action, made)


def code_deploy(action: Action) -> None:
    """Register the task definition of the template, and have CodeDeploy deploy it."""
    given = action.configuration
    definition = _file(
        action,
        given["TaskDefinitionTemplateArtifact"],
        given.get("TaskDefinitionTemplatePath") or "taskdef.json",
    )
    for number in range(1, 5):
        artifact = given.get(f"Image{number}ArtifactName")
        if artifact:
            placeholder = given.get(f"Image{number}ContainerName") or f"IMAGE{number}_NAME"
            detail = json.loads(_file(action, artifact, "imageDetail.json"))
            definition = definition.replace(f"<{placeholder}>", detail["ImageURI"])
    made = _register(action, definition)
    appspec = _file(
        action,
        given["AppSpecTemplateArtifact"],
        given.get("AppSpecTemplatePath") or "appspec.yaml",
    ).replace("<TASK_DEFINITION>", made)
    revision = {"revisionType": "AppSpecContent", "appSpecContent": {"content": appspec}}
    codedeploy.deploy(action, revision)


def _register(action: Action, text: str) -> str:
    definition = parse_json(text, "The task definition template", dict)
    known = {key: one for key, one in definition.items() if key not in _DESCRIBED and one}
    made = action.client("ecs").register_task_definition(**known)
    return str(made["taskDefinition"]["taskDefinitionArn"])


def _images(action: Action, name: str) -> dict[str, str]:
    text = _file(action, action.run.inputs[0].name, name)
    try:
        return {one["name"]: one["imageUri"] for one in json.loads(text)}
    except (ValueError, TypeError, KeyError) as error:
        raise ActionFailed(
            "JobFailed",
            f"The image definition file {name} is not a list of name and imageUri: {error!r}",
        ) from error


def _file(action: Action, artifact: str, name: str) -> str:
    """A text file of one of the action's input artifacts."""
    try:
        return action.read_input_file(artifact, name).decode("utf-8-sig")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise ActionFailed(
            "JobFailed", f"Did not find the file {name} in the input artifact {artifact}: {error}"
        ) from error


def _wait(action: Action, definition: str) -> None:
    """Until the service runs the task definition alone, or DeploymentTimeout is over."""
    given, ecs = action.configuration, action.client("ecs")
    minutes = float(given.get("DeploymentTimeout") or _DEFAULT_MINUTES)
    deadline = time.monotonic() + runtime.current().clock.work_seconds(60 * minutes)
    while time.monotonic() < deadline:
        service: dict[str, Any] = ecs.describe_services(
            cluster=given["ClusterName"], services=[given["ServiceName"]]
        )["services"][0]
        deployments = service["deployments"]
        primary = deployments[0] if deployments else {}
        # the circuit breaker's words, also where it has gone back to the deployment before
        reason = primary.get("rolloutStateReason") or ""
        if primary.get("rolloutState") == "FAILED":
            raise ActionFailed("JobFailed", reason)
        if primary.get("taskDefinition") not in (None, definition):
            told = "Another deployment of the service has begun"
            raise ActionFailed("JobFailed", reason if "circuit breaker" in reason else told)
        if len(deployments) == 1 and primary.get("rolloutState") == "COMPLETED":
            return
        if action.run.answered.wait(_LOOK_SECONDS):
            return
    raise ActionFailed("JobFailed", f"The service was not steady after {minutes:g} minutes")
