"""Batch builds by their operations: records, stop, retry, delete, lists, tokens, artifacts."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.codebuild.batching import (
    DONE,
    Batches,
    Fields,
    groups,
    make_batches,
    phases,
    spec,
    statuses,
    summary,
)
from tests.codebuild.conftest import ENVIRONMENT, make_bench
from tests.conftest import own_lab

pytestmark = [pytest.mark.slow, pytest.mark.guests]


@pytest.fixture(scope="session")
def batches(bench: Any) -> Batches:
    return make_batches(bench)


@pytest.fixture
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batches]:
    """A lab whose timeouts pass 300 times as fast: five minutes in a second."""
    state_dir = tmp_path_factory.mktemp("hasty") / "state"
    with own_lab(state_dir, LABKIT_TIMEOUT_SCALE="300") as aws:
        yield make_batches(make_bench(aws))


# what the records say


def test_a_batch_and_its_builds_name_each_other(batches: Batches) -> None:
    project = batches.project(spec("{build-list: [{identifier: a}]}"))
    first, second = batches.run(project), batches.run(project)
    assert (first["buildBatchNumber"], second["buildBatchNumber"]) == (1, 2)
    assert first["arn"].endswith(f":build-batch/{first['id']}")
    assert first["initiator"] == "learner"
    assert first["buildBatchConfig"]["timeoutInMins"] == 480
    builds = [batches.build(first, name) for name in ("DOWNLOAD_SOURCE", "a")]
    assert [build["buildBatchArn"] for build in builds] == [first["arn"]] * 2
    assert [build["initiator"] for build in builds] == ["learner", first["arn"]]
    assert [build["buildNumber"] for build in builds] == [1, 2]


def test_the_first_build_brings_the_source_and_runs_no_command(batches: Batches) -> None:
    batch = batches.run(batches.project(spec("{build-list: [{identifier: a}]}")))
    types = [phase["phaseType"] for phase in batches.build(batch, "DOWNLOAD_SOURCE")["phases"]]
    assert types == [
        "SUBMITTED", "QUEUED", "PROVISIONING", "DOWNLOAD_SOURCE", "FINALIZING", "COMPLETED",
    ]  # fmt: skip


def test_all_builds_have_the_revision_that_the_first_one_found(
    batches: Batches, tmp_path: Path
) -> None:
    aws, name = batches.bench.aws, f"batch-{uuid4().hex[:8]}"
    codecommit = aws.client("codecommit")
    url = codecommit.create_repository(repositoryName=name)["repositoryMetadata"]["cloneUrlHttp"]
    text = spec("{build-list: [{identifier: a}]}", "echo at $CODEBUILD_RESOLVED_SOURCE_VERSION")
    (tmp_path / "buildspec.yml").write_text(text)
    author = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    for arguments in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "."],
        [*author, "commit", "--quiet", "-m", "a batch"],
        ["push", "--quiet", url, "main"],
    ):
        subprocess.run(["git", *arguments], cwd=tmp_path, env=aws.env, check=True)
    commit = codecommit.get_branch(repositoryName=name, branchName="main")["branch"]["commitId"]
    project = batches.project("", source={"type": "CODECOMMIT", "location": url})
    batch = batches.run(project, sourceVersion="main")
    assert (batch["sourceVersion"], batch["resolvedSourceVersion"]) == ("main", commit)
    assert batches.build(batch, "a")["sourceVersion"] == commit
    assert f"\nat {commit}\n" in batches.log(batch, "a")


def test_builds_of_a_batch_keep_the_projects_concurrency(batches: Batches) -> None:
    listed = "{build-list: [{identifier: a}, {identifier: b}, {identifier: c}]}"
    batch = batches.run(batches.project(spec(listed, "sleep 0.2"), concurrentBuildLimit=1))
    builds = sorted(
        (batches.build(batch, name) for name in "abc"), key=lambda build: build["endTime"]
    )
    for earlier, later in itertools.pairwise(builds):
        queued = next(item for item in later["phases"] if item["phaseType"] == "QUEUED")
        assert queued["endTime"] >= earlier["endTime"]


def test_the_batch_role_starts_the_builds(batches: Batches, aws: Any) -> None:
    batches.run(batches.project(spec("{build-list: [{identifier: a}]}")))
    trail = (aws.state_dir / "trail.jsonl").read_text(encoding="utf-8").splitlines()
    starts = [json.loads(line) for line in trail if '"StartBuild"' in line]
    role = batches.role.rpartition("/")[2]
    assert [f"assumed-role/{role}/" in item["userIdentity"]["arn"] for item in starts[-2:]] == [
        True,
        True,
    ]


# stop, time-out, retry, delete


def test_a_batch_is_stopped_with_all_its_builds(batches: Batches) -> None:
    graph = "{build-graph: [{identifier: a}, {identifier: b, depend-on: [a]}]}"
    batch = batches.start(batches.project(spec(graph, "sleep 60")))
    batches.until(batch["id"], lambda now: "arn" in summary(now, "a"))
    stopped = batches.codebuild.stop_build_batch(id=batch["id"])["buildBatch"]
    assert stopped["buildBatchStatus"] == "STOPPED"
    assert phases(stopped)[2:] == [("IN_PROGRESS", "STOPPED"), ("STOPPED", None)]
    assert statuses(stopped) == {"a": "STOPPED", "b": "STOPPED"}
    assert batches.build(stopped, "a")["buildComplete"]
    again = batches.codebuild.stop_build_batch(id=batch["arn"])["buildBatch"]
    assert again["endTime"] == stopped["endTime"]


def test_a_batch_whose_time_is_over_is_ended_with_its_builds(hasty: Batches) -> None:
    graph = "{build-graph: [{identifier: a}, {identifier: b, depend-on: [a]}]}"
    batch = hasty.run(hasty.project(spec(graph, "sleep 60"), {"timeoutInMins": 30}))
    assert batch["buildBatchStatus"] == "TIMED_OUT"
    assert phases(batch)[2:] == [("IN_PROGRESS", "TIMED_OUT"), ("STOPPED", None)]
    assert statuses(batch) == {"a": "STOPPED", "b": "STOPPED"}
    assert (batch["endTime"] - batch["startTime"]).total_seconds() < 40


def test_a_build_that_is_stopped_fails_the_batch(batches: Batches) -> None:
    batch = batches.start(batches.project(spec("{build-list: [{identifier: a}]}", "sleep 60")))
    batch = batches.until(batch["id"], lambda now: "arn" in summary(now, "a"))
    batches.codebuild.stop_build(id=summary(batch, "a")["arn"])
    batch = batches.wait(batch["id"])
    assert (batch["buildBatchStatus"], statuses(batch)) == ("FAILED", {"a": "STOPPED"})


FLAKY = spec(
    "{build-graph: [{identifier: good}, {identifier: flaky}, "
    "{identifier: after, depend-on: [flaky]}]}",
    'test "$CODEBUILD_BATCH_BUILD_IDENTIFIER" != flaky || '
    "aws s3api head-object --bucket $BUCKET --key $KEY",
)


def _flaky(batches: Batches) -> tuple[str, str]:
    """A project whose task `flaky` fails until an object is there; and the object's key."""
    key = f"switch/{uuid4().hex}"
    variables = [
        {"name": "BUCKET", "value": batches.bench.bucket},
        {"name": "KEY", "value": key},
    ]
    environment = {**ENVIRONMENT, "environmentVariables": variables}
    return batches.project(FLAKY, environment=environment), key


