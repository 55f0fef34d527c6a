"""One execution of the pipeline as it stands now: stages, in them actions.

Three of CodePipeline's answers put together: the declaration (what should run), the action
executions (what did), and, while it waits, the state (what for, and an approval's token).
AWS pages: "GetPipelineExecution", "ListActionExecutions", "GetPipelineState" in the API Reference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from labkit.lab import Lab
from labkit.missing import says_what_is_missing

OVER = ("Succeeded", "Failed", "Stopped", "Superseded", "Cancelled")


@dataclass(frozen=True)
class Action:
    """One action: its latest run in this execution, or no status when it has not run."""

    stage: str
    name: str
    provider: str
    status: str | None = None
    started: datetime | None = None
    ended: datetime | None = None
    external_id: str | None = None
    summary: str | None = None
    error: str | None = None
    token: str | None = None

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken up to now."""
        if self.started is None:
            return None
        return max(0.0, ((self.ended or datetime.now(UTC)) - self.started).total_seconds())


@dataclass(frozen=True)
class Stage:
    """One stage and its actions."""

    name: str
    actions: tuple[Action, ...]

    @property
    def status(self) -> str | None:
        """The stage's state, from its actions'; None when none has started."""
        states = {action.status for action in self.actions}
        for state, meaning in (
            ("InProgress", "InProgress"),
            ("Failed", "Failed"),
            ("Abandoned", "Stopped"),
        ):
            if state in states:
                return meaning
        if states == {"Succeeded"}:
            return "Succeeded"
        return "InProgress" if "Succeeded" in states else None


@dataclass(frozen=True, repr=False)
class Snapshot:
    """One execution at one moment; two snapshots are equal when nothing has changed."""

    pipeline: str
    execution_id: str
    status: str
    trigger: str
    commit: str | None
    message: str | None
    stages: tuple[Stage, ...]
    obstacle: str | None = None  # what holds it up until somebody does something about it

    def __repr__(self) -> str:
        stages = ", ".join(f"{one.name} {one.status or 'not started'}" for one in self.stages)
        commit = f" of commit {self.commit[:8]}" if self.commit else ""
        note = f"; {self.obstacle or self.failure}" if self.obstacle or self.failure else ""
        return f"<execution {self.execution_id[:8]}{commit}: {self.status} ({stages}){note}>"

    @property
    def over(self) -> bool:
        """Whether nothing more will happen, unless somebody retries."""
        return self.status in OVER

    @property
    def actions(self) -> list[Action]:
        """All actions in order."""
        return [action for stage in self.stages for action in stage.actions]

    @property
    def awaits_approval(self) -> Action | None:
        """The approval action that waits for an answer, if one does."""
        return next((action for action in self.actions if action.token), None)

    @property
    def waits_before(self) -> str | None:
        """The stage that this execution may not enter yet: another holds it, or it is disabled."""
        if self.status != "InProgress":
            return None
        for before, after in pairwise(self.stages):
            if before.status == "Succeeded" and after.status is None:
                return after.name
        return None

    @property
    def failure(self) -> str | None:
        """What the failed action said, if one failed."""
        failed = [action for action in self.actions if action.status == "Failed"]
        return f"{failed[0].name}: {failed[0].error}" if failed else None

    @property
    def seconds(self) -> float:
        """From the first action's start to the last one's end, or to now."""
        ran = [action for action in self.actions if action.started]
        if not ran:
            return 0.0
        start = min(action.started for action in ran if action.started)
        ends = [action.ended or datetime.now(UTC) for action in ran]
        return max(0.0, (max(ends) - start).total_seconds())


