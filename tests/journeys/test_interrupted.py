"""`labkit down` in the middle of a build leaves nothing, and the lab starts again after it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import psutil
import pytest

from labkit.cloud.front import launcher
from labkit.cloud.guests.processes import Processes
from tests.conftest import Aws
from tests.roles import create_role
from tests.waiting import eventually

pytestmark = pytest.mark.guests


@pytest.mark.slow
def test_down_in_the_middle_of_a_build(tmp_path: Path) -> None:
    description, _ = launcher.up(tmp_path)
    aws = Aws(description)
    codebuild = aws.client("codebuild")
    # a daemon that leaves its session, a child that ignores TERM, and one with a clean environment
    commands = [
        "setsid sleep 600 & sh -c 'trap \"\" TERM; sleep 600' & env -i sleep 600 & sleep 600"
    ]
    codebuild.create_project(
        name="long",
        source={
            "type": "NO_SOURCE",
            "buildspec": json.dumps({"version": 0.2, "phases": {"build": {"commands": commands}}}) + "\n",
        },
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL"},
        serviceRole=create_role(aws, "b", "codebuild.amazonaws.com"),
    )  # fmt: skip
    codebuild.start_build(projectName="long")
    eventually(Processes(tmp_path).find, enough=lambda started: len(started) >= 5)
    launcher.down(tmp_path)
    assert Processes(tmp_path).find() == []
    left = [
        one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "600"]
    ]
    assert left == []
    with socket.socket() as client:
        port = int(description["endpoint_url"].rpartition(":")[2])
        assert client.connect_ex(("127.0.0.1", port)) != 0
    again, fresh = launcher.up(tmp_path)
    assert fresh
    assert again["endpoint_url"] == description["endpoint_url"]
    launcher.down(tmp_path)
