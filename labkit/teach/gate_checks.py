"""The checks of the lessons on control and on environments: they read the pipeline's history and what it declares.

AWS pages: "ListPipelineExecutions" and "ListRuleExecutions" in the CodePipeline API Reference.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from labkit.lab import Lab
from labkit.observe.executions import action_runs
from labkit.teach.result import Result, line


def control(lab: Lab) -> Result:
    """A person approved and refused, a release was superseded and one stopped, and the way is free again."""
    codepipeline = lab.client("codepipeline")

    def ways() -> list[bool]:
        stages = codepipeline.get_pipeline_state(name=lab.pipeline)["stageStates"]
        return [one["inboundTransitionState"]["enabled"] for one in stages]

    def gates() -> list[str]:
        stages = codepipeline.get_pipeline(name=lab.pipeline)["pipeline"]["stages"]
        actions = [action for stage in stages for action in stage["actions"]]
        return [one["name"] for one in actions if one["actionTypeId"]["category"] == "Approval"]

    return Result(
        "control",
        (
            line(
                "a person approved a release, and refused another",
                "declare an approval, and answer it once with Approved and once with Rejected",
                lambda: {"Succeeded", "Failed"} <= _approvals(lab),
            ),
            line(
                "a release was superseded before a closed stage",
                "close the way into Deploy, and push twice",
                lambda: any(one["status"] == "Superseded" for one in _executions(lab)),
            ),
            line(
                "an execution was stopped, and the history says why",
                "call stop_pipeline_execution with a reason",
                lambda: any(one.get("stopTrigger", {}).get("reason") for one in _executions(lab)),
            ),
            line("every way is open", "call enable_stage_transition", lambda: all(ways())),
            line(
                "no gate is left that nobody watches",
                "update the pipeline without the approval",
                lambda: not gates(),
            ),
        ),
    )


def environments(lab: Lab) -> Result:
    """A release was refused and tried again, a condition said no, a stage went back, modes raced."""
    codepipeline = lab.client("codepipeline")

    @cache
    def executions() -> list[dict[str, Any]]:
        return _executions(lab)

    def rules() -> list[dict[str, Any]]:
        listed = codepipeline.list_rule_executions(pipelineName=lab.pipeline)
        details: list[dict[str, Any]] = listed["ruleExecutionDetails"]
        return details

    def kinds(key: str) -> set[str]:
        return {one[key] for one in executions()}

    def paths() -> list[Any]:
        declared = codepipeline.get_pipeline(name=lab.pipeline)["pipeline"]
        git = [one["gitConfiguration"] for one in declared.get("triggers", [])]
        return [push for one in git for push in one.get("push", []) if push.get("filePaths")]

    return Result(
        "environments",
        (
            line(
                "a release was refused by a person, and others approved",
                "answer an approval with Rejected, retry the stage, and approve it",
                lambda: {"Succeeded", "Failed"} <= _approvals(lab),
            ),
            line(
                "a rule has kept a release out of a stage",
                "set the alarm's state to ALARM, and start an execution",
                lambda: any(one["status"] == "Failed" for one in rules()),
            ),
            line(
                "a stage was rolled back by hand, and by itself",
                "call rollback_stage; let a stage fail with onFailure ROLLBACK",
                lambda: (
                    {"ManualRollback", "AutomatedRollback"}
                    <= {one["trigger"]["triggerType"] for one in executions()}
                ),
            ),
            line(
                "executions have run in all three modes, and one was superseded",
                "update the pipeline's executionMode, and start three executions in each",
                lambda: (
                    kinds("executionMode") == {"SUPERSEDED", "QUEUED", "PARALLEL"}
                    and "Superseded" in kinds("status")
                ),
            ),
            line(
                "a trigger looks at file paths",
                "declare a trigger whose push filter has filePaths",
                lambda: bool(paths()),
            ),
        ),
    )


def _executions(lab: Lab) -> list[dict[str, Any]]:
    """The summary of each execution, the newest first."""
    pages = lab.client("codepipeline").get_paginator("list_pipeline_executions")
    listed = pages.paginate(pipelineName=lab.pipeline)
    return [one for page in listed for one in page["pipelineExecutionSummaries"]]


def _approvals(lab: Lab) -> set[str]:
    """How the approvals that somebody was asked for have ended."""
    runs = action_runs(lab)
    return {one["status"] for one in runs if one["input"]["actionTypeId"]["category"] == "Approval"}
