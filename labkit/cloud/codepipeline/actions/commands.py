"""Compute action Commands, and the rule of that name: shell commands without a build project.

AWS page: "Commands action reference".
"""

from __future__ import annotations

import json
import threading
from typing import Any

from labkit.cloud.codebuild import managed
from labkit.cloud.codepipeline.action import CODEPIPELINE, Action, ActionFailed
from labkit.cloud.codepipeline.actions.codebuild import arn_of, failure_of, output_of
from labkit.cloud.codepipeline.models import Artifact

_TIMEOUT_MINUTES = 55


def run(action: Action) -> None:
    """Run the commands as a build's, with the action's role, and take their variables and files."""
    for key in ("VpcId", "Subnets", "SecurityGroupIds"):
        if action.configuration.get(key):
            raise ActionFailed(
                "ConfigurationError",
                f"The lab's local AWS does not support {key} (nothing was done)",
            )
    over = threading.Event()
    name = action.pipeline.name
    arn = f"arn:aws:codebuild:{action.region}:{action.pipeline.account_id}:project/{name}"
    build = managed.start(name, arn, _settings(action), CODEPIPELINE, over.set)
    action.report(external_id=build.id)
    while not over.wait(1.0):
        if action.run.status != "InProgress":
            build.halt("STOPPED")  # abandoned: nobody else could ever stop it
    shown = build.fields()
    exported = shown.get("exportedEnvironmentVariables") or []
    action.run.variables = {item["name"]: item["value"] for item in exported}
    if build.status != "SUCCEEDED":
        raise ActionFailed("JobFailed", failure_of(shown))


def _settings(action: Action) -> dict[str, Any]:
    declared, given = action.declaration, action.configuration
    role = declared.get("roleArn") or action.execution.declaration["roleArn"]
    inputs = action.run.inputs
    group = f"/aws/codepipeline/{action.pipeline.name}"
    return {
        "serviceRole": role,
        "source": _source(action, inputs[0] if inputs else None),
        "sourceVersion": None,
        "secondarySources": [{**_from(item), "sourceIdentifier": item.name} for item in inputs[1:]],
        "artifacts": _artifacts(action),
        "environment": {
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/amazonlinux-x86_64-standard:5.0",
            "computeType": given.get("ComputeType") or "BUILD_GENERAL1_SMALL",
            "environmentVariables": declared.get("environmentVariables") or [],
        },
        "timeoutInMinutes": _TIMEOUT_MINUTES,
        "logsConfig": {
            "cloudWatchLogs": {
                "status": "ENABLED",
                "groupName": group,
                "streamName": f"{action.execution.id}/{action.run.id}",
            }
        },
    }


def _source(action: Action, first: Artifact | None) -> dict[str, Any]:
    source = {"type": "NO_SOURCE"} if first is None else _from(first)
    return {**source, "buildspec": _buildspec(action)}


def _from(artifact: Artifact) -> dict[str, Any]:
    return {"type": "CODEPIPELINE", "location": arn_of(artifact)}


def _artifacts(action: Action) -> dict[str, Any]:
    outputs = action.run.outputs
    return output_of(outputs[0]) if outputs else {"type": "NO_ARTIFACTS"}


def _buildspec(action: Action) -> str:
    """The commands as a buildspec; JSON is YAML."""
    declared = action.declaration
    spec: dict[str, Any] = {
        "version": 0.2,
        "env": {"exported-variables": declared.get("outputVariables") or []},
        "phases": {"build": {"commands": declared.get("commands") or []}},
    }
    outputs = declared.get("outputArtifacts") or []
    if outputs:
        spec["artifacts"] = {"files": outputs[0].get("files") or ["**/*"]}
    return json.dumps(spec)