def test_failed_builds_are_retried_and_the_others_kept(batches: Batches) -> None:
    project, key = _flaky(batches)
    failed = batches.run(project)
    assert statuses(failed) == {"good": "SUCCEEDED", "flaky": "FAILED", "after": "STOPPED"}
    batches.bench.aws.client("s3").put_object(Bucket=batches.bench.bucket, Key=key, Body=b"")
    answer = batches.codebuild.retry_build_batch(id=failed["id"], retryType="RETRY_FAILED_BUILDS")
    assert answer["buildBatch"]["id"] == failed["id"]
    batch = batches.wait(failed["id"])
    assert batch["buildBatchStatus"] == "SUCCEEDED"
    assert phases(batch)[3:] == [
        ("FAILED", "RETRY"),
        ("SUBMITTED", "SUCCEEDED"),
        ("IN_PROGRESS", "SUCCEEDED"),
        ("COMBINE_ARTIFACTS", "SUCCEEDED"),
        ("SUCCEEDED", None),
    ]
    assert summary(batch, "good") == summary(failed, "good")
    assert groups(batch)["flaky"]["priorBuildSummaryList"] == [summary(failed, "flaky")]
    assert batches.build(batch, "after")["buildStatus"] == "SUCCEEDED"


def test_all_builds_are_retried_from_the_source_on(batches: Batches) -> None:
    project, _ = _flaky(batches)
    failed = batches.run(project)
    batches.codebuild.retry_build_batch(id=failed["id"], retryType="RETRY_ALL_BUILDS")
    batch = batches.wait(failed["id"])
    assert [name for name, _ in phases(batch)[4:]] == [*DONE[:3], "FAILED"]
    for name in ("DOWNLOAD_SOURCE", "good", "flaky"):
        assert groups(batch)[name]["priorBuildSummaryList"] == [summary(failed, name)]
        assert summary(batch, name)["arn"] != summary(failed, name)["arn"]


