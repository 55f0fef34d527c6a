"""What breaks on a thread of the local AWS is told to whoever asked for the work.

Only here are engines broken on purpose, in this process: no input makes them break so.
"""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.cloud.codebuild import events as build_events
from labkit.cloud.codebuild.logs import BuildLog
from labkit.cloud.codebuild.models import Build, Phase, Project
from labkit.cloud.codebuild.queue import add as queue_build
from labkit.cloud.codebuild.runner import Runner
from labkit.cloud.codedeploy import deployment as deployments
from labkit.cloud.codedeploy.models import CodeDeployBackend, Deployment, Group
from labkit.cloud.codepipeline import execution as executions
from labkit.cloud.codepipeline import stages
from labkit.cloud.codepipeline.actions import providers
from labkit.cloud.codepipeline.models import Pipeline
from labkit.cloud.front import launcher
from labkit.cloud.shared import runtime, threads
from tests import tracebacks
from tests.waiting import eventually

CLOUD = Path(__file__).resolve().parents[2] / "labkit" / "cloud"
OTHERS = {
    "shared/threads.py": "the one place",
    "front/server.py": "answers requests: whatever breaks there is an answer",
    "compute/balancer/proxy.py": "a process of its own",
}
STARTERS = {"Thread", "Timer", "ThreadPoolExecutor", "ProcessPoolExecutor", "start_new_thread"}


@pytest.fixture
def local_aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[runtime.Runtime]:
    """The little of a local AWS that engines need which never get as far as a request."""
    lab = runtime.Runtime(tmp_path, "http://127.0.0.1:9", "us-east-1")
    monkeypatch.setattr(runtime, "_current", lab)
    yield lab


def started_in(path: Path) -> set[str]:
    """What a module calls or imports that starts threads."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            function = node.func
            name = (
                function.attr
                if isinstance(function, ast.Attribute)
                else getattr(function, "id", "")
            )
            found |= {name} & STARTERS
        elif isinstance(node, ast.ImportFrom) and node.module in (
            "threading",
            "concurrent.futures",
        ):
            found |= {item.name for item in node.names} & STARTERS
    return found


def test_threads_are_started_in_one_place() -> None:
    paths = {path.relative_to(CLOUD).as_posix(): path for path in CLOUD.rglob("*.py")}
    assert paths.keys() > OTHERS.keys()
    elsewhere = {name: started_in(path) for name, path in paths.items() if name not in OTHERS}
    assert {name: found for name, found in elsewhere.items() if found} == {}


def broken(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError("broken on purpose")


def test_what_breaks_on_a_thread_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Exception] = []
    threads.start(broken, name="one", failed=told.append).join()
    threads.after(0, broken, name="later", failed=told.append).join()
    queue = threads.Queue(1, "queue")
    queue.add(broken, failed=told.append)
    eventually(lambda: len(told) == 3)
    assert [type(error) for error in told] == [ZeroDivisionError] * 3
    assert [record.message for record in caplog.records] == ["one", "later", "queue"]
    assert all(record.exc_info for record in caplog.records)


def test_a_queue_and_a_thread_go_on_when_the_failure_cannot_be_told_either() -> None:
    queue, done = threads.Queue(1, "queue"), threading.Event()
    queue.add(broken, failed=broken)
    queue.add(done.set, failed=broken)
    assert done.wait(10)


def test_what_repeats_goes_on_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_PAUSE_SECONDS", 0)
    steps: list[int] = []
    over = threading.Event()

    def step() -> None:
        steps.append(len(steps))
        if len(steps) < 3:
            broken()
        over.wait()

    threads.repeat(step, name="poller")
    eventually(lambda: len(steps) == 3)


def test_a_traceback_in_a_lab_s_log_is_found_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "up", lambda state_dir: None)
    monkeypatch.setattr(launcher, "down", lambda state_dir: None)
    watch, log = tracebacks.Logs(), tmp_path / "log"
    with watch.watched():
        launcher.up(tmp_path)
        log.write_text("ERROR a learner's mistake\n")
        assert watch.tracebacks() == []
        log.write_text(f"{log.read_text()}ERROR one\n{tracebacks.MARK}:\n  ...\nKeyError: 1\n")
        assert "KeyError: 1" in "".join(watch.tracebacks())
        assert watch.tracebacks() == []
        log.write_text(f"{log.read_text()}ERROR two\n{tracebacks.MARK}:\n  ...\nKeyError: 2\n")
        launcher.down(tmp_path)
        log.unlink()
        assert "KeyError: 2" in "".join(watch.tracebacks())


# builds


class CloudWatchLogs:
    """CloudWatch Logs as far as a build's log needs it."""

    def __init__(self) -> None:
        self.put: list[dict[str, Any]] = []
        self.exceptions = SimpleNamespace(
            ResourceNotFoundException=KeyError, ResourceAlreadyExistsException=KeyError
        )

    def create_log_stream(self, **_: str) -> None: ...

    def put_log_events(self, logEvents: list[dict[str, Any]], **_: str) -> None:
        self.put += logEvents


