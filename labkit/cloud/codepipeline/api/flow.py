"""What happens to running executions: stop, retry, approve, open and close transitions."""

from __future__ import annotations

from labkit.cloud.codepipeline import execution as machine
from labkit.cloud.codepipeline.api.base import Answer, Operations
from labkit.cloud.codepipeline.models import ActionRun, Pipeline, Stage, now
from labkit.cloud.service import AWSError


class Flow(Operations):
    def stop_pipeline_execution(
        self,
        pipelineName: str,
        pipelineExecutionId: str,
        abandon: bool = False,
        reason: str | None = None,
    ) -> Answer:
        pipeline = self.backend.get(pipelineName)
        execution = pipeline.execution(pipelineExecutionId)
        machine.stop(pipeline, execution, reason, abandon=abandon)
        return {"pipelineExecutionId": pipelineExecutionId}

    def retry_stage_execution(
        self, pipelineName: str, stageName: str, pipelineExecutionId: str, retryMode: str
    ) -> Answer:
        pipeline = self.backend.get(pipelineName)
        stage, execution = pipeline.stage(stageName), pipeline.execution(pipelineExecutionId)
        machine.retry(pipeline, stage, execution, retryMode)
        return {"pipelineExecutionId": pipelineExecutionId}

    def put_approval_result(
        self, pipelineName: str, stageName: str, actionName: str, result: Answer, token: str
    ) -> Answer:
        pipeline = self.backend.get(pipelineName)
        with pipeline.lock:
            run = _approval(pipeline.stage(stageName), actionName)
            if run.answer is not None:
                raise AWSError(
                    "ApprovalAlreadyCompletedException",
                    f"The approval action '{actionName}' has already been answered",
                )
            if run.token != token:
                raise AWSError("InvalidApprovalTokenException", "The approval token is not valid")
            machine.answer_approval(pipeline, run, result, self.principal.arn)
        return {"approvedAt": run.updated}

    def enable_stage_transition(
        self, pipelineName: str, stageName: str, transitionType: str
    ) -> Answer:
        pipeline = self.backend.get(pipelineName)
        with pipeline.lock:
            stage = self._transition(pipeline, stageName, transitionType, enabled=True)
            machine.admit_waiting(pipeline, stage)
        return {}

    def disable_stage_transition(
        self, pipelineName: str, stageName: str, transitionType: str, reason: str
    ) -> Answer:
        pipeline = self.backend.get(pipelineName)
        with pipeline.lock:
            stage = self._transition(pipeline, stageName, transitionType, enabled=False)
            stage.disabled_reason = reason
        return {}

    def _transition(
        self, pipeline: Pipeline, stage_name: str, transition_type: str, *, enabled: bool
    ) -> Stage:
        if transition_type != "Inbound":
            raise AWSError(
                "ValidationException",
                "The lab's local AWS supports transitionType Inbound only (nothing was done)",
            )
        stage = pipeline.stage(stage_name)
        stage.enabled, stage.changed_by, stage.changed_at = enabled, self.principal.arn, now()
        return stage


def _approval(stage: Stage, action_name: str) -> ActionRun:
    run = stage.latest.actions.get(action_name) if stage.latest else None
    if run is None or run.declaration["actionTypeId"]["category"] != "Approval":
        raise AWSError("ActionNotFoundException", f"No approval action '{action_name}' is waiting")
    return run
