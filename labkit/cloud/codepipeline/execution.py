"""What is done to executions from outside: start, stop, retry, roll back, override, approve.

Every decision is taken under the pipeline's lock and none of them waits; `stages` moves the
executions on, `performing` runs their actions in threads.

AWS pages: "How pipeline executions work"; "Stop a pipeline execution"; "Configure stage retry";
"Configure stage rollback"; "How do stage conditions work?".
"""

from __future__ import annotations

from labkit.cloud.codepipeline import events, stages
from labkit.cloud.codepipeline.models import ActionRun, Execution, Pipeline, Stage, StageRun, now
from labkit.cloud.shared.service import AWSError

MOST_AT_ONCE = 50  # executions in QUEUED and in PARALLEL mode; "Quotas in AWS CodePipeline"
_OVERRIDABLE = ("InProgress", "Failed", "Errored")


def start(
    pipeline: Pipeline,
    trigger: dict[str, str],
    variables: dict[str, str] | None = None,
    source_revisions: dict[str, dict[str, str]] | None = None,
) -> Execution:
    """Start an execution of the pipeline as it is now declared.

    Args:
        trigger: triggerType and triggerDetail.
        variables: values of the pipeline's variables; the others take their defaults.
        source_revisions: revisionType and revisionValue by source action, in place of the newest.

    Raises:
        AWSError: ValidationException, a variable without a default was given no value;
            ConcurrentPipelineExecutionsLimitExceededException.
    """
    with pipeline.lock:
        mode = pipeline.declaration["executionMode"]
        if mode != "SUPERSEDED" and len(pipeline.running) >= MOST_AT_ONCE:
            raise AWSError(
                "ConcurrentPipelineExecutionsLimitExceededException",
                f"The pipeline '{pipeline.name}' has {MOST_AT_ONCE} executions in progress, the "
                f"most that there can be in {mode} mode",
            )
        execution = Execution(
            pipeline.declaration,
            trigger,
            number=len(pipeline.executions),
            variables=_variables(pipeline, variables or {}),
            source_revisions=source_revisions or {},
        )
        stages.begin(pipeline, execution)
        stages.arrive(pipeline, execution)
    return execution


def stop(pipeline: Pipeline, execution: Execution, reason: str | None, *, abandon: bool) -> None:
    """Stop an execution: let its running actions finish, or abandon them.

    Raises:
        AWSError: DuplicatedStopRequestException, PipelineExecutionNotStoppableException.
    """
    with pipeline.lock:
        if execution.status == "Stopping" and not abandon:
            raise AWSError(
                "DuplicatedStopRequestException",
                f"Pipeline execution '{execution.id}' is already stopping",
            )
        if execution.over:
            raise AWSError(
                "PipelineExecutionNotStoppableException",
                f"Pipeline execution '{execution.id}' in status {execution.status} cannot be stopped",
            )
        execution.stop_reason = reason or ""
        stages.set_status(pipeline, execution, "Stopping")
        run = execution.run
        if run is None:
            stages.end(pipeline, execution, "Stopped")
            return
        if run.status != "Stopping":
            events.stage_changed(pipeline, execution, run, "Stopping")
        run.status = "Stopping"
        for action in run.in_progress() if abandon else []:
            stages.abandon(pipeline, execution, action)
        stages.settle(pipeline, execution, run)


def cancel(pipeline: Pipeline) -> None:
    """End executions after an edit: the waiting ones at once, the others after their actions.

    Those of PARALLEL mode run on as they were declared. AWS page: "How pipeline executions work",
    editing while an execution runs.
    """
    with pipeline.lock:
        for execution in list(pipeline.running.values()):
            if execution.mode == "PARALLEL":
                continue
            execution.cancelled = True
            if execution.run is None:
                stages.end(pipeline, execution, "Cancelled")
                continue
            for condition in execution.run.conditions.values():
                for rule in condition.rules.values():
                    if rule.status == "InProgress":
                        condition.status = "Cancelled"
                        stages.abandon(pipeline, execution, rule)
            stages.settle(pipeline, execution, execution.run)


def retry(pipeline: Pipeline, stage: Stage, execution: Execution, mode: str) -> None:
    """Run a failed stage's failed actions again (or all of them), in the same execution.

    Args:
        mode: FAILED_ACTIONS or ALL_ACTIONS.

    Raises:
        AWSError: StageNotRetryableException, NotLatestPipelineExecutionException,
            ConcurrentPipelineExecutionsLimitExceededException.
    """
    with pipeline.lock:
        run = _latest(pipeline, stage, execution, inside=True)
        # failed actions can be run again while others of the stage still work
        works = any(action.status == "InProgress" for action in run.actions.values())
        beside = mode == "FAILED_ACTIONS" and run.status == "InProgress" and run.failed() and works
        if not beside and (run.status not in ("Failed", "Stopped") or run.in_progress()):
            raise AWSError(
                "StageNotRetryableException", f"Stage '{stage.name}' has status {run.status}"
            )
        if execution.mode != "PARALLEL" and execution.declaration is not pipeline.declaration:
            raise AWSError(
                "StageNotRetryableException",
                f"The pipeline has changed since execution '{execution.id}' ran",
            )
        if not beside:
            _reopen(pipeline, stage, execution, run)
        stages.retry(pipeline, execution, run, mode, "ManualStageRetry")


