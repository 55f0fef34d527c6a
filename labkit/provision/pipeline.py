"""The pipeline: source, build and deploy in a row, started by every push.

AWS pages: "CodePipeline pipeline structure reference"; "Use an EventBridge rule to start a
pipeline"; "Manage approval actions in CodePipeline".
"""

from __future__ import annotations

import json
import time
from typing import Any

from labkit.lab import Lab, tag_list
from labkit.missing import says_what_is_missing
from labkit.observe.snapshot import Snapshot
from labkit.observe.waiting import (
    execution_of,
    latest_execution,
    poll_seconds,
    wait_for_execution,
)
from labkit.provision.aws import created, missing_is_fine
from labkit.provision.source import Edit, push, tip
from labkit.watched import GaveUp
from labkit.watched import waiting as watched

NOTE_SECONDS = 120.0
APPROVAL_STAGE, APPROVAL_ACTION = "Approve", "Approve"


def declaration(lab: Lab, *, approval: bool = False) -> dict[str, Any]:
    """The pipeline as JSON says it: stages, in them actions, between them artifacts.

    Args:
        approval: put a stage between build and deploy in which a person has to agree.
    """
    source = action(
        ("Source", "CodeCommit"),
        configuration={
            "RepositoryName": lab.repository,
            "BranchName": lab.branch,
            "PollForSourceChanges": "false",  # the rule below tells it
        },
        makes="SourceOutput",
        namespace="SourceVariables",
    )
    build = action(
        ("Build", "CodeBuild"),
        configuration={"ProjectName": lab.project},
        takes="SourceOutput",
        makes="BuildOutput",
        namespace="BuildVariables",
    )
    approve = action(
        ("Approval", "Manual"),
        name=APPROVAL_ACTION,
        configuration={"CustomData": "Release #{SourceVariables.CommitMessage}?"},
    )
    deploy = action(
        ("Deploy", "CodeDeploy"),
        configuration={
            "ApplicationName": lab.application,
            "DeploymentGroupName": lab.fleet,
        },
        takes="BuildOutput",
    )
    stages = {"Source": source, "Build": build, APPROVAL_STAGE: approve, "Deploy": deploy}
    if not approval:
        del stages[APPROVAL_STAGE]
    return {
        "name": lab.pipeline,
        "roleArn": lab.role_arn("codepipeline"),
        "pipelineType": "V2",
        "executionMode": "SUPERSEDED",
        "artifactStore": {"type": "S3", "location": lab.bucket},
        "stages": [{"name": name, "actions": [one]} for name, one in stages.items()],
    }


def action(
    kind: tuple[str, str],
    *,
    configuration: dict[str, str],
    name: str | None = None,
    takes: str | None = None,
    makes: str | None = None,
    namespace: str | None = None,
) -> dict[str, Any]:
    """One action of AWS's own: its (category, provider), and the artifacts it takes and makes."""
    category, provider = kind
    declared: dict[str, Any] = {
        "name": name or category,
        "actionTypeId": {
            "category": category,
            "owner": "AWS",
            "provider": provider,
            "version": "1",
        },
        "configuration": configuration,
        "inputArtifacts": [{"name": takes}] if takes else [],
        "outputArtifacts": [{"name": makes}] if makes else [],
    }
    return {**declared, "namespace": namespace} if namespace else declared


def create_pipeline(lab: Lab, *, approval: bool = False) -> dict[str, Any]:
    """Create the pipeline, or bring it up to date, and open it; returns its declaration.

    Creating a pipeline starts its first execution at once; updating one starts none, and what runs
    as it was declared before is stopped.
    """
    codepipeline, wanted = lab.client("codepipeline"), declaration(lab, approval=approval)
    tags = tag_list(lab, "key", "value")
    answer = created(codepipeline.create_pipeline, pipeline=wanted, tags=tags)
    if answer is None:
        known = codepipeline.get_pipeline(name=lab.pipeline)
        if _differs(wanted, known["pipeline"]):
            _stop_all(lab)
            known = codepipeline.update_pipeline(pipeline=wanted)
        _enable_transitions(lab)
        answer = known
    declared: dict[str, Any] = answer["pipeline"]
    return declared


def create_trigger(lab: Lab) -> str:
    """The EventBridge rule that starts the pipeline when the branch moves; returns its ARN."""
    events, rule = lab.client("events"), rule_name(lab)
    pattern = {
        "source": ["aws.codecommit"],
        "detail-type": ["CodeCommit Repository State Change"],
        "resources": [lab.arn("codecommit", lab.repository)],
        "detail": {
            "event": ["referenceCreated", "referenceUpdated"],
            "referenceType": ["branch"],
            "referenceName": [lab.branch],
        },
    }
    arn: str = events.put_rule(Name=rule, EventPattern=json.dumps(pattern), Tags=tag_list(lab))[
        "RuleArn"
    ]
    target = {
        "Id": "pipeline",
        "Arn": lab.arn("codepipeline", lab.pipeline),
        "RoleArn": lab.role_arn("events"),
    }
    events.put_targets(Rule=rule, Targets=[target])
    return arn


