"""What the read operations return, field for field as AWS fills them.

AWS page: "View pipeline details and history".
"""

from __future__ import annotations

from typing import Any

from labkit.cloud.codepipeline import catalogue, jobs
from labkit.cloud.codepipeline.models import ActionRun, Execution, Pipeline, Stage, StageRun
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
    if stage.waiting:
        state["inboundExecutions"] = [
            {
                "pipelineExecutionId": waiting,
                "status": pipeline.executions[waiting].status,
                "type": pipeline.executions[waiting].type,
            }
            for waiting in stage.waiting
        ]
        state["inboundExecution"] = state["inboundExecutions"][0]
    if stage.latest:
        state["latestExecution"] = {
            "pipelineExecutionId": stage.latest.execution_id,
            "status": stage.latest.status,
            "type": stage.latest.type,
        }
        state |= _retries(stage.latest)
    for kind in ("beforeEntry", "onSuccess", "onFailure"):
        if (declared.get(kind) or {}).get("conditions"):
            state[f"{kind}ConditionState"] = _condition_state(stage.latest, declared, kind)
    return state


def _retries(run: StageRun) -> dict[str, Any]:
    if run.retried_by is None:
        return {}
    return {
        "retryStageMetadata": {
            "autoStageRetryAttempt": run.automatic_retries,
            "manualStageRetryAttempt": run.manual_retries,
            "latestRetryTrigger": run.retried_by,
        }
    }


def _condition_state(run: StageRun | None, declared: dict[str, Any], kind: str) -> dict[str, Any]:
    """AWS page: "StageConditionState" in the CodePipeline API Reference."""
    condition = run.conditions.get(kind) if run else None
    names = [rule["name"] for rule in declared[kind]["conditions"][0]["rules"]]
    if condition is None:
        return {"conditionStates": [{"ruleStates": [{"ruleName": name} for name in names]}]}
    latest = _filled(
        {
            "status": condition.status,
            "summary": condition.summary,
            "lastStatusChange": condition.updated,
        }
    )
    rules = [
        {"ruleName": name, "latestExecution": _rule_state(condition.rules[name])}
        for name in names
        if name in condition.rules
    ]
    whole = {key: value for key, value in latest.items() if key != "lastStatusChange"}
    return {
        "latestExecution": whole,
        "conditionStates": [{"latestExecution": latest, "ruleStates": rules}],
    }


def _rule_state(run: ActionRun) -> dict[str, Any]:
    return _filled(
        {
            "ruleExecutionId": run.id,
            "status": run.status,
            "summary": run.summary,
            "lastStatusChange": run.updated,
            "lastUpdatedBy": run.updated_by,
            "externalExecutionId": run.external_id,
            "externalExecutionUrl": run.external_url,
            "errorDetails": run.error,
        }
    )


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
        if revision.get("revisionUrl"):
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
    keys = (
        "name",
        "revisionId",
        "revisionChangeIdentifier",
        "revisionSummary",
        "revisionUrl",
        "created",
    )
    variables = execution.variables.items()
    return {
        "pipelineName": pipeline.name,
        "pipelineVersion": execution.declaration["version"],
        "pipelineExecutionId": execution.id,
        "status": execution.status,
        "artifactRevisions": [
            {key: revision[key] for key in keys if key in revision}
            for revision in execution.revisions
        ],
        "variables": [{"name": name, "resolvedValue": value} for name, value in variables],
        "trigger": execution.trigger,
        **_mode(execution),
    }


def _mode(execution: Execution) -> dict[str, Any]:
    shown: dict[str, Any] = {"executionMode": execution.mode, "executionType": execution.type}
    if execution.summary:
        shown["statusSummary"] = execution.summary
    if execution.rollback_target:
        target = {"rollbackTargetPipelineExecutionId": execution.rollback_target}
        shown["rollbackMetadata"] = target
    return shown


def execution_summary(execution: Execution) -> dict[str, Any]:
    """One row of ListPipelineExecutions."""
    keys = ("actionName", "revisionId", "revisionSummary", "revisionUrl")
    summary = {
        "pipelineExecutionId": execution.id,
        "status": execution.status,
        "startTime": execution.started,
        "lastUpdateTime": execution.updated,
        "sourceRevisions": [
            {key: item[key] for key in keys if key in item} for item in execution.revisions
        ],
        "trigger": execution.trigger,
        **_mode(execution),
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


def rule_detail(pipeline: Pipeline, execution: Execution, run: ActionRun) -> dict[str, Any]:
    """One row of ListRuleExecutions."""
    given = {
        "ruleTypeId": run.declaration["ruleTypeId"],
        "configuration": run.declaration.get("configuration") or {},
        "resolvedConfiguration": run.configuration,
        "roleArn": run.declaration.get("roleArn"),
        "region": run.declaration.get("region") or pipeline.region,
        "inputArtifacts": [artifact.location for artifact in run.inputs],
    }
    result = {
        "externalExecutionId": run.external_id,
        "externalExecutionSummary": run.summary,
        "externalExecutionUrl": run.external_url,
        "errorDetails": run.error,
    }
    return _filled(
        {
            "pipelineExecutionId": execution.id,
            "ruleExecutionId": run.id,
            "pipelineVersion": execution.declaration["version"],
            "stageName": run.stage,
            "ruleName": run.name,
            "startTime": run.started,
            "lastUpdateTime": run.updated,
            "updatedBy": run.updated_by,
            "status": run.status,
            "input": _filled(given),
            "output": {"executionResult": _filled(result)},
        }
    )


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
