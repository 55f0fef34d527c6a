"""Projects: what is built, how, and as whom.

AWS page: "CreateProject" and its neighbours in the CodeBuild API Reference.
"""

from __future__ import annotations

from typing import Any

from labkit.cloud.codebuild import cache
from labkit.cloud.codebuild.api.base import Answer, Operations
from labkit.cloud.codebuild.batch import config as batch_config
from labkit.cloud.codebuild.declaration import check_declaration, invalid, not_secondary
from labkit.cloud.codebuild.models import PhaseFailed, Project, now
from labkit.cloud.codebuild.runner import assume_service_role
from labkit.cloud.shared.service import AWSError, page

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
        batch_config.check(declared.get("buildBatchConfig") or {})
        if any(item["type"] == "CODEPIPELINE" for item in declared.get("secondaryArtifacts") or []):
            not_secondary("CODEPIPELINE")  # a pipeline brings its own to each build
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
