"""Read back what ran: states, executions, actions."""

from __future__ import annotations

from typing import Any

from labkit.cloud.codepipeline import state
from labkit.cloud.codepipeline.api.base import Answer, Operations
from labkit.cloud.codepipeline.models import Pipeline
from labkit.cloud.service import page


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
        with pipeline.lock:
            found = [
                execution
                for execution in pipeline.newest_first()
                if wanted is None or _succeeded_in(pipeline, execution, wanted)
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
        wanted = filter or {}
        wanted_id = wanted.get("pipelineExecutionId") or (
            wanted.get("latestInPipelineExecution") or {}
        ).get("pipelineExecutionId")
        with pipeline.lock:
            if wanted_id:
                pipeline.execution(wanted_id)
            runs = [
                (execution, run)
                for execution in pipeline.executions.values()
                if wanted_id in (None, execution.id)
                for run in execution.runs
            ]
            runs.sort(key=lambda pair: pair[1].started, reverse=True)
            items, token = page(runs, nextToken, maxResults, 100)
            details = [state.action_detail(pipeline, *item) for item in items]
        return {"actionExecutionDetails": details, "nextToken": token}


def _succeeded_in(pipeline: Pipeline, execution: Any, stage_name: str) -> bool:
    names = [stage["name"] for stage in execution.stages]
    pipeline.stage(stage_name)
    if stage_name not in names:
        return False
    return execution.status == "Succeeded" or names.index(stage_name) < execution.stage_index
