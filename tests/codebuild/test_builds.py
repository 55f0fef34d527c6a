"""Builds as one meets them: stop, retry, pipelines' artifacts, events, many at once."""

from __future__ import annotations

import io
import json
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from tests.cloud.functions import make_functions
from tests.queues import create_queue
from tests.waiting import DEADLINE_SECONDS, eventually

pytestmark = pytest.mark.guests

SLEEPER = "version: 0.2\nphases: {build: {commands: [echo asleep, sleep 300]}, post_build: {commands: [echo never]}}"
TRUE = 'version: 0.2\nphases: {build: {commands: ["true"]}}'


def inline(buildspec: str) -> dict[str, str]:
    return {"type": "NO_SOURCE", "buildspec": buildspec}


def processes_of(build: dict[str, Any]) -> list[psutil.Process]:
    owner, found = f"build/{build['id'].split(':')[1]}", []
    for process in psutil.process_iter():
        try:
            if process.environ().get("LABKIT_OWNER") == owner:
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_stop_build_ends_the_processes_at_once(bench: Any) -> None:
    build = bench.codebuild.start_build(projectName=bench.project(source=inline(SLEEPER)))["build"]
    bench.wait_for_log(build, "asleep")
    assert processes_of(build)
    started = time.monotonic()
    stopped = bench.codebuild.stop_build(id=build["id"])["build"]
    assert time.monotonic() - started < DEADLINE_SECONDS
    assert (stopped["buildStatus"], stopped["buildComplete"]) == ("STOPPED", True)
    assert stopped["phases"][-2]["phaseType"] == "BUILD"
    assert stopped["phases"][-2]["phaseStatus"] == "STOPPED"
    assert not processes_of(build)
    assert "never" not in bench.log(build)
    # on a build that is over it changes nothing
    assert bench.codebuild.stop_build(id=build["arn"])["build"]["endTime"] == stopped["endTime"]


def test_builds_queue_for_the_workers_and_leave_the_queue_when_stopped(bench: Any) -> None:
    project = bench.project(source=inline(SLEEPER))
    started = [bench.codebuild.start_build(projectName=project)["build"]["id"] for _ in range(12)]
    builds = bench.codebuild.batch_get_builds(ids=started)["builds"]
    queued = [build for build in builds if build["currentPhase"] == "QUEUED"]
    assert queued
    for build_id in reversed(started):
        bench.codebuild.stop_build(id=build_id)
    for build in bench.codebuild.batch_get_builds(ids=started)["builds"]:
        assert build["buildStatus"] == "STOPPED"
        assert not processes_of(build)


def test_builds_at_once_keep_their_logs_apart(bench: Any) -> None:
    spec = "version: 0.2\nphases: {build: {commands: ['for i in 1 2 3; do echo I am $NAME; sleep 0.05; done']}}"
    project = bench.project(source=inline(spec))
    builds = [
        bench.codebuild.start_build(
            projectName=project,
            environmentVariablesOverride=[{"name": "NAME", "value": f"number-{index}"}],
        )["build"]
        for index in range(6)
    ]
    assert [build["buildNumber"] for build in builds] == [1, 2, 3, 4, 5, 6]
    for index, build in enumerate(builds):
        done = bench.wait(build["id"])
        assert done["buildStatus"] == "SUCCEEDED"
        said = [line for line in bench.log(done) if line.startswith("I am ")]
        assert said == [f"I am number-{index}"] * 3


def test_the_log_can_be_read_while_the_build_runs(bench: Any) -> None:
    spec = (
        "version: 0.2\nphases: {build: {commands: [echo first-line; sleep 1.5; echo second-line]}}"
    )
    build = bench.codebuild.start_build(projectName=bench.project(source=inline(spec)))["build"]
    bench.wait_for_log(build, "first-line")
    assert "second-line" not in bench.log(build)
    assert bench.wait(build["id"])["buildStatus"] == "SUCCEEDED"


def test_retry_makes_a_new_build_with_the_old_ones_parameters(bench: Any) -> None:
    spec = "version: 0.2\nphases: {build: {commands: [echo $WHICH]}}"
    first = bench.run(
        bench.project(source=inline(spec)),
        environmentVariablesOverride=[{"name": "WHICH", "value": "overridden"}],
    )
    again = bench.wait(bench.codebuild.retry_build(id=first["id"])["build"]["id"])
    assert again["id"] != first["id"]
    assert again["buildNumber"] == 2
    assert "overridden" in bench.log(again)


def test_the_same_idempotency_token_starts_one_build(bench: Any) -> None:
    project = bench.project(source=inline(TRUE))
    started = [
        bench.codebuild.start_build(projectName=project, idempotencyToken="once")["build"]["id"]
        for _ in range(2)
    ]
    assert started[0] == started[1]


