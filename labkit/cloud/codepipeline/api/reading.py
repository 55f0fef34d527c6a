"""Read back what ran: states, executions, actions."""

from __future__ import annotations

from labkit.cloud.codepipeline import state
from labkit.cloud.codepipeline.api.base import Answer, Operations
from labkit.cloud.codepipeline.models import Execution, Pipeline
from labkit.cloud.codepipeline.stages import succeeded_in
from labkit.cloud.shared.service import AWSError, page


class Reading(Operations):
    def get_pipeline_state(self, name: str) -> Answer:
        pipeline = self.backend.get(name)
        with pipeline.lock:
            return state.pipeline_state(pipeline)

    def get_pipeline_execution(self, pipelineName: str, pipelineExecutionId: str) -> Answer:
        pipeline = self.backend.get(pipelineName)
        with pipeline.lock:
            execution = pipeline.execution(pipelineExecutionId)
            return {"pipelineExecution": state.execution_detail(pipeline, execution)}

    def list_pipeline_executions(
        self,
        pipelineName: str,
        maxResults: int | None = None,
        filter: Answer | None = None,
        nextToken: str | None = None,
    ) -> Answer:
        pipeline = self.backend.get(pipelineName)
        wanted = ((filter or {}).get("succeededInStage") or {}).get("stageName")
        if wanted is not None:
            pipeline.stage(wanted)
        with pipeline.lock:
            found = [
                execution
                for execution in pipeline.newest_first()
                if wanted is None or succeeded_in(execution, wanted)
            ]
            items, token = page(found, nextToken, maxResults, 100)
            summaries = [state.execution_summary(item) for item in items]
        return {"pipelineExecutionSummaries": summaries, "nextToken": token}

    def list_action_executions(
        self,
        pipelineName: str,
        filter: Answer | None = None,
        maxResults: int | None = None,
        nextToken: str | None = None,
    ) -> Answer:
        pipeline = self.backend.get(pipelineName)
        with pipeline.lock:
            runs = [
                (execution, run)
                for execution in _chosen(pipeline, filter or {})
                for run in execution.runs
            ]
            runs.sort(key=lambda pair: pair[1].started, reverse=True)
            items, token = page(runs, nextToken, maxResults, 100)
            details = [state.action_detail(pipeline, *item) for item in items]
        return {"actionExecutionDetails": details, "nextToken": token}

    def list_rule_executions(
        self,
        pipelineName: str,
        filter: Answer | None = None,
        maxResults: int | None = None,
        nextToken: str | None = None,
    ) -> Answer:
        pipeline = self.backend.get(pipelineName)
        with pipeline.lock:
            runs = [
                (execution, run)
                for execution in _chosen(pipeline, filter or {})
                for run in execution.rules
            ]
            runs.sort(key=lambda pair: pair[1].started, reverse=True)
            items, token = page(runs, nextToken, maxResults, 100)
            details = [state.rule_detail(pipeline, *item) for item in items]
        return {"ruleExecutionDetails": details, "nextToken": token}

    def list_deploy_action_execution_targets(
        self,
        actionExecutionId: str,
        pipelineName: str | None = None,
        filters: list[Answer] | None = None,
        maxResults: int | None = None,
        nextToken: str | None = None,
    ) -> Answer:
        """The targets of an EC2 or Lambda deploy action; other actions have none."""
        pipelines = (
            [self.backend.get(pipelineName)]
            if pipelineName
            else list(self.backend.pipelines.values())
        )
        known = any(
            run.id == actionExecutionId
            for pipeline in pipelines
            for execution in pipeline.executions.values()
            for run in execution.runs
        )
        if not known:
            raise AWSError(
                "ActionExecutionNotFoundException",
                f"The action execution '{actionExecutionId}' was not found",
            )
        return {"targets": []}


def _chosen(pipeline: Pipeline, wanted: Answer) -> list[Execution]:
    """The executions that a filter names.

    Raises:
        AWSError: PipelineExecutionNotFoundException.
    """
    latest = wanted.get("latestInPipelineExecution") or {}
    execution_id = wanted.get("pipelineExecutionId") or latest.get("pipelineExecutionId")
    if execution_id:
        return [pipeline.execution(execution_id)]
    return list(pipeline.executions.values())
