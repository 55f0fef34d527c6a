"""One execution of the pipeline as it stands now: stages, in them actions.

Three of CodePipeline's answers put together: the declaration (what should run), the action
executions (what did), and, while somebody's approval is awaited, the state (with its token).
AWS pages: "GetPipelineExecution", "ListActionExecutions", "GetPipelineState" in the API Reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from labkit.lab import Lab

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


@dataclass(frozen=True)
class Snapshot:
    """One execution at one moment; two snapshots are equal when nothing has changed."""

    pipeline: str
    execution_id: str
    status: str
    trigger: str
    commit: str | None
    message: str | None
    stages: tuple[Stage, ...]

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


def snapshot(lab: Lab, execution_id: str) -> Snapshot:
    """Read one execution.

    Raises:
        botocore.exceptions.ClientError: there is no such pipeline or execution.
    """
    codepipeline = lab.client("codepipeline")
    execution = codepipeline.get_pipeline_execution(
        pipelineName=lab.pipeline, pipelineExecutionId=execution_id
    )["pipelineExecution"]
    runs = _latest_runs(codepipeline, lab.pipeline, execution_id)
    tokens = _tokens(codepipeline, lab.pipeline, execution_id) if _approval_runs(runs) else {}
    stages = _declared_stages(codepipeline, lab.pipeline, execution["pipelineVersion"])
    revisions = execution.get("artifactRevisions") or [{}]
    return Snapshot(
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


def _approval_runs(runs: dict[Any, Any]) -> bool:
    return any(
        run["status"] == "InProgress" and run["input"]["actionTypeId"]["category"] == "Approval"
        for run in runs.values()
    )


def _tokens(codepipeline: Any, pipeline: str, execution_id: str) -> dict[Any, str]:
    return {
        (stage["stageName"], state["actionName"]): state["latestExecution"]["token"]
        for stage in codepipeline.get_pipeline_state(name=pipeline)["stageStates"]
        if stage.get("latestExecution", {}).get("pipelineExecutionId") == execution_id
        for state in stage.get("actionStates", [])
        if state.get("latestExecution", {}).get("token")
    }


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
