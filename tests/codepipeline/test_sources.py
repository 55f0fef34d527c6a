"""Sources behind connections and on GitHub, clone references, commands, polling and triggers.

AWS pages: "CodeStarSourceConnection ... action reference"; "Commands action reference"; "Add trigger
with code push or pull request event types"; "Change detection methods".
"""

from __future__ import annotations

import io
import json
import subprocess
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests import tables
from tests.waiting import eventually

pytestmark = pytest.mark.slow

IDENTITY = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
TERMINAL = {"Succeeded", "Failed", "Stopped", "Superseded", "Cancelled"}
TABLE = tables.read(Path(__file__).with_name("triggers.yaml"))


@dataclass
class Server:
    """A git server: a directory of bare repositories, reached by file URLs."""

    root: Path
    repository: str = "team/shop"

    @property
    def bare(self) -> Path:
        return self.root / f"{self.repository}.git"

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            ["git", *IDENTITY, *arguments], cwd=cwd or self.clone, check=True, capture_output=True
        )
        return done.stdout.decode().strip()

    @property
    def clone(self) -> Path:
        return self.root / "clone of the shop"

    def make(self) -> None:
        self.bare.parent.mkdir(parents=True)
        self.git("init", "-q", "--bare", "-b", "main", str(self.bare), cwd=self.root)
        self.git("clone", "-q", str(self.bare), str(self.clone), cwd=self.root)
        self.git("checkout", "-q", "-b", "main")
        self.push({"README.md": "# Shop", "src/app.js": "1"}, "first\n\nwith a body")

    def push(self, files: dict[str, str], message: str, branch: str = "main") -> str:
        if branch != "main":
            self.git("checkout", "-q", "-B", branch)
        for name, text in files.items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        self.git("push", "-q", "origin", branch)
        commit = self.git("rev-parse", "HEAD")
        if branch != "main":
            self.git("checkout", "-q", "main")
        return commit

    def tag(self, name: str) -> None:
        self.git("tag", "-a", name, "-m", name)
        self.git("push", "-q", "origin", name)


@dataclass
class Account:
    """A role, a bucket and a connection in the shared lab."""

    aws: Any
    role: str
    bucket: str

    @property
    def api(self) -> Any:
        return self.aws.client("codepipeline")

    def connection(self, server: Server) -> str:
        api = self.aws.client("codestar-connections")
        host = api.create_host(
            Name=f"h{uuid4().hex[:6]}", ProviderType="GitHubEnterpriseServer",
            ProviderEndpoint=server.root.as_uri(),
        )["HostArn"]  # fmt: skip
        return api.create_connection(ConnectionName="shop", HostArn=host)["ConnectionArn"]

    def source(self, connection: str, server: Server, **more: str) -> dict[str, Any]:
        return action(
            "Source", "CodeStarSourceConnection", "Shop",
            {"ConnectionArn": connection, "FullRepositoryId": server.repository, "BranchName": "main", **more},
            outputs=["Code"], namespace="Source",
        )  # fmt: skip

    def pipeline(self, source: dict[str, Any], *stages: dict[str, Any], **more: Any) -> str:
        name = f"p-{uuid4().hex[:8]}"
        nothing = action("Approval", "Manual", "Ask", {})
        self.api.create_pipeline(
            pipeline={
                "name": name,
                "roleArn": self.role,
                "pipelineType": "V2",
                "executionMode": "QUEUED",
                "artifactStore": {"type": "S3", "location": self.bucket},
                "stages": [
                    {"name": "Source", "actions": [source]},
                    *(stages or [{"name": "Ask", "actions": [nothing]}]),
                ],
                **more,
            }
        )
        return name

    def runs(self, pipeline: str) -> list[dict[str, Any]]:
        listed = self.api.list_pipeline_executions(pipelineName=pipeline)
        return listed["pipelineExecutionSummaries"]

    def over(self, pipeline: str, count: int = 1) -> list[dict[str, Any]]:
        def read() -> Any:
            runs = self.runs(pipeline)
            return len(runs) >= count and all(r["status"] in TERMINAL for r in runs) and runs

        return eventually(read, what=f"{pipeline} ends", seconds=30)

    def action_run(self, pipeline: str, name: str) -> dict[str, Any]:
        def read() -> Any:
            found = self.api.list_action_executions(pipelineName=pipeline)
            runs = [r for r in found["actionExecutionDetails"] if r["actionName"] == name]
            return runs and runs[0]["status"] != "InProgress" and runs[0]

        return eventually(read, what=f"{name} ends", seconds=30)

    def artifact(self, run: dict[str, Any], name: str) -> bytes:
        [found] = [item for item in run["output"]["outputArtifacts"] if item["name"] == name]
        at = found["s3location"]
        return self.aws.client("s3").get_object(Bucket=at["bucket"], Key=at["key"])["Body"].read()


