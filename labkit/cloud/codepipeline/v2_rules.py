"""What only V2 pipelines may declare: execution modes, variables, triggers, conditions of stages.

AWS pages: "Pipeline types"; "Add trigger with code push or pull request event types";
"How do stage conditions work?".
"""

from __future__ import annotations

from typing import Any, NoReturn

from labkit.cloud.codepipeline import catalogue
from labkit.cloud.shared.service import AWSError

Declaration = dict[str, Any]
KINDS = ("beforeEntry", "onSuccess", "onFailure")
# AWS page: "Considerations when configuring stage conditions"
_RESULTS = {
    "beforeEntry": ("FAIL", "SKIP"),
    "onSuccess": ("ROLLBACK", "FAIL"),
    "onFailure": ("ROLLBACK", "FAIL", "RETRY", "SKIP"),
}
_SKIPPING_RULES = ("LambdaInvoke", "VariableCheck")


def check_type(declaration: Declaration) -> None:
    """Refuse what a V1 pipeline cannot have.

    Raises:
        AWSError: InvalidStructureException, InvalidStageDeclarationException.
    """
    if declaration.get("pipelineType", "V1") == "V2":
        return
    mode = declaration.get("executionMode", "SUPERSEDED")
    if mode != "SUPERSEDED":
        _structure(f"Execution mode {mode} can only be used with V2 pipelines")
    if declaration.get("variables"):
        _structure("Pipeline variables can only be used with V2 pipelines")
    for trigger in declaration.get("triggers") or []:
        pushes = trigger["gitConfiguration"].get("push") or []
        on_tag = any(push.get("tags") for push in pushes)
        what = "Triggers on tag" if on_tag else "Triggers"
        _structure(f"{what} can only be used with V2 pipelines")
    for stage in declaration["stages"]:
        for kind in KINDS:
            if stage.get(kind):
                _structure(
                    f"Stage '{stage['name']}' declares {kind}, which can only be used with V2 pipelines"
                )


def check_variables(declaration: Declaration) -> None:
    """Refuse two variables of one name."""
    names = [item["name"] for item in declaration.get("variables") or []]
    for name in names:
        if names.count(name) > 1:
            _structure(f"Duplicate variable name '{name}'; variable names must be unique")


def check_triggers(declaration: Declaration) -> None:
    """Refuse triggers of what is no connection's source action, and filters that do not combine.

    AWS page: "Add trigger with code push or pull request event types".
    """
    sources = {
        action["name"]: action["actionTypeId"]["provider"]
        for action in declaration["stages"][0]["actions"]
    }
    seen: set[str] = set()
    for trigger in declaration.get("triggers") or []:
        git = trigger["gitConfiguration"]
        name = git["sourceActionName"]
        if sources.get(name) != "CodeStarSourceConnection":
            _structure(
                f"The trigger's source action '{name}' is not a CodeStarSourceConnection source action of the pipeline"
            )
        if name in seen:
            _structure(f"The source action '{name}' has more than one trigger")
        seen.add(name)
        pushes, requests = git.get("push") or [], git.get("pullRequest") or []
        good = all(map(_valid_push, pushes)) and all(map(_valid_pull_request, requests))
        if not good or not pushes + requests:
            _structure(
                "The trigger configuration for the source action is not valid. Make sure to choose valid filter combinations."
            )


def _valid_push(push: Declaration) -> bool:
    if push.get("tags"):
        return not push.get("branches") and not push.get("filePaths") and _named(push["tags"])
    criteria = [push[key] for key in ("branches", "filePaths") if push.get(key)]
    return bool(criteria) and all(map(_named, criteria))


def _valid_pull_request(request: Declaration) -> bool:
    criteria = [request[key] for key in ("branches", "filePaths") if request.get(key)]
    events = request.get("events") or []
    return bool(request.get("branches")) and all(map(_named, criteria)) and _distinct(events)


def _named(criteria: Declaration) -> bool:
    return bool(criteria.get("includes") or criteria.get("excludes"))


def _distinct(items: list[str]) -> bool:
    return len(set(items)) == len(items)


