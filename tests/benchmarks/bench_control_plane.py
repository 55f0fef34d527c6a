"""What the control plane costs: `make bench`.

Two figures, each the best of several rounds in one run on one machine: a pipeline whose build and
hooks are `true`, from push to Succeeded, in seconds; and the sample app's release, as a multiple of
its own commands run bare in a shell.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit import Lab
from labkit.cloud.front import launcher
from labkit.provision import provision, source

ROUNDS = 5
MOST_SECONDS_OF_NOTHING = 1.5
MOST_TIMES_OF_BARE = 1.15

TRUE_BUILDSPEC = """version: 0.2
phases:
  build:
    commands:
      - 'true'
artifacts:
  files: ['**/*']
"""
TRUE_APPSPEC = """version: 0.0
os: linux
files:
  - source: appspec.yml
    destination: /var/www/nothing
hooks:
""" + "".join(
    f"  {event}:\n    - location: hook.sh\n      timeout: 30\n"
    for event in ("ApplicationStop", "BeforeInstall", "AfterInstall", "ApplicationStart", "ValidateService")
)  # fmt: skip


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    state_dir = tmp_path_factory.mktemp("bench")
    description, _ = launcher.up(state_dir)
    os.environ.update(launcher.environment(description))
    yield description
    launcher.down(state_dir)


def commit(clone: Path, edit: Callable[[Path], object], message: str) -> str:
    edit(clone)
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    for command in (["add", "-A"], [*identity, "commit", "-qm", message]):
        subprocess.run(["git", *command], cwd=clone, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, capture_output=True, text=True)
    return head.stdout.strip()


def release(
    lab: Any, clone: Path, edit: Callable[[Path], object], message: str
) -> tuple[float, float]:
    """Seconds from the start of a push until its execution is over, and of the execution alone.

    The end is what ListPipelineExecutions says it was: asking all the time would take the time
    from what is measured.
    """
    wanted = commit(clone, edit, message)
    started = time.time()
    subprocess.run(["git", "push", "-q", "origin", "HEAD:main"], cwd=clone, check=True)
    while True:
        time.sleep(0.4)
        for summary in executions(lab):
            revisions = [item["revisionId"] for item in summary["sourceRevisions"]]
            if wanted in revisions and summary["status"] != "InProgress":
                assert summary["status"] == "Succeeded", summary
                end = summary["lastUpdateTime"].timestamp()
                return end - started, end - summary["startTime"].timestamp()


def executions(lab: Any) -> list[dict[str, Any]]:
    answer = lab.client("codepipeline").list_pipeline_executions(pipelineName=lab.pipeline)
    return answer["pipelineExecutionSummaries"]


def settled(lab: Any) -> None:
    while any(item["status"] == "InProgress" for item in executions(lab)):
        time.sleep(0.2)


def test_a_pipeline_of_nothing(running: dict[str, Any]) -> None:
    lab = Lab("nothing")
    provision(lab)
    settled(lab)
    clone = lab.workspace / lab.repository

    def nothing(directory: Path) -> None:
        for path in directory.iterdir():
            if path.name != ".git":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        (directory / "buildspec.yml").write_text(TRUE_BUILDSPEC)
        (directory / "appspec.yml").write_text(TRUE_APPSPEC)
        (directory / "hook.sh").write_text("#!/bin/sh\ntrue\n")
        (directory / "hook.sh").chmod(0o755)
        (directory / "round").write_text(str(time.time()))

    seconds = [release(lab, clone, nothing, f"round {number}")[0] for number in range(ROUNDS)]
    print(f"\npush to Succeeded, build and hooks `true`: {min(seconds):.2f} s "
          f"(rounds: {', '.join(f'{one:.2f}' for one in seconds)})")  # fmt: skip
    assert min(seconds) <= MOST_SECONDS_OF_NOTHING


def bare(clone: Path, scratch: Path) -> float:
    """Seconds that the sample app's own commands take in a shell: its build, then its hooks on two hosts."""
    from labkit.cloud.guests import languages
    from labkit.cloud.shared import runtime

    state = Path(os.environ["LABKIT_STATE_DIR"])
    runtime.start(runtime.Runtime(state, os.environ["AWS_ENDPOINT_URL"], "us-east-1"))
    node = languages.nodejs("22")
    env = {
        **os.environ,
        "PATH": f"{node.bin_dir}:{os.environ['PATH']}",
        "npm_config_cache": str(state / "cache" / "npm"),
        "CODEBUILD_BUILD_SUCCEEDING": "1",
        "LISTEN_ADDRESS": "127.0.0.1",
    }
    shutil.rmtree(scratch, ignore_errors=True)
    subprocess.run(["git", "clone", "-q", str(clone), str(scratch)], check=True)
    commands = "set -e\nnpm ci\nnpm test\nnpm run build\nexport APP_VERSION=$(node -p \"require('./site.json').version\")\n"
    hooks = ["stop.sh", "check_host.sh", "prepare.sh", "start.sh", "validate.sh"]
    places = [scratch.with_name(f"host{number}") for number in (1, 2)]
    started = time.monotonic()
    subprocess.run(["sh", "-c", commands], cwd=scratch, env=env, check=True, capture_output=True)
    for number, place in enumerate(places):
        own = {
            **env,
            "HOST_ROOT": str(place),
            "PORT": str(18080 + number),
            "INSTANCE_ID": f"bare-{number}",
        }
        script = 'set -e\nscripts/stop.sh\nrm -rf "$HOST_ROOT/var/www/labkit-sample"\nscripts/check_host.sh\nmkdir -p "$HOST_ROOT/var/www"\ncp -R dist "$HOST_ROOT/var/www/labkit-sample"\n'
        script += "".join(f"scripts/{hook}\n" for hook in hooks[2:])
        subprocess.run(["sh", "-c", script], cwd=scratch, env=own, check=True, capture_output=True)
    return time.monotonic() - started


def test_the_sample_app_s_release(running: dict[str, Any], tmp_path: Path) -> None:
    lab = Lab("sample")
    provision(lab)
    settled(lab)
    clone = lab.workspace / lab.repository

    def next_version(directory: Path) -> None:
        path = directory / "site.json"
        site = json.loads(path.read_text())
        major = int(site["version"].split(".")[0]) + 1
        path.write_text(json.dumps({**site, "version": f"{major}.0.0"}))

    bares, releases = [], []
    for number in range(ROUNDS):
        releases.append(release(lab, clone, next_version, f"round {number}")[1])
        bares.append(bare(clone, tmp_path / "bare"))
    times = min(releases) / min(bares)
    print(f"\nthe sample app's release: {min(releases):.2f} s; its own commands bare: {min(bares):.2f} s; "
          f"{times:.2f} times (rounds: {', '.join(f'{a:.2f}/{b:.2f}' for a, b in zip(releases, bares, strict=True))})")  # fmt: skip
    for number in (1, 2):
        root = tmp_path / f"host{number}"
        subprocess.run([str(tmp_path / "bare" / "scripts" / "stop.sh")], env={**os.environ, "HOST_ROOT": str(root)}, check=True, capture_output=True)  # fmt: skip
    assert times <= MOST_TIMES_OF_BARE
    assert source.tip(lab)