def action(
    category: str, provider: str, name: str, configuration: dict[str, str], *,
    owner: str = "AWS", inputs: list[str] | None = None, outputs: list[str] | None = None,
    **more: Any,
) -> dict[str, Any]:  # fmt: skip
    return {
        "name": name,
        "actionTypeId": {"category": category, "owner": owner, "provider": provider, "version": "1"},
        "configuration": configuration,
        "inputArtifacts": [{"name": item} for item in inputs or []],
        "outputArtifacts": [item if isinstance(item, dict) else {"name": item} for item in outputs or []],
        **more,
    }  # fmt: skip


def names(body: bytes) -> list[str]:
    return sorted(name for name in zipfile.ZipFile(io.BytesIO(body)).namelist() if name[-1] != "/")


def test_a_connections_source_fetches_the_branch(account: Account, server: Server) -> None:
    pipeline = account.pipeline(account.source(account.connection(server), server))
    run = account.action_run(pipeline, "Shop")
    assert run["status"] == "Succeeded", run
    commit = server.git("rev-parse", "HEAD")
    variables = run["output"]["outputVariables"]
    assert variables["CommitId"] == commit
    assert variables["CommitMessage"] == "first\n\nwith a body"
    assert variables["FullRepositoryName"] == "team/shop"
    assert variables["AuthorDate"].endswith("Z")
    assert names(account.artifact(run, "Code")) == ["README.md", "src/app.js"]
    revision = account.runs(pipeline)[0]["sourceRevisions"][0]
    assert (revision["actionName"], revision["revisionId"]) == ("Shop", commit)


def test_a_connection_that_is_gone_fails_the_source(account: Account, server: Server) -> None:
    connection = account.connection(server)
    account.aws.client("codestar-connections").delete_connection(ConnectionArn=connection)
    pipeline = account.pipeline(account.source(connection, server))
    error = account.action_run(pipeline, "Shop")["output"]["executionResult"]["errorDetails"]
    assert error["code"] == "ConfigurationError"
    assert connection in error["message"]


def test_a_repository_that_is_not_there_fails_the_source(account: Account, server: Server) -> None:
    source = account.source(account.connection(server), server)
    source["configuration"]["FullRepositoryId"] = "team/none"
    error = account.action_run(account.pipeline(source), "Shop")["output"]["executionResult"]
    assert "team/none" in error["errorDetails"]["message"]


def test_connections_and_hosts_are_listed_shown_and_deleted(account: Account, server: Server) -> None:  # fmt: skip
    api = account.aws.client("codeconnections")
    arn = api.create_connection(ProviderType="GitHub", ConnectionName="hub")["ConnectionArn"]
    shown = api.get_connection(ConnectionArn=arn)["Connection"]
    assert (shown["ConnectionStatus"], shown["ProviderType"]) == ("AVAILABLE", "GitHub")
    assert arn in [item["ConnectionArn"] for item in api.list_connections()["Connections"]]
    api.delete_connection(ConnectionArn=arn)
    with pytest.raises(api.exceptions.ResourceNotFoundException):
        api.get_connection(ConnectionArn=arn)