def test_only_a_batch_that_failed_is_retried(batches: Batches) -> None:
    project = batches.project(spec("{build-list: [{identifier: a}]}", "sleep 0.3"))
    batch = batches.start(project)
    with pytest.raises(ClientError, match=r"InvalidInputException.*has not ended yet"):
        batches.codebuild.retry_build_batch(id=batch["id"])
    batches.wait(batch["id"])
    with pytest.raises(ClientError, match=r"InvalidInputException.*has not failed"):
        batches.codebuild.retry_build_batch(id=batch["id"])
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        batches.codebuild.retry_build_batch(id=f"{project}:{uuid4()}")


def test_a_batch_is_deleted_with_its_builds(batches: Batches) -> None:
    batch = batches.run(batches.project(spec("{build-list: [{identifier: a}]}")))
    arns = [group["currentBuildSummary"]["arn"] for group in batch["buildGroups"]]
    answer = batches.codebuild.delete_build_batch(id=batch["id"])
    assert sorted(answer["buildsDeleted"]) == sorted(arns)
    found = batches.codebuild.batch_get_build_batches(ids=[batch["id"]])
    assert (found["buildBatches"], found["buildBatchesNotFound"]) == ([], [batch["id"]])
    assert batches.codebuild.batch_get_builds(ids=arns)["buildsNotFound"] == arns


# lists and tokens


def test_batches_are_listed_by_project_status_and_order(batches: Batches) -> None:
    project = batches.project(spec("{build-list: [{identifier: a}]}", 'test -n "$GOOD"'))
    good = {"environmentVariablesOverride": [{"name": "GOOD", "value": "yes"}]}
    ids = [batches.run(project, **more)["id"] for more in ({}, good, {})]
    ask = batches.codebuild.list_build_batches_for_project
    assert ask(projectName=project)["ids"] == ids[::-1]
    assert ask(projectName=project, sortOrder="ASCENDING")["ids"] == ids
    assert ask(projectName=project, filter={"status": "SUCCEEDED"})["ids"] == [ids[1]]
    page = ask(projectName=project, maxResults=2)
    assert page["ids"] == ids[:0:-1]
    assert ask(projectName=project, maxResults=2, nextToken=page["nextToken"])["ids"] == ids[:1]
    everything = batches.codebuild.list_build_batches(filter={"status": "FAILED"})["ids"]
    assert everything.index(ids[2]) < everything.index(ids[0])
    assert ids[1] not in everything
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        ask(projectName="no-such-project")


def test_a_token_starts_one_batch_and_fits_one_request(batches: Batches) -> None:
    project = batches.project(spec("{build-list: [{identifier: a}]}"))
    token = uuid4().hex
    first = batches.start(project, idempotencyToken=token)
    assert batches.start(project, idempotencyToken=token)["id"] == first["id"]
    with pytest.raises(ClientError, match="Parameter mismatch"):
        batches.start(project, idempotencyToken=token, imageOverride="other")
    batches.wait(first["id"])


# what is refused, and overridden


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"serviceRole": "nobody"}, "is not the ARN of a role"),
        ({"serviceRole": "arn:aws:iam::123456789012:role/nobody"}, "not authorized to perform"),
        ({"timeoutInMins": 4}, "is not from 5 to 2160 minutes"),
        ({"restrictions": {"maximumBuildsAllowed": 101}}, "maximumBuildsAllowed 101"),
        ({"restrictions": {"computeTypesAllowed": ["HUGE"]}}, "HUGE is not a compute type"),
        ({"restrictions": {"fleetsAllowed": ["mine"]}}, "does not support fleetsAllowed"),
    ],
)
def test_a_project_with_a_wrong_batch_configuration_is_refused(
    batches: Batches, config: Fields, message: str
) -> None:
    with pytest.raises(ClientError, match=f"InvalidInputException.*{message}"):
        batches.project("version: 0.2", config)


def test_a_project_without_a_batch_role_starts_no_batch(batches: Batches, bench: Any) -> None:
    project = bench.project()
    with pytest.raises(ClientError, match="has no batch service role"):
        batches.start(project)
    override = {"serviceRole": batches.role}
    batch = batches.run(
        project,
        buildBatchConfigOverride=override,
        buildspecOverride=spec("{build-list: [{identifier: a}]}"),
        buildTimeoutInMinutesOverride=7,
        imageOverride="another:1",
        debugSessionEnabled=False,
    )
    assert batch["buildBatchStatus"] == "SUCCEEDED"
    assert (batch["buildTimeoutInMinutes"], batch["environment"]["image"]) == (7, "another:1")
    assert batches.build(batch, "a")["timeoutInMinutes"] == 7
    with pytest.raises(ClientError, match="debugSessionEnabled"):
        batches.start(project, buildBatchConfigOverride=override, debugSessionEnabled=True)


