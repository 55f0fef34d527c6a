"""The state machine: executions enter stages, actions run, stages let the next execution in.

Every decision is taken under the pipeline's lock, by one of the functions below; nothing waits
there. An action runs in a thread of its own and comes back through `_finish`.

SUPERSEDED mode: a stage holds one execution. Before a held stage, or a disabled transition, one
execution waits; a newer one that arrives takes its place, and the older ends Superseded.

AWS pages: "How pipeline executions work"; "Stop a pipeline execution"; "Retry a failed stage".
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud import bus
from labkit.cloud.codepipeline import events, jobs
from labkit.cloud.codepipeline.actions import (
    Action,
    ActionFailed,
    approval,
    codebuild,
    codecommit,
    codedeploy,
)
from labkit.cloud.codepipeline.models import (
    ActionRun,
    Execution,
    Pipeline,
    Stage,
    StageRun,
    now,
)
from labkit.cloud.codepipeline.variables import resolve
from labkit.cloud.service import AWSError

logger = logging.getLogger(__name__)

PROVIDERS = {
    "CodeCommit": codecommit.run,
    "CodeBuild": codebuild.run,
    "Manual": approval.run,
    "CodeDeploy": codedeploy.run,
}
_DENIED = ("AccessDenied", "AccessDeniedException")


def _provider(kind: dict[str, str]) -> Callable[[Action], None]:
    """What runs an action of this type; `Category/Provider` where two categories share a name.

    Raises:
        ActionFailed: the lab does not run that provider.
    """
    if kind["owner"] == "Custom":
        return jobs.run
    provider = kind["provider"]
    known = PROVIDERS.get(f"{kind['category']}/{provider}") or PROVIDERS.get(provider)
    if known is None and kind["owner"] == "ThirdParty" and kind["category"] != "Source":
        return jobs.run
    if known is None:
        raise ActionFailed(
            "ConfigurationError",
            f"The lab's local AWS does not run {kind['category']} actions of provider {provider} "
            "(nothing was done)",
        )
    return known


def start(
    pipeline: Pipeline,
    trigger: dict[str, str],
    variables: dict[str, str] | None = None,
    source_revisions: dict[str, str] | None = None,
) -> Execution:
    """Start an execution of the pipeline as it is now declared.

    Args:
        trigger: triggerType and triggerDetail.
        variables: values of the pipeline's variables; the others take their defaults.
        source_revisions: commit ids by source action, in place of the branch's tip.

    Raises:
        AWSError: ValidationException, a variable without a default was given no value.
    """
    with pipeline.lock:
        execution = Execution(
            pipeline.declaration,
            trigger,
            number=len(pipeline.executions),
            variables=_variables(pipeline, variables or {}),
            source_revisions=source_revisions or {},
        )
        pipeline.executions[execution.id] = execution
        events.pipeline_changed(pipeline, execution)
        _arrive(pipeline, execution)
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
        _set_status(pipeline, execution, "Stopping")
        run = _run_of(pipeline, execution)
        if run is None:
            _end(pipeline, execution, "Stopped")
            return
        events.stage_changed(pipeline, execution, run.name, "Stopping")
        run.status = "Stopping"
        for action in run.in_progress() if abandon else []:
            _set_action(pipeline, execution, action, "Abandoned")
        _settle(pipeline, execution, run)


def cancel(pipeline: Pipeline) -> None:
    """End all executions after an edit: the waiting ones at once, the others after their actions.

    AWS page: "How pipeline executions work", editing while an execution runs.
    """
    with pipeline.lock:
        for execution in list(pipeline.executions.values()):
            if execution.over:
                continue
            execution.cancelled = True
            run = _run_of(pipeline, execution)
            if run is None:
                _end(pipeline, execution, "Cancelled")
            else:
                _settle(pipeline, execution, run)


def retry(pipeline: Pipeline, stage: Stage, execution: Execution, mode: str) -> None:
    """Run a failed stage's failed actions again (or all of them), in the same execution.

    Args:
        mode: FAILED_ACTIONS or ALL_ACTIONS.

    Raises:
        AWSError: StageNotRetryableException, NotLatestPipelineExecutionException.
    """
    with pipeline.lock:
        run = stage.latest
        if run is None or run.execution_id != execution.id or stage.holder:
            raise AWSError(
                "NotLatestPipelineExecutionException",
                f"Execution '{execution.id}' is not the latest in stage '{stage.name}'",
            )
        if run.status not in ("Failed", "Stopped") or run.in_progress():
            raise AWSError(
                "StageNotRetryableException", f"Stage '{stage.name}' has status {run.status}"
            )
        if execution.declaration is not pipeline.declaration:
            raise AWSError(
                "StageNotRetryableException",
                f"The pipeline has changed since execution '{execution.id}' ran",
            )
        stage.holder, run.status, run.attempts = execution.id, "InProgress", run.attempts + 1
        execution.status, execution.updated = "InProgress", now()
        execution.stop_reason, execution.attempts = None, execution.attempts + 1
        events.pipeline_changed(pipeline, execution, resumed=True)
        events.stage_changed(pipeline, execution, stage.name, "InProgress", resumed=True)
        keep = ("Succeeded",) if mode == "FAILED_ACTIONS" else ()
        run.actions = {
            name: action for name, action in run.actions.items() if action.status in keep
        }
        _settle(pipeline, execution, run)


def admit_waiting(pipeline: Pipeline, stage: Stage) -> None:
    """Let the execution that waits before `stage` in, if it may enter now."""
    with pipeline.lock:
        if stage.inbound and stage.enabled and stage.holder is None:
            execution, stage.inbound = pipeline.executions[stage.inbound], None
            _enter(pipeline, stage, execution)


def answer_approval(
    pipeline: Pipeline, run: ActionRun, result: dict[str, str], principal_arn: str
) -> None:
    """Give a pending approval its answer and let its action go on."""
    with pipeline.lock:
        run.answer, run.updated, run.updated_by, run.token = result, now(), principal_arn, None
        run.answered.set()


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


def _stage_of(pipeline: Pipeline, execution: Execution) -> Stage | None:
    """The stage that the execution is in; None while it waits, or when an edit removed the stage."""
    return next((stage for stage in pipeline.stages if stage.holder == execution.id), None)


def _run_of(pipeline: Pipeline, execution: Execution) -> StageRun | None:
    stage = _stage_of(pipeline, execution)
    return stage.latest if stage else None


def _arrive(pipeline: Pipeline, execution: Execution) -> None:
    """The execution comes to its next stage: it enters, or waits and supersedes who waited."""
    stage = pipeline.stages[execution.stage_index]
    if stage.enabled and stage.holder is None:
        _enter(pipeline, stage, execution)
        return
    older, stage.inbound = stage.inbound, execution.id
    if older is not None:
        _end(pipeline, pipeline.executions[older], "Superseded")
    bus.changes.announce(pipeline.arn)


def _enter(pipeline: Pipeline, stage: Stage, execution: Execution) -> None:
    run = StageRun(execution.id, execution.stages[execution.stage_index], attempts=1)
    stage.holder, stage.latest = execution.id, run
    events.stage_changed(pipeline, execution, stage.name, "InProgress")
    _settle(pipeline, execution, run)


def _settle(pipeline: Pipeline, execution: Execution, run: StageRun) -> None:
    """Decide what follows in a stage: wait, start the next run order, or leave the stage."""
    if run.in_progress():
        return
    if run.status == "Stopping":
        _leave(pipeline, execution, run, "Stopped")
    elif any(action.status in ("Failed", "Abandoned") for action in run.actions.values()):
        _leave(pipeline, execution, run, "Failed")
    elif execution.cancelled:
        _leave(pipeline, execution, run, "Cancelled")
    else:
        waiting = [item for item in run.declaration["actions"] if item["name"] not in run.actions]
        if not waiting:
            _leave(pipeline, execution, run, "Succeeded")
            return
        order = min(item.get("runOrder", 1) for item in waiting)
        for item in waiting:
            if item.get("runOrder", 1) == order:
                _start_action(pipeline, execution, run, item)


def _leave(pipeline: Pipeline, execution: Execution, run: StageRun, status: str) -> None:
    stage = _stage_of(pipeline, execution)
    run.status = status
    if stage is not None:
        stage.holder = None
    events.stage_changed(pipeline, execution, run.name, status)
    if status != "Succeeded":
        _end(pipeline, execution, status)
    elif execution.stage_index + 1 == len(execution.stages):
        _end(pipeline, execution, "Succeeded")
    else:
        execution.stage_index += 1
        _arrive(pipeline, execution)
    if stage is not None:
        admit_waiting(pipeline, stage)


def _end(pipeline: Pipeline, execution: Execution, status: str) -> None:
    for stage in pipeline.stages:
        if stage.inbound == execution.id:
            stage.inbound = None
    _set_status(pipeline, execution, status)


def _set_status(pipeline: Pipeline, execution: Execution, status: str) -> None:
    if execution.status != status:
        execution.status, execution.updated = status, now()
        events.pipeline_changed(pipeline, execution)


def _start_action(
    pipeline: Pipeline, execution: Execution, run: StageRun, declaration: dict
) -> None:
    action = ActionRun(run.name, declaration)
    run.actions[action.name] = action
    execution.runs.append(action)
    events.action_changed(pipeline, execution, action)
    threading.Thread(
        target=_perform,
        args=(pipeline, execution, run, action),
        name=f"{pipeline.name}/{run.name}/{action.name}",
        daemon=True,
    ).start()


def _perform(pipeline: Pipeline, execution: Execution, stage_run: StageRun, run: ActionRun) -> None:
    """Run one action to its end, in its own thread."""
    error: dict[str, str] | None = None
    try:
        view = Action(pipeline, execution, run, changed=lambda: bus.changes.announce(pipeline.arn))
        run.configuration = resolve(run.declaration.get("configuration") or {}, execution)
        names = [item["name"] for item in run.declaration.get("inputArtifacts") or []]
        run.inputs = [execution.artifacts[name] for name in names]
        outputs = run.declaration.get("outputArtifacts") or []
        run.outputs = [view.new_artifact(item["name"]) for item in outputs]
        _provider(run.declaration["actionTypeId"])(view)
    except ActionFailed as failed:
        error = {"code": failed.code, "message": failed.message}
    except ClientError as refused:
        found = refused.response["Error"]
        denied = found["Code"] in _DENIED
        code = "PermissionError" if denied else "ConfigurationError"
        error = {"code": code, "message": found.get("Message", str(refused))}
    except (BotoCoreError, OSError, KeyError) as broken:
        logger.exception("%s/%s", pipeline.name, run.name)
        error = {"code": "SystemUnavailable", "message": repr(broken)}
    _finish(pipeline, execution, stage_run, run, error)


def _finish(
    pipeline: Pipeline,
    execution: Execution,
    stage_run: StageRun,
    run: ActionRun,
    error: dict[str, str] | None,
) -> None:
    with pipeline.lock:
        if run.status != "InProgress":  # abandoned meanwhile: its result no longer counts
            return
        run.error = error
        if error is None:
            execution.artifacts.update({artifact.name: artifact for artifact in run.outputs})
            namespace = run.declaration.get("namespace")
            if namespace:
                execution.namespaces[namespace] = run.variables
            for revision in execution.revisions:
                if revision["actionName"] == run.name:
                    pipeline.revisions[run.stage, run.name] = revision
        else:
            run.outputs = []
        _set_action(pipeline, execution, run, "Failed" if error else "Succeeded")
        _settle(pipeline, execution, stage_run)


def _set_action(pipeline: Pipeline, execution: Execution, run: ActionRun, status: str) -> None:
    run.status, run.updated, execution.updated = status, now(), now()
    run.token = None
    events.action_changed(pipeline, execution, run)
