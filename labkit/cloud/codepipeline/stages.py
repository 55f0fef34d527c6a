"""The state machine: executions arrive at stages, enter, run their actions, leave.

`settle` is its heart: whenever an action or a rule has ended, it decides what follows in that stage.
All of it happens under the pipeline's lock.

SUPERSEDED mode: a stage holds one execution. Before a held stage, or a disabled transition, one
execution waits; a newer one that arrives takes its place, and the older ends Superseded.
QUEUED mode: all that arrive wait, and enter in the order in which they came.
PARALLEL mode: stages hold nobody; of one execution at most five actions run at once.

AWS pages: "How pipeline executions work"; "Set or change the pipeline execution mode"; "How do stage
conditions work?".
"""

from __future__ import annotations

import logging
from typing import Any

from labkit.cloud import bus
from labkit.cloud.codepipeline import conditions, events, performing
from labkit.cloud.codepipeline.models import ActionRun, Execution, Pipeline, Stage, StageRun, now

logger = logging.getLogger(__name__)
MOST_ACTIONS = 5  # of one execution at once in PARALLEL mode; "Quotas in AWS CodePipeline"


def begin(pipeline: Pipeline, execution: Execution) -> None:
    """Take a new execution in."""
    pipeline.executions[execution.id] = pipeline.running[execution.id] = execution
    events.pipeline_changed(pipeline, execution)


def arrive(pipeline: Pipeline, execution: Execution) -> None:
    """The execution comes to its next stage, and enters when it can."""
    if execution.mode == "PARALLEL":
        _enter(pipeline, None, execution)
        return
    stage = pipeline.stages[execution.stage_index]
    older = list(stage.waiting) if execution.mode == "SUPERSEDED" else []
    stage.waiting.append(execution.id)
    admit(pipeline, stage)
    for waiting in older:
        end(pipeline, pipeline.executions[waiting], "Superseded")
    bus.changes.announce(pipeline.arn)


def admit(pipeline: Pipeline, stage: Stage) -> None:
    """Let the execution that waits longest before the stage in, if it may enter now."""
    if stage.waiting and stage.enabled and stage.holder is None:
        _enter(pipeline, stage, pipeline.executions[stage.waiting.pop(0)])


def settle(pipeline: Pipeline, execution: Execution, run: StageRun) -> None:
    """Decide what follows in a stage: wait, start what is next, or leave it.

    An execution about which nothing can be decided is over, and says why.
    """
    try:
        _decide(pipeline, execution, run)
    except Exception as error:
        logger.exception("%s/%s", pipeline.name, run.name)
        execution.summary = f"InternalError: {error!r}"
        _leave(pipeline, execution, run, "Failed")


def _decide(pipeline: Pipeline, execution: Execution, run: StageRun) -> None:
    conditions.judge(run)
    if run.status == "Stopping" or execution.cancelled:
        if not run.in_progress():
            ended = (
                "Stopped" if run.status == "Stopping" else "Failed" if run.failed() else "Cancelled"
            )
            _leave(pipeline, execution, run, ended)
        return
    if conditions.undecided(pipeline, execution, run, "beforeEntry", settle):
        return
    if conditions.failed(run, "beforeEntry"):
        skipped = conditions.result(run, "beforeEntry") == "SKIP"
        _leave(pipeline, execution, run, "Skipped" if skipped else "Failed")
    elif run.failed():
        if not run.in_progress() or "onFailure" in run.conditions:
            _after_failure(pipeline, execution, run)
    else:
        for action in _startable(execution, run):
            _start_action(pipeline, execution, run, action)
        if not any(action.status == "InProgress" for action in run.actions.values()):
            _after_success(pipeline, execution, run)


def retry(pipeline: Pipeline, execution: Execution, run: StageRun, mode: str, trigger: str) -> None:
    """Run a stage's failed actions again, or all of them.

    Args:
        mode: FAILED_ACTIONS or ALL_ACTIONS.
        trigger: ManualStageRetry or AutomatedStageRetry.
    """
    if trigger == "ManualStageRetry":
        run.manual_retries += 1
    else:
        run.automatic_retries += 1
    run.status, run.retried_by, run.retried_at = "InProgress", trigger, now()
    keep = ("Succeeded", "InProgress") if mode == "FAILED_ACTIONS" else ()
    run.actions = {name: item for name, item in run.actions.items() if item.status in keep}
    passed = ("Succeeded", "Overridden")
    entry = run.conditions.get("beforeEntry")
    run.conditions = {"beforeEntry": entry} if entry and entry.status in passed else {}
    events.stage_changed(pipeline, execution, run, "InProgress", resumed=True)
    settle(pipeline, execution, run)


def roll_back(
    pipeline: Pipeline, stage: Stage, target: Execution, trigger: dict[str, str]
) -> Execution:
    """Have a new execution run one stage with what an earlier one had there."""
    execution = Execution(
        pipeline.declaration,
        trigger,
        number=len(pipeline.executions),
        stage_index=pipeline.stages.index(stage),
        artifacts=dict(target.artifacts),
        revisions=list(target.revisions),
        namespaces=dict(target.namespaces),
        variables=dict(target.variables),
        rollback_target=target.id,
    )
    begin(pipeline, execution)
    _enter(pipeline, stage, execution)
    return execution


