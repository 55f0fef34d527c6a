"""CodeCommit through real git, as a learner's terminal uses it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from labkit import git_credential
from tests.roles import document
from tests.waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.slow


def git(aws: Any, *arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    author = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}  # fmt: skip
    return subprocess.run(
        ["git", *arguments], cwd=cwd, env=aws.env | author | env, capture_output=True, text=True
    )


@pytest.fixture
def repository(aws: Any, request: pytest.FixtureRequest) -> Any:
    name = request.node.name.replace("[", "-").replace("]", "")[:90]
    codecommit = aws.client("codecommit")
    yield codecommit.create_repository(repositoryName=name)["repositoryMetadata"]
    codecommit.delete_repository(repositoryName=name)


@pytest.fixture
def clone(aws: Any, repository: Any, tmp_path: Path) -> Path:
    path = tmp_path / "a clöne"
    assert (
        git(aws, "clone", "--quiet", repository["cloneUrlHttp"], str(path), cwd=tmp_path).returncode
        == 0
    )
    (path / "file.txt").write_text("one\n")
    (path / "run.sh").write_text("#!/bin/sh\n")
    (path / "run.sh").chmod(0o755)
    git(aws, "checkout", "--quiet", "-B", "main", cwd=path)
    git(aws, "add", ".", cwd=path)
    git(aws, "commit", "--quiet", "-m", "first\n\nbody", cwd=path)
    return path


def head(aws: Any, clone: Path) -> str:
    return git(aws, "rev-parse", "HEAD", cwd=clone).stdout.strip()


def test_what_is_pushed_can_be_read_by_the_api(aws: Any, repository: Any, clone: Path) -> None:
    codecommit, name = aws.client("codecommit"), repository["repositoryName"]
    assert git(aws, "push", "--quiet", "origin", "main", cwd=clone).returncode == 0
    commit_id = head(aws, clone)
    branch = codecommit.get_branch(repositoryName=name, branchName="main")["branch"]
    assert branch == {"branchName": "main", "commitId": commit_id}
    commit = codecommit.get_commit(repositoryName=name, commitId=commit_id)["commit"]
    assert commit["message"].strip() == "first\n\nbody"
    assert commit["author"]["email"] == "a@example.org"
    file = codecommit.get_file(repositoryName=name, filePath="run.sh")
    assert (file["fileContent"], file["fileMode"]) == (b"#!/bin/sh\n", "EXECUTABLE")
    shown = codecommit.get_repository(repositoryName=name)["repositoryMetadata"]
    assert shown["defaultBranch"] == "main"


def test_a_large_push_comes_in_chunks_and_arrives_whole(
    aws: Any, repository: Any, clone: Path
) -> None:
    content = os.urandom(3_000_000)
    (clone / "large").write_bytes(content)
    git(aws, "add", ".", cwd=clone)
    git(aws, "commit", "--quiet", "-m", "large", cwd=clone)
    pushed = git(aws, "push", "--quiet", "origin", "main", cwd=clone)
    assert pushed.returncode == 0, pushed.stderr
    found = aws.client("codecommit").get_file(
        repositoryName=repository["repositoryName"], filePath="large"
    )
    assert found["fileContent"] == content


@pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_a_push_with_wrong_keys_changes_nothing(
    aws: Any, repository: Any, clone: Path, variable: str
) -> None:
    pushed = git(
        aws, "push", "origin", "main", cwd=clone, **{variable: "AKIA" + "0" * 16}, GIT_TERMINAL_PROMPT="0"
    )  # fmt: skip
    assert pushed.returncode != 0
    listed = aws.client("codecommit").list_branches(repositoryName=repository["repositoryName"])
    assert listed["branches"] == []


def test_a_clone_without_the_lab_s_environment_is_refused(
    aws: Any, repository: Any, tmp_path: Path
) -> None:
    env = {"PATH": os.environ["PATH"], "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(
        ["git", "clone", repository["cloneUrlHttp"], "x"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
    )
    assert done.returncode != 0
    assert not (tmp_path / "x").exists()


def test_every_reference_that_moves_is_one_event(aws: Any, repository: Any, clone: Path) -> None:
    events, logs = aws.client("events"), aws.client("logs")
    group = f"/aws/events/{repository['repositoryName']}"
    logs.create_log_group(logGroupName=group)
    events.put_rule(
        Name="all-references", EventPattern=json.dumps({"resources": [repository["Arn"]]})
    )
    arn = f"arn:aws:logs:us-east-1:123456789012:log-group:{group}:*"
    may = {
        "Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": arn,
        "Principal": {"Service": ["events.amazonaws.com", "delivery.logs.amazonaws.com"]},
    }  # fmt: skip
    logs.put_resource_policy(policyName="all-references", policyDocument=document(may))
    events.put_targets(Rule="all-references", Targets=[{"Id": "1", "Arn": arn}])
    first = head(aws, clone)
    git(aws, "push", "--quiet", "origin", "main", "main:refs/heads/other", cwd=clone)
    git(aws, "tag", "v1", cwd=clone)
    git(aws, "push", "--quiet", "origin", "v1", cwd=clone)
    git(aws, "commit", "--quiet", "--amend", "-m", "again", cwd=clone)
    git(aws, "push", "--quiet", "--force", "origin", "main", cwd=clone)
    git(aws, "push", "--quiet", "origin", ":other", cwd=clone)
    expected = {
        ("referenceCreated", "branch", "main", first, None),
        ("referenceCreated", "branch", "other", first, None),
        ("referenceCreated", "tag", "v1", first, None),
        ("referenceUpdated", "branch", "main", head(aws, clone), first),
        ("referenceDeleted", "branch", "other", None, first),
    }
    found: set[Any] = set()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while found != expected and time.monotonic() < deadline:
        messages = [
            item["message"] for item in logs.filter_log_events(logGroupName=group)["events"]
        ]
        found = {
            (
                detail["event"],
                detail["referenceType"],
                detail["referenceName"],
                detail.get("commitId"),
                detail.get("oldCommitId"),
            )
            for detail in (json.loads(message)["detail"] for message in messages)
        }
    events.remove_targets(Rule="all-references", Ids=["1"])
    events.delete_rule(Name="all-references")
    logs.delete_resource_policy(policyName="all-references")
    assert found == expected


def test_the_credential_helper_makes_the_password_that_the_aws_cli_makes() -> None:
    from awscli.customizations.codecommit import CodeCommitGetCommand
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    signer = SigV4Auth(Credentials("AKIDEXAMPLE", "secret"), "codecommit", "us-east-1")
    request = AWSRequest("GIT", "http://127.0.0.1:4566/v1/repos/hello")
    request.context["timestamp"] = "20260101T000000"
    canonical = "GIT\n/v1/repos/hello\n\nhost:127.0.0.1\n\nhost\n"
    expected = signer.signature(signer.string_to_sign(request, canonical), request)
    ours = git_credential.password(
        "/v1/repos/hello", "127.0.0.1", "us-east-1", "secret", "20260101T000000"
    )
    assert ours == f"20260101T000000Z{expected}"
    assert CodeCommitGetCommand.NAME == "get"


CASES = [
    ("get_repository", {"repositoryName": "none"}, "RepositoryDoesNotExistException"),
    ("create_repository", {"repositoryName": "ends.git"}, "InvalidRepositoryNameException"),
    ("create_repository", {"repositoryName": "a b"}, "InvalidRepositoryNameException"),
    ("get_branch", {"repositoryName": "NAME", "branchName": "none"}, "BranchDoesNotExistException"),
    ("get_commit", {"repositoryName": "NAME", "commitId": "0" * 40}, "CommitIdDoesNotExistException"),
    ("get_file", {"repositoryName": "NAME", "filePath": "x", "commitSpecifier": "none"}, "CommitDoesNotExistException"),
    ("create_branch", {"repositoryName": "NAME", "branchName": "b", "commitId": "0" * 40}, "CommitIdDoesNotExistException"),
    ("create_repository", {"repositoryName": "NAME"}, "RepositoryNameExistsException"),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "parameters", "code"), CASES)
def test_errors(
    aws: Any, repository: Any, operation: str, parameters: dict[str, str], code: str
) -> None:
    name = repository["repositoryName"]
    given = {key: name if value == "NAME" else value for key, value in parameters.items()}
    with pytest.raises(ClientError) as refused:
        getattr(aws.client("codecommit"), operation)(**given)
    assert refused.value.response["Error"]["Code"] == code
