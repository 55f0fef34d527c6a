"""Start executions, by hand or because a source has something new."""

from __future__ import annotations

from labkit.cloud.codepipeline import catalogue
from labkit.cloud.codepipeline import execution as machine
from labkit.cloud.codepipeline.api.base import Answer, Operations, invalid
from labkit.cloud.codepipeline.models import Pipeline
from labkit.cloud.codepipeline.webhooks import source_action
from labkit.cloud.shared.service import AWSError


class Executions(Operations):
    def start_pipeline_execution(
        self,
        name: str,
        variables: list[Answer] | None = None,
        clientRequestToken: str | None = None,
        sourceRevisions: list[Answer] | None = None,
    ) -> Answer:
        pipeline = self.backend.get(name)
        revisions = {item["actionName"]: item for item in sourceRevisions or []}
        for item in revisions.values():
            self._check_revision(pipeline, item)
        with pipeline.lock:
            if clientRequestToken in pipeline.requests:
                return {"pipelineExecutionId": pipeline.requests[clientRequestToken]}
            execution = machine.start(
                pipeline,
                self.trigger("StartPipelineExecution"),
                {item["name"]: item["value"] for item in variables or []},
                revisions,
            )
            if clientRequestToken:
                pipeline.requests[clientRequestToken] = execution.id
        return {"pipelineExecutionId": execution.id}

    def put_action_revision(
        self, pipelineName: str, stageName: str, actionName: str, actionRevision: Answer
    ) -> Answer:
        """AWS page: "PutActionRevision" in the CodePipeline API Reference."""
        pipeline = self.backend.get(pipelineName)
        with pipeline.lock:
            pipeline.stage(stageName)
            action = source_action(pipeline, actionName)
            if action is None or stageName != pipeline.stages[0].name:
                raise AWSError(
                    "ActionNotFoundException",
                    f"Source action '{actionName}' not found in stage '{stageName}'",
                )
            revision_id = actionRevision["revisionId"]
            announced = pipeline.announced.setdefault((stageName, actionName), set())
            fetched = pipeline.revisions.get((stageName, actionName), {}).get("revisionId")
            if revision_id in announced or revision_id == fetched:
                latest = next(iter(pipeline.newest_first()))
                return {"newRevision": False, "pipelineExecutionId": latest.id}
            trigger = {"triggerType": "PutActionRevision", "triggerDetail": self.principal.arn}
            execution = machine.start(pipeline, trigger)
            announced.add(revision_id)
        return {"newRevision": True, "pipelineExecutionId": execution.id}

    def _check_revision(self, pipeline: Pipeline, item: Answer) -> None:
        """AWS page: "Start a pipeline with a source revision override"."""
        action = source_action(pipeline, item["actionName"])
        if action is None:
            invalid(f"Source action '{item['actionName']}' is not in pipeline '{pipeline.name}'")
        row = catalogue.find(self.registry, action["actionTypeId"]) or {}
        if item["revisionType"] not in row.get("revisions", ()):
            invalid(
                f"Source action '{item['actionName']}' does not take revisions of type "
                f"{item['revisionType']}"
            )