def test_a_pipelines_artifacts_in_and_out(bench: Any) -> None:
    spec = """
version: 0.2
phases:
  build:
    commands:
      - echo "from $CODEBUILD_SOURCE_VERSION at $CODEBUILD_RESOLVED_SOURCE_VERSION"
      - cat "$CODEBUILD_SRC_DIR_Config/settings.txt"
      - ./scripts/run.sh > made.txt
artifacts:
  files: [made.txt, "scripts/*"]
  secondary-artifacts:
    One: {files: [made.txt]}
    Two: {files: ["scripts/*"], discard-paths: yes}
"""
    files = {"buildspec.yml": spec, "scripts/run.sh": "#!/bin/sh\necho it runs\n"}
    key = bench.upload(files, "P/Source/a b", Metadata={"codepipeline-revision": "c0ffee"})
    other = bench.upload({"settings.txt": "settings-are-here\n"}, "P/Config/x")
    project = bench.project(source={"type": "CODEPIPELINE"}, artifacts={"type": "CODEPIPELINE"})
    request = {
        "sourceVersion": f"arn:aws:s3:::{bench.bucket}/{key}",
        "secondarySourcesOverride": [
            {"type": "CODEPIPELINE", "sourceIdentifier": "Config", "location": f"{bench.bucket}/{other}"}
        ],
        "secondarySourcesVersionOverride": [
            {"sourceIdentifier": "Config", "sourceVersion": f"arn:aws:s3:::{bench.bucket}/{other}"}
        ],
    }  # fmt: skip
    out = {
        "type": "CODEPIPELINE",
        "location": bench.bucket,
        "packaging": "ZIP",
        "namespaceType": "NONE",
    }
    build = bench.run(project, **request, artifactsOverride={**out, "name": "P/Out/one"})
    log = bench.log(build)
    assert build["buildStatus"] == "SUCCEEDED", log
    assert build["resolvedSourceVersion"] == "c0ffee"
    assert f"from arn:aws:s3:::{bench.bucket}/{key} at c0ffee" in log
    assert "settings-are-here" in log
    assert build["artifacts"]["location"] == f"arn:aws:s3:::{bench.bucket}/P/Out/one"
    assert len(build["artifacts"]["sha256sum"]) == 64
    assert bench.unzip("P/Out/one")["made.txt"] == "it runs\n"
    body = bench.aws.client("s3").get_object(Bucket=bench.bucket, Key="P/Out/one")["Body"].read()
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.getinfo("scripts/run.sh").external_attr >> 16 & 0o111

    several = bench.run(
        project,
        **request,
        artifactsOverride={"type": "NO_ARTIFACTS"},
        secondaryArtifactsOverride=[
            {**out, "name": "P/Out/1", "artifactIdentifier": "One"},
            {**out, "name": "P/Out/2", "artifactIdentifier": "Two"},
        ],
    )
    assert several["buildStatus"] == "SUCCEEDED", bench.log(several)
    assert bench.unzip("P/Out/1") == {"made.txt": "it runs\n"}
    assert set(bench.unzip("P/Out/2")) == {"run.sh"}
    assert [item["artifactIdentifier"] for item in several["secondaryArtifacts"]] == ["One", "Two"]

    missing = bench.run(
        project,
        **request,
        artifactsOverride={"type": "NO_ARTIFACTS"},
        secondaryArtifactsOverride=[{**out, "name": "P/Out/3", "artifactIdentifier": "Three"}],
    )
    assert missing["buildStatus"] == "FAILED"


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"path": "My Path", "name": "a.zip", "packaging": "ZIP"}, "My Path/a.zip"),
        ({"path": "p", "name": "a.zip", "packaging": "ZIP", "namespaceType": "BUILD_ID"}, "p/{uuid}/a.zip"),
        ({"path": "p", "name": "dir"}, "p/dir/x/one.txt"),
        ({"name": "/", "packaging": "NONE"}, "x/one.txt"),
        ({"path": "p", "name": "n", "packaging": "ZIP", "overrideArtifactName": True}, "p/named-1.zip"),
    ],
)  # fmt: skip
def test_where_artifacts_go_in_s3(bench: Any, settings: dict[str, Any], key: str) -> None:
    spec = "version: 0.2\nphases: {build: {commands: [export N=1]}}\nartifacts: {name: named-$N.zip, files: [x/*]}"
    files = {"buildspec.yml": spec, "x/one.txt": "1"}
    location = f"{bench.bucket}/{bench.upload(files)}"
    build = bench.run(
        bench.project(
            source={"type": "S3", "location": location},
            artifacts={"type": "S3", "location": bench.bucket, **settings},
        )
    )
    assert build["buildStatus"] == "SUCCEEDED", bench.log(build)
    found = bench.aws.client("s3").head_object(
        Bucket=bench.bucket, Key=key.format(uuid=build["id"].split(":")[1])
    )
    assert found["Metadata"]["codebuild-buildarn"] == build["arn"]


