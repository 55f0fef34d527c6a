"""Build and Test action CodeBuild: starts a build of a project and waits for its end.

AWS page: "AWS CodeBuild build and test action reference".
"""

from __future__ import annotations

import json
from typing import Any

from labkit.cloud import bus
from labkit.cloud.codepipeline.actions import Action, ActionFailed
from labkit.cloud.codepipeline.models import Artifact

# a build that says nothing is looked at again after this long
_LOOK_AGAIN_SECONDS = 30.0


def run(action: Action) -> None:
    """Build the primary input artifact; the outputs land where the pipeline's store says."""
    codebuild = action.client("codebuild")
    build = codebuild.start_build(**_request(action))["build"]
    region = action.pipeline.region
    url = f"https://{region}.console.aws.amazon.com/codebuild/home?region={region}#/builds/{build['id']}/view/new"
    action.report(external_id=build["id"], url=url)
    seen = 0
    while not build["buildComplete"]:
        seen = bus.changes.wait(build["arn"], seen, _LOOK_AGAIN_SECONDS)
        build = codebuild.batch_get_builds(ids=[build["id"]])["builds"][0]
    exported = build.get("exportedEnvironmentVariables") or []
    action.run.variables = {item["name"]: item["value"] for item in exported}
    if build["buildStatus"] != "SUCCEEDED":
        raise ActionFailed("JobFailed", _failure(build))


def _request(action: Action) -> dict[str, Any]:
    configuration = action.configuration
    inputs = {artifact.name: artifact for artifact in action.run.inputs}
    primary = inputs.pop(configuration.get("PrimarySource") or next(iter(inputs)))
    request: dict[str, Any] = {
        "projectName": configuration["ProjectName"],
        "sourceVersion": _arn(primary),
        "environmentVariablesOverride": _variables(configuration),
    }
    if inputs:
        request["secondarySourcesOverride"] = [
            {
                "type": "CODEPIPELINE",
                "sourceIdentifier": artifact.name,
                "location": f"{artifact.bucket}/{artifact.key}",
            }
            for artifact in inputs.values()
        ]
        request["secondarySourcesVersionOverride"] = [
            {"sourceIdentifier": artifact.name, "sourceVersion": _arn(artifact)}
            for artifact in inputs.values()
        ]
    outputs = [_output(artifact) for artifact in action.run.outputs]
    if len(outputs) > 1:
        for artifact, output in zip(action.run.outputs, outputs, strict=True):
            output["artifactIdentifier"] = artifact.name
        request["secondaryArtifactsOverride"] = outputs
    request["artifactsOverride"] = outputs[0] if len(outputs) == 1 else {"type": "NO_ARTIFACTS"}
    return request


def _output(artifact: Artifact) -> dict[str, Any]:
    return {
        "type": "CODEPIPELINE",
        "location": artifact.bucket,
        "name": artifact.key,
        "packaging": "ZIP",
        "namespaceType": "NONE",
    }


def _arn(artifact: Artifact) -> str:
    return f"arn:aws:s3:::{artifact.bucket}/{artifact.key}"


def _variables(configuration: dict[str, str]) -> list[dict[str, str]]:
    text = configuration.get("EnvironmentVariables", "[]")
    try:
        return [{"type": "PLAINTEXT", **item} for item in json.loads(text)]
    except (ValueError, TypeError) as error:
        raise ActionFailed(
            "ConfigurationError", f"EnvironmentVariables is not a JSON array of objects: {text}"
        ) from error


def _failure(build: dict[str, Any]) -> str:
    message = f"Build terminated with state: {build['buildStatus']}"
    for phase in build.get("phases", []):
        for context in phase.get("contexts") or []:
            if context.get("statusCode"):
                return (
                    f"{message}. Phase: {phase['phaseType']}, Code: {context['statusCode']}, "
                    f"Message: {context['message']}"
                )
    return message
