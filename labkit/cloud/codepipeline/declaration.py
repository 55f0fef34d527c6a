"""The rules a pipeline declaration has to keep, checked on create and on update.

AWS pages: "CodePipeline pipeline structure reference"; "Quotas in AWS CodePipeline".
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, NoReturn

from labkit.cloud.service import AWSError

Declaration = dict[str, Any]


def check(declaration: Declaration) -> None:
    """Refuse a declaration that breaks one of AWS's rules, or asks for what the lab does not do.

    Raises:
        AWSError: InvalidStructureException, InvalidStageDeclarationException or
            InvalidActionDeclarationException, with what is wrong and where.
    """
    _check_supported(declaration)
    _check_artifact_store(declaration)
    stages = declaration["stages"]
    if len(stages) < 2:
        _structure(
            f"Pipeline has only {len(stages)} stage(s). There should be a minimum of 2 stages in a pipeline"
        )
    if len(stages) > 50:
        _structure("Pipeline has more than 50 stages")
    _check_unique("stage", [stage["name"] for stage in stages], "the pipeline")
    for index, stage in enumerate(stages):
        _check_stage(stage, first=index == 0)
    _check_artifacts(stages)
    _check_namespaces(stages)


def action_type(declaration: Declaration) -> dict[str, Any] | None:
    """The catalogue's row for an action's type, or None."""
    kind = declaration["actionTypeId"]
    for row in _catalogue():
        if (row["category"], "AWS", row["provider"], "1") == (
            kind["category"],
            kind["owner"],
            kind["provider"],
            kind["version"],
        ):
            return row
    return None


@cache
def _catalogue() -> list[dict[str, Any]]:
    text = files("labkit.cloud.codepipeline.actions").joinpath("catalogue.toml").read_text()
    return tomllib.loads(text)["action"]


def catalogue() -> list[dict[str, Any]]:
    """Every action type that the lab runs."""
    return list(_catalogue())


def _check_supported(declaration: Declaration) -> None:
    """What AWS has and the lab does not is refused by name, never accepted and left undone."""
    mode = declaration.get("executionMode", "SUPERSEDED")
    if mode != "SUPERSEDED":
        _structure(f"The lab's local AWS does not support execution mode {mode} yet")
    if declaration.get("triggers"):
        _structure("The lab's local AWS does not support triggers of git connections yet")
    if declaration.get("artifactStores"):
        _structure("The lab's local AWS does not support artifactStores (cross-Region actions) yet")
    for stage in declaration["stages"]:
        for key in ("beforeEntry", "onSuccess", "onFailure"):
            if stage.get(key):
                _structure(
                    f"The lab's local AWS does not support {key} (stage '{stage['name']}') yet"
                )
        for action in stage["actions"]:
            if action.get("region"):
                _structure(
                    f"The lab's local AWS does not support cross-Region actions (action '{action['name']}') yet"
                )


def _check_artifact_store(declaration: Declaration) -> None:
    if not declaration.get("artifactStore"):
        _structure("Pipeline must define either artifactStore or artifactStores")


def _check_stage(stage: Declaration, *, first: bool) -> None:
    name, actions = stage["name"], stage["actions"]
    if not actions:
        raise AWSError(
            "InvalidStageDeclarationException", f"Stage '{name}' must have at least one action"
        )
    _check_unique("action", [action["name"] for action in actions], f"stage '{name}'")
    for action in actions:
        is_source = action["actionTypeId"]["category"] == "Source"
        if first and not is_source:
            _structure(
                f"Pipeline stage '{name}' is the first stage and can only contain source actions; action '{action['name']}' is not one"
            )
        if not first and is_source:
            _structure(
                f"Pipeline stage '{name}' contains source action '{action['name']}'; only the first stage may contain source actions"
            )
        _check_action(action)


def _check_action(action: Declaration) -> None:
    kind, name = action["actionTypeId"], action["name"]
    row = action_type(action)
    if row is None:
        _action(
            f"ActionType (Category: '{kind['category']}', Provider: '{kind['provider']}', Owner: "
            f"'{kind['owner']}', Version: '{kind['version']}') in action '{name}' is not available "
            "in the lab's local AWS"
        )
    for what, key in (("input", "inputs"), ("output", "outputs")):
        count, (low, high) = len(action.get(f"{what}Artifacts") or []), row[key]
        if count < low:
            _action(
                f"Action '{name}' has {count} {what} artifacts which is less than the minimum of {low}"
            )
        if count > high:
            _action(
                f"Action '{name}' has {count} {what} artifacts which is more than the maximum of {high}"
            )
    configuration = action.get("configuration") or {}
    for key in row["required"]:
        if not configuration.get(key):
            _action(
                f"Action configuration for action '{name}' is missing required configuration '{key}'"
            )
    for key in configuration:
        if key not in row["required"] + row["optional"]:
            _action(
                f"Action configuration for action '{name}' contains unknown configuration '{key}'"
            )
    _check_one_primary_source(action, configuration)
    if action.get("timeoutInMinutes") and kind["category"] != "Approval":
        _action(f"Action '{name}': timeoutInMinutes is only allowed on a manual approval action")


def _check_one_primary_source(action: Declaration, configuration: dict[str, str]) -> None:
    inputs = [artifact["name"] for artifact in action.get("inputArtifacts") or []]
    if action["actionTypeId"]["provider"] != "CodeBuild" or len(inputs) < 2:
        return
    if configuration.get("PrimarySource") not in inputs:
        _action(
            f"Action '{action['name']}' has more than one input artifact; its configuration 'PrimarySource' must name one of them: {', '.join(inputs)}"
        )


def _check_artifacts(stages: list[Declaration]) -> None:
    """An artifact is made once, and earlier than it is taken."""
    made: dict[str, tuple[int, int]] = {}
    for index, stage in enumerate(stages):
        for action in stage["actions"]:
            for artifact in action.get("outputArtifacts") or []:
                if artifact["name"] in made:
                    _structure(
                        f"Output Artifact Bundle name must be unique within the pipeline. CreatedArtifact '{artifact['name']}' has been used more than once"
                    )
                made[artifact["name"]] = (index, action.get("runOrder", 1))
    for index, stage in enumerate(stages):
        for action in stage["actions"]:
            for artifact in action.get("inputArtifacts") or []:
                place = made.get(artifact["name"])
                if place is None or place >= (index, action.get("runOrder", 1)):
                    _structure(
                        f"Input Artifact Bundle {artifact['name']} in action {action['name']} is not declared as Output Artifact Bundle in any of the preceding actions"
                    )


def _check_namespaces(stages: list[Declaration]) -> None:
    actions = [action for stage in stages for action in stage["actions"]]
    names = [action["namespace"] for action in actions if action.get("namespace")]
    _check_unique("namespace", names, "the pipeline")
    for reserved in ("codepipeline", "variables"):
        if reserved in names:
            _structure(f"Namespace '{reserved}' is reserved")


def _check_unique(what: str, names: list[str], where: str) -> None:
    for name in names:
        if names.count(name) > 1:
            _structure(f"Duplicate {what} name '{name}' in {where}; {what} names must be unique")


def _structure(message: str) -> NoReturn:
    raise AWSError("InvalidStructureException", message)


def _action(message: str) -> NoReturn:
    raise AWSError("InvalidActionDeclarationException", message)
