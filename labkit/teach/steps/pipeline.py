"""Lesson 6: what is wrong with an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labkit.lab import Lab
from labkit.observe import Snapshot
from labkit.teach.steps import pushes


def source_described(lab: Lab, source_action: dict[str, Any]) -> Iterator[str]:
    yield from _kind(source_action, "Source", "CodeCommit")
    configuration = source_action["configuration"]
    if configuration["RepositoryName"] != lab.repository:
        yield f"it reads the repository {configuration['RepositoryName']}, not {lab.repository}"
    if configuration["BranchName"] != lab.branch:
        yield f"it reads the branch {configuration['BranchName']}, not {lab.branch}"
    polls = configuration.get("PollForSourceChanges")
    if polls is None or polls == "true":
        yield 'it would ask CodeCommit every minute, the default, too. "PollForSourceChanges": "false"'
    if polls != "false":
        yield f'the values of a configuration are texts: "false", not {polls!r}'
    if not source_action.get("outputArtifacts"):
        yield "it hands nothing on, so the build would have no source: outputArtifacts"
    if source_action["outputArtifacts"][0]["name"] != "SourceOutput":
        yield "the next cells call its artifact SourceOutput"
    if source_action.get("namespace") != "SourceVariables":
        yield "without its namespace SourceVariables nobody can use the commit's id later"


def deploy_described(lab: Lab, deploy_action: dict[str, Any]) -> Iterator[str]:
    yield from _kind(deploy_action, "Deploy", "CodeDeploy")
    takes = [one["name"] for one in deploy_action.get("inputArtifacts", [])]
    if takes == ["SourceOutput"]:
        yield "it would deploy the sources, which nobody has built or tested. Take the build's artifact"
    if takes != ["BuildOutput"]:
        yield f"it takes {takes}; the build's artifact is called BuildOutput"
    configuration = deploy_action["configuration"]
    if configuration["ApplicationName"] != lab.application:
        yield f"CodeDeploy has no application {configuration['ApplicationName']}"
    if configuration["DeploymentGroupName"] != lab.fleet:
        yield f"the group is {lab.fleet}, not {configuration['DeploymentGroupName']}"


def _kind(action: dict[str, Any], category: str, provider: str) -> Iterator[str]:
    found = action["actionTypeId"]
    if (found["category"], found["provider"]) != (category, provider):
        yield f"its type is {found['category']}, {found['provider']}; you want {category}, {provider}"


def what_started(first: Snapshot) -> str:
    return "a first execution" if first.trigger == "CreatePipeline" else "nothing"


def where_it_failed(broken: Snapshot) -> str:
    failed = [stage.name for stage in broken.stages if stage.status == "Failed"]
    return f"in {failed[0]}" if failed else "nowhere"


def pattern_of_pushes(lab: Lab, pattern: dict[str, Any]) -> Iterator[str]:
    return pushes.unlike(lab, pattern, made=True)


def target_described(lab: Lab, target: dict[str, Any]) -> Iterator[str]:
    arn, role = lab.arn("codepipeline", lab.pipeline), target.get("RoleArn")
    if target.get("Arn") != arn:
        yield f"the target has to be the pipeline, {arn}"
    if role is None:
        yield "EventBridge would have no role to start the pipeline with, and pushes start nothing: RoleArn"
    if role != lab.role_arn("events"):
        yield f"EventBridge cannot act as {str(role).rpartition('/')[2]}. Its own role is {lab.role('events')}"
