"""git over HTTPS with a name and password of IAM's, and with the AWS CLI's own helper: IAM decides as ever."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.conftest import Aws
from tests.iam.identities import allow, deny, user

pytestmark = pytest.mark.slow

Git = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def url(aws: Aws) -> str:
    made = aws.client("codecommit").create_repository(repositoryName=f"r-{uuid4().hex[:8]}")
    return str(made["repositoryMetadata"]["cloneUrlHttp"])


@pytest.fixture
def git(aws: Aws, tmp_path: Path) -> Git:
    def run(*arguments: str, helper: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        # an empty helper forgets those before it
        options = [
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.com",
            "-c",
            "credential.helper=",
        ]
        options += ["-c", f"credential.helper={helper}"] if helper else []
        environment = {**aws.env, **env, "GIT_TERMINAL_PROMPT": "0"}
        return subprocess.run(
            ["git", *options, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )

    run("init", "-q", "-b", "main")
    run("commit", "-q", "--allow-empty", "-m", "first")
    return run


def with_password(url: str, credential: dict[str, Any]) -> str:
    scheme, _, rest = url.partition("://")
    name, password = (
        quote(credential[key], safe="") for key in ("ServiceUserName", "ServicePassword")
    )
    return f"{scheme}://{name}:{password}@{rest}"


def test_git_pushes_with_a_name_and_password(aws: Aws, url: str, git: Git) -> None:
    iam, ann = aws.client("iam"), user(aws, allow(["codecommit:GitPush", "codecommit:GitPull"]))
    made = iam.create_service_specific_credential(
        UserName=ann.name, ServiceName="codecommit.amazonaws.com"
    )["ServiceSpecificCredential"]
    named = {
        "UserName": ann.name,
        "ServiceSpecificCredentialId": made["ServiceSpecificCredentialId"],
    }
    assert git("push", "-q", with_password(url, made), "main").returncode == 0

    iam.update_service_specific_credential(**named, Status="Inactive")
    assert git("ls-remote", with_password(url, made)).returncode != 0
    iam.update_service_specific_credential(**named, Status="Active")
    assert "refs/heads/main" in git("ls-remote", with_password(url, made)).stdout

    again = iam.reset_service_specific_credential(**named)["ServiceSpecificCredential"]
    assert git("ls-remote", with_password(url, made)).returncode != 0
    assert git("ls-remote", with_password(url, again)).returncode == 0

    iam.delete_service_specific_credential(**named)
    assert git("ls-remote", with_password(url, again)).returncode != 0


def test_a_password_lets_in_to_what_its_user_may_do_and_no_further(
    aws: Aws, url: str, git: Git
) -> None:
    ann = user(aws, allow("codecommit:*"), deny("codecommit:GitPush"))
    made = aws.client("iam").create_service_specific_credential(
        UserName=ann.name, ServiceName="codecommit.amazonaws.com"
    )["ServiceSpecificCredential"]
    assert git("ls-remote", with_password(url, made)).returncode == 0
    pushed = git("push", with_password(url, made), "main")
    assert pushed.returncode != 0
    assert f"User: {ann.arn} is not authorized to perform: codecommit:GitPush" in pushed.stderr


def test_the_aws_cli_s_helper_signs_for_git(aws: Aws, url: str, git: Git) -> None:
    # 127.0.0.1 is no host of Amazon's, to which the helper would keep by itself
    helper = f"!'{sys.executable}' -m awscli codecommit credential-helper --ignore-host-check $@"
    ann = user(aws, allow("codecommit:GitPull"))
    done = git("ls-remote", url, helper=helper, **ann.environment)
    assert done.returncode == 0, done.stderr