def test_a_log_is_shown_though_its_build_has_printed_nothing_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labkit.cloud.codebuild.logs.install", lambda *_, **__: None)
    logs, told = CloudWatchLogs(), list[Exception]()
    session: Any = SimpleNamespace(client=lambda _: logs, region="us-east-1")
    log = BuildLog(tmp_path / "log")
    log.open(session, "group", "stream", "123456789012", first="hello", failed=told.append)
    log.close()
    assert told == []
    assert [event["message"] for event in logs.put] == ["hello"]
    assert log.file.path.read_text().endswith(" hello\n")


def new_build() -> Build:
    settings = {
        "source": {"type": "NO_SOURCE"},
        "environment": {"image": "i", "type": "LINUX_CONTAINER", "computeType": "c"},
        "serviceRole": "arn:aws:iam::123456789012:role/r",
    }
    arn = "arn:aws:codebuild:us-east-1:123456789012:project/p"
    build = Build(Project({"name": "p", **settings}, arn), settings, 1, "me")
    build.phases = [Phase("SUBMITTED", status="SUCCEEDED"), Phase("QUEUED")]
    return build


@pytest.mark.parametrize("step", ["_run", "_let_go", "_time_limit", "_keep_log"])
def test_a_build_whose_runner_breaks_ends_in_a_fault_that_names_it(
    step: str, local_aws: runtime.Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runner, step, broken)
    if step != "_run":
        monkeypatch.setattr(Runner, "_provision", lambda self: None)
    build = new_build()
    queue_build(build, then=lambda: None)
    assert build.over.wait(10)
    assert build.status == "FAULT"
    contexts = [context for phase in build.phases for context in phase.contexts or []]
    fault = {"statusCode": "INTERNAL_ERROR", "message": "ZeroDivisionError('broken on purpose')"}
    assert fault in contexts


def test_a_build_ends_though_its_event_cannot_be_published(
    local_aws: runtime.Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_events, "phase_changed", broken)
    build = new_build()
    queue_build(build, then=lambda: None)
    assert build.over.wait(10)
    assert build.status == "FAULT"


# deployments


@pytest.mark.parametrize("step", ["_deploy", "_end"])
def test_a_deployment_whose_engine_breaks_fails_and_names_it(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployments, step, broken)
    backend = CodeDeployBackend("us-east-1", "123456789012")
    group = Group("a", {"deploymentGroupName": "g", "serviceRoleArn": "r"})
    deployment = Deployment("a", "g", group.id, "CodeDeployDefault.AllAtOnce", {})
    deployments.start(backend, group, deployment)
    eventually(lambda: deployment.over)
    assert deployment.status == "Failed"
    assert deployment.error == {
        "code": "INTERNAL_ERROR",
        "message": "ZeroDivisionError('broken on purpose')",
    }
    assert group.active is None


# pipelines


TRIGGER = {"triggerType": "StartPipelineExecution", "triggerDetail": "me"}


def new_pipeline() -> Pipeline:
    kind = {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"}
    action = {"name": "Fetch", "actionTypeId": kind, "configuration": {}}
    declaration = {
        "name": "p",
        "version": 1,
        "executionMode": "SUPERSEDED",
        "pipelineType": "V1",
        "stages": [{"name": "Source", "actions": [action]}],
    }
    pipeline = Pipeline(declaration, "us-east-1", "123456789012")
    pipeline.adopt(declaration)
    return pipeline


def test_an_action_that_breaks_fails_and_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "find", lambda _: broken)
    pipeline = new_pipeline()
    execution = executions.start(pipeline, TRIGGER)
    eventually(lambda: execution.over)
    assert execution.status == "Failed"
    assert execution.runs[0].error == {
        "code": "InternalError",
        "message": "ZeroDivisionError('broken on purpose')",
    }


def test_an_execution_about_which_nothing_can_be_decided_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(providers, "find", lambda _: lambda view: None)
    monkeypatch.setattr(stages, "_after_success", broken)
    pipeline = new_pipeline()
    execution = executions.start(pipeline, TRIGGER)
    eventually(lambda: execution.over)
    assert execution.status == "Failed"
    assert execution.summary == "InternalError: ZeroDivisionError('broken on purpose')"
    assert pipeline.stages[0].holder is None and not pipeline.running