def rule_name(lab: Lab) -> str:
    """What the EventBridge rule is called."""
    return f"{lab.pipeline}-push"


@says_what_is_missing
def start(lab: Lab) -> str:
    """Start an execution by hand ("Release change"); returns its id."""
    return str(
        lab.client("codepipeline").start_pipeline_execution(name=lab.pipeline)[
            "pipelineExecutionId"
        ]
    )


@says_what_is_missing
def release(lab: Lab, message: str, edit: Edit | None = None) -> str:
    """Push a commit, and return the id of the execution that the push has started.

    Args:
        edit: see `source.push`.
    """
    return execution_of(lab, push(lab, message, edit))


@says_what_is_missing
def answer_approval(lab: Lab, *, approved: bool, summary: str = "") -> bool:
    """Approve or reject what waits now; returns False when nothing does.

    The token belongs to this one wait: an answer that comes too late does not hit the next one.
    """
    waiting = waiting_approval(lab)
    if waiting is None:
        return False
    lab.client("codepipeline").put_approval_result(
        pipelineName=lab.pipeline,
        result={"status": "Approved" if approved else "Rejected", "summary": summary},
        **waiting,
    )
    deadline = time.monotonic() + NOTE_SECONDS
    with watched("the pipeline to take note of the answer", NOTE_SECONDS):
        while waiting_approval(lab) == waiting:
            if time.monotonic() > deadline:
                raise GaveUp(
                    f"{lab.pipeline} has not taken note of the answer. Look at it, and try again."
                )
            time.sleep(poll_seconds(lab))
    return True


@says_what_is_missing
def waiting_approval(lab: Lab) -> dict[str, str] | None:
    """Where somebody's approval is awaited: stageName, actionName and token; None when nowhere."""
    state = lab.client("codepipeline").get_pipeline_state(name=lab.pipeline)
    for stage in state["stageStates"]:
        for action_state in stage.get("actionStates", []):
            token = action_state.get("latestExecution", {}).get("token")
            if token:
                return {
                    "stageName": stage["stageName"],
                    "actionName": action_state["actionName"],
                    "token": token,
                }
    return None


def approve(lab: Lab, summary: str = "Approved in the lab") -> bool:
    """Approve what waits; returns False when nothing does."""
    return answer_approval(lab, approved=True, summary=summary)


def reject(lab: Lab, summary: str = "Rejected in the lab") -> bool:
    """Reject what waits, which fails the execution; returns False when nothing does."""
    return answer_approval(lab, approved=False, summary=summary)


@says_what_is_missing
def catch_up(lab: Lab) -> Snapshot:
    """Wait until the pipeline is through with the branch's newest commit; returns that execution.

    What runs is waited for; if it has another commit, or did not succeed, an execution is started.
    """
    if latest_execution(lab) is None:
        return wait_for_execution(lab, start(lab))
    latest = wait_for_execution(lab)
    done = latest.commit == tip(lab) and latest.status == "Succeeded"
    return latest if done else wait_for_execution(lab, start(lab))


def _stop_all(lab: Lab) -> None:
    codepipeline = lab.client("codepipeline")
    pages = codepipeline.get_paginator("list_pipeline_executions").paginate(
        pipelineName=lab.pipeline
    )
    for page in pages:
        for one in page["pipelineExecutionSummaries"]:
            if one["status"] == "InProgress":
                codepipeline.stop_pipeline_execution(
                    pipelineName=lab.pipeline,
                    pipelineExecutionId=one["pipelineExecutionId"],
                    abandon=True,
                    reason="The pipeline is declared anew",
                )


def _enable_transitions(lab: Lab) -> None:
    codepipeline = lab.client("codepipeline")
    for stage in codepipeline.get_pipeline_state(name=lab.pipeline)["stageStates"]:
        if not stage["inboundTransitionState"]["enabled"]:
            codepipeline.enable_stage_transition(
                pipelineName=lab.pipeline, stageName=stage["stageName"], transitionType="Inbound"
            )


def delete_pipeline(lab: Lab) -> None:
    """Delete the rule with its target, so that no push starts anything, and the pipeline."""
    events, rule = lab.client("events"), rule_name(lab)
    with missing_is_fine():
        events.remove_targets(Rule=rule, Ids=["pipeline"])
    with missing_is_fine():
        events.delete_rule(Name=rule)
    with missing_is_fine():
        lab.client("codepipeline").delete_pipeline(name=lab.pipeline)


def _differs(wanted: Any, known: Any) -> bool:
    """Whether AWS's declaration says something else; it adds a version and defaults of its own."""
    if isinstance(wanted, dict) and isinstance(known, dict):
        return any(_differs(value, known.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(known, list):
        return len(wanted) != len(known) or any(map(_differs, wanted, known))
    return wanted != known and bool(wanted or known)