def roll_back(pipeline: Pipeline, stage: Stage, target: Execution, principal_arn: str) -> Execution:
    """Run a stage again with the revisions and artifacts of an execution that succeeded in it.

    Raises:
        AWSError: UnableToRollbackStageException, PipelineExecutionOutdatedException.
    """
    with pipeline.lock:
        if pipeline.declaration["executionMode"] == "PARALLEL":
            raise _no_rollback("stages of a pipeline in PARALLEL mode cannot be rolled back")
        if pipeline.declaration["pipelineType"] == "V1":
            raise _no_rollback("only stages of V2 pipelines can be rolled back")
        if stage is pipeline.stages[0]:
            raise _no_rollback(f"stage '{stage.name}' is the source stage")
        if target.type == "ROLLBACK":
            raise _no_rollback(f"execution '{target.id}' is itself a rollback")
        if target.declaration["version"] != pipeline.declaration["version"]:
            raise AWSError(
                "PipelineExecutionOutdatedException",
                f"The pipeline's structure has changed since execution '{target.id}'",
            )
        if not stages.succeeded_in(target, stage.name):
            raise _no_rollback(f"execution '{target.id}' did not succeed in stage '{stage.name}'")
        if stage.holder is not None:
            raise _no_rollback(
                f"stage '{stage.name}' is in progress with execution '{stage.holder}'"
            )
        trigger = {"triggerType": "ManualRollback", "triggerDetail": principal_arn}
        return stages.roll_back(pipeline, stage, target, trigger)


def override(pipeline: Pipeline, stage: Stage, execution: Execution, kind: str) -> None:
    """Let an execution go on past a condition that is not met, or not yet.

    Args:
        kind: beforeEntry or onSuccess.

    Raises:
        AWSError: ConditionNotOverridableException, NotLatestPipelineExecutionException,
            ConcurrentPipelineExecutionsLimitExceededException.
    """
    with pipeline.lock:
        run = _latest(pipeline, stage, execution, inside=True)
        condition = run.conditions.get(kind)
        if condition is None or condition.status not in _OVERRIDABLE:
            told = "has not been evaluated" if condition is None else f"is {condition.status}"
            raise AWSError(
                "ConditionNotOverridableException",
                f"The {kind} condition of stage '{stage.name}' {told}",
            )
        if condition.declaration.get("result") == "SKIP" or run.status == "Stopping":
            raise AWSError(
                "ConditionNotOverridableException",
                f"The {kind} condition of stage '{stage.name}' has the result SKIP, or is stopping",
            )
        if execution.mode != "PARALLEL" and execution.declaration is not pipeline.declaration:
            raise AWSError(
                "ConditionNotOverridableException",
                f"The pipeline has changed since execution '{execution.id}' ran",
            )
        for rule in condition.rules.values():
            if rule.status == "InProgress":
                stages.abandon(pipeline, execution, rule)
        condition.status, condition.updated = "Overridden", now()
        if run.status != "InProgress":
            _reopen(pipeline, stage, execution, run)
            run.status = "InProgress"
            events.stage_changed(pipeline, execution, run, "InProgress", resumed=True)
        stages.settle(pipeline, execution, run)


def answer_approval(
    pipeline: Pipeline, run: ActionRun, result: dict[str, str], principal_arn: str
) -> None:
    """Give a pending approval its answer and let its action go on."""
    with pipeline.lock:
        run.answer, run.updated, run.updated_by, run.token = result, now(), principal_arn, None
        run.answered.set()


def _latest(
    pipeline: Pipeline, stage: Stage, execution: Execution, *, inside: bool = False
) -> StageRun:
    """The execution's passage through the stage, if no other execution has entered since.

    Args:
        inside: whether the execution may be in the stage now.
    """
    run = execution.passed.get(stage.name)
    others = () if not inside else (execution.id,)
    if execution.mode == "PARALLEL":
        current = run is not None and (inside or execution.run is None)
    else:
        current = run is not None and stage.latest is run and stage.holder in (None, *others)
    if run is None or not current:
        raise AWSError(
            "NotLatestPipelineExecutionException",
            f"Execution '{execution.id}' is not the latest in stage '{stage.name}'",
        )
    return run


def _reopen(pipeline: Pipeline, stage: Stage, execution: Execution, run: StageRun) -> None:
    """An execution that was over goes on in the stage where it ended."""
    if execution.mode != "SUPERSEDED" and len(pipeline.running) >= MOST_AT_ONCE:
        raise AWSError(
            "ConcurrentPipelineExecutionsLimitExceededException",
            f"The pipeline '{pipeline.name}' has {MOST_AT_ONCE} executions in progress",
        )
    if execution.mode != "PARALLEL":
        stage.holder = execution.id
    execution.run, execution.status, execution.updated = run, "InProgress", now()
    execution.stop_reason, execution.attempts = None, execution.attempts + 1
    pipeline.running[execution.id] = execution
    events.pipeline_changed(pipeline, execution, resumed=True)


def _variables(pipeline: Pipeline, given: dict[str, str]) -> dict[str, str]:
    declared = {item["name"]: item for item in pipeline.declaration.get("variables") or []}
    for name in given:
        if name not in declared:
            raise AWSError("ValidationException", f"Pipeline variable '{name}' is not declared")
    values = {name: given.get(name, item.get("defaultValue")) for name, item in declared.items()}
    for name, value in values.items():
        if value is None:
            raise AWSError("ValidationException", f"Pipeline variable '{name}' needs a value")
    return values


def _no_rollback(why: str) -> AWSError:
    return AWSError("UnableToRollbackStageException", f"Unable to roll back stage: {why}")
