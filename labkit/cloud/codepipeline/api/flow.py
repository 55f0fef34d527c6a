"""What happens to running executions: stop, retry, roll back, approve, open and close transitions."""

from __future__ import annotations

from labkit.cloud.codepipeline import execution as machine
from labkit.cloud.codepipeline import stages
from labkit.cloud.codepipeline.api.base import Answer, Operations
from labkit.cloud.codepipeline.models import ActionRun, Execution, Pipeline, Stage, now
from labkit.cloud.shared.service import AWSError


class Flow(Operations):
    def stop_pipeline_execution(
        self,
        pipelineName: str,
        pipelineExecutionId: str,
        abandon: bool = False,
        reason: str | None = None,
    ) -> Answer:
        pipeline = self.backend.get(pipelineName)
        execution = _known(pipeline, pipelineExecutionId, "PipelineExecutionNotStoppableException")
        machine.stop(pipeline, execution, reason, abandon=abandon)
        return {"pipelineExecutionId": pipelineExecutionId}

    def retry_stage_execution(
        self, pipelineName: str, stageName: str, pipelineExecutionId: str, retryMode: str
    ) -> Answer:
        pipeline = self.backend.get(pipelineName)
        stage = pipeline.stage(stageName)
        execution = _known(pipeline, pipelineExecutionId, "NotLatestPipelineExecutionException")
        machine.retry(pipeline, stage, execution, retryMode)
        return {"pipelineExecutionId": pipelineExecutionId}

    def rollback_stage(
        self, pipelineName: str, stageName: str, targetPipelineExecutionId: str
    ) -> Answer:
        pipeline = self.backend.get(pipelineName)
        stage = pipeline.stage(stageName)
        target = pipeline.execution(targetPipelineExecutionId)
        made = machine.roll_back(pipeline, stage, target, self.principal.arn)
        return {"pipelineExecutionId": made.id}

    def override_stage_condition(
        self, pipelineName: str, stageName: str, pipelineExecutionId: str, conditionType: str
    ) -> Answer:
        pipeline = self.backend.get(pipelineName)
        stage = pipeline.stage(stageName)
        execution = _known(pipeline, pipelineExecutionId, "NotLatestPipelineExecutionException")
        kinds = {"BEFORE_ENTRY": "beforeEntry", "ON_SUCCESS": "onSuccess"}
        machine.override(pipeline, stage, execution, kinds[conditionType])
        return {}

    def put_approval_result(
        self, pipelineName: str, stageName: str, actionName: str, result: Answer, token: str
    ) -> Answer:
        pipeline = self.backend.pipelines.get(pipelineName)
        if pipeline is None:
            told = self.backend.not_included(pipelineName)
            raise AWSError("PipelineNotFoundException", told)
        with pipeline.lock:
            run = _approval(pipeline, stageName, actionName, token)
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
            stages.admit(pipeline, stage)
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
        if pipeline.declaration["executionMode"] == "PARALLEL":
            raise AWSError(
                "ValidationException",
                f"Pipeline '{pipeline.name}' is in PARALLEL mode, in which transitions cannot be "
                "disabled or enabled",
            )
        stage.enabled, stage.changed_by, stage.changed_at = enabled, self.principal.arn, now()
        return stage


def _known(pipeline: Pipeline, execution_id: str, code: str) -> Execution:
    """An execution, for operations that have no error of their own for one that is not there."""
    if execution_id not in pipeline.executions:
        raise AWSError(
            code, f"Pipeline '{pipeline.name}' has no pipeline execution '{execution_id}'"
        )
    return pipeline.executions[execution_id]


def _approval(pipeline: Pipeline, stage: str, action: str, token: str) -> ActionRun:
    """The approval of that token, or the stage's latest: in PARALLEL mode several may wait."""
    passed = [execution.passed.get(stage) for execution in pipeline.running.values()]
    latest = [item.latest for item in pipeline.stages if item.name == stage]
    runs = [run for item in [*passed, *latest] if item for run in item.actions.values()]
    found = [
        run
        for run in runs
        if run.name == action and run.declaration["actionTypeId"]["category"] == "Approval"
    ]
    if not found:
        pipeline.stage(stage)  # one that an edit took away may still be run through
        raise AWSError("ActionNotFoundException", f"No approval action '{action}' is waiting")
    return next((run for run in found if run.token == token), found[-1])
