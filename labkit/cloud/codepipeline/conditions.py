"""Conditions of stages: rules that are checked before entry, after success and after failure.

A condition is met when all its rules succeed. Before entry and after success its result follows when
it is *not* met; after a failure, when it *is*.

AWS pages: "How do stage conditions work?"; "Condition" in the CodePipeline API Reference.
"""

from __future__ import annotations

from collections.abc import Callable

from labkit.cloud.codepipeline import performing
from labkit.cloud.codepipeline.models import (
    ActionRun,
    ConditionRun,
    Execution,
    Pipeline,
    StageRun,
    now,
)

Settle = Callable[[Pipeline, Execution, StageRun], None]


def undecided(
    pipeline: Pipeline, execution: Execution, run: StageRun, kind: str, settle: Settle
) -> bool:
    """Whether a condition of the stage is still being evaluated; starts its rules if need be.

    Args:
        kind: beforeEntry, onSuccess or onFailure.
        settle: called when one of the rules has ended.
    """
    declared = (run.declaration.get(kind) or {}).get("conditions") or []
    if not declared:
        return False
    if kind not in run.conditions:
        _begin(pipeline, execution, run, ConditionRun(kind, declared[0]), settle)
    return run.conditions[kind].status == "InProgress"


def failed(run: StageRun, kind: str) -> bool:
    """Whether a condition was evaluated and not met."""
    condition = run.conditions.get(kind)
    return condition is not None and condition.status not in ("Succeeded", "Overridden")


def result(run: StageRun, kind: str) -> str:
    """What a condition leads to: FAIL, ROLLBACK, RETRY or SKIP."""
    own = run.conditions[kind].declaration.get("result")
    return own or (run.declaration.get(kind) or {}).get("result") or "FAIL"


def judge(run: StageRun) -> None:
    """Settle the conditions whose rules have all ended."""
    for condition in run.conditions.values():
        ended = [rule.status for rule in condition.rules.values()]
        if condition.status != "InProgress" or "InProgress" in ended:
            continue
        condition.status, condition.updated = _status(condition), now()
        condition.summary = next(
            (rule.error["message"] for rule in condition.rules.values() if rule.error), None
        )


def _status(condition: ConditionRun) -> str:
    rules = condition.rules.values()
    if any(rule.status == "Abandoned" for rule in rules):
        return "Abandoned"
    errors = [rule.error for rule in rules if rule.error]
    if not errors:
        return "Succeeded"
    # a rule that could not be checked at all is an error, not an answer
    return "Failed" if all(error["code"] == "JobFailed" for error in errors) else "Errored"


def _begin(
    pipeline: Pipeline, execution: Execution, run: StageRun, condition: ConditionRun, settle: Settle
) -> None:
    run.conditions[condition.kind] = condition
    for declared in condition.declaration["rules"]:
        rule = ActionRun(
            run.name,
            {**declared, "actionTypeId": declared["ruleTypeId"], "conditionKind": condition.kind},
        )
        condition.rules[rule.name] = rule
        execution.rules.append(rule)
    for rule in condition.rules.values():
        performing.start(pipeline, execution, rule, lambda: settle(pipeline, execution, run))
