"""The journey that the lab is for, through git, boto3, the AWS CLI and HTTP, in one shared lab."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labkit import Lab
from labkit.observe import wait_for_deployment, wait_for_execution
from labkit.provision import left_over, pipeline, provision, source, tear_down
from tests.waiting import eventually

pytestmark = pytest.mark.guests

# its script `aws` does not start in a path with a space
AWS_CLI = [sys.executable, "-m", "awscli"]


@pytest.fixture
def lab(lab_environment: Any, request: pytest.FixtureRequest) -> Any:
    """A pipeline of its own in the shared lab, with its first release done."""
    chosen = Lab("journey")
    provision(chosen)
    assert wait_for_execution(chosen).status == "Succeeded"
    yield chosen
    tear_down(chosen)
    shutil.rmtree(source.clone_path(chosen) if hasattr(source, "clone_path") else chosen.workspace / chosen.repository, ignore_errors=True)  # fmt: skip


def ask(lab: Any) -> list[dict[str, Any]]:
    """What every host's site answers, found by the EC2 API alone."""
    pages = lab.client("ec2").describe_instances(
        Filters=[
            {"Name": "tag:labkit", "Values": [lab.name]},
            {"Name": "instance-state-name", "Values": ["running"]},
        ]
    )
    answers = []
    for instance in (item for one in pages["Reservations"] for item in one["Instances"]):
        tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
        url = f"http://{instance['PublicIpAddress']}:{tags['labkit:port']}/api/version"
        with urllib.request.urlopen(url, timeout=5) as answer:
            answers.append({**json.load(answer), "instance": instance["InstanceId"]})
    return answers


def edit_site(**changes: str) -> Callable[[Path], None]:
    def edit(directory: Path) -> None:
        path = directory / "site.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


def release(lab: Any, edit: Callable[[Path], None]) -> Any:
    return wait_for_execution(lab, pipeline.release(lab, "A change", edit))