def check_conditions(stage: Declaration, *, first: bool, mode: str) -> None:
    """Refuse results and rules that a kind of condition does not take.

    Raises:
        AWSError: InvalidStageDeclarationException.
    """
    for kind in KINDS:
        declared = stage.get(kind) or {}
        results = [item.get("result") for item in declared.get("conditions") or []]
        for result in [declared.get("result"), *results]:
            _check_result(stage["name"], kind, result, first=first, mode=mode)
        for condition in declared.get("conditions") or []:
            _check_condition(stage["name"], kind, condition)
    failing = stage.get("onFailure") or {}
    if failing.get("retryConfiguration") and failing.get("result") != "RETRY":
        _stage(f"Stage '{stage['name']}' has a retryConfiguration but its result is not RETRY")
    if failing.get("result") == "RETRY" and failing.get("conditions"):
        _stage(
            f"Stage '{stage['name']}' cannot have both the result RETRY and conditions in onFailure"
        )


def _check_result(stage: str, kind: str, result: str | None, *, first: bool, mode: str) -> None:
    if result is None:
        return
    if result not in _RESULTS[kind]:
        allowed = ", ".join(_RESULTS[kind])
        _stage(
            f"Stage '{stage}': result {result} is not allowed for {kind}; allowed are: {allowed}"
        )
    if result == "ROLLBACK" and first:
        _stage(f"Stage '{stage}': result ROLLBACK is not allowed for the source stage")
    if result == "ROLLBACK" and mode == "PARALLEL":
        _stage(f"Stage '{stage}': result ROLLBACK is not allowed in PARALLEL execution mode")


def _check_condition(stage: str, kind: str, condition: Declaration) -> None:
    rules = condition.get("rules") or []
    if not rules:
        _stage(f"Stage '{stage}': a condition of {kind} must have at least one rule")
    names = [rule["name"] for rule in rules]
    if not _distinct(names):
        _stage(f"Stage '{stage}': rule names must be unique in a condition of {kind}")
    for rule in rules:
        _check_rule(stage, rule)
        provider = rule["ruleTypeId"]["provider"]
        skips = kind == "beforeEntry" and condition.get("result") == "SKIP"
        if skips and provider not in _SKIPPING_RULES:
            _stage(
                f"Stage '{stage}': rule '{rule['name']}' with provider {provider} cannot be used with result SKIP"
            )


def _check_rule(stage: str, rule: Declaration) -> None:
    """AWS page: "Rule structure reference"."""
    name, provider = rule["name"], rule["ruleTypeId"]["provider"]
    row = catalogue.rule_type(provider)
    if row is None or rule["ruleTypeId"].get("version", "1") != "1":
        _stage(
            f"Stage '{stage}': rule type with provider {provider} in rule '{name}' is not available"
        )
    configuration = rule.get("configuration") or {}
    for key in row["required"]:
        if not configuration.get(key):
            _stage(
                f"Rule configuration for rule '{name}' is missing required configuration '{key}'"
            )
    for key, value in configuration.items():
        if key not in row["required"] + row["optional"]:
            _stage(f"Rule configuration for rule '{name}' contains unknown configuration '{key}'")
        allowed = row.get("values", {}).get(key)
        if allowed and value not in allowed:
            _stage(
                f"Rule configuration for rule '{name}' contains an invalid value '{value}' for "
                f"configuration '{key}'. Valid values are: {', '.join(allowed)}"
            )
    if (provider == "Commands") != bool(rule.get("commands")):
        needs = "must have" if provider == "Commands" else "cannot have"
        _stage(f"Rule {name} {needs} a non-empty commands field")
    count, (low, high) = len(rule.get("inputArtifacts") or []), row["inputs"]
    if not low <= count <= high:
        _stage(f"Rule '{name}' has {count} input artifacts; it takes {low} to {high}")


def _structure(message: str) -> NoReturn:
    raise AWSError("InvalidStructureException", message)


def _stage(message: str) -> NoReturn:
    raise AWSError("InvalidStageDeclarationException", message)