def test_nothing_of_a_build_stays(bench: Any) -> None:
    build = bench.run(bench.project(source=inline(TRUE)))
    directory = bench.aws.guests_dir / "builds" / build["id"].split(":")[1]
    eventually(lambda: not directory.exists())
    assert not processes_of(build)


def test_a_role_that_does_not_trust_codebuild_is_refused(bench: Any) -> None:
    role = bench.role + "-not-there"
    with pytest.raises(ClientError) as refused:
        bench.project(serviceRole=role)
    error = refused.value.response["Error"]
    assert error["Code"] == "InvalidInputException"
    assert error["Message"] == f"CodeBuild is not authorized to perform: sts:AssumeRole on {role}"


def test_a_role_that_is_gone_fails_the_build(bench: Any) -> None:
    iam, name = bench.aws.client("iam"), bench.role.split("/")[1] + "-gone"
    trust = iam.get_role(RoleName=bench.role.split("/")[1])["Role"]["AssumeRolePolicyDocument"]
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    project = bench.project(source=inline(TRUE), serviceRole=bench.role)
    iam.delete_role(RoleName=name)
    build = bench.run(project, serviceRoleOverride=role)
    assert build["buildStatus"] == "FAILED"
    assert [phase["phaseType"] for phase in build["phases"]][2:] == ["PROVISIONING", "COMPLETED"]
    [context] = build["phases"][2]["contexts"]
    assert context["message"] == f"CodeBuild is not authorized to perform: sts:AssumeRole on {role}"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"vpcConfig": {"vpcId": "vpc-1", "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]}}, "vpcConfig"),
        ({"environment": {"type": "WINDOWS_SERVER_2022_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_MEDIUM"}}, "WINDOWS_SERVER_2022_CONTAINER"),
        ({"badgeEnabled": True}, "badgeEnabled"),
        ({"source": {"type": "NO_SOURCE"}}, "buildspec"),
        ({"serviceRole": "not-an-arn"}, "service role"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_named(bench: Any, settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ClientError, match=named) as refused:
        bench.project(**settings)
    assert refused.value.response["Error"]["Code"] == "InvalidInputException"


def test_projects_are_made_changed_listed_and_deleted(bench: Any) -> None:
    codebuild = bench.codebuild
    name = bench.project(source=inline(TRUE), description="one", tags=[{"key": "a", "value": "b"}])
    with pytest.raises(codebuild.exceptions.ResourceAlreadyExistsException):
        codebuild.create_project(
            name=name, source=inline(TRUE), artifacts={"type": "NO_ARTIFACTS"},
            environment={"type": "LINUX_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_SMALL"},
            serviceRole=bench.role,
        )  # fmt: skip
    codebuild.update_project(name=name, description="two")
    answer = codebuild.batch_get_projects(names=[name, "not-there"])
    [project] = answer["projects"]
    assert (project["description"], answer["projectsNotFound"]) == ("two", ["not-there"])
    assert project["arn"] == f"arn:aws:codebuild:us-east-1:123456789012:project/{name}"
    pages = codebuild.get_paginator("list_projects").paginate()
    assert name in [listed for page in pages for listed in page["projects"]]
    build = bench.run(name)
    assert codebuild.list_builds_for_project(projectName=name)["ids"] == [build["id"]]
    codebuild.delete_project(name=name)
    with pytest.raises(
        codebuild.exceptions.ResourceNotFoundException, match="Project cannot be found"
    ):
        codebuild.start_build(projectName=name)
    deleted = codebuild.batch_delete_builds(ids=[build["id"]])
    assert deleted["buildsDeleted"] == [build["arn"]]
    assert codebuild.batch_get_builds(ids=[build["id"]])["buildsNotFound"] == [build["id"]]


def test_events_of_a_build_reach_a_rule(bench: Any) -> None:
    events, sqs = bench.aws.client("events"), bench.aws.client("sqs")
    project = bench.project(source=inline('version: 0.2\nphases: {build: {commands: ["false"]}}'))
    url, arn = create_queue(bench.aws, project, "events.amazonaws.com")
    pattern = {"source": ["aws.codebuild"], "detail": {"project-name": [project]}}
    events.put_rule(Name=project, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=project, Targets=[{"Id": "queue", "Arn": arn}])
    build = bench.run(project)
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline and not any(
        event["detail"].get("build-status") == "FAILED" for event in found
    ):
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        found += [json.loads(message["Body"]) for message in answer.get("Messages", [])]
    events.remove_targets(Rule=project, Ids=["queue"])
    events.delete_rule(Name=project)
    states = [
        event["detail"]["build-status"]
        for event in found
        if event["detail-type"] == "CodeBuild Build State Change"
    ]
    assert sorted(states) == ["FAILED", "IN_PROGRESS"]
    phases = {
        event["detail"]["completed-phase"]: event["detail"]["completed-phase-status"]
        for event in found
        if event["detail-type"] == "CodeBuild Build Phase Change"
    }
    assert phases["BUILD"] == "FAILED"
    assert phases["POST_BUILD"] == "SUCCEEDED"
    assert all(event["detail"]["build-id"] == build["arn"] for event in found)


def test_a_codecommit_source_is_cloned_as_the_role(bench: Any, tmp_path: Path) -> None:
    codecommit, name = bench.aws.client("codecommit"), bench.project(source=inline(TRUE))
    url = codecommit.create_repository(repositoryName=name)["repositoryMetadata"]["cloneUrlHttp"]
    spec = (
        "version: 0.2\nenv: {git-credential-helper: yes}\nphases: {build: {commands: "
        '[git log -1 --format=%s, git fetch -q && echo fetched, echo "at $CODEBUILD_RESOLVED_SOURCE_VERSION"]}}'
    )
    clone = tmp_path / "clöne of it"
    (clone / "src").mkdir(parents=True)
    (clone / "buildspec.yml").write_text(spec)
    author = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    for arguments in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "."],
        [*author, "commit", "--quiet", "-m", "a first commit"],
        ["push", "--quiet", url, "main"],
    ):
        subprocess.run(["git", *arguments], cwd=clone, env=bench.aws.env, check=True)
    commit = codecommit.get_branch(repositoryName=name, branchName="main")["branch"]["commitId"]
    build = bench.run(
        bench.project(source={"type": "CODECOMMIT", "location": url}), sourceVersion="main"
    )
    log = bench.log(build)
    assert build["buildStatus"] == "SUCCEEDED", log
    assert build["resolvedSourceVersion"] == commit
    assert {"a first commit", "fetched", f"at {commit}"} <= set(log)