@says_what_is_missing
def snapshot(lab: Lab, execution_id: str) -> Snapshot:
    """Read one execution.

    Raises:
        NotThere: there is no such pipeline or execution; the message says what to run.
    """
    codepipeline = lab.client("codepipeline")
    execution = codepipeline.get_pipeline_execution(
        pipelineName=lab.pipeline, pipelineExecutionId=execution_id
    )["pipelineExecution"]
    runs = _latest_runs(codepipeline, lab.pipeline, execution_id)
    state = (
        codepipeline.get_pipeline_state(name=lab.pipeline)["stageStates"]
        if _may_wait(execution, runs)
        else []
    )
    tokens = _tokens(state, execution_id)
    stages = _declared_stages(codepipeline, lab.pipeline, execution["pipelineVersion"])
    revisions = execution.get("artifactRevisions") or [{}]
    now = Snapshot(
        pipeline=lab.pipeline,
        execution_id=execution_id,
        status=execution["status"],
        trigger=execution.get("trigger", {}).get("triggerType", ""),
        commit=revisions[0].get("revisionId"),
        message=revisions[0].get("revisionSummary"),
        stages=tuple(
            Stage(
                stage["name"],
                tuple(_action(stage["name"], one, runs, tokens) for one in stage["actions"]),
            )
            for stage in stages
        ),
    )
    return replace(now, obstacle=_obstacle(now, state))


def _declared_stages(codepipeline: Any, pipeline: str, version: int) -> list[dict[str, Any]]:
    """The stages as they were declared when the execution started."""
    try:
        answer = codepipeline.get_pipeline(name=pipeline, version=version)
    except codepipeline.exceptions.PipelineVersionNotFoundException:
        answer = codepipeline.get_pipeline(name=pipeline)
    stages: list[dict[str, Any]] = answer["pipeline"]["stages"]
    return stages


def _latest_runs(codepipeline: Any, pipeline: str, execution_id: str) -> dict[Any, Any]:
    """The newest run of each action; a retry makes a second one."""
    pages = codepipeline.get_paginator("list_action_executions").paginate(
        pipelineName=pipeline, filter={"pipelineExecutionId": execution_id}
    )
    runs = [run for page in pages for run in page["actionExecutionDetails"]]
    return {
        (run["stageName"], run["actionName"]): run
        for run in sorted(runs, key=lambda run: run["startTime"])
    }


def _may_wait(execution: dict[str, Any], runs: dict[Any, Any]) -> bool:
    """Whether it may be up to somebody: nothing of it runs, or an approval does."""
    running = [run for run in runs.values() if run["status"] == "InProgress"]
    kinds = {run["input"]["actionTypeId"]["category"] for run in running}
    return execution["status"] == "InProgress" and (not kinds or "Approval" in kinds)


def _tokens(state: list[dict[str, Any]], execution_id: str | None) -> dict[Any, str]:
    return {
        (stage["stageName"], action["actionName"]): action["latestExecution"]["token"]
        for stage in state
        if _inside(stage) == execution_id
        for action in stage.get("actionStates", [])
        if action.get("latestExecution", {}).get("token")
    }


def _inside(stage: dict[str, Any]) -> str | None:
    found: str | None = stage.get("latestExecution", {}).get("pipelineExecutionId")
    return found


def _obstacle(now: Snapshot, state: list[dict[str, Any]]) -> str | None:
    if approval := now.awaits_approval:
        return f"{approval.name} in stage {approval.stage} waits for somebody's approval"
    for stage in state:
        if stage["stageName"] != now.waits_before:
            continue
        transition = stage["inboundTransitionState"]
        if not transition["enabled"]:
            why = transition.get("disabledReason", "no reason given")
            return f"the transition into stage {now.waits_before} is disabled ({why})"
        if _tokens([stage], _inside(stage)):
            held = f"execution {_inside(stage)}, which is in stage {now.waits_before},"
            return f"{held} waits for somebody's approval"
    return None


def _action(
    stage: str, declared: dict[str, Any], runs: dict[Any, Any], tokens: dict[Any, str]
) -> Action:
    name, provider = declared["name"], declared["actionTypeId"]["provider"]
    run = runs.get((stage, name))
    if run is None:
        return Action(stage, name, provider)
    result = run.get("output", {}).get("executionResult", {})
    return Action(
        stage,
        name,
        provider,
        status=run["status"],
        started=run["startTime"],
        ended=None if run["status"] == "InProgress" else run["lastUpdateTime"],
        external_id=result.get("externalExecutionId"),
        summary=result.get("externalExecutionSummary"),
        error=result.get("errorDetails", {}).get("message"),
        token=tokens.get((stage, name)),
    )
