"""What CodeDeploy did: deployments, what they came to, and each step on each instance.

AWS pages: "View deployment details"; "AppSpec 'hooks' section" (the order of lifecycle events).
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from labkit import colours
from labkit.lab import Lab
from labkit.missing import says_what_is_missing
from labkit.observe.charts import Chart, Row, Segment, bars, empty
from labkit.observe.executions import action_runs

ROLLBACK = "codeDeployRollback"


def all_deployments(lab: Lab) -> list[dict[str, Any]]:
    """Every deployment of the group as BatchGetDeployments describes it, oldest first."""
    return _described(lab, _ids(lab, lab.application, lab.fleet))


def deployments_of(lab: Lab, application: str) -> list[dict[str, Any]]:
    """Every deployment of an application, oldest first, those of groups that are gone among them.

    AWS page: "ListDeployments": by an application and a group, or of the whole account.
    """
    pages = lab.client("codedeploy").get_paginator("list_deployments").paginate()
    found = _described(lab, [one for page in pages for one in page["deployments"]])
    return [one for one in found if one["applicationName"] == application]


def _ids(lab: Lab, application: str, group: str) -> list[str]:
    codedeploy = lab.client("codedeploy")
    pages = codedeploy.get_paginator("list_deployments").paginate(
        applicationName=application, deploymentGroupName=group
    )
    missing = (
        codedeploy.exceptions.ApplicationDoesNotExistException,
        codedeploy.exceptions.DeploymentGroupDoesNotExistException,
    )
    try:
        return [item for page in pages for item in page["deployments"]]
    except missing:  # a lab that has not come to its deployments yet
        return []


def _described(lab: Lab, ids: list[str]) -> list[dict[str, Any]]:
    codedeploy = lab.client("codedeploy")
    infos = [
        info
        for start in range(0, len(ids), 25)
        for info in codedeploy.batch_get_deployments(deploymentIds=ids[start : start + 25])[
            "deploymentsInfo"
        ]
    ]
    return sorted(infos, key=lambda info: info["createTime"])


def deployment_outcomes(lab: Lab) -> pd.DataFrame:
    """A row for each deployment, oldest first.

    Columns: deployment, status, creator, commit, started, seconds, succeeded, failed, skipped (the
    number of instances), rolls_back (the deployment whose failure it undoes), error.
    """
    commits = _commits_by_key(lab)
    rows = []
    for info in all_deployments(lab):
        overview = info.get("deploymentOverview", {})
        key = info.get("revision", {}).get("s3Location", {}).get("key", "")
        undone = info.get("rollbackInfo", {}).get("rollbackTriggeringDeploymentId", "")
        rows.append(
            {
                "deployment": info["deploymentId"],
                "status": info["status"],
                "creator": info.get("creator", ""),
                "commit": commits.get(key, "")[:8],
                "started": info["createTime"],
                "seconds": _seconds(info.get("createTime"), info.get("completeTime")),
                "succeeded": overview.get("Succeeded", 0),
                "failed": overview.get("Failed", 0),
                "skipped": overview.get("Skipped", 0),
                "rolls_back": undone,
                "error": info.get("errorInformation", {}).get("code", ""),
            }
        )
    columns = ["deployment", "status", "creator", "commit", "started", "seconds", "succeeded",
               "failed", "skipped", "rolls_back", "error"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


@says_what_is_missing
def lifecycle_events(lab: Lab, deployment_id: str) -> pd.DataFrame:
    """A row for each lifecycle event on each instance, in order.

    Columns: instance, event, status, seconds, script, message, log (the tail of what it printed).
    """
    codedeploy = lab.client("codedeploy")
    pages = codedeploy.get_paginator("list_deployment_targets").paginate(deploymentId=deployment_id)
    ids = [one for page in pages for one in page["targetIds"]]
    targets = (
        codedeploy.batch_get_deployment_targets(deploymentId=deployment_id, targetIds=ids)[
            "deploymentTargets"
        ]
        if ids
        else []
    )
    rows = []
    for target in (item["instanceTarget"] for item in targets):
        for event in target.get("lifecycleEvents", []):
            diagnostics = event.get("diagnostics") or {}
            rows.append(
                {
                    "instance": target["targetId"],
                    "event": event["lifecycleEventName"],
                    "status": event["status"],
                    "seconds": _seconds(event.get("startTime"), event.get("endTime")),
                    "script": diagnostics.get("scriptName", ""),
                    "message": diagnostics.get("message", ""),
                    "log": diagnostics.get("logTail", ""),
                }
            )
    columns = ["instance", "event", "status", "seconds", "script", "message", "log"]
    return pd.DataFrame(rows, columns=columns)


def chart_deployments(outcomes: pd.DataFrame) -> Chart:
    """How long each deployment took and what it came to.

    Args:
        outcomes: what `deployment_outcomes` returned.
    """
    title = "How each deployment went"
    if outcomes.empty:
        return empty(title, "nothing has been deployed yet")
    rows, said = [], []
    for one in outcomes.itertuples():
        seconds = 0.0 if pd.isna(one.seconds) else one.seconds
        text = f"{one.status}: {one.succeeded} succeeded, {one.failed} failed"
        if one.skipped:
            text += f", {one.skipped} skipped"
        if one.rolls_back:
            text += ", a rollback"
        segment = Segment(seconds, colours.of_state(one.status), one.status)
        rows.append(Row(_row_name(one), f"{seconds:.1f} s, {text}", segments=[segment]))
        said.append(f"{one.deployment} {text} ({seconds:.1f} s)")
    unit = "seconds from creation to completion"
    return bars(title, unit, rows, f"{title}: {'; '.join(said)}.")


def _row_name(one: Any) -> str:
    return f"{one.deployment} ({one.commit})" if one.commit else one.deployment


def _commits_by_key(lab: Lab) -> dict[str, str]:
    """Which commit an artifact was built from: the execution that made it says so."""
    try:
        runs = action_runs(lab)
    except lab.client("codepipeline").exceptions.PipelineNotFoundException:
        return {}  # deployed by hand so far
    commits = {
        run["pipelineExecutionId"]: run["output"]["outputVariables"]["CommitId"]
        for run in runs
        if "CommitId" in run.get("output", {}).get("outputVariables", {})
    }
    return {
        artifact["s3location"]["key"]: commits.get(run["pipelineExecutionId"], "")
        for run in runs
        for artifact in run.get("output", {}).get("outputArtifacts", [])
        if "s3location" in artifact
    }


def _seconds(start: Any, end: Any) -> float | None:
    return None if start is None or end is None else (end - start).total_seconds()
