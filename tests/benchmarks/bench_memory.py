"""What one lab takes of the machine, beside moto's own server in the same run: `make bench`.

Memory is the server's resident set in MB. moto's server reads a service at its first request, so
it is asked of each; the lab's is asked the same after the first lesson. Both start from nothing,
until they have said who asks them.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import nbformat
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError
from nbclient import NotebookClient

from labkit import Lab, observe
from labkit.cloud.front import launcher
from labkit.cloud.guests.processes import free_port
from labkit.provision import provision, tear_down
from tests.notebooks.execute import ROOT

ROUNDS = 3
MOST_MB_AT_START = 120
MOST_MB_AFTER_FIRST_LESSON = 200
MOST_MB_AFTER_COURSE = 250
MOST_TIMES_OF_MOTO = 0.9
MOST_TIMES_OF_MOTOS_START = 2.0
READS = {
    "s3": "list_buckets",
    "iam": "list_roles",
    "sts": "get_caller_identity",
    "kms": "list_keys",
    "logs": "describe_log_groups",
    "cloudwatch": "list_metrics",
    "events": "list_rules",
    "sns": "list_topics",
    "sqs": "list_queues",
    "ssm": "describe_parameters",
    "secretsmanager": "list_secrets",
    "ec2": "describe_vpcs",
    "elbv2": "describe_load_balancers",
    "autoscaling": "describe_auto_scaling_groups",
    "lambda": "list_functions",
    "ecr": "describe_repositories",
    "ecs": "list_clusters",
    "codecommit": "list_repositories",
    "codebuild": "list_projects",
    "codepipeline": "list_pipelines",
    "codedeploy": "list_applications",
}


def megabytes(process: psutil.Process) -> float:
    return process.memory_info().rss / (1 << 20)


def client(service: str, endpoint: str, **keys: str) -> Any:
    given = {"aws_access_key_id": "test", "aws_secret_access_key": "test", **keys}
    config = Config(retries={"total_max_attempts": 1}, read_timeout=300)
    return boto3.client(
        service, endpoint_url=endpoint, region_name="us-east-1", config=config, **given
    )


def ask_all(endpoint: str, **keys: str) -> None:
    for service, operation in READS.items():
        try:
            getattr(client(service, endpoint, **keys), operation)()
        except ClientError as error:  # moto's CodeDeploy and CodeCommit have few operations
            assert error.response["Error"]["Code"] != "AccessDenied", error


def start_moto() -> tuple[psutil.Process, str, float]:
    """moto's server, where it answers, and in how many seconds it did."""
    port, began = free_port(), time.monotonic()
    program = Path(sys.executable).with_name("moto_server")
    server = subprocess.Popen(
        [program, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    sts = client("sts", endpoint := f"http://127.0.0.1:{port}")
    while True:
        try:
            sts.get_caller_identity()
            return psutil.Process(server.pid), endpoint, time.monotonic() - began
        except EndpointConnectionError:
            time.sleep(0.01)


def start_lab(state_dir: Path) -> tuple[dict[str, Any], float]:
    """The lab, and in how many seconds it answered."""
    began = time.monotonic()
    description, _ = launcher.up(state_dir)
    client("sts", description["endpoint_url"], **keys(description)).get_caller_identity()
    return description, time.monotonic() - began


def keys(description: dict[str, Any]) -> dict[str, str]:
    return {
        "aws_access_key_id": description["access_key_id"],
        "aws_secret_access_key": description["secret_access_key"],
    }


@pytest.fixture(scope="module")
def motos() -> Iterator[float]:
    """MB of moto's server when it has been asked of every service."""
    server, endpoint, _ = start_moto()
    ask_all(endpoint)
    yield megabytes(server)
    server.kill()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[dict[str, Any]]:
    description, _ = start_lab(tmp_path)
    with mock.patch.dict(
        "os.environ",
        {**launcher.environment(description), **launcher.jupyter_environment(description)},
    ):
        yield description
    launcher.down(tmp_path)


def test_seconds_until_it_answers(tmp_path: Path) -> None:
    def moto(_: int) -> float:
        server, _, seconds = start_moto()
        server.kill()
        return seconds

    def labs(number: int) -> float:
        _, seconds = start_lab(tmp_path / str(number))
        launcher.down(tmp_path / str(number))
        return seconds

    both: tuple[Callable[[int], float], ...] = (moto, labs)
    theirs, ours = (min(start(number) for number in range(ROUNDS)) for start in both)
    print(f"\nstart: {ours:.2f} s, moto's server {theirs:.2f} s")
    print(f"  {ours / theirs:.2f} times (limit {MOST_TIMES_OF_MOTOS_START})")
    assert ours / theirs <= MOST_TIMES_OF_MOTOS_START


def test_memory_after_the_first_lesson(lab: dict[str, Any], motos: float) -> None:
    server = psutil.Process(lab["pid"])
    at_start = megabytes(server)
    mine = Lab("tour")
    provision(mine)
    assert observe.wait_for_execution(mine).status == "Succeeded"
    released = megabytes(server)
    tear_down(mine)
    ask_all(lab["endpoint_url"], **keys(lab))
    asked = megabytes(server)
    print(f"\nmemory at start: {at_start:.0f} MB (limit {MOST_MB_AT_START})")
    print(f"  after the first lesson: {released:.0f} MB (limit {MOST_MB_AFTER_FIRST_LESSON})")
    print(f"  asked of every service: {asked:.0f} MB, moto's server {motos:.0f} MB")
    print(f"  {asked / motos:.2f} times (limit {MOST_TIMES_OF_MOTO})")
    assert at_start <= MOST_MB_AT_START
    assert released <= MOST_MB_AFTER_FIRST_LESSON
    assert asked / motos <= MOST_TIMES_OF_MOTO


@pytest.mark.timeout(3600)
def test_memory_after_the_course(lab: dict[str, Any]) -> None:
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        resources = {"metadata": {"path": str(path.parent)}}
        NotebookClient(notebook, timeout=240, kernel_name="python3", resources=resources).execute()
    after = megabytes(psutil.Process(lab["pid"]))
    print(f"\nmemory after the course: {after:.0f} MB (limit {MOST_MB_AFTER_COURSE})")
    assert after <= MOST_MB_AFTER_COURSE
