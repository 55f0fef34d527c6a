"""Start executions."""

from __future__ import annotations

from labkit.cloud.codepipeline import execution as machine
from labkit.cloud.codepipeline.api.base import Answer, Operations
from labkit.cloud.service import AWSError


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
            if item["revisionType"] != "COMMIT_ID":
                raise AWSError(
                    "ValidationException",
                    f"Source action '{item['actionName']}' does not take revisions of type {item['revisionType']}",
                )
        with pipeline.lock:
            if clientRequestToken in pipeline.requests:
                return {"pipelineExecutionId": pipeline.requests[clientRequestToken]}
            execution = machine.start(
                pipeline,
                self.trigger("StartPipelineExecution"),
                {item["name"]: item["value"] for item in variables or []},
                {action: item["revisionValue"] for action, item in revisions.items()},
            )
            if clientRequestToken:
                pipeline.requests[clientRequestToken] = execution.id
        return {"pipelineExecutionId": execution.id}
