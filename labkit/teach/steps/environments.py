"""Lesson 9: what is wrong with an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from labkit.lab import Lab


def stages_in_order(declared: dict[str, Any]) -> Iterator[str]:
    stages = {stage["name"]: stage["actions"] for stage in declared["stages"]}
    if list(stages) != ["Source", "Dev", "Staging", "Prod"]:
        yield f"the stages are {', '.join(stages)}; they should be Source, Dev, Staging, Prod"
    for name in ("Dev", "Staging", "Prod"):
        places = [one["configuration"].get("ObjectKey") for one in stages[name]]
        if name.lower() not in places:
            yield f"{name} deploys nothing to the folder {name.lower()}"
    orders = {one["actionTypeId"]["category"]: one.get("runOrder", 1) for one in stages["Prod"]}
    if "Approval" not in orders:
        yield "nobody is asked before prod: approve(topic) is an action of the stage Prod"
    if orders["Approval"] >= orders["Deploy"]:
        yield "both actions of Prod would start at once, and nobody would wait for the answer: order=2"


def gate_described(lab: Lab, quiet: dict[str, Any], gate: dict[str, Any]) -> Iterator[str]:
    if "rules" in gate:
        yield 'rules stand inside a condition, and conditions in a list: {"conditions": [{...}]}'
    [condition] = gate["conditions"]
    if condition.get("rules") != [quiet]:
        yield "the condition has no rule to ask: rules, a list with quiet in it"
    if condition.get("result") != "FAIL":
        yield f"where the rule does not hold the stage should not be entered: FAIL, not {condition.get('result')}"


def how_far(sites_of: Callable[..., dict[str, str]]) -> str:
    reached = [place for place, shown in sites_of().items() if shown == "2"]
    return reached[-1] if reached else "nowhere"


def window_described(window: dict[str, Any]) -> Iterator[str]:
    configuration = window["configuration"]
    fields = configuration.get("Cron", "").split()
    if window["ruleTypeId"]["provider"] != "DeploymentWindow":
        yield "the rule's provider is DeploymentWindow"
    if len(fields) == 5:
        yield "a Quartz expression begins with the seconds, so it has six fields, not five"
    if len(fields) not in (6, 7):
        yield f"{len(fields)} fields are not a Quartz expression"
    if "?" not in (fields[3], fields[5]):
        yield "of the day of the month and the day of the week one has to be ?: you cannot ask for both"
    if fields[2:5] != ["0", "1", "1"]:
        yield f"it opens at hour {fields[2]}, on day {fields[3]} of month {fields[4]}: not the first hour of the year"


def rolled_back(lab: Lab, answer: dict[str, Any], good: Any) -> Iterator[str]:
    if "pipelineExecutionId" not in answer:
        yield "there is no rollback yet: call rollback_stage, and name what it returns answer"
    execution = lab.client("codepipeline").get_pipeline_execution(
        pipelineName=lab.pipeline, pipelineExecutionId=answer["pipelineExecutionId"]
    )["pipelineExecution"]
    if execution.get("executionType") != "ROLLBACK":
        yield "that execution is not a rollback: call rollback_stage, and name what it returns answer"
    if execution["rollbackMetadata"]["rollbackTargetPipelineExecutionId"] != good.execution_id:
        yield "it goes back to the wrong execution; the good one is version 3's"


def second_of_three(results: dict[str, tuple[list[str], list[str]]]) -> str:
    return results["SUPERSEDED"][0][1]


def filter_written(only_code: dict[str, Any]) -> Iterator[str]:
    excluded = only_code.get("filePaths", {}).get("excludes", [])
    if only_code.get("branches", {}).get("includes") != ["main"]:
        yield "pushes to every branch would count: branches, includes"
    if "includes" in only_code.get("filePaths", {}):
        yield "only those files would count, and every other push would build nothing. Exclude instead"
    if "*.md" not in excluded and "**.md" not in excluded:
        yield f"README.md lies at the top, and {excluded} does not match it: *.md"
    if "**/*.md" not in excluded and "**.md" not in excluded:
        yield "texts in folders would still start builds: **/*.md"
