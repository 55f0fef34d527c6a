"""Batch builds: started, stopped, retried, looked at.

AWS pages: "StartBuildBatch" and its neighbours in the CodeBuild API Reference.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from labkit.cloud.codebuild.api.base import Answer, Operations
from labkit.cloud.codebuild.batch import config, engine
from labkit.cloud.codebuild.batch.models import Batch
from labkit.cloud.codebuild.declaration import check_declaration, check_id, invalid
from labkit.cloud.codebuild.models import Project, now
from labkit.cloud.codebuild.starting import overridden
from labkit.cloud.shared.service import AWSError, page

_STOP_SECONDS = 5.0
_TOKEN_LIFETIME = timedelta(minutes=5)
# StartBuildBatch's names for what StartBuild calls otherwise
_RENAMED = {
    "buildTimeoutInMinutesOverride": "timeoutInMinutesOverride",
    "reportBuildBatchStatusOverride": "reportBuildStatusOverride",
}


class Batches(Operations):
    def start_build_batch(self, projectName: str, **request: Any) -> Answer:
        project = self.backend.project(projectName)
        asked = {"projectName": project.name, **request}
        if (known := self._known(request.get("idempotencyToken"), asked)) is not None:
            return {"buildBatch": known.fields()}
        settings = _settings(project, request)
        self._check_batch(project, settings)
        version = request.get("sourceVersion") or settings.get("sourceVersion")
        batch = engine.start(self.backend, project, settings, version, self.initiator())
        self._remember(request.get("idempotencyToken"), asked, batch)
        return {"buildBatch": batch.fields()}

    def stop_build_batch(self, id: str) -> Answer:
        batch = self._batch(id)
        batch.halt("STOPPED")
        batch.over.wait(_STOP_SECONDS)
        return {"buildBatch": batch.fields()}

    def retry_build_batch(
        self,
        id: str | None = None,
        idempotencyToken: str | None = None,
        retryType: str = "RETRY_FAILED_BUILDS",
    ) -> Answer:
        batch = self._batch(id or "")
        asked = {"id": batch.id, "retryType": retryType}
        if self._known(idempotencyToken, asked) is not None:
            return {"buildBatch": batch.fields()}
        with self.backend.lock:
            if not batch.over.is_set():
                invalid(f"Build batch {batch.id} cannot be retried: it has not ended yet")
            if batch.status == "SUCCEEDED":
                invalid(f"Build batch {batch.id} cannot be retried: it has not failed")
            engine.retry(self.backend, batch, failed_only=retryType == "RETRY_FAILED_BUILDS")
        self._remember(idempotencyToken, asked, batch)
        return {"buildBatch": batch.fields()}

    def delete_build_batch(self, id: str) -> Answer:
        batch = self._find(id)
        if batch is None:
            invalid(f"Build batch cannot be found: {id}")
        if not batch.over.is_set():
            invalid(f"Build batch {batch.id} cannot be deleted: it has not ended yet")
        builds = [build for build in self.backend.builds.values() if build.batch_arn == batch.arn]
        for build in builds:
            del self.backend.builds[build.id]
        del self.backend.batches[batch.id]
        return {
            "statusCode": "SUCCEEDED",
            "buildsDeleted": [build.arn for build in builds],
            "buildsNotDeleted": [],
        }

    def batch_get_build_batches(self, ids: list[str]) -> Answer:
        for name in ids:
            check_id("build batch", name)
        found = {name: self._find(name) for name in ids}
        return {
            "buildBatches": [batch.fields() for batch in found.values() if batch],
            "buildBatchesNotFound": [name for name, batch in found.items() if not batch],
        }

    def list_build_batches(self, **request: Any) -> Answer:
        return self._list(None, **request)

    def list_build_batches_for_project(
        self, projectName: str | None = None, **request: Any
    ) -> Answer:
        if projectName is None:
            invalid("projectName must not be empty")
        return self._list(self.backend.project(projectName), **request)

    # within

    def _list(
        self,
        project: Project | None,
        *,
        filter: dict[str, str] | None = None,
        maxResults: int | None = None,
        sortOrder: str = "DESCENDING",
        nextToken: str | None = None,
    ) -> Answer:
        status = (filter or {}).get("status")
        found = [
            batch.id
            for batch in self.backend.batches.values()
            if project in (None, batch.project) and status in (None, batch.status)
        ]
        ordered = found if sortOrder == "ASCENDING" else found[::-1]
        ids, token = page(ordered, nextToken, maxResults, error_code="InvalidInputException")
        return {"ids": ids, "nextToken": token}

    def _check_batch(self, project: Project, settings: Answer) -> None:
        """Refuse a batch that AWS would refuse.

        Raises:
            AWSError: InvalidInputException.
        """
        check_declaration({**settings, "name": project.name})
        given = settings.get("buildBatchConfig") or {}
        config.check(given)
        if not given.get("serviceRole"):
            invalid(f"Project {project.name} has no batch service role: set buildBatchConfig")
        outputs = (settings["artifacts"], *(settings.get("secondaryArtifacts") or []))
        if any(item["type"] == "CODEPIPELINE" and not item.get("location") for item in outputs):
            invalid("ArtifactsOverride must be set when using artifacts type CodePipelines")

    def _batch(self, id_or_arn: str) -> Batch:
        check_id("build batch", id_or_arn)
        batch = self._find(id_or_arn)
        if batch is None:
            raise AWSError("ResourceNotFoundException", f"Build batch cannot be found: {id_or_arn}")
        return batch

    def _find(self, id_or_arn: str) -> Batch | None:
        return self.backend.batches.get(id_or_arn.rpartition("build-batch/")[2])

    def _known(self, token: str | None, asked: Answer) -> Batch | None:
        """The batch that was started by this token, which is valid for five minutes.

        Raises:
            AWSError: InvalidInputException, the token came with other parameters.
        """
        known = self.backend.batch_tokens.get(token) if token else None
        if known is None or now() - known[0] >= _TOKEN_LIFETIME:
            return None
        if known[1] != asked:
            invalid("Parameter mismatch: the idempotencyToken was used with other parameters")
        return known[2]

    def _remember(self, token: str | None, asked: Answer, batch: Batch) -> None:
        if token:
            self.backend.batch_tokens[token] = (now(), asked, batch)


def _settings(project: Project, request: Answer) -> Answer:
    """The project's settings with StartBuildBatch's overrides in them.

    Raises:
        AWSError: InvalidInputException, an override that the lab does not know.
    """
    given = dict(request)
    own = given.pop("buildBatchConfigOverride", None)
    if not given.get("debugSessionEnabled"):
        given.pop("debugSessionEnabled", None)
    settings = overridden(
        project.declared, {_RENAMED.get(name, name): value for name, value in given.items()}
    )
    return {
        **settings,
        "buildBatchConfig": {**(project.declared.get("buildBatchConfig") or {}), **(own or {})},
    }
