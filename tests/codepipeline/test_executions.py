"""How executions move through stages, with approvals as actions that last as long as a test wants.

AWS page: "How pipeline executions work" (SUPERSEDED mode), "Stop a pipeline execution", "Retry a
failed stage", "Disable or enable transitions".
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.codepipeline.test_declarations import APPROVAL, SOURCE_ACTION
from tests.roles import create_role
from tests.waiting import eventually


class Pipeline:
    """A pipeline Source -> One (Ask) -> Two (Ask), and what a test does to it."""

    def __init__(self, aws: Any, role: str, repository: str, name: str, stages: int = 2) -> None:
        self.api, self.name = aws.client("codepipeline"), name
        source = {**SOURCE_ACTION, "configuration": {"RepositoryName": repository, "BranchName": "main"}, "namespace": "SourceVariables"}  # fmt: skip
        asks = [
            {"name": stage, "actions": [{**APPROVAL, "name": "Ask"}]}
            for stage in ("One", "Two", "Three")[:stages]
        ]
        self.declaration = {
            "name": name,
            "roleArn": role,
            "artifactStore": {"type": "S3", "location": "executions"},
            "stages": [{"name": "Source", "actions": [source]}, *asks],
        }
        self.api.create_pipeline(pipeline=self.declaration)

    def start(self) -> str:
        return self.api.start_pipeline_execution(name=self.name)["pipelineExecutionId"]

    def state(self, stage: str) -> dict[str, Any]:
        states = self.api.get_pipeline_state(name=self.name)["stageStates"]
        return next(item for item in states if item["stageName"] == stage)

    def statuses(self) -> dict[str, str]:
        listed = self.api.list_pipeline_executions(pipelineName=self.name)
        return {
            item["pipelineExecutionId"]: item["status"]
            for item in listed["pipelineExecutionSummaries"]
        }

    def asks(self, stage: str) -> str | None:
        latest = self.state(stage)["actionStates"][0].get("latestExecution", {})
        return latest.get("token")

    def wait_asking(self, stage: str, execution: str | None = None) -> str:
        def ready(state: dict[str, Any]) -> bool:
            asking = state["actionStates"][0].get("latestExecution", {}).get("token")
            inside = state.get("latestExecution", {}).get("pipelineExecutionId")
            return bool(asking) and execution in (None, inside)

        state = eventually(lambda: self.state(stage), enough=ready, what=f"{stage} asks")
        return state["actionStates"][0]["latestExecution"]["token"]

    def answer(self, stage: str, status: str = "Approved", token: str | None = None) -> None:
        self.api.put_approval_result(
            pipelineName=self.name,
            stageName=stage,
            actionName="Ask",
            token=token or self.wait_asking(stage),
            result={"status": status, "summary": "by a test"},
        )

    def wait_status(self, execution: str, *wanted: str) -> None:
        eventually(
            lambda: self.statuses()[execution],
            enough=lambda status: status in wanted,
            what=execution,
        )

    def close(self) -> None:
        self.api.delete_pipeline(name=self.name)


@pytest.fixture(scope="session")
def ingredients(aws: Any) -> tuple[str, str]:
    """A role and a repository with one commit."""
    role = create_role(aws, "executes", "codepipeline.amazonaws.com")
    aws.client("s3").create_bucket(Bucket="executions")
    aws.client("codecommit").create_repository(repositoryName="executions")
    _commit(aws, "executions")
    return role, "executions"


def _commit(aws: Any, repository: str) -> None:
    import subprocess
    import tempfile

    url = f"{aws.endpoint_url}/v1/repos/{repository}"
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    with tempfile.TemporaryDirectory() as clone:
        for command in (["init", "-q", "-b", "main"], [*identity, "commit", "-q", "--allow-empty", "-m", "one"], ["push", "-q", url, "main"]):  # fmt: skip
            subprocess.run(["git", *command], cwd=clone, env=aws.env, check=True)


@pytest.fixture
def pipeline(aws: Any, ingredients: tuple[str, str], request: pytest.FixtureRequest) -> Any:
    name = re.sub(r"[^A-Za-z0-9-]", "-", request.node.name.replace("test_", ""))[:90]
    made = Pipeline(aws, *ingredients, name)
    made.wait_asking("One")  # creating it has started it
    yield made
    made.close()


def test_an_execution_passes_every_stage_in_order(pipeline: Pipeline) -> None:
    first = next(iter(pipeline.statuses()))
    assert "latestExecution" not in pipeline.state("Two")
    pipeline.answer("One")
    pipeline.answer("Two")
    pipeline.wait_status(first, "Succeeded")
    runs = pipeline.api.list_action_executions(pipelineName=pipeline.name)
    assert [run["actionName"] for run in runs["actionExecutionDetails"]] == ["Ask", "Ask", "Source"]


def test_a_newer_execution_supersedes_the_one_that_waits(pipeline: Pipeline) -> None:
    first = next(iter(pipeline.statuses()))
    second = pipeline.start()
    eventually(lambda: pipeline.state("One").get("inboundExecution", {}), enough=bool)
    third = pipeline.start()
    pipeline.wait_status(second, "Superseded")
    assert pipeline.statuses()[first] == "InProgress"
    pipeline.answer("One")
    pipeline.wait_asking("One", third)
    assert pipeline.state("Two")["latestExecution"]["pipelineExecutionId"] == first


def test_a_rejection_fails_the_stage_and_lets_the_next_one_in(pipeline: Pipeline) -> None:
    first = next(iter(pipeline.statuses()))
    second = pipeline.start()
    eventually(lambda: pipeline.state("One").get("inboundExecution", {}), enough=bool)
    pipeline.answer("One", "Rejected")
    pipeline.wait_status(first, "Failed")
    pipeline.wait_asking("One", second)


def test_a_token_is_good_once(pipeline: Pipeline) -> None:
    token = pipeline.wait_asking("One")
    with pytest.raises(ClientError, match="InvalidApprovalToken"):
        pipeline.answer("One", token="00000000-0000-0000-0000-000000000000")
    pipeline.answer("One", token=token)
    with pytest.raises(ClientError, match="ApprovalAlreadyCompleted"):
        pipeline.answer("One", token=token)


def test_a_disabled_transition_holds_executions_until_it_is_enabled(pipeline: Pipeline) -> None:
    change = {"pipelineName": pipeline.name, "stageName": "Two", "transitionType": "Inbound"}
    pipeline.api.disable_stage_transition(**change, reason="freeze")
    transition = pipeline.state("Two")["inboundTransitionState"]
    assert (transition["enabled"], transition["disabledReason"]) == (False, "freeze")
    assert transition["lastChangedBy"].endswith("user/learner")
    first = next(iter(pipeline.statuses()))
    pipeline.answer("One")
    eventually(lambda: pipeline.state("Two").get("inboundExecution", {}), enough=bool)
    assert pipeline.statuses()[first] == "InProgress"
    pipeline.api.enable_stage_transition(**change)
    pipeline.wait_asking("Two", first)


def test_stop_and_wait_lets_the_running_action_finish(pipeline: Pipeline) -> None:
    first = next(iter(pipeline.statuses()))
    stop = {"pipelineName": pipeline.name, "pipelineExecutionId": first}
    pipeline.api.stop_pipeline_execution(**stop, reason="enough")
    pipeline.wait_status(first, "Stopping")
    with pytest.raises(ClientError, match="DuplicatedStopRequest"):
        pipeline.api.stop_pipeline_execution(**stop)
    pipeline.answer("One")
    pipeline.wait_status(first, "Stopped")
    listed = pipeline.api.list_pipeline_executions(pipelineName=pipeline.name)
    assert listed["pipelineExecutionSummaries"][0]["stopTrigger"] == {"reason": "enough"}
    with pytest.raises(ClientError, match="NotStoppable"):
        pipeline.api.stop_pipeline_execution(**stop)


def test_stop_and_abandon_ends_at_once(pipeline: Pipeline) -> None:
    first = next(iter(pipeline.statuses()))
    pipeline.api.stop_pipeline_execution(
        pipelineName=pipeline.name, pipelineExecutionId=first, abandon=True
    )
    pipeline.wait_status(first, "Stopped")
    assert pipeline.state("One")["actionStates"][0]["latestExecution"]["status"] == "Abandoned"


@pytest.mark.parametrize("mode", ["FAILED_ACTIONS", "ALL_ACTIONS"])
def test_a_failed_stage_can_be_retried_in_the_same_execution(pipeline: Pipeline, mode: str) -> None:
    first = next(iter(pipeline.statuses()))
    token = pipeline.wait_asking("One")
    pipeline.answer("One", "Rejected")
    pipeline.wait_status(first, "Failed")
    retried = pipeline.api.retry_stage_execution(
        pipelineName=pipeline.name, stageName="One", pipelineExecutionId=first, retryMode=mode
    )
    assert retried["pipelineExecutionId"] == first
    assert pipeline.wait_asking("One") != token
    pipeline.answer("One")
    pipeline.wait_asking("Two", first)


def test_a_stage_that_did_not_fail_cannot_be_retried(pipeline: Pipeline) -> None:
    first = next(iter(pipeline.statuses()))
    with pytest.raises(ClientError, match=r"NotLatest|NotRetryable"):
        pipeline.api.retry_stage_execution(
            pipelineName=pipeline.name,
            stageName="One",
            pipelineExecutionId=first,
            retryMode="FAILED_ACTIONS",
        )


def test_an_edit_ends_what_runs_after_its_action(pipeline: Pipeline) -> None:
    first = next(iter(pipeline.statuses()))
    updated = pipeline.api.update_pipeline(pipeline=pipeline.declaration)["pipeline"]
    assert updated["version"] == 2
    pipeline.answer("One")
    pipeline.wait_status(first, "Cancelled")


def test_the_same_client_token_starts_one_execution(pipeline: Pipeline) -> None:
    ids = {
        pipeline.api.start_pipeline_execution(name=pipeline.name, clientRequestToken="once")[
            "pipelineExecutionId"
        ]
        for _ in range(3)
    }
    assert len(ids) == 1


def test_an_unresolved_variable_fails_its_action(aws: Any, ingredients: tuple[str, str]) -> None:
    made = Pipeline(aws, *ingredients, "unresolved")
    ask = {**APPROVAL, "name": "Ask", "configuration": {"CustomData": "#{SourceVariables.Nothing}"}}
    declared = {**made.declaration}
    declared["stages"] = [declared["stages"][0], {"name": "One", "actions": [ask]}]
    made.api.update_pipeline(pipeline=declared)
    execution = made.start()
    made.wait_status(execution, "Failed")
    error = made.state("One")["actionStates"][0]["latestExecution"]["errorDetails"]
    assert "#{SourceVariables.Nothing}" in error["message"]
    made.close()


def test_a_missing_branch_fails_the_source_action(aws: Any, ingredients: tuple[str, str]) -> None:
    aws.client("codecommit").create_repository(repositoryName="empty")
    made = Pipeline(aws, ingredients[0], "empty", "no-branch")
    execution = next(iter(made.statuses()))
    made.wait_status(execution, "Failed")
    error = made.state("Source")["actionStates"][0]["latestExecution"]["errorDetails"]
    assert error["code"] == "ConfigurationError"
    assert "no branch named main" in error["message"]
    made.close()


@pytest.mark.parametrize(
    ("operation", "parameters", "code"),
    [
        ("get_pipeline", {"name": "none"}, "PipelineNotFoundException"),
        ("get_pipeline_state", {"name": "none"}, "PipelineNotFoundException"),
        ("start_pipeline_execution", {"name": "none"}, "PipelineNotFoundException"),
        ("get_pipeline_execution", {"pipelineName": "NAME", "pipelineExecutionId": "00000000-0000-0000-0000-000000000000"}, "PipelineExecutionNotFoundException"),
        ("enable_stage_transition", {"pipelineName": "NAME", "stageName": "None", "transitionType": "Inbound"}, "StageNotFoundException"),
        ("enable_stage_transition", {"pipelineName": "NAME", "stageName": "One", "transitionType": "Outbound"}, "ValidationException"),
        ("list_tags_for_resource", {"resourceArn": "arn:aws:codepipeline:us-east-1:123456789012:none"}, "ResourceNotFoundException"),
        ("list_pipeline_executions", {"pipelineName": "NAME", "nextToken": "nonsense"}, "InvalidNextTokenException"),
    ],
)  # fmt: skip
def test_errors(pipeline: Pipeline, operation: str, parameters: dict[str, str], code: str) -> None:
    given = {key: pipeline.name if value == "NAME" else value for key, value in parameters.items()}
    with pytest.raises(ClientError) as refused:
        getattr(pipeline.api, operation)(**given)
    assert refused.value.response["Error"]["Code"] == code
