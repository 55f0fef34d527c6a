"""What CloudWatch is told of a build that has ended.

AWS page: "CodeBuild metrics" (namespace AWS/CodeBuild; each with the dimension ProjectName, and
without one for the account). The resource metrics (CPUUtilized, MemoryUtilized, ...) are not here.
"""

from __future__ import annotations

from typing import Any

from labkit.cloud.codebuild.models import Build
from labkit.cloud.shared import metrics

NAMESPACE = "AWS/CodeBuild"
CODEBUILD = "codebuild.amazonaws.com"
# phase -> the metric of its duration
_DURATIONS = {
    "SUBMITTED": "SubmittedDuration",
    "QUEUED": "QueuedDuration",
    "PROVISIONING": "ProvisioningDuration",
    "DOWNLOAD_SOURCE": "DownloadSourceDuration",
    "INSTALL": "InstallDuration",
    "PRE_BUILD": "PreBuildDuration",
    "BUILD": "BuildDuration",
    "POST_BUILD": "PostBuildDuration",
    "UPLOAD_ARTIFACTS": "UploadArtifactsDuration",
    "FINALIZING": "FinalizingDuration",
}


def publish(build: Build) -> None:
    """Put the metrics of an ended build; nothing is raised."""
    if build.managed_by:
        return
    values = [("Builds", 1.0, "Count")]
    if build.status == "SUCCEEDED":
        values.append(("SucceededBuilds", 1.0, "Count"))
    elif build.status != "STOPPED":
        values.append(("FailedBuilds", 1.0, "Count"))
    if build.ended is not None:
        values.append(("Duration", (build.ended - build.started).total_seconds(), "Seconds"))
    values += [
        (_DURATIONS[phase.type], phase.seconds, "Seconds")
        for phase in build.phases
        if phase.type in _DURATIONS and phase.ended is not None
    ]
    data: list[dict[str, Any]] = [
        {"MetricName": name, "Value": value, "Unit": unit, "Dimensions": dimensions}
        for dimensions in ([{"Name": "ProjectName", "Value": build.project.name}], [])
        for name, value, unit in values
    ]
    metrics.put(CODEBUILD, NAMESPACE, data, build.region, build.arn.split(":")[4])