def test_a_project_keeps_its_batch_configuration(batches: Batches) -> None:
    config = {"combineArtifacts": True, "restrictions": {"maximumBuildsAllowed": 3}}
    name = batches.project(spec("{build-list: [{identifier: a}]}"), config)
    [project] = batches.codebuild.batch_get_projects(names=[name])["projects"]
    assert project["buildBatchConfig"] == {"serviceRole": batches.role, **config}


# artifacts

ARTIFACTS = """\
version: 0.2
batch: {build-list: [{identifier: one}, {identifier: two}]}
phases:
  build:
    commands:
      - echo $CODEBUILD_BATCH_BUILD_IDENTIFIER > $CODEBUILD_BATCH_BUILD_IDENTIFIER.txt
      - echo $CODEBUILD_BATCH_BUILD_IDENTIFIER > common.txt
artifacts: {files: ["*.txt"]}
"""


@pytest.mark.parametrize("packaging", ["ZIP", "NONE"])
def test_artifacts_are_combined_in_one_place(batches: Batches, packaging: str) -> None:
    bucket, path = batches.bench.bucket, f"combined/{uuid4().hex}"
    target = {"type": "S3", "location": bucket, "path": path, "name": "all", "packaging": packaging}
    project = batches.project(ARTIFACTS, {"combineArtifacts": True}, artifacts=target)
    batch = batches.run(project)
    assert batch["artifacts"]["location"] == f"arn:aws:s3:::{bucket}/{path}/all"
    s3 = batches.bench.aws.client("s3")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=path)["Contents"]]
    if packaging == "ZIP":
        assert keys == [f"{path}/all"]
        files = batches.bench.unzip(keys[0])
    else:
        read = {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}
        files = {key.removeprefix(f"{path}/all/"): body.decode() for key, body in read.items()}
    assert files == {"one.txt": "one\n", "two.txt": "two\n", "common.txt": "two\n"}
    assert ("sha256sum" in batch["artifacts"]) == (packaging == "ZIP")


def test_each_build_has_artifacts_of_its_own_without_combining(batches: Batches) -> None:
    bucket, path = batches.bench.bucket, f"single/{uuid4().hex}"
    target = {
        "type": "S3", "location": bucket, "path": path, "name": "a.zip", "packaging": "ZIP",
        "namespaceType": "BUILD_ID",
    }  # fmt: skip
    batch = batches.run(batches.project(ARTIFACTS, artifacts=target))
    for name in ("one", "two"):
        uuid = batches.build(batch, name)["id"].partition(":")[2]
        primary = summary(batch, name)["primaryArtifact"]
        location = f"arn:aws:s3:::{bucket}/{path}/{uuid}/a.zip"
        assert primary == {"type": "S3", "location": location, "identifier": name}
        files = batches.bench.unzip(f"{path}/{uuid}/a.zip")
        assert files == {f"{name}.txt": f"{name}\n", "common.txt": f"{name}\n"}


def test_a_pipelines_outputs_are_named_by_build_and_artifact(batches: Batches) -> None:
    bucket, prefix = batches.bench.bucket, f"pipeline/{uuid4().hex}"
    text = ARTIFACTS + "  secondary-artifacts: {extra: {files: [common.txt]}}\n"
    text = text.replace('artifacts: {files: ["*.txt"]}\n', "artifacts:\n  files: ['*.txt']\n")
    source = batches.bench.upload({"buildspec.yml": text})

    def output(name: str) -> Fields:
        key = f"{prefix}/{name}"
        return {
            "type": "CODEPIPELINE", "location": bucket, "name": key, "artifactIdentifier": name,
        }  # fmt: skip

    kind = {"type": "CODEPIPELINE"}
    batch = batches.run(
        batches.project("", source=kind, artifacts=kind),
        sourceVersion=f"arn:aws:s3:::{bucket}/{source}",
        artifactsOverride=output("one"),
        secondaryArtifactsOverride=[output("one"), output("two_extra")],
    )
    assert batch["buildBatchStatus"] == "SUCCEEDED"
    assert batches.bench.unzip(f"{prefix}/one") == {"one.txt": "one\n", "common.txt": "one\n"}
    assert batches.bench.unzip(f"{prefix}/two_extra") == {"common.txt": "two\n"}
