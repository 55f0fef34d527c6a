"""Projects: what is built, how, and as whom.

AWS page: "CreateProject" and its neighbours in the CodeBuild API Reference.
"""

from __future__ import annotations

import re
from typing import Any

from labkit.cloud.codebuild import cache
from labkit.cloud.codebuild.api.base import Answer, Operations, invalid
from labkit.cloud.codebuild.batch import config as batch_config
from labkit.cloud.codebuild.models import PhaseFailed, Project, now
from labkit.cloud.codebuild.runner import assume_service_role
from labkit.cloud.codebuild.source import SUPPORTED
from labkit.cloud.shared.service import AWSError, page

_ARTIFACTS = ("CODEPIPELINE", "S3", "NO_ARTIFACTS")
# what a project may say that the lab does not do, by the part that says it
_NOT_YET = {
    "": ("vpcConfig", "fileSystemLocations", "badgeEnabled"),
    "environment": ("certificate", "fleet", "dockerServer", "computeConfiguration"),
}
# AWS page: "Docker images provided by CodeBuild", 2026-11. No image is run: its name is recorded.
_IMAGES = [
    {
        "platform": platform,
        "languages": [
            {
                "language": "BASE",
                "images": [
                    {"name": name, "description": f"AWS CodeBuild - {name}"} for name in names
                ],
            }
        ],
    }
    for platform, names in {
        "AMAZON_LINUX_2": [
            "aws/codebuild/amazonlinux-x86_64-standard:5.0",
            "aws/codebuild/amazonlinux-x86_64-standard:6.0",
            "aws/codebuild/amazonlinux-aarch64-standard:3.0",
        ],
        "UBUNTU": [f"aws/codebuild/standard:{number}.0" for number in (5, 6, 7, 8)],
    }.items()
]
_ENVIRONMENTS = ("LINUX_CONTAINER", "ARM_CONTAINER", "LINUX_EC2", "ARM_EC2")


class Projects(Operations):
    def create_project(self, **declared: Any) -> Answer:
        name = declared["name"]
        if name in self.backend.projects:
            arn = self.arn(f"project/{name}")
            raise AWSError("ResourceAlreadyExistsException", f"Project already exists: {arn}")
        self._check(declared)
        project = Project(declared, self.arn(f"project/{name}"))
        self.backend.projects[name] = project
        return {"project": project.fields()}

    def update_project(self, name: str, **changes: Any) -> Answer:
        project = self.backend.project(name)
        declared = {**project.declared, **changes}
        self._check(declared)
        project.declared, project.modified = declared, now()
        return {"project": project.fields()}

    def batch_get_projects(self, names: list[str]) -> Answer:
        known = self.backend.projects
        short = [name.rpartition("/")[2] for name in names]
        return {
            "projects": [known[name].fields() for name in short if name in known],
            "projectsNotFound": [name for name in short if name not in known],
        }

    def list_projects(
        self, sortBy: str = "NAME", sortOrder: str = "ASCENDING", nextToken: str | None = None
    ) -> Answer:
        keys = {
            "NAME": lambda project: project.name,
            "CREATED_TIME": lambda project: project.created,
            "LAST_MODIFIED_TIME": lambda project: project.modified,
        }
        found = sorted(
            self.backend.projects.values(), key=keys[sortBy], reverse=sortOrder == "DESCENDING"
        )
        items, token = page(found, nextToken, None, error_code="InvalidInputException")
        return {"projects": [item.name for item in items], "nextToken": token}

    def delete_project(self, name: str) -> Answer:
        self.backend.projects.pop(name.rpartition("/")[2], None)
        return {}

    def invalidate_project_cache(self, projectName: str) -> Answer:
        cache.invalidate(self.backend.project(projectName))
        return {}

    def update_project_visibility(
        self, projectArn: str, projectVisibility: str, resourceAccessRole: str | None = None
    ) -> Answer:
        project = self.backend.project(projectArn)
        if projectVisibility == "PUBLIC_READ":
            invalid("The lab's local AWS does not support projectVisibility PUBLIC_READ yet")
        project.modified = now()
        return {"projectArn": project.arn, "projectVisibility": projectVisibility}

    def list_shared_projects(self, **_: Any) -> Answer:
        # of other accounts, and there is only this one
        return {"projects": []}

    def list_curated_environment_images(self) -> Answer:
        return {"platforms": _IMAGES}

    def _check(self, declared: Answer) -> None:
        """Refuse what AWS would refuse, a role that cannot be assumed with it.

        Raises:
            AWSError: InvalidInputException.
        """
        check_declaration(declared)
        if any(item["type"] == "CODEPIPELINE" for item in declared.get("secondaryArtifacts") or []):
            _not_secondary("CODEPIPELINE")  # a pipeline brings its own to each build
        batch_role = (declared.get("buildBatchConfig") or {}).get("serviceRole")
        for role in filter(None, (declared["serviceRole"], batch_role)):
            if role.split(":")[4] != self.current_account:
                invalid(
                    "Invalid service role: Service role account ID does not match caller's account"
                )
            try:
                assume_service_role(role, self.arn(f"project/{declared['name']}"))
            except PhaseFailed as error:
                invalid(error.message)


def _not_secondary(artifact_type: str) -> None:
    # published in an issue of 2024 (hashicorp/terraform-provider-aws, 36987)
    invalid(f"Invalid input: artifactType {artifact_type} is not allowed for secondaryArtifacts")


def check_declaration(declared: Answer) -> None:
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
            _not_secondary(item["type"])
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
    batch_config.check(declared.get("buildBatchConfig") or {})
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
