"""What the CodePipeline tests share: an account to make pipelines in, and a git server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.codepipeline.test_sources import Account, Server
from tests.roles import create_role


@pytest.fixture
def server(tmp_path: Path) -> Server:
    made = Server(tmp_path)
    made.make()
    return made


@pytest.fixture(scope="session")
def account(aws: Any) -> Account:
    """The role trusts CodePipeline alone: Commands need no other trust."""
    role = create_role(aws, "sources", "codepipeline.amazonaws.com")
    aws.client("s3").create_bucket(Bucket="sources-of-pipelines")
    return Account(aws, role, "sources-of-pipelines")
