"""What a project, or a build of it, may declare.

AWS page: "CreateProject" in the CodeBuild API Reference.
"""

from __future__ import annotations

import re
from typing import NoReturn

from labkit.cloud.codebuild.models import Fields
from labkit.cloud.codebuild.source import SUPPORTED
from labkit.cloud.shared.service import AWSError

_ARTIFACTS = ("CODEPIPELINE", "S3", "NO_ARTIFACTS")
# what a project may say that the lab does not do, by the part that says it
_NOT_YET = {
    "": ("vpcConfig", "fileSystemLocations", "badgeEnabled"),
    "environment": ("certificate", "fleet", "dockerServer", "computeConfiguration"),
}
_ENVIRONMENTS = ("LINUX_CONTAINER", "ARM_CONTAINER", "LINUX_EC2", "ARM_EC2")


def invalid(message: str) -> NoReturn:
    """Refuse a request.

    Raises:
        AWSError: InvalidInputException.
    """
    raise AWSError("InvalidInputException", message)


_ID = re.compile(r"(arn:aws:codebuild:[\w-]+:\d{12}:(build|build-batch)/)?[A-Za-z0-9][\w-]+:\S+")


def check_id(what: str, given: str) -> None:
    """Refuse what is no id (`project:number`) and no ARN of a build or a batch.

    Args:
        what: what it should be the id of.

    Raises:
        AWSError: InvalidInputException.
    """
    if _ID.fullmatch(given) is None:
        invalid(f"Invalid {what} ID: {given}")


def not_secondary(artifact_type: str) -> None:
    """Refuse a secondary artifact of that type.

    Raises:
        AWSError: InvalidInputException.
    """
    # published in an issue of 2024 (hashicorp/terraform-provider-aws, 36987)
    invalid(f"Invalid input: artifactType {artifact_type} is not allowed for secondaryArtifacts")


def check_declaration(declared: Fields) -> None:
    """Refuse a project, or a build of it, that AWS would refuse, or that the lab cannot run.

    Raises:
        AWSError: InvalidInputException.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9\-_]{1,254}", declared["name"]):
        invalid(f"Invalid project name: {declared['name']}")
    if not re.fullmatch(r"arn:aws:iam::\d{12}:role/.+", declared["serviceRole"]):
        invalid(f"Invalid service role: {declared['serviceRole']} is not the ARN of a role")
    source, artifacts = declared["source"], declared["artifacts"]
    for item in (source, *(declared.get("secondarySources") or [])):
        if item["type"] not in SUPPORTED:
            invalid(f"The lab's local AWS does not support source type {item['type']} yet")
        if item["type"] not in ("CODEPIPELINE", "NO_SOURCE") and not item.get("location"):
            invalid("Project source location must not be empty")
    for item in declared.get("secondarySources") or []:
        if not item.get("sourceIdentifier"):
            invalid("Project secondary source must have a sourceIdentifier")
    named = [item["sourceIdentifier"] for item in declared.get("secondarySources") or []]
    if twice := sorted({name for name in named if named.count(name) > 1}):
        invalid(f"Project secondary sources must not share a sourceIdentifier: {', '.join(twice)}")
    for item in declared.get("secondaryArtifacts") or []:
        if not item.get("artifactIdentifier"):
            invalid("Project secondary artifacts must have an artifactIdentifier")
        if item["type"] == "NO_ARTIFACTS":
            not_secondary(item["type"])
    if artifacts["type"] == "NO_ARTIFACTS" and artifacts.get("encryptionDisabled") is not None:
        invalid("Invalid artifacts: artifact type NO_ARTIFACTS should have null encryptionDisabled")
    if source["type"] == "NO_SOURCE" and not source.get("buildspec"):
        invalid("Project source type NO_SOURCE requires a buildspec")
    for item in (artifacts, *(declared.get("secondaryArtifacts") or [])):
        if item["type"] not in _ARTIFACTS:
            invalid(f"Invalid artifacts type: {item['type']}")
        if item["type"] == "S3" and not item.get("location"):
            invalid("Invalid artifacts: location must be set for artifacts type S3")
    if "CODEPIPELINE" in (source["type"], artifacts["type"]) and artifacts["type"] == "S3":
        invalid("Invalid project: when source type is CODEPIPELINE, artifacts type must be too")
    environment = declared["environment"]
    if environment["type"] not in _ENVIRONMENTS:
        invalid(f"The lab's local AWS does not support environment type {environment['type']} yet")
    for part, keys in _NOT_YET.items():
        for key in keys:
            if (declared[part] if part else declared).get(key):
                invalid(f"The lab's local AWS does not support {key} yet")
    kept = declared.get("cache") or {}
    if kept.get("type") == "S3" and not kept.get("location"):
        invalid("Invalid cache: location must be set for cache type S3")
    if kept.get("type") == "LOCAL" and not kept.get("modes"):
        invalid("Invalid cache: at least one mode must be set for cache type LOCAL")
    s3_logs = (declared.get("logsConfig") or {}).get("s3Logs") or {}
    if s3_logs.get("status") == "ENABLED" and not s3_logs.get("location"):
        invalid("Invalid logs config: s3Logs must have a location when they are enabled")
