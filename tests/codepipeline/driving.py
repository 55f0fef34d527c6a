"""Pipelines whose actions last as long as a test wants, and what a test does to them.

An action is a manual approval, or a job of a custom action type whose worker is the test. `quiet`
waits until nothing moves any more: every action that runs waits for the test.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from tests.codepipeline.test_declarations import APPROVAL, SOURCE_ACTION
from tests.roles import create_role
from tests.waiting import eventually

TERMINAL = {"Succeeded", "Failed", "Stopped", "Superseded", "Cancelled"}
NAME = "driven"  # of the role, the artifact bucket and the repository
WORK = {"category": "Build", "owner": "Custom", "provider": "Driven", "version": "1"}
FETCH = {"category": "Source", "owner": "Custom", "provider": "Driven", "version": "1"}
_PIPELINE = {"name": "Pipeline", "required": True, "key": True, "secret": False, "queryable": True}
PAUSE_SECONDS = (0.015, 0.03, 0.06)  # the last of them again and again


@dataclass(frozen=True)
class Ground:
    """What pipelines stand on: a role, a bucket, a repository with the commits old and new."""

    aws: Any
    role: str
    commits: dict[str, str]


def make_ground(aws: Any) -> Ground:
    """Make what all driven pipelines of a lab share, once."""
    iam, codecommit = aws.client("iam"), aws.client("codecommit")
    try:
        role = create_role(aws, NAME, "codepipeline.amazonaws.com")
    except iam.exceptions.EntityAlreadyExistsException:
        role = iam.get_role(RoleName=NAME)["Role"]["Arn"]
    else:
        aws.client("s3").create_bucket(Bucket=NAME)
        codecommit.create_repository(repositoryName=NAME)
        _push(aws, f"{aws.endpoint_url}/v1/repos/{NAME}")
        for kind, counts in ((WORK, (0, 5)), (FETCH, (0, 0))):
            aws.client("codepipeline").create_custom_action_type(
                category=kind["category"],
                provider=kind["provider"],
                version=kind["version"],
                configurationProperties=[_PIPELINE],
                inputArtifactDetails={"minimumCount": counts[0], "maximumCount": counts[1]},
                outputArtifactDetails={"minimumCount": 0, "maximumCount": 5},
            )
    tip = codecommit.get_branch(repositoryName=NAME, branchName="main")["branch"]["commitId"]
    commit = codecommit.get_commit(repositoryName=NAME, commitId=tip)["commit"]
    return Ground(aws, role, {"new": tip, "old": commit["parents"][0]})


def _push(aws: Any, url: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    commit = [*identity, "commit", "-q", "--allow-empty", "-m"]
    with tempfile.TemporaryDirectory() as clone:
        for command in (["init", "-q", "-b", "main"], [*commit, "old"], [*commit, "new"], ["push", "-q", url, "main"]):  # fmt: skip
            subprocess.run(["git", *command], cwd=clone, env=aws.env, check=True)


def approval(name: str = "Ask", order: int = 1, **more: Any) -> dict[str, Any]:
    return {**APPROVAL, "name": name, "runOrder": order, **more}


def work(pipeline: str, name: str, order: int = 1, **more: Any) -> dict[str, Any]:
    """An action of the custom type, which the test finishes as its worker."""
    configuration = {"Pipeline": pipeline}
    return {
        "name": name,
        "actionTypeId": WORK,
        "runOrder": order,
        "configuration": configuration,
        **more,
    }


def source(pipeline: str, kind: str = "CodeCommit") -> dict[str, Any]:
    """CodeCommit; job, a custom source; or missing, a branch that is not there."""
    if kind == "job":
        artifacts = [{"name": "Source"}]
        return {**work(pipeline, "Source"), "actionTypeId": FETCH, "outputArtifacts": artifacts}
    branch = "none" if kind == "missing" else "main"
    configuration = {"RepositoryName": NAME, "BranchName": branch, "PollForSourceChanges": "false"}
    return {**SOURCE_ACTION, "configuration": configuration, "namespace": "SourceVariables"}


@dataclass
class Driven:
    """One pipeline, and the executions by the labels that a test gives them."""

    ground: Ground
    declaration: dict[str, Any]
    labels: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)  # job by action execution
    seen: list[dict[str, Any]] = field(default_factory=list)  # action executions, when last quiet

    @property
    def api(self) -> Any:
        return self.ground.aws.client("codepipeline")

    @property
    def name(self) -> str:
        return self.declaration["name"]

    @property
    def conditional(self) -> bool:
        kinds = ("beforeEntry", "onSuccess", "onFailure")
        stages = self.declaration["stages"]
        return any((stage.get(kind) or {}).get("conditions") for stage in stages for kind in kinds)

    def create(self) -> None:
        """CreatePipeline, which starts the execution `1`, where no variable needs a value."""
        self.api.create_pipeline(pipeline=self.declaration)
        started = self.quiet()
        if started:
            self.labels["1"] = started[0]["pipelineExecutionId"]

    def close(self) -> None:
        self.api.delete_pipeline(name=self.name)

    def start(self, label: str, **more: Any) -> None:
        answer = self.api.start_pipeline_execution(name=self.name, **more)
        self.labels[label] = answer["pipelineExecutionId"]

    def label(self, execution: str) -> str:
        """The label of an execution's id; executions that nobody labelled are `?`."""
        return next((label for label, known in self.labels.items() if known == execution), "?")

    def executions(self, **more: Any) -> list[dict[str, Any]]:
        """Newest first."""
        answer = self.api.list_pipeline_executions(pipelineName=self.name, **more)
        return answer["pipelineExecutionSummaries"]

    def statuses(self) -> dict[str, str]:
        return {item["pipelineExecutionId"]: item["status"] for item in self.executions()}

    def state(self) -> list[dict[str, Any]]:
        return self.api.get_pipeline_state(name=self.name)["stageStates"]

    def actions(self, execution: str | None = None) -> list[dict[str, Any]]:
        """Action executions, newest first."""
        chosen = {"filter": {"pipelineExecutionId": execution}} if execution else {}
        answer = self.api.list_action_executions(pipelineName=self.name, **chosen)
        return answer["actionExecutionDetails"]

    def rules(self, execution: str | None = None) -> list[dict[str, Any]]:
        """Rule executions, newest first."""
        chosen = {"filter": {"pipelineExecutionId": execution}} if execution else {}
        answer = self.api.list_rule_executions(pipelineName=self.name, **chosen)
        return answer["ruleExecutionDetails"]

    def quiet(self) -> list[dict[str, Any]]:
        """Wait until every action and rule that runs waits; returns the action executions."""

        def waits() -> list[dict[str, Any]]:
            self.take_jobs()
            return self.actions()

        def still(actions: list[dict[str, Any]]) -> bool:
            running = [item for item in actions if item["status"] == "InProgress"]
            return all(map(self._waits_for_us, running)) and self._rules_wait()

        self.seen = eventually(waits, enough=still, what="nothing moves")
        return self.seen

    def take_jobs(self) -> None:
        """Take the jobs that wait for a worker."""
        kinds = [
            action["actionTypeId"]
            for stage in self.declaration["stages"]
            for action in stage["actions"]
            if action["actionTypeId"]["owner"] == "Custom"
        ]
        for kind in {kind["category"]: kind for kind in kinds}.values():
            query = {"Pipeline": self.name}
            for job in self.api.poll_for_jobs(actionTypeId=kind, queryParam=query)["jobs"]:
                self.api.acknowledge_job(jobId=job["id"], nonce=job["nonce"])
                action = job["data"]["pipelineContext"]["action"]
                self.jobs[action["actionExecutionId"]] = job["id"]

    def running(self, path: str, label: str | None = None) -> dict[str, Any]:
        """The action execution in progress at `Stage/Action`, of one execution or the only one."""
        wanted = self.labels[label] if label else None

        def here(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [
                run
                for run in runs
                if run["status"] == "InProgress"
                and path_of(run) == path
                and wanted in (None, run["pipelineExecutionId"])
            ]

        found = here(self.seen)
        if len(found) != 1:
            asked = f"one {path} in progress"
            found = eventually(
                lambda: here(self.actions()),
                enough=lambda runs: len(runs) == 1,
                what=asked,
                seconds=5,
            )
        return found[0]

    def answer(self, run: dict[str, Any], status: str, token: str | None = None) -> None:
        """Approve or reject the approval of one action execution."""
        external = run["output"]["executionResult"].get("externalExecutionId")
        self.api.put_approval_result(
            pipelineName=self.name,
            stageName=run["stageName"],
            actionName=run["actionName"],
            token=token or external,
            result={"status": status, "summary": "by a test"},
        )

    def succeed(self, run: dict[str, Any], **variables: str) -> None:
        """The worker's success."""
        more = {"outputVariables": variables} if variables else {}
        self.api.put_job_success_result(jobId=self.jobs.pop(run["actionExecutionId"]), **more)

    def fail(self, run: dict[str, Any], kind: str = "JobFailed") -> None:
        """The worker's failure."""
        details = {"type": kind, "message": "the worker says so"}
        self.api.put_job_failure_result(
            jobId=self.jobs.pop(run["actionExecutionId"]), failureDetails=details
        )

    def end_all(self) -> None:
        """Open every transition and abandon what runs."""
        for stage in self.declaration["stages"]:
            with contextlib.suppress(ClientError):
                self.api.enable_stage_transition(
                    pipelineName=self.name, stageName=stage["name"], transitionType="Inbound"
                )
        for execution, status in self.statuses().items():
            if status not in TERMINAL:
                # it may have ended meanwhile
                with contextlib.suppress(ClientError):
                    self.api.stop_pipeline_execution(
                        pipelineName=self.name, pipelineExecutionId=execution, abandon=True
                    )
        eventually(self.statuses, enough=lambda now: set(now.values()) <= TERMINAL, what="all end")

    def _waits_for_us(self, action: dict[str, Any]) -> bool:
        kind = action["input"]["actionTypeId"]
        if kind["owner"] == "Custom":
            return action["actionExecutionId"] in self.jobs
        asks = action["output"]["executionResult"].get("externalExecutionId")
        return kind["category"] == "Approval" and bool(asks) and "updatedBy" not in action

    def _rules_wait(self) -> bool:
        if not self.conditional:
            return True
        return all(_rule_waits(item) for item in self.rules() if item["status"] == "InProgress")


def _rule_waits(rule: dict[str, Any]) -> bool:
    """Whether it is a window that is closed, or an alarm that may take time to calm down."""
    summary = rule["output"]["executionResult"].get("externalExecutionSummary", "")
    if rule["input"]["ruleTypeId"]["provider"] == "DeploymentWindow":
        return "opens" in summary
    return bool(summary) and "WaitTime" in rule["input"]["configuration"]


def path_of(run: dict[str, Any]) -> str:
    """`Stage/Action`."""
    return f"{run['stageName']}/{run['actionName']}"
