"""Builds: started, stopped, retried, looked at.

AWS page: "StartBuild" and its neighbours in the CodeBuild API Reference.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from labkit.cloud.codebuild.api.base import Answer, Operations
from labkit.cloud.codebuild.batch.engine import claim
from labkit.cloud.codebuild.declaration import check_declaration, check_id, invalid
from labkit.cloud.codebuild.models import Build, Project, now
from labkit.cloud.codebuild.starting import overridden, start
from labkit.cloud.shared.service import AWSError, page

_STOP_SECONDS = 5.0
_TOKEN_LIFETIME = timedelta(minutes=5)


class Builds(Operations):
    def start_build(self, projectName: str, **request: Any) -> Answer:
        project = self.backend.project(projectName)
        if (asked_for := claim(self.backend, request.get("idempotencyToken"))) is not None:
            return {"build": asked_for.fields()}
        settings = overridden(project.declared, request)
        token = request.get("idempotencyToken")
        known = self.backend.tokens.get(token) if token else None
        if known is not None and now() - known[0] < _TOKEN_LIFETIME:
            return {"build": known[1].fields()}
        if settings["artifacts"]["type"] == "CODEPIPELINE" and not settings["artifacts"].get(
            "location"
        ):
            raise AWSError(
                "InvalidInputException",
                "ArtifactsOverride must be set when using artifacts type CodePipelines",
            )
        check_declaration({**settings, "name": project.name})
        version = request.get("sourceVersion") or settings.get("sourceVersion")
        build = start(self.backend, project, settings, version, self.initiator())
        if token:
            self.backend.tokens[token] = (now(), build)
        return {"build": build.fields()}

    def retry_build(self, id: str | None = None, idempotencyToken: str | None = None) -> Answer:
        old = self._build(id or "")
        if not old.over.is_set():
            invalid(f"Build {old.id} cannot be retried: it has not ended yet")
        again = start(self.backend, old.project, old.settings, old.source_version, self.initiator())
        return {"build": again.fields()}

    def batch_get_builds(self, ids: list[str]) -> Answer:
        for name in ids:
            check_id("build", name)
        found = {name: self.backend.build(name) for name in ids}
        return {
            "builds": [build.fields() for build in found.values() if build],
            "buildsNotFound": [name for name, build in found.items() if not build],
        }

    def list_builds(self, sortOrder: str = "DESCENDING", nextToken: str | None = None) -> Answer:
        items, token = page(
            self._ids(None, sortOrder), nextToken, None, error_code="InvalidInputException"
        )
        return {"ids": items, "nextToken": token}

    def list_builds_for_project(
        self, projectName: str, sortOrder: str = "DESCENDING", nextToken: str | None = None
    ) -> Answer:
        project = self.backend.project(projectName)
        items, token = page(
            self._ids(project, sortOrder), nextToken, None, error_code="InvalidInputException"
        )
        return {"ids": items, "nextToken": token}

    def stop_build(self, id: str) -> Answer:
        build = self._build(id)
        build.halt("STOPPED")
        build.over.wait(_STOP_SECONDS)
        return {"build": build.fields()}

    def batch_delete_builds(self, ids: list[str]) -> Answer:
        deleted, kept = [], []
        for name in ids:
            check_id("build", name)
            build = self.backend.build(name)
            if build is not None and not build.over.is_set():
                kept.append({"id": name, "statusCode": "BUILD_IN_PROGRESS"})
            elif build is not None:
                deleted.append(build.arn)
                del self.backend.builds[build.id]
        return {"buildsDeleted": deleted, "buildsNotDeleted": kept}

    # within

    def _build(self, id_or_arn: str) -> Build:
        check_id("build", id_or_arn)
        build = self.backend.build(id_or_arn)
        if build is None:
            raise AWSError("ResourceNotFoundException", f"Build cannot be found: {id_or_arn}")
        return build

    def _ids(self, project: Project | None, order: str) -> list[str]:
        found = [
            build.id
            for build in self.backend.builds.values()
            if project is None or build.project is project
        ]
        return found if order == "ASCENDING" else found[::-1]
