"""Operations that are no step of an execution: revisions put by hand, targets of deploy actions.

AWS pages: "PutActionRevision" and "ListDeployActionExecutionTargets" in the CodePipeline API
Reference; "AWS CodeBuild build and test action reference".
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.codepipeline.test_sources import Account, Server, action, names
from tests.roles import create_role
from tests.waiting import eventually

pytestmark = pytest.mark.slow


def test_a_revision_put_by_hand_starts_an_execution_once(account: Account, server: Server) -> None:
    pipeline = account.pipeline(account.source(account.connection(server), server))
    account.action_run(pipeline, "Shop")
    revision = {"revisionId": "r-2", "revisionChangeId": "c-2", "created": datetime.now(UTC)}
    put = {"pipelineName": pipeline, "stageName": "Source", "actionName": "Shop"}
    first = account.api.put_action_revision(**put, actionRevision=revision)
    again = account.api.put_action_revision(**put, actionRevision=revision)
    assert first["newRevision"] is True
    runs = account.runs(pipeline)
    assert [run["trigger"]["triggerType"] for run in runs] == ["PutActionRevision", "CreatePipeline"]  # fmt: skip
    assert first["pipelineExecutionId"] == runs[0]["pipelineExecutionId"]
    assert again["pipelineExecutionId"] == first["pipelineExecutionId"]
    # what is announced is not yet fetched: change detection compares with what was
    [source] = account.api.get_pipeline_state(name=pipeline)["stageStates"][0]["actionStates"]
    assert source["currentRevision"]["revisionId"] == server.git("rev-parse", "HEAD")
    with pytest.raises(ClientError, match="ActionNotFoundException"):
        account.api.put_action_revision(**{**put, "actionName": "None"}, actionRevision=revision)


def test_a_deleted_custom_action_type_comes_back_as_it_was_only(account: Account) -> None:
    # "DeleteCustomActionType": restored by the same definition, else a version that was never used
    counts = {"minimumCount": 0, "maximumCount": 1}
    name = {"category": "Test", "provider": f"t-{uuid4().hex[:6]}", "version": "1"}
    given = {**name, "inputArtifactDetails": counts, "outputArtifactDetails": counts}
    kind = account.api.create_custom_action_type(**given)["actionType"]["id"]
    account.api.delete_custom_action_type(**name)
    with pytest.raises(ClientError, match="ActionTypeNotFoundException"):
        account.api.poll_for_jobs(actionTypeId=kind)
    other = {**given, "outputArtifactDetails": {"minimumCount": 1, "maximumCount": 1}}
    with pytest.raises(ClientError, match="cannot be used again"):
        account.api.create_custom_action_type(**other)
    account.api.create_custom_action_type(**given)
    assert account.api.poll_for_jobs(actionTypeId=kind)["jobs"] == []
    with pytest.raises(ClientError, match="already exists"):
        account.api.create_custom_action_type(**given)


def test_a_jobs_credentials_are_good_for_the_artifacts_and_for_nothing_else(
    account: Account, server: Server
) -> None:
    # "PollForJobs": temporary credentials for the S3 bucket used to store artifacts
    counts = {"minimumCount": 1, "maximumCount": 1}
    kind = account.api.create_custom_action_type(
        category="Build", provider=f"t-{uuid4().hex[:6]}", version="1",
        inputArtifactDetails=counts, outputArtifactDetails=counts,
    )["actionType"]["id"]  # fmt: skip
    step = {
        **action("Build", "", "Work", {}, inputs=["Code"], outputs=["Out"]),
        "actionTypeId": kind,
    }
    source = account.source(account.connection(server), server)
    pipeline = account.pipeline(source, {"name": "Work", "actions": [step]})
    [job] = eventually(lambda: account.api.poll_for_jobs(actionTypeId=kind)["jobs"], what="a job")
    keys = job["data"]["artifactCredentials"]
    worker = boto3.Session(keys["accessKeyId"], keys["secretAccessKey"], keys["sessionToken"])

    def client(service: str) -> Any:
        return worker.client(service, "us-east-1", endpoint_url=account.aws.endpoint_url)

    places = [job["data"][f"{kind}Artifacts"][0]["location"]["s3Location"] for kind in ("input", "output")]  # fmt: skip
    body = client("s3").get_object(Bucket=places[0]["bucketName"], Key=places[0]["objectKey"])
    assert "README.md" in names(body["Body"].read())
    client("s3").put_object(
        Bucket=places[1]["bucketName"], Key=places[1]["objectKey"], Body=b"made"
    )
    for service, call, given in (
        ("s3", "list_buckets", {}),
        ("codestar-connections", "list_connections", {}),
        ("codepipeline", "stop_pipeline_execution", {"pipelineName": pipeline, "pipelineExecutionId": str(uuid4())}),
    ):  # fmt: skip
        with pytest.raises(ClientError, match="AccessDenied"):
            getattr(client(service), call)(**given)


def test_targets_of_a_deploy_action(account: Account, server: Server) -> None:
    pipeline = account.pipeline(account.source(account.connection(server), server))
    run = account.action_run(pipeline, "Shop")
    found = account.api.list_deploy_action_execution_targets(
        pipelineName=pipeline, actionExecutionId=run["actionExecutionId"]
    )
    assert found["targets"] == []
    with pytest.raises(ClientError, match="ActionExecutionNotFoundException"):
        account.api.list_deploy_action_execution_targets(actionExecutionId=str(uuid4()))


def _project(account: Account, buildspec: dict[str, Any], **more: Any) -> str:
    name = f"b-{uuid4().hex[:6]}"
    account.aws.client("codebuild").create_project(
        name=name,
        source={"type": "CODEPIPELINE", "buildspec": json.dumps(buildspec) + "\n"},
        artifacts={"type": "CODEPIPELINE"},
        environment={"type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL"},
        serviceRole=create_role(account.aws, name, "codebuild.amazonaws.com"),
        **more,
    )  # fmt: skip
    return name


def _built(account: Account, server: Server, project: str, outputs: list[str], **given: str) -> Any:
    build = action(
        "Build", "CodeBuild", "Build", {"ProjectName": project, **given},
        inputs=["Code"], outputs=outputs,
    )  # fmt: skip
    stage = {"name": "Build", "actions": [build]}
    source = account.source(account.connection(server), server)
    run = account.action_run(account.pipeline(source, stage), "Build")
    assert run["status"] == "Succeeded", run
    return run


def test_a_build_with_an_overridden_buildspec(account: Account, server: Server) -> None:
    project = _project(account, {"version": 0.2, "phases": {"build": {"commands": ["false"]}}})
    override = {
        "version": 0.2,
        "env": {"exported-variables": ["SUM"]},
        "phases": {"build": {"commands": ["export SUM=$((1+$ONE))", "echo $SUM > sum.txt"]}},
        "artifacts": {"files": ["sum.txt"]},
    }
    variables = json.dumps([{"name": "ONE", "value": "1"}])
    run = _built(account, server, project, ["Out"], BuildspecOverride=json.dumps(override) + "\n", EnvironmentVariables=variables)  # fmt: skip
    assert run["output"]["outputVariables"] == {"SUM": "2"}
    assert names(account.artifact(run, "Out")) == ["sum.txt"]


BATCH = {
    "version": 0.2,
    "batch": {"build-list": [
        {"identifier": "one", "env": {"variables": {"WHO": "one"}}},
        {"identifier": "two", "env": {"variables": {"WHO": "two"}}},
    ]},
    "phases": {"build": {"commands": ["echo $WHO > $WHO.txt"]}},
    "artifacts": {"files": ["*.txt"]},
}  # fmt: skip


def test_a_batch_gives_each_builds_output(account: Account, server: Server) -> None:
    project = _project(account, BATCH, buildBatchConfig={"serviceRole": _batch_role(account)})
    run = _built(account, server, project, ["one", "two"], BatchEnabled="true")
    assert names(account.artifact(run, "one")) == ["one.txt"]
    assert names(account.artifact(run, "two")) == ["two.txt"]
    batch = run["output"]["executionResult"]["externalExecutionId"]
    found = account.aws.client("codebuild").batch_get_build_batches(ids=[batch])["buildBatches"]
    assert found[0]["buildBatchStatus"] == "SUCCEEDED"


def test_a_batchs_outputs_combined(account: Account, server: Server) -> None:
    project = _project(account, BATCH, buildBatchConfig={"serviceRole": _batch_role(account)})
    run = _built(account, server, project, ["all"], BatchEnabled="true", CombineArtifacts="true")
    found = names(account.artifact(run, "all"))
    assert any("one.txt" in name for name in found)
    assert any("two.txt" in name for name in found)


def _batch_role(account: Account) -> str:
    return create_role(account.aws, f"batch-{uuid4().hex[:6]}", "codebuild.amazonaws.com")
