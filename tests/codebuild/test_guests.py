"""A build is a guest: what it may see and write, and how it ends when it is killed or too large."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from labkit.cloud.guests.isolation import bubblewrap, isolation
from tests.codebuild.conftest import ENVIRONMENT, Bench, make_bench
from tests.codebuild.test_builds import inline, processes_of
from tests.conftest import own_lab

pytestmark = [pytest.mark.slow, pytest.mark.guests]

isolated = pytest.mark.skipif(bubblewrap() is None, reason="bubblewrap does not work here")


def spec(*commands: str, after: str = "echo post_build ran") -> dict[str, str]:
    lines = "".join(f"      - |\n        {command}\n" for command in commands)
    text = f"version: 0.2\nphases:\n  build:\n    commands:\n{lines}"
    return inline(f"{text}  post_build:\n    commands: ['{after}']\n")


def phase(build: dict[str, Any], name: str) -> dict[str, Any]:
    return next(item for item in build["phases"] if item["phaseType"] == name)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A lab in a hurry: timeouts 100 times as fast, a disk of 50 MB, no other runtimes than asked for."""
    state_dir = tmp_path_factory.mktemp("hasty") / "state"
    settings = {"LABKIT_BUILD_DISK_GB": "0.05", "LABKIT_STRICT_RUNTIMES": "1"}
    with own_lab(state_dir, LABKIT_TIMEOUT_SCALE="100", **settings) as aws:
        yield make_bench(aws)


@pytest.mark.parametrize("line", ["docker: 18", "python: 3.7", "android: 29"])
def test_a_strict_lab_replaces_no_runtime(hasty: Bench, line: str) -> None:
    name, version = line.split(": ")
    if name == "python" and shutil.which(f"python{version}"):
        pytest.skip("this machine has it")
    text = f"version: 0.2\nphases: {{install: {{runtime-versions: {{{line}}}}}, build: {{commands: [ls]}}}}\n"
    image = {**ENVIRONMENT, "image": "aws/codebuild/standard:4.0"}
    build = hasty.run(hasty.project(source=inline(text), environment=image))
    assert build["buildStatus"] == "FAILED"
    [context] = phase(build, "DOWNLOAD_SOURCE")["contexts"]
    assert context["statusCode"] == "YAML_FILE_ERROR"
    told = f"Unknown runtime version named '{version}' of {name}. This build image has the following versions: "
    assert context["message"].startswith(told)


@pytest.mark.slow
def test_the_log_says_which_isolation_a_build_had(bench: Any) -> None:
    log = bench.log(bench.run(bench.project(source=spec("true"))))
    [line] = [line for line in log if "Isolation: " in line]
    assert f"Isolation: {isolation().told}; " in line
    assert ("a root file system of its own" in line) == (bubblewrap() is not None)


