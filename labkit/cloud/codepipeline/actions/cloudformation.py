"""Deploy action CloudFormation: creates, updates, replaces and deletes stacks, and change sets.

AWS pages: "AWS CloudFormation deploy action reference"; "Using parameter override functions with
CodePipeline pipelines" in the CloudFormation User Guide.
"""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from labkit.cloud.codepipeline.action import Action, ActionFailed, parse_json

_REPLACED = ("ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED", "UPDATE_ROLLBACK_FAILED", "ROLLBACK_COMPLETE")  # fmt: skip
_NOTHING = ("No updates are to be performed", "didn't contain changes")
Fields = dict[str, Any]


def run(action: Action) -> None:
    """Do what ActionMode says, and take the stack's outputs as variables."""
    mode = action.configuration["ActionMode"]
    _MODES[mode](action)
    if mode in ("CREATE_UPDATE", "REPLACE_ON_FAILURE", "CHANGE_SET_EXECUTE"):
        _finish(action)


def _create_or_update(action: Action) -> None:
    cloudformation, request = action.client("cloudformation"), _request(action)
    if _stack(action) is None:
        cloudformation.create_stack(**request)
        return
    try:
        cloudformation.update_stack(**request)
    except ClientError as error:
        if not any(text in str(error) for text in _NOTHING):
            raise


def _replace_on_failure(action: Action) -> None:
    stack = _stack(action)
    if stack is not None and stack["StackStatus"] in _REPLACED:
        _delete(action)
    _create_or_update(action)


def _delete(action: Action) -> None:
    # of a stack that is not there CloudFormation says nothing, and the action succeeds
    name = action.configuration["StackName"]
    action.client("cloudformation").delete_stack(StackName=name)


def _replace_change_set(action: Action) -> None:
    cloudformation, change_set = action.client("cloudformation"), _change_set(action)
    if _stack(action) is not None:
        cloudformation.delete_change_set(**change_set)
    kind = "CREATE" if _stack(action) is None else "UPDATE"
    made = cloudformation.create_change_set(
        **_request(action), ChangeSetName=change_set["ChangeSetName"], ChangeSetType=kind
    )
    action.report(external_id=made["Id"])


def _execute_change_set(action: Action) -> None:
    action.client("cloudformation").execute_change_set(**_change_set(action))


_MODES = {
    "CREATE_UPDATE": _create_or_update,
    "REPLACE_ON_FAILURE": _replace_on_failure,
    "DELETE_ONLY": _delete,
    "CHANGE_SET_REPLACE": _replace_change_set,
    "CHANGE_SET_EXECUTE": _execute_change_set,
}


def _stack(action: Action) -> Fields | None:
    cloudformation = action.client("cloudformation")
    try:
        found = cloudformation.describe_stacks(StackName=action.configuration["StackName"])
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    [stack] = found["Stacks"]
    return None if stack["StackStatus"] in ("DELETE_COMPLETE", "REVIEW_IN_PROGRESS") else stack


def _change_set(action: Action) -> dict[str, str]:
    name = action.configuration.get("ChangeSetName")
    if not name:
        raise ActionFailed("ConfigurationError", "ChangeSetName is required for change sets")
    return {"StackName": action.configuration["StackName"], "ChangeSetName": name}


def _finish(action: Action) -> None:
    stack = _stack(action) or {}
    status = stack.get("StackStatus", "")
    if stack:
        action.report(external_id=stack["StackId"], summary=f"Stack {status}")
    if not status.endswith("_COMPLETE") or "ROLLBACK" in status:
        raise ActionFailed(
            "JobFailed",
            f"Stack {action.configuration['StackName']} is in status {status or 'unknown'}",
        )
    outputs = {item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])}
    action.run.variables = outputs
    name = action.configuration.get("OutputFileName") or "output.json"
    action.put_output_file(name, json.dumps(outputs))


def _request(action: Action) -> Fields:
    given = action.configuration
    if not given.get("TemplatePath"):
        raise ActionFailed(
            "ConfigurationError", f"TemplatePath is required for {given['ActionMode']}"
        )
    configured = _configuration(action)
    parameters = {**configured.get("Parameters", {}), **_overrides(action)}
    request: Fields = {
        "StackName": given["StackName"],
        "TemplateBody": _member(action, given["TemplatePath"]).decode("utf-8", "replace"),
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": str(value)} for key, value in parameters.items()
        ],
        "Capabilities": [name for name in (given.get("Capabilities") or "").split(",") if name],
        "Tags": [{"Key": key, "Value": value} for key, value in configured.get("Tags", {}).items()],
    }
    if given.get("RoleArn"):
        request["RoleARN"] = given["RoleArn"]
    return request


def _configuration(action: Action) -> Fields:
    path = action.configuration.get("TemplateConfiguration")
    return parse_json(_member(action, path), path, dict) if path else {}


def _overrides(action: Action) -> Fields:
    text = action.configuration.get("ParameterOverrides")
    found = parse_json(text, "ParameterOverrides", dict) if text else {}
    return {key: _value(action, value) for key, value in found.items()}


def _value(action: Action, value: Any) -> Any:
    """A parameter override function, or the value as it is."""
    match value:
        case {"Fn::GetArtifactAtt": [name, attribute]}:
            artifact = action.input(name)
            url = f"https://{artifact.bucket}.s3.{action.region}.amazonaws.com/{artifact.key}"
            known = {"BucketName": artifact.bucket, "ObjectKey": artifact.key, "URL": url}
            return known.get(attribute, "")
        case {"Fn::GetParam": [name, file, key]}:
            return parse_json(_member(action, f"{name}::{file}"), file, dict).get(key, "")
        case _:
            return value


def _member(action: Action, path: str) -> bytes:
    """A file of an input artifact, by `Artifact::file`."""
    name, separator, file = path.partition("::")
    if not separator or name not in {artifact.name for artifact in action.run.inputs}:
        raise ActionFailed(
            "ConfigurationError", f"{path} does not name an input artifact and a file"
        )
    try:
        return action.read_input_file(name, file)
    except FileNotFoundError as error:
        raise ActionFailed(
            "ConfigurationError", f"File [{file}] does not exist in artifact [{name}]"
        ) from error
