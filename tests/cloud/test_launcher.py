"""Starting, finding and ending labs, as the `labkit` command does it."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest

from labkit.cloud.guests.processes import Processes


def labkit(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LABKIT_"))}  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "labkit.cli", *arguments],
        env=clean | env,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def state_dir(tmp_path: Path) -> Any:
    path = tmp_path / "a läb"
    yield path
    labkit("down", "--state-dir", str(path))


def up(state_dir: Path, *more: str) -> dict[str, Any]:
    done = labkit("up", "--json", "--state-dir", str(state_dir), *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def runs(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def port_is_open(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


def test_up_status_env_down(state_dir: Path) -> None:
    where = ("--state-dir", str(state_dir))
    described = up(state_dir)
    assert set(described) == {"endpoint_url", "region", "account_id", "access_key_id", "secret_access_key", "pid", "state_dir", "guests_dir", "isolation"}  # fmt: skip
    assert described["endpoint_url"].startswith("http://127.0.0.1:")
    assert up(state_dir) == described
    assert "nothing changed" in labkit("up", *where).stdout
    status = labkit("status", "--json", *where)
    assert json.loads(status.stdout)["pid"] == described["pid"]
    assert described["secret_access_key"] not in status.stdout
    environment = json.loads(labkit("env", "--json", *where).stdout)
    assert environment["AWS_ENDPOINT_URL"] == described["endpoint_url"]
    python = shlex.quote(sys.executable)
    script = f"eval \"$({python} -m labkit.cli env --state-dir '{state_dir}')\" && {python} -c \"import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])\""
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert shell.stdout.strip() == "arn:aws:iam::123456789012:user/learner", shell.stderr
    assert labkit("down", *where).returncode == 0
    assert not runs(described["pid"])
    assert not port_is_open(described["endpoint_url"])
    assert labkit("status", *where).returncode == 3
    assert labkit("env", *where).returncode == 1
    assert "Nothing was running" in labkit("down", *where).stdout


@pytest.mark.slow
def test_what_the_lab_keeps_is_for_its_owner_alone(state_dir: Path) -> None:
    up(state_dir)
    assert state_dir.stat().st_mode & 0o777 == 0o700
    assert (state_dir / "lab.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_two_labs_run_side_by_side_and_do_not_know_each_other(
    state_dir: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    one, two = up(state_dir), up(other)
    try:
        assert one["endpoint_url"] != two["endpoint_url"]
        assert one["access_key_id"] != two["access_key_id"]
        client = boto3.client(
            "sts",
            endpoint_url=two["endpoint_url"],
            region_name="us-east-1",
            aws_access_key_id=one["access_key_id"],
            aws_secret_access_key=one["secret_access_key"],
        )
        with pytest.raises(Exception, match="InvalidClientTokenId"):
            client.get_caller_identity()
        labkit("down", "--state-dir", str(other))
        assert port_is_open(one["endpoint_url"])
    finally:
        labkit("down", "--state-dir", str(other))


@pytest.mark.slow
def test_two_ups_at_once_start_one_lab(state_dir: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda _: up(state_dir), range(2))
    assert one == two


@pytest.mark.slow
def test_a_killed_lab_is_cleared_away_by_the_next_up(state_dir: Path) -> None:
    first = up(state_dir)
    orphan = Processes(state_dir).start(["sleep", "600"], owner="build/x", env={}, cwd=state_dir)
    os.kill(first["pid"], signal.SIGKILL)
    psutil.wait_procs([psutil.Process(first["pid"])] if psutil.pid_exists(first["pid"]) else [], 5)
    assert labkit("status", "--state-dir", str(state_dir)).returncode == 3
    second = up(state_dir)
    assert second["pid"] != first["pid"]
    assert orphan.wait(timeout=5) != 0
    assert second["endpoint_url"] == first["endpoint_url"]


@pytest.mark.slow
def test_reset_is_a_fresh_aws_in_which_an_open_shell_goes_on(state_dir: Path) -> None:
    up(state_dir)
    shell = json.loads(labkit("env", "--json", "--state-dir", str(state_dir)).stdout)
    keys = {
        "endpoint_url": shell["AWS_ENDPOINT_URL"],
        "region_name": shell["AWS_REGION"],
        "aws_access_key_id": shell["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": shell["AWS_SECRET_ACCESS_KEY"],
    }
    boto3.client("s3", **keys).create_bucket(Bucket="mine")
    (state_dir / "work").mkdir()
    assert labkit("reset", "--state-dir", str(state_dir)).returncode == 0
    assert boto3.client("s3", **keys).list_buckets()["Buckets"] == []
    assert (state_dir / "keys.json").stat().st_mode & 0o077 == 0
    assert not (state_dir / "work").exists()


@pytest.mark.slow
def test_a_port_that_is_taken_is_named(state_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = labkit("up", "--state-dir", str(state_dir), "--port", str(port))
    assert done.returncode == 1
    assert f"Port {port} is taken" in done.stderr


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = labkit("up", "--state-dir", str(tmp_path / "file" / "state"))
    assert done.returncode == 1
    assert "--state-dir" in done.stderr
    with contextlib.suppress(FileNotFoundError):
        assert not (tmp_path / "file" / "state").exists()


@pytest.mark.slow
def test_the_learner_s_own_credentials_do_not_reach_the_local_aws(state_dir: Path) -> None:
    done = labkit(
        "up", "--json", "--state-dir", str(state_dir),
        AWS_ACCESS_KEY_ID="AKIAREALREALREALREAL", AWS_SECRET_ACCESS_KEY="real", AWS_PROFILE="real",
    )  # fmt: skip
    described = json.loads(done.stdout)
    environment = psutil.Process(described["pid"]).environ()
    assert described["access_key_id"] != "AKIAREALREALREALREAL"
    assert not [name for name in environment if name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE")]


@pytest.mark.slow
def test_doctor_finds_this_machine_fit(tmp_path: Path) -> None:
    done = labkit("doctor", "--state-dir", str(tmp_path / "state"))
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("OK ") == 8