def test_a_failed_build_is_retried_as_often_as_the_project_says(bench: Any) -> None:
    project = bench.project(
        source=inline('version: 0.2\nphases: {build: {commands: ["false"]}}'), autoRetryLimit=2
    )
    first = bench.run(project)
    chain = [first]
    for _ in range(2):
        waited = time.monotonic() + DEADLINE_SECONDS
        while "nextAutoRetry" not in chain[-1]["autoRetryConfig"] and time.monotonic() < waited:
            chain[-1] = bench.wait(chain[-1]["id"])
        chain.append(bench.wait(chain[-1]["autoRetryConfig"]["nextAutoRetry"]))
    assert [build["autoRetryConfig"]["autoRetryNumber"] for build in chain] == [0, 1, 2]
    assert chain[2]["autoRetryConfig"]["previousAutoRetry"] == chain[1]["arn"]
    assert "nextAutoRetry" not in chain[2]["autoRetryConfig"]
    assert len(bench.codebuild.list_builds_for_project(projectName=project)["ids"]) == 3


def test_the_other_operations_of_projects(bench: Any) -> None:
    platforms = bench.codebuild.list_curated_environment_images()["platforms"]
    assert {item["platform"] for item in platforms} == {"AMAZON_LINUX_2", "UBUNTU"}
    assert bench.codebuild.list_shared_projects()["projects"] == []
    project = bench.project()
    [arn] = [
        item["arn"] for item in bench.codebuild.batch_get_projects(names=[project])["projects"]
    ]
    visibility = bench.codebuild.update_project_visibility
    assert visibility(projectArn=arn, projectVisibility="PRIVATE")["projectVisibility"] == "PRIVATE"
    with pytest.raises(ClientError, match="does not support projectVisibility PUBLIC_READ"):
        visibility(projectArn=arn, projectVisibility="PUBLIC_READ")


def test_a_version_is_published_while_a_build_writes_its_log(bench: Any) -> None:
    # "PublishVersion" in the Lambda API Reference: nothing of other services is in its way
    build = bench.codebuild.start_build(projectName=bench.project(source=inline(SLEEPER)))["build"]
    bench.wait_for_log(build, "asleep")
    functions = make_functions(bench.aws)
    name = functions.make("def handler(event, context): return 1", "python3.11", Publish=True)
    bench.codebuild.stop_build(id=build["id"])
    versions = functions.api.list_versions_by_function(FunctionName=name)["Versions"]
    assert [version["Version"] for version in versions] == ["$LATEST", "1"]
