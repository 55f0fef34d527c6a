"""The build: a CodeBuild project that runs the buildspec.yml it finds in its source.

AWS pages: "Create a build project"; "Build specification reference for CodeBuild"; "Run AWS
CodeBuild builds manually".
"""

from __future__ import annotations

from typing import Any

from labkit.lab import Lab, tag_list
from labkit.missing import says_what_is_missing
from labkit.provision.aws import created, missing_is_fine

IMAGE = "aws/codebuild/standard:7.0"
COMPUTE_TYPE = "BUILD_GENERAL1_SMALL"
TIMEOUT_MINUTES = 10
KEEP_LOGS_DAYS = 30


def create_project(lab: Lab) -> str:
    """Create the project, or bring it up to date; returns its ARN."""
    codebuild = lab.client("codebuild")
    wanted = {
        "name": lab.project,
        "description": "Builds and tests what the pipeline hands it",
        # the pipeline brings the source and takes the artifact
        "source": {"type": "CODEPIPELINE", "buildspec": "buildspec.yml"},
        "artifacts": {"type": "CODEPIPELINE"},
        "environment": {
            "type": "LINUX_CONTAINER",
            "image": IMAGE,
            "computeType": COMPUTE_TYPE,
        },
        "serviceRole": lab.role_arn("codebuild"),
        "timeoutInMinutes": TIMEOUT_MINUTES,
        "logsConfig": {"cloudWatchLogs": {"status": "ENABLED"}},
        "tags": tag_list(lab, "key", "value"),
    }
    answer = created(codebuild.create_project, **wanted) or codebuild.update_project(**wanted)
    return str(answer["project"]["arn"])


def create_log_group(lab: Lab) -> str:
    """The group the builds log to, so that its lines are kept for a while and no longer."""
    logs, name = lab.client("logs"), log_group(lab)
    created(logs.create_log_group, logGroupName=name, tags=lab.tags)
    logs.put_retention_policy(logGroupName=name, retentionInDays=KEEP_LOGS_DAYS)
    return name


def log_group(lab: Lab) -> str:
    """Where CodeBuild logs by default: /aws/codebuild/ and the project's name."""
    return f"/aws/codebuild/{lab.project}"


@says_what_is_missing
def start_build(lab: Lab, *, commit: str | None = None, keep: bool = False) -> str:
    """Start a build by hand, straight from the repository; returns the build's id.

    The project expects a pipeline, so a build by hand says itself where its source comes from and
    where its artifact goes.

    Args:
        commit: a commit id; None takes the branch's newest.
        keep: store the artifact in the bucket at `artifact_key`; else it is dropped.
    """
    repository = lab.client("codecommit").get_repository(repositoryName=lab.repository)
    to_bucket = {
        "type": "S3",
        "location": lab.bucket,
        "path": "by-hand",
        "namespaceType": "BUILD_ID",
        "name": f"{lab.name}.zip",
        "packaging": "ZIP",
    }
    build = lab.client("codebuild").start_build(
        projectName=lab.project,
        sourceTypeOverride="CODECOMMIT",
        sourceLocationOverride=repository["repositoryMetadata"]["cloneUrlHttp"],
        sourceVersion=commit or f"refs/heads/{lab.branch}",
        artifactsOverride=to_bucket if keep else {"type": "NO_ARTIFACTS"},
    )["build"]
    return str(build["id"])


def artifact_key(lab: Lab, build_id: str) -> str:
    """Where `start_build(keep=True)` has put its zip in the artifact bucket."""
    return f"by-hand/{build_id.split(':')[1]}/{lab.name}.zip"


def get_build(lab: Lab, build_id: str) -> dict[str, Any]:
    """The build as BatchGetBuilds describes it.

    Raises:
        LookupError: there is no such build.
    """
    builds = lab.client("codebuild").batch_get_builds(ids=[build_id])["builds"]
    if not builds:
        raise LookupError(f"CodeBuild has no build {build_id}")
    build: dict[str, Any] = builds[0]
    return build


def delete_project(lab: Lab) -> None:
    """Delete the project, its history, its batches, its test reports and its log."""
    codebuild = lab.client("codebuild")
    for batch_id in batches(lab):
        _delete_batch(codebuild, batch_id)
    with missing_is_fine():
        for page in codebuild.get_paginator("list_builds_for_project").paginate(
            projectName=lab.project
        ):
            if page["ids"]:
                _stop_running(codebuild, page["ids"])
                codebuild.batch_delete_builds(ids=page["ids"])
    with missing_is_fine():
        codebuild.delete_project(name=lab.project)
    for arn in report_groups(lab):
        with missing_is_fine():
            codebuild.delete_report_group(arn=arn, deleteReports=True)
    with missing_is_fine():
        lab.client("logs").delete_log_group(logGroupName=log_group(lab))


def _stop_running(codebuild: Any, ids: list[str]) -> None:
    for build in codebuild.batch_get_builds(ids=ids)["builds"]:
        if not build["buildComplete"]:
            codebuild.stop_build(id=build["id"])


def _delete_batch(codebuild: Any, batch_id: str) -> None:
    """Only a batch that is over can be deleted; its builds go with it."""
    [batch] = codebuild.batch_get_build_batches(ids=[batch_id])["buildBatches"]
    if not batch["complete"]:
        codebuild.stop_build_batch(id=batch_id)
    codebuild.delete_build_batch(id=batch_id)


def batches(lab: Lab) -> list[str]:
    """The ids of the project's batch builds."""
    pages = (
        lab.client("codebuild")
        .get_paginator("list_build_batches_for_project")
        .paginate(projectName=lab.project)
    )
    with missing_is_fine():
        return [batch_id for page in pages for batch_id in page["ids"]]
    return []


def report_groups(lab: Lab) -> list[str]:
    """The ARNs of the report groups that the project's builds have made."""
    pages = lab.client("codebuild").get_paginator("list_report_groups").paginate()
    prefix = lab.arn("codebuild", f"report-group/{lab.project}-")
    with missing_is_fine():
        return [arn for page in pages for arn in page["reportGroups"] if arn.startswith(prefix)]
    return []
