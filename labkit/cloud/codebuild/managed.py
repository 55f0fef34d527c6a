"""Builds without a project: commands that CodePipeline has run on CodeBuild's machines.

They are nobody's builds: not listed, without events and metrics, acting as the role that CodePipeline
gives them. AWS page: "Commands action reference" in the CodePipeline User Guide.
"""

from __future__ import annotations

from collections.abc import Callable

from labkit.cloud.codebuild import queue
from labkit.cloud.codebuild.models import Build, Fields, Phase, Project


def start(
    name: str, arn: str, settings: Fields, principal: str, then: Callable[[], object]
) -> Build:
    """Queue a build of these settings.

    Args:
        name: what the build is called.
        arn: the ARN that a project of that name would have.
        settings: as a project's: source, artifacts, environment, serviceRole, logsConfig.
        principal: the service that assumes the role.
        then: called when it has ended.
    """
    project = Project({"name": name, **settings}, arn)
    build = Build(project, settings, 1, f"codepipeline/{name}", managed_by=principal)
    build.phases = [
        Phase("SUBMITTED", build.started, build.started, "SUCCEEDED"),
        Phase("QUEUED", build.started),
    ]
    queue.add(build, then)
    return build
