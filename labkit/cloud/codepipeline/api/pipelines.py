"""Declare pipelines: create, update, read, list, delete."""

from __future__ import annotations

from botocore.exceptions import ClientError

from labkit.cloud.codepipeline import catalogue, polling
from labkit.cloud.codepipeline import declaration as rules
from labkit.cloud.codepipeline import execution as machine
from labkit.cloud.codepipeline.action import CODEPIPELINE, SESSION, ActionFailed, assume_own
from labkit.cloud.codepipeline.api.base import Answer, Operations, check_tags, tag_map
from labkit.cloud.codepipeline.models import Pipeline
from labkit.cloud.shared import clients
from labkit.cloud.shared.service import AWSError, page

# AWS page: "Quotas in AWS CodePipeline"
MAX_PIPELINES = 1000


class Pipelines(Operations):
    def create_pipeline(self, pipeline: Answer, tags: list[Answer] | None = None) -> Answer:
        if pipeline["name"] in self.backend.pipelines:
            raise AWSError(
                "PipelineNameInUseException",
                f"A pipeline with the name '{pipeline['name']}' already exists in account '{self.current_account}'",
            )
        if len(self.backend.pipelines) >= MAX_PIPELINES:
            raise AWSError(
                "LimitExceededException",
                f"The account has reached the limit of {MAX_PIPELINES} pipelines in the Region",
            )
        check_tags(tags)
        declared = self._checked(pipeline, version=1)
        made = Pipeline(declared, self.region, self.current_account, tags=tag_map(tags))
        made.adopt(declared)
        self.backend.pipelines[made.name] = made
        if polling.needed(declared):
            polling.wake()
        if all("defaultValue" in item for item in declared.get("variables") or []):
            machine.start(made, self.trigger("CreatePipeline"))
        return {"pipeline": catalogue.masked(self.registry, declared), "tags": tags or []}

    def update_pipeline(self, pipeline: Answer) -> Answer:
        known = self.backend.get(pipeline["name"])
        with known.lock:
            whole = catalogue.unmasked(self.registry, pipeline, known.declaration)
            declared = self._checked(whole, version=known.declaration["version"] + 1)
            machine.cancel(known)
            known.adopt(declared)
        if polling.needed(declared):
            polling.wake()
        return {"pipeline": catalogue.masked(self.registry, declared)}

    def get_pipeline(self, name: str, version: int | None = None) -> Answer:
        pipeline = self.backend.get(name)
        declared = pipeline.versions.get(version or pipeline.declaration["version"])
        if declared is None:
            raise AWSError(
                "PipelineVersionNotFoundException",
                f"Pipeline '{name}' does not have a version {version}",
            )
        metadata = {
            "pipelineArn": pipeline.arn,
            "created": pipeline.created,
            "updated": pipeline.updated,
        }
        return {"pipeline": catalogue.masked(self.registry, declared), "metadata": metadata}

    def list_pipelines(self, nextToken: str | None = None, maxResults: int | None = None) -> Answer:
        found = sorted(self.backend.pipelines.values(), key=lambda pipeline: pipeline.name)
        items, token = page(found, nextToken, maxResults, 1000)
        return {"pipelines": [_summary(item) for item in items], "nextToken": token}

    def delete_pipeline(self, name: str) -> Answer:
        pipeline = self.backend.pipelines.pop(name, None)
        if pipeline is not None:
            with pipeline.lock:
                for execution in list(pipeline.executions.values()):
                    if not execution.over:
                        machine.stop(pipeline, execution, "The pipeline was deleted", abandon=True)
        return {}

    def _checked(self, declared: Answer, version: int) -> Answer:
        rules.check(declared, self.registry)
        arn = self.arn(declared["name"])
        try:
            session = clients.assume_role(
                CODEPIPELINE, declared["roleArn"], SESSION, self.region, source_arn=arn
            )
        except ClientError as error:
            raise AWSError(
                "InvalidStructureException",
                f"CodePipeline is not authorized to perform AssumeRole on role {declared['roleArn']}",
            ) from error
        try:
            for stage in declared["stages"]:
                for action in stage["actions"]:
                    if own := action.get("roleArn"):
                        assume_own(session, declared["roleArn"], own, arn)
        except ActionFailed as failed:
            raise AWSError("InvalidStructureException", failed.message) from failed
        defaults = {"executionMode": "SUPERSEDED", "pipelineType": "V1"}
        stages = [_filled(stage) for stage in declared["stages"]]
        return {**defaults, **declared, "stages": stages, "version": version}


def _filled(stage: Answer) -> Answer:
    """A stage with what GetPipeline shows where a declaration says nothing."""
    defaults = {"runOrder": 1, "configuration": {}, "outputArtifacts": [], "inputArtifacts": []}
    return {**stage, "actions": [{**defaults, **action} for action in stage["actions"]]}


def _summary(pipeline: Pipeline) -> Answer:
    declared = pipeline.declaration
    return {
        "name": pipeline.name,
        "version": declared["version"],
        "pipelineType": declared["pipelineType"],
        "executionMode": declared["executionMode"],
        "created": pipeline.created,
        "updated": pipeline.updated,
    }
