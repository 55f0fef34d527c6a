"""What CodePipeline did: executions and their actions, read back through its API.

AWS page: "View execution history" in the CodePipeline User Guide.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from labkit import colours
from labkit.lab import Lab
from labkit.missing import says_what_is_missing
from labkit.observe.charts import GAP, Chart, Row, Segment, bars, empty


@says_what_is_missing
def executions(lab: Lab) -> pd.DataFrame:
    """A row for each execution, oldest first.

    Columns: execution, status, trigger, commit, message, started, seconds.
    """
    pages = (
        lab.client("codepipeline")
        .get_paginator("list_pipeline_executions")
        .paginate(pipelineName=lab.pipeline)
    )
    rows = []
    for summary in (item for page in pages for item in page["pipelineExecutionSummaries"]):
        revision = (summary.get("sourceRevisions") or [{}])[0]
        rows.append(
            {
                "execution": summary["pipelineExecutionId"],
                "status": summary["status"],
                "trigger": summary.get("trigger", {}).get("triggerType", ""),
                "commit": revision.get("revisionId", "")[:8],
                "message": revision.get("revisionSummary", ""),
                "started": summary["startTime"],
                "seconds": _seconds(summary),
            }
        )
    columns = ["execution", "status", "trigger", "commit", "message", "started", "seconds"]
    return pd.DataFrame(rows[::-1], columns=columns)


@says_what_is_missing
def actions(lab: Lab, execution_id: str | None = None) -> pd.DataFrame:
    """A row for each action run, oldest first; of one execution, or of all.

    Columns: execution, stage, action, provider, status, started, seconds, external_id, error.
    """
    rows = []
    for run in action_runs(lab, execution_id):
        result = run.get("output", {}).get("executionResult", {})
        rows.append(
            {
                "execution": run["pipelineExecutionId"],
                "stage": run["stageName"],
                "action": run["actionName"],
                "provider": run["input"]["actionTypeId"]["provider"],
                "status": run["status"],
                "started": run["startTime"],
                "seconds": _seconds(run),
                "external_id": result.get("externalExecutionId", ""),
                "error": result.get("errorDetails", {}).get("message", ""),
            }
        )
    columns = ["execution", "stage", "action", "provider", "status", "started", "seconds",
               "external_id", "error"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def action_runs(lab: Lab, execution_id: str | None = None) -> list[dict[str, Any]]:
    """ListActionExecutions, all pages, oldest first."""
    wanted = {"filter": {"pipelineExecutionId": execution_id}} if execution_id else {}
    pages = (
        lab.client("codepipeline")
        .get_paginator("list_action_executions")
        .paginate(pipelineName=lab.pipeline, **wanted)
    )
    runs = [run for page in pages for run in page["actionExecutionDetails"]]
    return sorted(runs, key=lambda run: run["startTime"])


def chart_timeline(runs: pd.DataFrame) -> Chart:
    """When each action of one execution ran: a bar for each action, from the execution's start.

    Args:
        runs: what `actions` returned; of several executions the last is drawn.
    """
    title = "When each action ran"
    if runs.empty:
        return empty(title, "no action has run yet")
    mine = runs[runs["execution"] == runs["execution"].iloc[-1]]
    zero = mine["started"].min()
    rows, said = [], []
    for run in mine.itertuples():
        start = (run.started - zero).total_seconds()
        seconds = 0.0 if pd.isna(run.seconds) else run.seconds
        segment = Segment(seconds, colours.of_state(run.status), run.status)
        name = f"{run.stage} / {run.action}"
        rows.append(Row(name, f"{seconds:.1f} s {run.status}", start, [segment]))
        said.append(f"{run.stage}/{run.action} {run.status} after {seconds:.1f} s")
    unit = "seconds since the execution's first action"
    return bars(title, unit, rows, f"{title}: {'; '.join(said)}.")


def chart_race(
    runs: pd.DataFrame, executions: list[str], title: str = "Executions side by side"
) -> Chart:
    """Which execution was in which stage, when: a row for each execution, a bar for each stage.

    Args:
        runs: what `actions` returned.
        executions: the ids of the executions to compare, in the order of their starts. One that
            entered no stage has a row without bars.
    """
    runs = runs[runs["execution"].isin(executions)] if not runs.empty else runs
    if runs.empty:
        return empty(title, "no action has run yet")
    zero, said = runs["started"].min(), []
    rows = {one: Row(f"execution {number}") for number, one in enumerate(executions, start=1)}
    stages = list(dict.fromkeys(runs["stage"]))
    for (execution, stage), part in runs.groupby(["execution", "stage"], sort=False):
        start = (part["started"].min() - zero).total_seconds()
        ends = (part["started"] - zero).dt.total_seconds() + part["seconds"].fillna(0.0)
        row = rows[execution]
        if not row.segments:
            row.start = start
        elif start > row.end:
            row.segments.append(Segment(start - row.end, GAP))  # it waited
        length = max(ends.max() - start, 0.02)
        row.segments.append(Segment(length, colours.of_kind(stages.index(stage)), stage))
        row.said = f"until {ends.max():.1f} s"
        said.append(f"{row.name} in {stage} from {start:.1f} s to {ends.max():.1f} s")
    for execution, row in rows.items():
        if execution not in set(runs["execution"]):
            row.said = "entered no stage"
            said.append(f"{row.name} entered no stage")
    unit = "seconds since the first action"
    return bars(title, unit, list(rows.values()), f"{title}: {'; '.join(said)}.")


def _seconds(item: dict[str, Any]) -> float | None:
    if item["status"] in ("InProgress", "Stopping") or "lastUpdateTime" not in item:
        return None
    return float(max(0.0, (item["lastUpdateTime"] - item["startTime"]).total_seconds()))
