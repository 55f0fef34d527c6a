"""The rules that one action of a declaration has to keep: its type, artifacts and configuration.

AWS pages: "Action structure reference"; "CodePipeline pipeline structure reference".
"""

from __future__ import annotations

from typing import Any, NoReturn

from labkit.cloud.codepipeline import catalogue
from labkit.cloud.codepipeline.catalogue import Row
from labkit.cloud.codepipeline.registry import Registry
from labkit.cloud.shared.service import AWSError

Declaration = dict[str, Any]


def check_action(action: Declaration, pipeline_type: str, registry: Registry) -> None:
    """Refuse an action that its type does not allow.

    Raises:
        AWSError: InvalidActionDeclarationException.
    """
    row = catalogue.find(registry, action["actionTypeId"])
    if row is None:
        kind, region = action["actionTypeId"], registry.region_name.upper().replace("-", "_")
        refuse(
            f"ActionType (Category: '{kind['category']}', Provider: '{kind['provider']}', Owner: "
            f"'{kind['owner']}', Version: '{kind['version']}') in action '{action['name']}' is "
            f"not available in region '{region}'"
        )
    if row.get("pipeline") == "V2" and pipeline_type != "V2":
        refuse(
            f"Action '{action['name']}' with provider {row['provider']} can only be used with V2 pipelines"
        )
    _check_artifact_counts(action, row)
    _check_configuration(action, row)
    _check_commands(action)
    _check_environment(action, row)
    if action.get("timeoutInMinutes") and row["category"] != "Approval":
        refuse(
            f"Action '{action['name']}': timeoutInMinutes is only allowed on a manual approval action"
        )
    _check_one_primary_source(action)


def _check_artifact_counts(action: Declaration, row: Row) -> None:
    for what, key in (("input", "inputs"), ("output", "outputs")):
        names = [artifact["name"] for artifact in action.get(f"{what}Artifacts") or []]
        low, high = row[key]
        if len(names) < low:
            refuse(
                f"Action '{action['name']}' has {len(names)} {what} artifacts which is less than the minimum of {low}"
            )
        if len(names) > high:
            refuse(
                f"Action '{action['name']}' has {len(names)} {what} artifacts which is more than the maximum of {high}"
            )
        if what == "input" and len(set(names)) < len(names):
            refuse(f"Action '{action['name']}' declares the same input artifact more than once")


def _check_configuration(action: Declaration, row: Row) -> None:
    name, configuration = action["name"], action.get("configuration") or {}
    instead = row.get("unless", {})
    for key in (*row["required"], *instead):
        if not configuration.get(key) and not configuration.get(instead.get(key, "")):
            refuse(
                f"Action configuration for action '{name}' is missing required configuration '{key}'"
            )
    known = row["required"] + row["optional"]
    for key, value in configuration.items():
        if len(key) > 50 or (key not in known and not row.get("free")):
            refuse(
                f"Action configuration for action '{name}' contains unknown configuration '{key}'"
            )
        allowed = row.get("values", {}).get(key)
        if allowed and "#{" not in value and value.strip() not in allowed:
            refuse(
                f"Action configuration for action '{name}' contains an invalid value '{value}' for "
                f"configuration '{key}'. Valid values are: {', '.join(allowed)}"
            )
        if value == catalogue.SECRET and key in catalogue.secret_keys(row):
            refuse(
                f'Action configuration for the new action "{name}" contains an invalid '
                f'configuration for the secret property "{key}". "****" may be used in secret '
                "properties only when updating an existing action."
            )


def _check_commands(action: Declaration) -> None:
    """AWS page: "Commands action reference"."""
    name, provider = action["name"], action["actionTypeId"]["provider"]
    outputs = action.get("outputArtifacts") or []
    if provider == "Commands":
        if not action.get("commands"):
            refuse(f"Action {name} must have a non-empty commands field")
        if any("\n" in command for command in action["commands"]):
            refuse(f"Action {name} has a command of several lines; a command is one line")
        if any(not artifact.get("files") for artifact in outputs):
            refuse(f"Action {name} must have a non-empty files field in its output artifact")
        names = action.get("outputVariables") or []
        if len(set(names)) < len(names):
            refuse(f"Action {name} declares the same output variable more than once")
        return
    for field in ("commands", "outputVariables"):
        if action.get(field):
            refuse(f"Action {name} cannot have the field {field}, which only Commands actions have")
    if any(artifact.get("files") for artifact in outputs):
        refuse(
            f"Action {name} cannot have the field files in its output artifacts, which only Commands actions have"
        )


def _check_environment(action: Declaration, row: Row) -> None:
    variables = action.get("environmentVariables") or []
    if variables and not row.get("environment"):
        refuse(
            f"Action {action['name']} cannot have environmentVariables; provider {row['provider']} does not take them"
        )
    names = [item["name"] for item in variables]
    if len(set(names)) < len(names):
        refuse(f"Action {action['name']} declares the same environment variable more than once")


def _check_one_primary_source(action: Declaration) -> None:
    inputs = [artifact["name"] for artifact in action.get("inputArtifacts") or []]
    if action["actionTypeId"]["provider"] != "CodeBuild" or len(inputs) < 2:
        return
    if (action.get("configuration") or {}).get("PrimarySource") not in inputs:
        refuse(
            f"Action '{action['name']}' has more than one input artifact; its configuration 'PrimarySource' must name one of them: {', '.join(inputs)}"
        )


def refuse(message: str) -> NoReturn:
    """Refuse an action.

    Raises:
        AWSError: InvalidActionDeclarationException.
    """
    raise AWSError("InvalidActionDeclarationException", message)
