"""Lesson 3: what is wrong with an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from labkit.lab import Lab
from labkit.provision.build import log_group


def log_expires(lab: Lab) -> Iterator[str]:
    wanted = log_group(lab)
    found = lab.client("logs").describe_log_groups()["logGroups"]
    groups = {one["logGroupName"]: one for one in found}
    if wanted not in groups:
        yield f"CloudWatch Logs has no group {wanted}: call create_log_group through created"
    if "retentionInDays" not in groups[wanted]:
        yield f"{wanted} keeps its lines forever. Call put_retention_policy"
    if groups[wanted]["retentionInDays"] > 90:
        yield "a build's log is read for days, not for years: keep it for 90 days or fewer"


def project_described(lab: Lab, project: dict[str, Any]) -> Iterator[str]:
    role = project.get("serviceRole", "")
    if project.get("name") != lab.project:
        yield f"the project's name has to be lab.project, {lab.project}, not {project.get('name')}"
    for side in ("source", "artifacts"):
        if project[side]["type"] != "CODEPIPELINE":
            yield f"{side} has the type {project[side]['type']}. Its other end is the pipeline: CODEPIPELINE"
    if project["source"].get("buildspec", "buildspec.yml") != "buildspec.yml":
        yield "the sample app has its buildspec at the top, in buildspec.yml"
    if role == lab.role("codebuild"):
        yield "serviceRole wants the role's ARN, not its name: lab.role_arn"
    if role != lab.role_arn("codebuild"):
        yield f"a build would act as {role.rpartition('/')[2]}, a role that trusts another service"
    environment = project["environment"]
    if environment["computeType"] != "BUILD_GENERAL1_SMALL":
        yield "a larger machine costs more per minute; the small one will do: BUILD_GENERAL1_SMALL"
    if environment["type"] != "LINUX_CONTAINER":
        yield "the environment's type for this image is LINUX_CONTAINER"


def start_without_pipeline(refused: str | None) -> str:
    return "it is refused" if refused else "it builds"


def build_by_hand(lab: Lab, build: dict[str, Any]) -> Iterator[str]:
    if build["projectName"] != lab.project:
        yield f"this is a build of {build['projectName']}, not of {lab.project}"
    if build["source"]["type"] != "CODECOMMIT":
        yield "its source is not CodeCommit: sourceTypeOverride and sourceLocationOverride"
    if build["artifacts"].get("location"):
        yield "it stores an artifact, which nobody will fetch. Say NO_ARTIFACTS"
    if not build.get("sourceVersion"):
        yield "you have not said what to build, so it took the default branch. Say it: sourceVersion"
    if build["sourceVersion"] not in (f"refs/heads/{lab.branch}", lab.branch):
        yield f"it builds {build['sourceVersion']}, not {lab.branch}"


def after_a_failed_build(broken_phases: pd.DataFrame) -> str:
    status = broken_phases.set_index("phase")["status"]
    return "it runs" if status.get("POST_BUILD") == "SUCCEEDED" else "it is skipped"


def failed_because(reason: str, broken_phases: pd.DataFrame) -> Iterator[str]:
    failed = broken_phases[broken_phases["status"] == "FAILED"]
    if not isinstance(reason, str):
        yield f"reason is a {type(reason).__name__}; take the text out of it"
    if not reason.strip():
        yield "reason is empty. Only the phase that failed has a message"
    if reason.strip() != "".join(failed["message"]):
        yield f"that is not the message of {failed['phase'].iloc[0]}, the phase that failed"


def built_again(lab: Lab, broken: dict[str, Any], fixed: dict[str, Any]) -> Iterator[str]:
    if fixed["id"] == broken["id"]:
        yield "fixed is the build that failed. Push the right colour, and build that commit"
    if fixed["resolvedSourceVersion"] == broken["resolvedSourceVersion"]:
        yield "you have built the same commit again, and it failed again. Push the right colour first"
    if fixed["buildStatus"] != "SUCCEEDED":
        yield f"this build is {fixed['buildStatus']}. Which colours does the log say there are?"
