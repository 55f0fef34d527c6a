"""The check of the lesson on environments: it reads the pipeline's history and what it declares.

AWS pages: "ListPipelineExecutions" and "ListRuleExecutions" in the CodePipeline API Reference.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from labkit.lab import Lab
from labkit.teach.result import Result, line


def environments(lab: Lab) -> Result:
    """A release was refused and tried again, a condition said no, a stage went back, modes raced."""
    codepipeline = lab.client("codepipeline")

    @cache
    def executions() -> list[dict[str, Any]]:
        pages = codepipeline.get_paginator("list_pipeline_executions")
        listed = pages.paginate(pipelineName=lab.pipeline)
        return [one for page in listed for one in page["pipelineExecutionSummaries"]]

    def approvals() -> set[str]:
        pages = codepipeline.get_paginator("list_action_executions")
        listed = pages.paginate(pipelineName=lab.pipeline)
        runs = [run for page in listed for run in page["actionExecutionDetails"]]
        kinds = {"Approval"}
        return {r["status"] for r in runs if r["input"]["actionTypeId"]["category"] in kinds}

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
                lambda: {"Succeeded", "Failed"} <= approvals(),
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