@isolated
def test_a_build_sees_aws_directories_and_writes_only_its_own(bench: Any, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the learner's own")
    build = bench.run(
        bench.project(
            source=spec(
                "pwd; echo $HOME; id -u; echo mine > /root/a; echo mine > /tmp/b; cat /root/a /tmp/b",
                f"cat '{secret}' || echo cannot-read",
                f"ls '{Path.home() / '.bash_history'}' || echo no-history",
                f"ls '{bench.aws.state_dir}'",
                "for place in /usr /etc /bin /opt /var; do touch $place/labkit-was-here && echo WROTE $place; done; true",
            )
        )
    )
    log = bench.log(build)
    assert build["buildStatus"] == "SUCCEEDED", "\n".join(log)
    assert any(
        line.startswith("/codebuild/output/src") and line.endswith("/src") for line in log
    ), log
    assert {"/root", "0", "mine", "cannot-read", "no-history"} <= set(log)
    assert not [line for line in log if line.startswith("WROTE") or "learner's own" in line]
    # of the lab's state, what a build needs: no keys, no other build
    assert not {"lab.json", "trail.jsonl", "logs"} & set(log)


@isolated
def test_a_build_sees_no_other_builds_credentials(bench: Any) -> None:
    victim = bench.codebuild.start_build(
        projectName=bench.project(source=spec("echo here I am", "sleep 300"))
    )["build"]
    bench.wait_for_log(victim, "here I am")
    look = "cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep ^AWS_SESSION_TOKEN= | sort -u | wc -l"
    nosy = bench.run(bench.project(source=spec(look, "ls -d /codebuild/output/src* | wc -l")))
    bench.codebuild.stop_build(id=victim["id"])
    assert bench.log(nosy).count("1") == 2, bench.log(nosy)  # its own, and nobody else's


def test_what_programs_of_node_compile_is_there_for_the_next_build(bench: Any) -> None:
    # "module.enableCompileCache()" in Node's documentation: below the directory for temporary files
    build = bench.run(bench.project(source=spec('echo kept >"$TMPDIR/node-compile-cache/mine"')))
    assert build["buildStatus"] == "SUCCEEDED", bench.log(build)
    build = bench.run(bench.project(source=spec('cat "$TMPDIR/node-compile-cache/mine"')))
    assert "kept" in bench.log(build)


def test_docker_is_refused_and_says_why(bench: Any) -> None:
    environment = {
        "type": "LINUX_CONTAINER",
        "image": "aws/codebuild/standard:7.0",
        "computeType": "BUILD_GENERAL1_SMALL",
        "privilegedMode": True,
    }
    build = bench.run(bench.project(source=spec("docker build -t app ."), environment=environment))
    log = "\n".join(bench.log(build))
    assert build["buildStatus"] == "FAILED"
    assert "The image aws/codebuild/standard:7.0 is not run" in log
    assert "Privileged mode gives no Docker here" in log
    assert "Cannot connect to the Docker daemon" in log


@pytest.mark.parametrize(
    "killed",
    [
        "kill -9 $$",
        "kill -9 $PPID; sleep 60",
        "sh -c 'sh -c \"kill -9 0\"'",
        "exec false",
        "kill -9 -1; sleep 60",
    ],
)
def test_a_killed_shell_fails_its_phase_and_leaves_nothing(bench: Any, killed: str) -> None:
    if killed.startswith("kill -9 -1") and bubblewrap() is None:
        pytest.skip("without a process namespace it would end the machine's processes")
    build = bench.run(bench.project(source=spec("(sleep 300 &) ; sleep 300 &", killed)))
    context = phase(build, "BUILD")["contexts"][0]
    assert build["buildStatus"] == "FAILED", bench.log(build)
    assert context["statusCode"] == "COMMAND_EXECUTION_ERROR"
    assert f"exit status {1 if killed == 'exec false' else 137}" in context["message"]
    assert "post_build ran" in bench.log(build)
    assert not processes_of(build)


def test_the_state_of_the_shell_outlives_a_command_that_ends_it(bench: Any) -> None:
    commands = ("export KEPT=yes; mkdir -p deep; cd deep; exit 0", "echo kept $KEPT in ${PWD##*/}")
    log = bench.log(bench.run(bench.project(source=spec(*commands))))
    assert "kept yes in deep" in log


def test_grandchildren_that_were_killed_from_outside(bench: Any) -> None:
    project = bench.project(source=spec("echo asleep; sh -c 'sleep 300; true'"))
    build = bench.codebuild.start_build(projectName=project)["build"]
    bench.wait_for_log(build, "asleep")
    sleeping: list[psutil.Process] = []
    while not sleeping:  # the echo came before it
        sleeping = [process for process in processes_of(build) if process.name() == "sleep"]
    sleeping[0].kill()
    ended = bench.wait(build["id"])
    assert ended["buildStatus"] == "SUCCEEDED"  # `true` came after it
    assert not processes_of(build)


def test_a_build_that_fills_its_disk_fails(hasty: Any) -> None:
    # 5 minutes of its timeout are 3 seconds here: long enough for the disk, not for the sleep
    build = hasty.run(
        hasty.project(
            source=spec("dd if=/dev/zero of=much bs=1M count=200 2>/dev/null; sleep 60"),
            timeoutInMinutes=30,
        )
    )
    assert build["buildStatus"] == "FAILED", hasty.log(build)
    assert phase(build, "BUILD")["contexts"][0]["statusCode"] == "COMMAND_EXECUTION_ERROR"
    assert any("No space left on device" in line for line in hasty.log(build))
    assert not processes_of(build)


def test_a_build_times_out(hasty: Any) -> None:
    project = hasty.project(source=spec("trap '' TERM; echo asleep; sleep 300"), timeoutInMinutes=5)
    build = hasty.run(project)
    assert build["buildStatus"] == "TIMED_OUT"
    failed = phase(build, "BUILD")
    assert failed["phaseStatus"] == "TIMED_OUT"
    assert failed["contexts"][0]["statusCode"] == "BUILD_TIMED_OUT"
    assert "post_build ran" not in hasty.log(build)
    assert not processes_of(build)


@pytest.mark.slow
def test_a_build_times_out_in_the_queue(bench: Any) -> None:
    # waiting passes on the scaled clock: 5 minutes are 5 seconds
    project = bench.project(
        source=spec("sleep 300"), concurrentBuildLimit=1, queuedTimeoutInMinutes=5
    )
    first = bench.codebuild.start_build(projectName=project)["build"]
    second = bench.wait(bench.codebuild.start_build(projectName=project)["build"]["id"])
    assert second["buildStatus"] == "TIMED_OUT"
    assert phase(second, "QUEUED")["phaseStatus"] == "TIMED_OUT"
    assert [item["phaseType"] for item in second["phases"]] == ["SUBMITTED", "QUEUED", "COMPLETED"]
    bench.codebuild.stop_build(id=first["id"])


def test_a_project_runs_no_more_builds_at_once_than_its_limit(bench: Any) -> None:
    project = bench.project(source=spec("sleep 0.3"), concurrentBuildLimit=1)
    ids = [bench.codebuild.start_build(projectName=project)["build"]["id"] for _ in range(4)]
    builds = [bench.wait(build_id) for build_id in ids]
    assert [build["buildStatus"] for build in builds] == ["SUCCEEDED"] * 4
    worked = [(phase(build, "PROVISIONING")["startTime"], build["endTime"]) for build in builds]
    for (_, ended), (began, _) in pairwise(worked):
        assert began >= ended
    assert phase(builds[3], "QUEUED")["durationInSeconds"] >= 1


def test_a_log_of_100_mb_is_not_held_in_memory(bench: Any) -> None:
    line = "a line of the log, as long as many a line that a build prints, or longer than that -"
    project = bench.project(source=spec(f"yes '{line}' | head -c 100000000"))
    [server] = [
        process
        for process in psutil.process_iter()
        if process.pid == bench.aws.description["pid"]
    ]  # fmt: skip
    bench.run(bench.project(source=spec("true")))
    before = server.memory_info().rss
    build = bench.run(project)
    assert build["buildStatus"] == "SUCCEEDED"
    assert server.memory_info().rss - before < 60 << 20
    logs, stream = bench.aws.client("logs"), build["logs"]
    names = {"logGroupName": stream["groupName"], "logStreamName": stream["streamName"]}
    last = logs.get_log_events(**names, limit=3)["events"]
    assert "Phase context status code" in last[-1]["message"]
    first = logs.get_log_events(**names, startFromHead=True)
    assert "Running on CodeBuild" in first["events"][0]["message"]
    more = logs.get_log_events(**names, startFromHead=True, nextToken=first["nextForwardToken"])
    assert {event["message"] for event in more["events"]} == {line + "\n"}
    back = logs.get_log_events(**names, nextToken=more["nextBackwardToken"])
    assert back["events"][-1] == first["events"][-1]


def test_binary_output_and_long_lines_survive(bench: Any) -> None:
    commands = (
        "head -c 300000 /dev/urandom",
        "printf 'no end'",
        "head -c 1000000 /dev/zero | tr '\\0' x; echo; printf 'crlf\\r\\nnext\\n'",
        "printf 'caf\\303\\251 \\377\\n'",
    )
    build = bench.run(bench.project(source=spec(*commands)))
    assert build["buildStatus"] == "SUCCEEDED"
    log = bench.log(build)
    assert "no end" in [line[-6:] for line in log]
    assert sum(line.count("x") for line in log if set(line) == {"x"}) == 1_000_000
    assert {"crlf", "next", "café \ufffd"} <= set(log)


def test_the_log_goes_to_s3_too(bench: Any) -> None:
    location = f"{bench.bucket}/build-logs"
    for cloudwatch in ("ENABLED", "DISABLED"):
        logs = {
            "s3Logs": {"status": "ENABLED", "location": location},
            "cloudWatchLogs": {"status": cloudwatch},
        }
        build = bench.run(bench.project(source=spec("echo for-the-archive"), logsConfig=logs))
        key = f"build-logs/{build['id'].split(':')[1]}.gz"
        assert build["logs"]["s3LogsArn"] == f"arn:aws:s3:::{bench.bucket}/{key}"
        body = bench.aws.client("s3").get_object(Bucket=bench.bucket, Key=key)["Body"].read()
        assert b"\nfor-the-archive\n" in gzip.decompress(body)
        assert ("groupName" in build["logs"]) == (cloudwatch == "ENABLED")


@pytest.mark.parametrize("user", ["nobody", "codebuild-user", "ec2-user", "www-data"])
def test_run_as_another_user(bench: Any, user: str) -> None:
    text = (
        "version: 0.2\nphases:\n  install: {commands: [/usr/bin/id -un]}\n"
        f"  build: {{run-as: {user}, commands: [/usr/bin/id -un, 'echo build ran']}}\n"
    )
    build = bench.run(bench.project(source=inline(text)))
    log = bench.log(build)
    assert build["buildStatus"] == "SUCCEEDED", "\n".join(log)
    if os.getuid() == 0 and bubblewrap() is not None:
        assert user in log
    else:
        assert any(f"run-as {user} is not applied" in line for line in log)


def test_an_unknown_user_fails_the_build(bench: Any) -> None:
    text = "version: 0.2\nrun-as: nosuchuser\nphases: {build: {commands: [id]}}"
    build = bench.run(bench.project(source=inline(text)))
    context = phase(build, "DOWNLOAD_SOURCE")["contexts"][0]
    assert context == {
        "statusCode": "YAML_FILE_ERROR",
        "message": "run-as: unknown user nosuchuser",
    }
