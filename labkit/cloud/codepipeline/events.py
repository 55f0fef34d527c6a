"""The three levels of state change events, in AWS's shape.

AWS page: "Monitoring CodePipeline events".
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from labkit.cloud import bus
from labkit.cloud.codepipeline.models import ActionRun, Execution, Pipeline, StageRun

# The API's status words, as events say them.
_STATES = {
    "InProgress": "STARTED",
    "Succeeded": "SUCCEEDED",
    "Failed": "FAILED",
    "Stopping": "STOPPING",
    "Stopped": "STOPPED",
    "Superseded": "SUPERSEDED",
    "Cancelled": "CANCELED",
    "Abandoned": "ABANDONED",
}


def pipeline_changed(pipeline: Pipeline, execution: Execution, *, resumed: bool = False) -> None:
    """Publish the state of an execution."""
    detail: dict[str, Any] = {"execution-trigger": _trigger(execution)}
    if execution.stop_reason is not None:
        detail["stop-execution-comments"] = execution.stop_reason
    detail["pipeline-execution-attempt"] = float(execution.attempts)
    bus.changes.announce(pipeline.arn)
    _publish("Pipeline", pipeline, execution, execution.status, resumed, detail)


def stage_changed(
    pipeline: Pipeline, execution: Execution, run: StageRun, status: str, *, resumed: bool = False
) -> None:
    """Publish the state of a stage for one execution."""
    detail: dict[str, Any] = {"stage": run.name}
    if run.retried_at is not None:
        detail["stage-last-retry-attempt-time"] = _time(run.retried_at)
    _publish("Stage", pipeline, execution, status, resumed, detail)


def action_changed(pipeline: Pipeline, execution: Execution, run: ActionRun) -> None:
    """Publish the state of one action run."""
    kind = run.declaration["actionTypeId"]
    detail: dict[str, Any] = {
        "stage": run.stage,
        "action": run.name,
        "action-execution-id": run.id,
        "region": pipeline.region,
        "type": {key: kind[key] for key in ("owner", "category", "provider", "version")},
        "input-artifacts": [artifact.location for artifact in run.inputs],
        "output-artifacts": [artifact.location for artifact in run.outputs],
    }
    result = {
        "external-execution-id": run.external_id,
        "external-execution-url": run.external_url,
        "external-execution-summary": run.error["message"] if run.error else run.summary,
        "error-code": run.error["code"] if run.error else None,
    }
    if run.status != "InProgress":
        detail["execution-result"] = {key: value for key, value in result.items() if value}
    _publish("Action", pipeline, execution, run.status, False, detail)


def _publish(
    level: str,
    pipeline: Pipeline,
    execution: Execution,
    status: str,
    resumed: bool,
    detail: dict[str, Any],
) -> None:
    common = {
        "pipeline": pipeline.name,
        "execution-id": execution.id,
        "start-time": _time(execution.started),
        "state": "RESUMED" if resumed else _STATES[status],
        "version": float(execution.declaration["version"]),
    }
    bus.publish(
        "aws.codepipeline",
        f"CodePipeline {level} Execution State Change",
        {**common, **detail},
        account=pipeline.account_id,
        region=pipeline.region,
        resources=[pipeline.arn],
    )


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _trigger(execution: Execution) -> dict[str, str]:
    trigger = execution.trigger
    return {"trigger-type": trigger["triggerType"], "trigger-detail": trigger["triggerDetail"]}
