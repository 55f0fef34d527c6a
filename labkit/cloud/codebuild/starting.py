"""How a build begins, whoever starts it: StartBuild, a retry, a webhook, or a batch.

AWS page: "StartBuild" in the CodeBuild API Reference.
"""

from __future__ import annotations

from typing import Any

from labkit.cloud.codebuild import events, queue
from labkit.cloud.codebuild.backend import CodeBuildBackend
from labkit.cloud.codebuild.models import Build, Fields, Phase, Project
from labkit.cloud.shared.service import AWSError

# StartBuild's overrides -> where in the build's settings they go
_OVERRIDES = {
    "sourceTypeOverride": ("source", "type"),
    "sourceLocationOverride": ("source", "location"),
    "buildspecOverride": ("source", "buildspec"),
    "gitCloneDepthOverride": ("source", "gitCloneDepth"),
    "gitSubmodulesConfigOverride": ("source", "gitSubmodulesConfig"),
    "imagePullCredentialsTypeOverride": ("environment", "imagePullCredentialsType"),
    "environmentTypeOverride": ("environment", "type"),
    "imageOverride": ("environment", "image"),
    "computeTypeOverride": ("environment", "computeType"),
    "privilegedModeOverride": ("environment", "privilegedMode"),
    "artifactsOverride": ("artifacts",),
    "secondaryArtifactsOverride": ("secondaryArtifacts",),
    "secondarySourcesOverride": ("secondarySources",),
    "secondarySourcesVersionOverride": ("secondarySourceVersions",),
    "logsConfigOverride": ("logsConfig",),
    "timeoutInMinutesOverride": ("timeoutInMinutes",),
    "queuedTimeoutInMinutesOverride": ("queuedTimeoutInMinutes",),
    "serviceRoleOverride": ("serviceRole",),
    "encryptionKeyOverride": ("encryptionKey",),
    "cacheOverride": ("cache",),
    "insecureSslOverride": ("source", "insecureSsl"),
    "sourceAuthOverride": ("source", "auth"),
    "reportBuildStatusOverride": ("source", "reportBuildStatus"),
    "buildStatusConfigOverride": ("source", "buildStatusConfig"),
    "registryCredentialOverride": ("environment", "registryCredential"),
    "autoRetryLimitOverride": ("autoRetryLimit",),
}


def start(
    backend: CodeBuildBackend,
    project: Project,
    settings: Fields,
    version: str | None,
    initiator: str,
    **more: Any,
) -> Build:
    """Make a build and queue it.

    Args:
        settings: the project's, with the overrides of this build in them (`overridden`).
        version: `sourceVersion`.
        more: further fields of `Build`.
    """
    with backend.lock:
        number = project.next_build_number
        build = Build(project, settings, number, initiator, source_version=version, **more)
        project.next_build_number += 1
        backend.builds[build.id] = build
    moment = build.started
    build.phases = [Phase("SUBMITTED", moment, moment, "SUCCEEDED"), Phase("QUEUED", moment)]
    events.build_changed(build)
    queue.add(build, then=lambda: _retry(backend, build))
    return build


def _retry(backend: CodeBuildBackend, failed: Build) -> None:
    """Start a failed build again, as often as its project's `autoRetryLimit` says.

    AWS page: "Retry builds automatically with AWS CodeBuild"; not for a pipeline's or a batch's.
    """
    limit, number = failed.settings.get("autoRetryLimit") or 0, failed.auto_retry_number
    by_pipeline = failed.initiator.startswith("codepipeline/")
    if failed.status != "FAILED" or number >= limit or by_pipeline or failed.batch_arn:
        return
    again = start(
        backend,
        failed.project,
        failed.settings,
        failed.source_version,
        failed.initiator,
        auto_retry_number=number + 1,
        previous_auto_retry=failed.arn,
    )
    failed.next_auto_retry = again.arn


def overridden(declared: Fields, request: Fields) -> Fields:
    """The project's settings with StartBuild's overrides in them.

    Raises:
        AWSError: InvalidInputException, an override that the lab does not know.
    """
    settings = {
        **declared,
        "source": dict(declared["source"]),
        "environment": dict(declared["environment"]),
    }
    known = {"sourceVersion", "environmentVariablesOverride", "idempotencyToken", *_OVERRIDES}
    for name in request.keys() - known:
        raise AWSError("InvalidInputException", f"The lab's local AWS does not support {name} yet")
    for name, (*parents, last) in _OVERRIDES.items():
        if name in request:
            place = settings[parents[0]] if parents else settings
            place[last] = request[name]
    variables = {
        item["name"]: item
        for item in [
            *(settings["environment"].get("environmentVariables") or []),
            *(request.get("environmentVariablesOverride") or []),
        ]
    }
    settings["environment"]["environmentVariables"] = list(variables.values())
    return settings
