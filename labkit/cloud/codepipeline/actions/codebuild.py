"""Build and Test action CodeBuild: starts a build, or a batch, of a project and waits for its end.

AWS page: "AWS CodeBuild build and test action reference".
"""

from __future__ import annotations

import json
from typing import Any

from labkit.cloud import bus
from labkit.cloud.codepipeline.action import Action, ActionFailed
from labkit.cloud.codepipeline.models import Artifact

# a build that says nothing is looked at again after this long
_LOOK_AGAIN_SECONDS = 30.0


def run(action: Action) -> None:
    """Build the primary input artifact; the outputs land where the pipeline's store says."""
    if action.configuration.get("BatchEnabled") == "true":
        _run_batch(action)
    else:
        _run_build(action)


def _run_build(action: Action) -> None:
    codebuild = action.client("codebuild")
    build = codebuild.start_build(**_request(action))["build"]
    action.report(external_id=build["id"], url=_url(action, build["id"]))
    seen = 0
    while not build["buildComplete"]:
        seen = bus.changes.wait(build["arn"], seen, _LOOK_AGAIN_SECONDS)
        build = _found(codebuild.batch_get_builds(ids=[build["id"]])["builds"], build["id"])
    exported = build.get("exportedEnvironmentVariables") or []
    action.run.variables = {item["name"]: item["value"] for item in exported}
    if build["buildStatus"] != "SUCCEEDED":
        raise ActionFailed("JobFailed", failure_of(build))


def _run_batch(action: Action) -> None:
    codebuild, request = action.client("codebuild"), _request(action)
    if action.configuration.get("CombineArtifacts") == "true":
        [project] = codebuild.batch_get_projects(names=[request["projectName"]])["projects"]
        configured = project.get("buildBatchConfig") or {}
        request["buildBatchConfigOverride"] = {**configured, "combineArtifacts": True}
    batch = codebuild.start_build_batch(**request)["buildBatch"]
    action.report(external_id=batch["id"], url=_url(action, batch["id"]))
    seen = 0
    while not batch["complete"]:
        seen = bus.changes.wait(batch["arn"], seen, _LOOK_AGAIN_SECONDS)
        found = codebuild.batch_get_build_batches(ids=[batch["id"]])["buildBatches"]
        batch = _found(found, batch["id"])
    if batch["buildBatchStatus"] != "SUCCEEDED":
        told = f"Build batch terminated with state: {batch['buildBatchStatus']}"
        raise ActionFailed("JobFailed", told)


def _found(builds: list[dict[str, Any]], build_id: str) -> dict[str, Any]:
    """The one that was asked for; it may have been deleted, or its project with all builds."""
    if not builds:
        raise ActionFailed("JobFailed", f"Build {build_id} is not there any more")
    return builds[0]


def _url(action: Action, build_id: str) -> str:
    region = action.region
    return (
        f"https://{region}.console.aws.amazon.com/codebuild/home?region={region}"
        f"#/builds/{build_id}/view/new"
    )


def _request(action: Action) -> dict[str, Any]:
    configuration = action.configuration
    inputs = {artifact.name: artifact for artifact in action.run.inputs}
    named = configuration.get("PrimarySource") or next(iter(inputs), "")
    if named not in inputs:
        raise ActionFailed(
            "ConfigurationError", f"PrimarySource {named} is not an input artifact of the action"
        )
    primary = inputs.pop(named)
    request: dict[str, Any] = {
        "projectName": configuration["ProjectName"],
        "sourceVersion": arn_of(primary),
        "environmentVariablesOverride": _variables(configuration),
    }
    if configuration.get("BuildspecOverride"):
        request["buildspecOverride"] = configuration["BuildspecOverride"]
    if configuration.get("ServiceRoleArnOverride"):
        request["serviceRoleOverride"] = configuration["ServiceRoleArnOverride"]
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
            {"sourceIdentifier": artifact.name, "sourceVersion": arn_of(artifact)}
            for artifact in inputs.values()
        ]
    return {**request, **_outputs(action)}


def _outputs(action: Action) -> dict[str, Any]:
    """One output is the primary artifact; several are secondary ones, by their names.

    The outputs of a batch are its builds', each under its task's identifier, unless combined.
    """
    outputs = [output_of(artifact) for artifact in action.run.outputs]
    batch = action.configuration.get("BatchEnabled") == "true"
    combined = action.configuration.get("CombineArtifacts") == "true"
    if len(outputs) == 1 and (not batch or combined):
        return {"artifactsOverride": outputs[0]}
    for artifact, output in zip(action.run.outputs, outputs, strict=True):
        output["artifactIdentifier"] = artifact.name
    none = {"artifactsOverride": {"type": "NO_ARTIFACTS"}}
    return {**none, "secondaryArtifactsOverride": outputs} if outputs else none


def output_of(artifact: Artifact) -> dict[str, Any]:
    """An output artifact as the artifacts of a build."""
    return {
        "type": "CODEPIPELINE",
        "location": artifact.bucket,
        "name": artifact.key,
        "packaging": "ZIP",
        "namespaceType": "NONE",
    }


def arn_of(artifact: Artifact) -> str:
    """The ARN of an artifact's object."""
    return f"arn:aws:s3:::{artifact.bucket}/{artifact.key}"


def _variables(configuration: dict[str, str]) -> list[dict[str, str]]:
    text = configuration.get("EnvironmentVariables", "[]")
    try:
        return [{"type": "PLAINTEXT", **item} for item in json.loads(text)]
    except (ValueError, TypeError) as error:
        raise ActionFailed(
            "ConfigurationError", f"EnvironmentVariables is not a JSON array of objects: {text}"
        ) from error


def failure_of(build: dict[str, Any]) -> str:
    """What went wrong in a build, as the action says it."""
    message = f"Build terminated with state: {build['buildStatus']}"
    for phase in build.get("phases", []):
        for context in phase.get("contexts") or []:
            if context.get("statusCode"):
                return (
                    f"{message}. Phase: {phase['phaseType']}, Code: {context['statusCode']}, "
                    f"Message: {context['message']}"
                )
    return message