def commands(*lines: str, **more: Any) -> dict[str, Any]:
    made = action("Compute", "Commands", "Run", {}, inputs=["Code"], **more)
    return {"name": "Run", "actions": [{**made, "commands": list(lines)}]}


def test_commands_run_with_their_inputs_and_give_files_and_variables(account: Account, server: Server) -> None:  # fmt: skip
    stage = commands(
        "ls src", "mkdir out && echo built > out/file.txt", "export TOTAL=$((40 + 2))",
        'echo "secret is ${#GREETING}"',
        outputs=[{"name": "Out", "files": ["out/*"]}], outputVariables=["TOTAL"],
        environmentVariables=[{"name": "GREETING", "value": "hello", "type": "PLAINTEXT"}],
    )  # fmt: skip
    pipeline = account.pipeline(account.source(account.connection(server), server), stage)
    run = account.action_run(pipeline, "Run")
    assert run["status"] == "Succeeded", run
    assert run["output"]["outputVariables"] == {"TOTAL": "42"}
    assert names(account.artifact(run, "Out")) == ["out/file.txt"]
    logs = account.aws.client("logs").filter_log_events(
        logGroupName=f"/aws/codepipeline/{pipeline}"
    )
    told = "".join(event["message"] for event in logs["events"])
    assert "app.js\n" in told
    assert "secret is 5\n" in told
    build = run["output"]["executionResult"]["externalExecutionId"]
    found = account.aws.client("codebuild").batch_get_builds(ids=[build])
    assert found["buildsNotFound"] == [build]


def test_a_command_that_fails_fails_the_action(account: Account, server: Server) -> None:
    source = account.source(account.connection(server), server)
    run = account.action_run(account.pipeline(source, commands("echo one", "exit 3")), "Run")
    error = run["output"]["executionResult"]["errorDetails"]
    assert error["code"] == "JobFailed"
    assert "exit 3. Reason: exit status 3" in error["message"]


@pytest.mark.parametrize("provider", ["connection", "codecommit"])
def test_a_clone_reference_gives_a_build_the_whole_repository(
    account: Account, server: Server, provider: str
) -> None:
    if provider == "connection":
        connection = account.connection(server)
        source = account.source(connection, server, OutputArtifactFormat="CODEBUILD_CLONE_REF")
    else:
        name = f"r-{uuid4().hex[:6]}"
        made = account.aws.client("codecommit").create_repository(repositoryName=name)
        url = made["repositoryMetadata"]["cloneUrlHttp"]
        subprocess.run(["git", "push", "-q", url, "main"], cwd=server.clone, env=account.aws.env, check=True)  # fmt: skip
        source = action(
            "Source", "CodeCommit", "Shop",
            {"RepositoryName": name, "BranchName": "main", "OutputArtifactFormat": "CODEBUILD_CLONE_REF"},
            outputs=["Code"],
        )  # fmt: skip
    stage = commands("git log --oneline | wc -l | tr -d ' '", "git status --short | wc -l", "git rev-parse --abbrev-ref HEAD")  # fmt: skip
    pipeline = account.pipeline(source, stage)
    run = account.action_run(pipeline, "Run")
    assert run["status"] == "Succeeded", run
    logs = account.aws.client("logs").filter_log_events(
        logGroupName=f"/aws/codepipeline/{pipeline}"
    )
    lines = [event["message"].strip() for event in logs["events"]]
    assert "1" in lines