def cli(env: dict[str, str], *arguments: str) -> Any:
    done = subprocess.run(
        [*AWS_CLI, *arguments, "--output", "json"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout


@pytest.mark.slow
def test_a_git_push_changes_what_every_host_answers(lab: Any, lab_environment: Any) -> None:
    clone = lab.workspace / lab.repository
    edit_site(version="2.0.0", colour="purple")(clone)
    for command in (["add", "-A"], ["commit", "-qm", "Version 2.0.0"], ["push", "-q", "origin", "HEAD:main"]):  # fmt: skip
        subprocess.run(["git", *command], cwd=clone, env=lab_environment.env, check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, capture_output=True, text=True).stdout.strip()  # fmt: skip
    from labkit.observe import execution_of

    ended = wait_for_execution(lab, execution_of(lab, commit))
    assert ended.status == "Succeeded", ended.failure
    answers = ask(lab)
    assert len(answers) == 2
    assert {answer["version"] for answer in answers} == {"2.0.0"}
    assert {answer["commit"] for answer in answers} == {commit}
    assert {answer["host"] for answer in answers} == {answer["instance"] for answer in answers}
    runs = lab.client("codepipeline").list_action_executions(
        pipelineName=lab.pipeline, filter={"pipelineExecutionId": ended.execution_id}
    )["actionExecutionDetails"]
    variables = next(run for run in runs if run["stageName"] == "Source")["output"]["outputVariables"]  # fmt: skip
    assert variables["CommitId"] == commit
    summary = lab.client("codepipeline").list_pipeline_executions(pipelineName=lab.pipeline)
    assert summary["pipelineExecutionSummaries"][0]["trigger"]["triggerType"] == "CloudWatchEvent"


@pytest.mark.slow
def test_the_aws_cli_shows_the_same_release(lab: Any, lab_environment: Any) -> None:
    env = lab_environment.env
    state = cli(env, "codepipeline", "get-pipeline-state", "--name", lab.pipeline)
    actions = {
        action["actionName"]: action["latestExecution"]
        for stage in state["stageStates"]
        for action in stage["actionStates"]
    }
    assert {action["status"] for action in actions.values()} == {"Succeeded"}
    build_id = actions["Build"]["externalExecutionId"]
    build = cli(env, "codebuild", "batch-get-builds", "--ids", build_id)["builds"][0]
    assert (build["buildStatus"], build["initiator"]) == ("SUCCEEDED", f"codepipeline/{lab.pipeline}")  # fmt: skip
    deployment_id = actions["Deploy"]["externalExecutionId"]
    deployment = cli(env, "deploy", "get-deployment", "--deployment-id", deployment_id)
    assert deployment["deploymentInfo"]["deploymentOverview"]["Succeeded"] == 2
    events = cli(
        env, "logs", "filter-log-events",
        "--log-group-name", build["logs"]["groupName"],
        "--log-stream-names", build["logs"]["streamName"],
    )["events"]  # fmt: skip
    assert any("Running command npm test" in event["message"] for event in events)
    location = deployment["deploymentInfo"]["revision"]["s3Location"]
    listing = cli(env, "s3", "ls", f"s3://{location['bucket']}", "--recursive")
    assert location["key"] in listing


@pytest.mark.slow
def test_a_failing_test_stops_at_build_and_leaves_the_site(lab: Any) -> None:
    before = ask(lab)
    ended = release(lab, edit_site(colour="tael"))
    assert ended.status == "Failed"
    state = lab.client("codepipeline").get_pipeline_state(name=lab.pipeline)
    stages = {stage["stageName"]: stage for stage in state["stageStates"]}
    failed = stages["Build"]["actionStates"][0]["latestExecution"]
    assert failed["errorDetails"]["code"] == "JobFailed"
    assert stages["Deploy"]["latestExecution"]["pipelineExecutionId"] != ended.execution_id
    build = lab.client("codebuild").batch_get_builds(ids=[failed["externalExecutionId"]])["builds"][0]  # fmt: skip
    phases = {phase["phaseType"]: phase for phase in build["phases"]}
    assert phases["BUILD"]["phaseStatus"] == "FAILED"
    assert phases["BUILD"]["contexts"] == [
        {
            "statusCode": "COMMAND_EXECUTION_ERROR",
            "message": "Error while executing command: npm test. Reason: exit status 1",
        }
    ]
    log = "".join(
        event["message"]
        for event in lab.client("logs").filter_log_events(
            logGroupName=build["logs"]["groupName"], logStreamNames=[build["logs"]["streamName"]]
        )["events"]
    )
    assert "unknown colour tael" in log
    assert ask(lab) == before


@pytest.mark.slow
def test_a_failing_hook_on_one_host_rolls_both_back(lab: Any) -> None:
    before = ask(lab)
    first = sorted(answer["instance"] for answer in before)[0]

    def edit(directory: Path) -> None:
        edit_site(version="3.0.0")(directory)
        script = directory / "scripts" / "validate.sh"
        text = script.read_text().replace(
            "\n", f'\nif [ "$INSTANCE_ID" = {first} ]; then echo "not on this host" >&2; exit 7; fi\n', 1
        )  # fmt: skip
        script.write_text(text)

    ended = release(lab, edit)
    assert ended.status == "Failed"
    failed_id = next(action.external_id for action in ended.actions if action.name == "Deploy")
    codedeploy = lab.client("codedeploy")
    failed = codedeploy.get_deployment(deploymentId=failed_id)["deploymentInfo"]
    assert failed["status"] == "Failed"
    assert failed["errorInformation"]["code"] == "HEALTH_CONSTRAINTS"
    target = codedeploy.get_deployment_target(deploymentId=failed_id, targetId=first)
    events = target["deploymentTarget"]["instanceTarget"]["lifecycleEvents"]
    diagnostics = next(event for event in events if event["status"] == "Failed")["diagnostics"]
    assert diagnostics["errorCode"] == "ScriptFailed"
    assert diagnostics["scriptName"] == "scripts/validate.sh"
    assert "failed with exit code 7" in diagnostics["message"]
    assert "[stderr]not on this host" in diagnostics["logTail"]
    rollback_id = failed["rollbackInfo"]["rollbackDeploymentId"]
    rollback = wait_for_deployment(lab, rollback_id)
    assert (rollback["status"], rollback["creator"]) == ("Succeeded", "codeDeployRollback")
    assert rollback["rollbackInfo"]["rollbackTriggeringDeploymentId"] == failed_id
    assert ask(lab) == before


@pytest.mark.slow
def test_tear_down_leaves_nothing_and_no_process(lab: Any, lab_environment: Any) -> None:
    from labkit.cloud.guests.processes import OWNER, Processes

    def on_hosts() -> list[Any]:
        every = Processes(lab_environment.state_dir).find()
        return [one for one in every if one.environ().get(OWNER, "").startswith("host/")]

    assert left_over(lab)
    assert on_hosts()
    tear_down(lab)
    assert left_over(lab) == []
    eventually(on_hosts, enough=lambda found: found == [])