def succeeded_in(execution: Execution, stage_name: str) -> bool:
    """Whether the execution has passed the stage with success."""
    run = execution.passed.get(stage_name)
    return run is not None and run.status == "Succeeded"


def end(pipeline: Pipeline, execution: Execution, status: str) -> None:
    """The execution is over."""
    for stage in pipeline.stages:
        if execution.id in stage.waiting:
            stage.waiting.remove(execution.id)
    pipeline.running.pop(execution.id, None)
    set_status(pipeline, execution, status)


def set_status(pipeline: Pipeline, execution: Execution, status: str) -> None:
    """Show an execution's new status."""
    if execution.status != status:
        execution.status, execution.updated = status, now()
        events.pipeline_changed(pipeline, execution)


def abandon(pipeline: Pipeline, execution: Execution, run: ActionRun) -> None:
    """An action or a rule no longer counts; what it started elsewhere goes on."""
    performing.set_status(pipeline, execution, run, "Abandoned")
    run.answered.set()


def _enter(pipeline: Pipeline, stage: Stage | None, execution: Execution) -> None:
    run = StageRun(execution.id, execution.stages[execution.stage_index], execution.type)
    execution.run = execution.passed[run.name] = run
    if stage is not None:
        stage.holder, stage.latest = execution.id, run
    events.stage_changed(pipeline, execution, run, "InProgress")
    settle(pipeline, execution, run)


def _startable(execution: Execution, run: StageRun) -> list[dict[str, Any]]:
    """The actions of the lowest run order that is not over, as many as may run at once."""
    waiting = [item for item in run.declaration["actions"] if item["name"] not in run.actions]
    running = [action for action in run.actions.values() if action.status == "InProgress"]
    if not waiting:
        return []
    order = min(item.get("runOrder", 1) for item in waiting)
    if any(action.run_order < order for action in running):
        return []
    room = MOST_ACTIONS - len(running) if execution.mode == "PARALLEL" else len(waiting)
    return [item for item in waiting if item.get("runOrder", 1) == order][:room]


def _start_action(
    pipeline: Pipeline, execution: Execution, run: StageRun, declaration: dict[str, Any]
) -> None:
    action = ActionRun(run.name, declaration)
    run.actions[action.name] = action
    execution.runs.append(action)
    events.action_changed(pipeline, execution, action)
    performing.start(pipeline, execution, action, lambda: settle(pipeline, execution, run))


def _after_success(pipeline: Pipeline, execution: Execution, run: StageRun) -> None:
    if conditions.undecided(pipeline, execution, run, "onSuccess", settle):
        return
    if not conditions.failed(run, "onSuccess"):
        _leave(pipeline, execution, run, "Succeeded")
        return
    rolls_back = conditions.result(run, "onSuccess") == "ROLLBACK"
    _leave(pipeline, execution, run, "Failed", rolls_back=rolls_back)


def _after_failure(pipeline: Pipeline, execution: Execution, run: StageRun) -> None:
    """AWS page: "Configure stage rollback" and "Configure automatic retry for a failed stage"."""
    declared = run.declaration.get("onFailure") or {}
    result = declared.get("result", "FAIL")
    if declared.get("conditions"):
        if conditions.undecided(pipeline, execution, run, "onFailure", settle):
            return
        met = not conditions.failed(run, "onFailure")
        result = conditions.result(run, "onFailure") if met else "FAIL"
    if result == "RETRY" and not run.automatic_retries:
        mode = (declared.get("retryConfiguration") or {}).get("retryMode", "FAILED_ACTIONS")
        events.stage_changed(pipeline, execution, run, "Failed")
        retry(pipeline, execution, run, mode, "AutomatedStageRetry")
    elif result == "SKIP":
        _leave(pipeline, execution, run, "Skipped")
    else:
        _leave(pipeline, execution, run, "Failed", rolls_back=result == "ROLLBACK")


def _leave(
    pipeline: Pipeline,
    execution: Execution,
    run: StageRun,
    status: str,
    *,
    rolls_back: bool = False,
) -> None:
    stage = next((item for item in pipeline.stages if item.holder == execution.id), None)
    run.status, execution.run = status, None
    if stage is not None:
        stage.holder = None
    if status != "Skipped":  # of which CodePipeline publishes no event
        events.stage_changed(pipeline, execution, run, status)
    if status not in ("Succeeded", "Skipped"):
        end(pipeline, execution, status)
    elif execution.type == "ROLLBACK" or execution.stage_index + 1 == len(execution.stages):
        end(pipeline, execution, "Succeeded")
    else:
        execution.stage_index += 1
        arrive(pipeline, execution)
    if stage is not None:
        # a rollback that fails is not rolled back to the same target again, for it would never end
        if rolls_back and execution.type == "STANDARD":
            _roll_back_to_last_success(pipeline, stage, execution)
        admit(pipeline, stage)


def _roll_back_to_last_success(pipeline: Pipeline, stage: Stage, failed: Execution) -> None:
    """Where no execution has succeeded since the last edit, nothing happens, as on AWS."""
    for target in pipeline.newest_first():
        if target.declaration is not pipeline.declaration:
            return
        usable = target.type == "STANDARD" and target is not failed
        if usable and succeeded_in(target, stage.name):
            trigger = {"triggerType": "AutomatedRollback", "triggerDetail": failed.id}
            roll_back(pipeline, stage, target, trigger)
            return
