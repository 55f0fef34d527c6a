"""What the CodePipeline tests share: an account to make pipelines in, and a git server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.codepipeline.test_sources import Account, Server


@pytest.fixture
def server(tmp_path: Path) -> Server:
    made = Server(tmp_path)
    made.make()
    return made


@pytest.fixture(scope="session")
def account(aws: Any) -> Account:
    """The role trusts CodePipeline alone: Commands need no other trust."""
    statement = {"Effect": "Allow", "Principal": {"Service": "codepipeline.amazonaws.com"}, "Action": "sts:AssumeRole"}  # fmt: skip
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    role = aws.client("iam").create_role(RoleName="sources", AssumeRolePolicyDocument=trust)
    aws.client("s3").create_bucket(Bucket="sources-of-pipelines")
    return Account(aws, role["Role"]["Arn"], "sources-of-pipelines")
