"""What the read operations return, field for field as AWS fills them.

AWS page: "View pipeline details and history".
"""

from __future__ import annotations

from typing import Any

from labkit.cloud.codepipeline import catalogue, jobs
from labkit.cloud.codepipeline.models import ActionRun, Execution, Pipeline, Stage
from labkit.cloud.codepipeline.registry import registries


def pipeline_state(pipeline: Pipeline) -> dict[str, Any]:
    """GetPipelineState: each stage shows its own last execution, not one execution's path."""
    return {
        "pipelineName": pipeline.name,
        "pipelineVersion": pipeline.declaration["version"],
        "stageStates": [
            _stage_state(pipeline, stage, declared)
            for stage, declared in zip(pipeline.stages, pipeline.declaration["stages"], strict=True)
        ],
        "created": pipeline.created,
        "updated": pipeline.updated,
    }


def _stage_state(pipeline: Pipeline, stage: Stage, declared: dict[str, Any]) -> dict[str, Any]:
    transition = {
        "enabled": stage.enabled,
        "lastChangedBy": stage.changed_by,
        "lastChangedAt": stage.changed_at,
        "disabledReason": None if stage.enabled else stage.disabled_reason,
    }
    state: dict[str, Any] = {
        "stageName": stage.name,
        "inboundTransitionState": _filled(transition),
        "actionStates": [_action_state(pipeline, stage, item) for item in declared["actions"]],
    }
    if stage.inbound:
        waiting = {"pipelineExecutionId": stage.inbound, "status": "InProgress", "type": "STANDARD"}
        state["inboundExecution"] = waiting
        state["inboundExecutions"] = [waiting]
    if stage.latest:
        state["latestExecution"] = {
            "pipelineExecutionId": stage.latest.execution_id,
            "status": stage.latest.status,
            "type": "STANDARD",
        }
    return state


def _action_state(pipeline: Pipeline, stage: Stage, declared: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = {"actionName": declared["name"]}
    url = _entity_url(pipeline, declared)
    if url:
        state["entityUrl"] = url
    revision = pipeline.revisions.get((stage.name, declared["name"]))
    if revision:
        state["currentRevision"] = {
            "revisionId": revision["revisionId"],
            "created": revision["created"],
        }
        state["revisionUrl"] = revision["revisionUrl"]
    run = stage.latest.actions.get(declared["name"]) if stage.latest else None
    if run is not None:
        state["latestExecution"] = _filled(
            {
                "actionExecutionId": run.id,
                "status": run.status,
                "summary": run.summary,
                "lastStatusChange": run.updated,
                "token": run.token,
                "lastUpdatedBy": run.updated_by,
                "externalExecutionId": run.external_id,
                "externalExecutionUrl": run.external_url,
                "errorDetails": run.error,
            }
        )
    return state


def execution_detail(pipeline: Pipeline, execution: Execution) -> dict[str, Any]:
    """GetPipelineExecution."""
    keys = ("name", "revisionId", "revisionSummary", "revisionUrl", "created")
    variables = execution.variables.items()
    return {
        "pipelineName": pipeline.name,
        "pipelineVersion": execution.declaration["version"],
        "pipelineExecutionId": execution.id,
        "status": execution.status,
        "artifactRevisions": [
            {key: revision[key] for key in keys} for revision in execution.revisions
        ],
        "variables": [{"name": name, "resolvedValue": value} for name, value in variables],
        "trigger": execution.trigger,
        "executionMode": "SUPERSEDED",
        "executionType": "STANDARD",
    }


def execution_summary(execution: Execution) -> dict[str, Any]:
    """One row of ListPipelineExecutions."""
    keys = ("actionName", "revisionId", "revisionSummary", "revisionUrl")
    summary = {
        "pipelineExecutionId": execution.id,
        "status": execution.status,
        "startTime": execution.started,
        "lastUpdateTime": execution.updated,
        "sourceRevisions": [{key: item[key] for key in keys} for item in execution.revisions],
        "trigger": execution.trigger,
        "executionMode": "SUPERSEDED",
        "executionType": "STANDARD",
    }
    if execution.stop_reason is not None:
        summary["stopTrigger"] = {"reason": execution.stop_reason}
    return summary


def action_detail(pipeline: Pipeline, execution: Execution, run: ActionRun) -> dict[str, Any]:
    """One row of ListActionExecutions."""
    result = {
        "externalExecutionId": run.external_id,
        "externalExecutionSummary": run.summary,
        "externalExecutionUrl": run.external_url,
        "errorDetails": run.error,
    }
    registry = registries[pipeline.account_id][pipeline.region]
    secret = catalogue.secret_keys(catalogue.find(registry, run.declaration["actionTypeId"]))
    action_input = {
        "actionTypeId": run.declaration["actionTypeId"],
        "configuration": catalogue.masked_configuration(registry, run.declaration),
        "resolvedConfiguration": {
            key: catalogue.SECRET if key in secret else value
            for key, value in run.configuration.items()
        },
        "roleArn": run.declaration.get("roleArn"),
        "region": run.declaration.get("region") or pipeline.region,
        "inputArtifacts": [artifact.location for artifact in run.inputs],
        "namespace": run.declaration.get("namespace"),
    }
    return {
        "pipelineExecutionId": execution.id,
        "actionExecutionId": run.id,
        "pipelineVersion": execution.declaration["version"],
        "stageName": run.stage,
        "actionName": run.name,
        "startTime": run.started,
        "lastUpdateTime": run.updated,
        "updatedBy": run.updated_by,
        "status": run.status,
        "input": _filled(action_input),
        "output": {
            "outputArtifacts": [artifact.location for artifact in run.outputs],
            "executionResult": _filled(result),
            "outputVariables": run.variables,
        },
    }


def _entity_url(pipeline: Pipeline, declared: dict[str, Any]) -> str | None:
    configuration, region = declared.get("configuration") or {}, pipeline.region
    console = f"https://{region}.console.aws.amazon.com/codesuite"
    match declared["actionTypeId"]["provider"]:
        case "CodeCommit":
            name, branch = configuration["RepositoryName"], configuration["BranchName"]
            return f"{console}/codecommit/repositories/{name}/browse/refs/heads/{branch}/--/?region={region}"
        case "CodeBuild":
            name = configuration["ProjectName"]
            return f"{console}/codebuild/projects/{name}/view?region={region}"
        case "CodeDeploy":
            name, group = configuration["ApplicationName"], configuration["DeploymentGroupName"]
            return f"{console}/codedeploy/applications/{name}/deployment-groups/{group}?region={region}"
        case _:
            registry = registries[pipeline.account_id][pipeline.region]
            row = catalogue.find(registry, declared["actionTypeId"]) or {}
            template = (row.get("settings") or {}).get("entityUrlTemplate")
            if template:
                return jobs.fill_template(template, configuration)
            return configuration.get("ExternalEntityLink")


def _filled(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
