"""The AppSpec of a deployment to a function or to an ECS service: YAML or JSON, from S3 or inline.

AWS page: "AppSpec File structure", for Lambda and for Amazon ECS deployments.
"""

from __future__ import annotations

import json
from typing import Any

import yaml
from botocore.exceptions import ClientError

from labkit.cloud.codedeploy.models import DeploymentFailed, Fields
from labkit.cloud.shared.clients import Session


def invalid(why: str) -> DeploymentFailed:
    """What is raised for an AppSpec that is not good: INVALID_REVISION.

    The first sentence is the service's (aws/aws-cli, issue 6267), and so is what it says of text
    that is not YAML; the rest of what may be wrong is told in the lab's words.
    """
    return DeploymentFailed(
        "INVALID_REVISION",
        "The deployment failed because the AppSpec file that specifies the deployment "
        f"configuration is missing or has an invalid configuration. {why}",
    )


def read(session: Session, revision: Fields) -> str:
    """The text of a revision's AppSpec.

    Raises:
        DeploymentFailed: REVISION_MISSING.
    """
    kind = revision["revisionType"]
    if kind != "S3":
        return str(revision["appSpecContent" if kind == "AppSpecContent" else "string"]["content"])
    location = revision["s3Location"]
    extra = {"VersionId": location["version"]} if location.get("version") else {}
    try:
        found = session.client("s3").get_object(
            Bucket=location["bucket"], Key=location["key"], **extra
        )
    except ClientError as error:
        raise DeploymentFailed("REVISION_MISSING", str(error)) from error
    return str(found["Body"].read().decode("utf-8", "replace"))


def resource(text: str, kind: str) -> tuple[Fields, list[Any]]:
    """The properties of the one resource of type `kind`, and the hooks as they are written.

    Raises:
        DeploymentFailed: INVALID_REVISION, with what is wrong.
    """
    try:
        try:
            document = json.loads(text)  # whose tabs are no YAML
        except json.JSONDecodeError:
            document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: such a date
        raise invalid(
            "The input AppSpec file is a not well-formed yaml. The template cannot be parsed. "
            f"({error})"
        ) from error
    if not isinstance(document, dict) or str(document.get("version")) not in ("0.0", "0"):
        raise invalid("Its version must be 0.0")
    resources = document.get("Resources") or document.get("resources")
    if not isinstance(resources, list) or len(resources) != 1:
        raise invalid("Resources must be a list of one resource")
    found = next(iter(resources[0].values()), None) if isinstance(resources[0], dict) else None
    if not isinstance(found, dict):
        raise invalid("The resource is not a mapping")
    given = found.get("Type") or found.get("type")
    if given != kind:
        raise invalid(f"The type of the resource is {given}, expected {kind}")
    properties = found.get("Properties") or found.get("properties") or {}
    if not isinstance(properties, dict):
        raise invalid("Properties is not a mapping")
    return properties, document.get("Hooks") or document.get("hooks") or []


def hooks(given: Any, known: tuple[str, ...]) -> dict[str, str]:
    """Functions by lifecycle event.

    Raises:
        DeploymentFailed: INVALID_REVISION; an event that is not among `known`.
    """
    found: dict[str, str] = {}
    for item in given if isinstance(given, list) else [None]:
        if not isinstance(item, dict):
            raise invalid("Hooks must be a list of lifecycle events with their functions")
        for event, function in item.items():
            if event not in known:
                raise invalid(
                    f"It has an unknown lifecycle event {event}; known are {', '.join(known)}"
                )
            if not isinstance(function, str) or not function:
                raise invalid(f"The hook {event} is not the name of a function: {function}")
            found[event] = function
    return found