def test_polling_starts_an_execution_for_a_new_commit(account: Account, server: Server) -> None:
    name = f"r-{uuid4().hex[:6]}"
    made = account.aws.client("codecommit").create_repository(repositoryName=name)
    url = made["repositoryMetadata"]["cloneUrlHttp"]
    push = lambda: subprocess.run(["git", "push", "-q", url, "main"], cwd=server.clone, env=account.aws.env, check=True)  # noqa: E731 # fmt: skip
    push()
    source = action(
        "Source", "CodeCommit", "Shop",
        {"RepositoryName": name, "BranchName": "main", "PollForSourceChanges": "true"},
        outputs=["Code"],
    )  # fmt: skip
    pipeline = account.pipeline(source)
    account.action_run(pipeline, "Shop")
    server.push({"more": "1"}, "second")
    push()
    runs = eventually(
        lambda: len(account.runs(pipeline)) == 2 and account.runs(pipeline), what="polled"
    )
    assert runs[0]["trigger"]["triggerType"] == "PollForSourceChanges"
    # a pipeline of the same name that is made later has its own eyes: its first execution is the last
    declared = account.api.get_pipeline(name=pipeline)["pipeline"]
    account.api.delete_pipeline(name=pipeline)
    server.push({"more": "2"}, "third")
    push()
    account.api.create_pipeline(pipeline=declared)
    account.action_run(pipeline, "Shop")
    commit = server.push({"more": "3"}, "fourth")
    push()

    def fetched() -> list[str]:
        return [one["revisionId"] for run in account.runs(pipeline) for one in run.get("sourceRevisions", [])]  # fmt: skip

    eventually(lambda: commit in fetched(), what="polled again")
    triggers = [run["trigger"]["triggerType"] for run in account.runs(pipeline)]
    assert triggers == ["PollForSourceChanges", "CreatePipeline"]


def test_a_push_to_the_branch_behind_a_connection_starts_an_execution(
    account: Account, server: Server
) -> None:
    connection = account.connection(server)
    pipeline = account.pipeline(account.source(connection, server))
    quiet = account.pipeline(account.source(connection, server, DetectChanges="false"))
    account.action_run(pipeline, "Shop")
    account.action_run(quiet, "Shop")
    server.push({"x": "1"}, "elsewhere", branch="topic")
    server.push({"more": "1"}, "second")
    runs = eventually(
        lambda: len(account.runs(pipeline)) == 2 and account.runs(pipeline), what="triggered"
    )
    assert runs[0]["trigger"]["triggerType"] == "WebhookV2"
    assert len(account.runs(quiet)) == 1


def deliver(account: Account, connection: str, event: str, payload: dict[str, Any]) -> Any:
    url = f"{account.aws.endpoint_url}/webhooks/{connection.rpartition('/')[2]}"
    request = urllib.request.Request(url, json.dumps(payload).encode(), {"X-GitHub-Event": event})
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


@pytest.fixture(scope="session")
def triggered(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Any:
    server = Server(tmp_path_factory.mktemp("triggers"))
    server.make()
    return server, account.connection(server)


@pytest.mark.parametrize("case", TABLE, ids=[case["name"] for case in TABLE])
def test_what_a_trigger_lets_pass(account: Account, triggered: Any, case: dict[str, Any]) -> None:
    server, connection = triggered
    git = {"sourceActionName": "Shop", **case["trigger"]}
    trigger = {"providerType": "CodeStarSourceConnection", "gitConfiguration": git}
    pipeline = account.pipeline(account.source(connection, server), triggers=[trigger])
    try:
        told = deliver(account, connection, *_payload(case["change"]))
        started = {run["pipelineExecutionId"] for run in account.runs(pipeline)}
        assert bool(started & set(told.get("pipelineExecutionIds", []))) == case["starts"], told
    finally:
        account.api.delete_pipeline(name=pipeline)


def _payload(change: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    repository = {"full_name": change.get("repository", "team/shop")}
    if "pull_request" in change:
        request = {"head": {"ref": change["head"], "sha": "1" * 40}, "base": {"ref": change["base"]}}  # fmt: skip
        return "pull_request", {
            "action": change["pull_request"], "number": 1, "pull_request": request,
            "repository": repository, "changed_files": change.get("files", []),
        }  # fmt: skip
    after = "0" * 40 if change.get("deleted") else "1" * 40
    ref = f"refs/tags/{change['tag']}" if "tag" in change else f"refs/heads/{change['branch']}"
    commits = [{"added": [], "modified": change.get("files", []), "removed": []}]
    before = "0" * 40 if change.get("created") else "2" * 40
    return "push", {
        "ref": ref,
        "before": before,
        "after": after,
        "commits": commits,
        "repository": repository,
    }
