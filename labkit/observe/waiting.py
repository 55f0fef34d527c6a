"""Waiting until AWS has done something: by asking again, as any client of AWS has to.

Each function returns what AWS last said; `on_change` hears of every change on the way. What waits for
somebody to do something is said at once, in a line.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from labkit.lab import Lab
from labkit.missing import NotThere, says_what_is_missing
from labkit.observe.snapshot import Snapshot, snapshot
from labkit.watched import GaveUp, waiting

TIMEOUT_SECONDS = 600.0
HOPELESS_SECONDS = 60.0  # how long what only a person can change is waited for
T = TypeVar("T")


@says_what_is_missing
def latest_execution(lab: Lab) -> str | None:
    """The id of the execution that started last; None before the first."""
    found = lab.client("codepipeline").list_pipeline_executions(
        pipelineName=lab.pipeline, maxResults=1
    )["pipelineExecutionSummaries"]
    return found[0]["pipelineExecutionId"] if found else None


@says_what_is_missing
def execution_of(lab: Lab, commit: str, timeout: float = 60.0) -> str:
    """The id of the execution that releases `commit`; waits until the push has started it.

    Args:
        timeout: seconds.

    Raises:
        TimeoutError: no execution has taken up that commit.
    """

    def find() -> str | None:
        for summary in lab.client("codepipeline").list_pipeline_executions(
            pipelineName=lab.pipeline
        )["pipelineExecutionSummaries"]:
            for revision in summary.get("sourceRevisions", []):
                if revision.get("revisionId") == commit:
                    return str(summary["pipelineExecutionId"])
        return None

    found = _until(lab, find, bool, None, timeout, f"No execution has taken up commit {commit[:8]}")
    assert found is not None
    return found


@says_what_is_missing
def wait_for_execution(
    lab: Lab,
    execution_id: str | None = None,
    *,
    on_change: Callable[[Snapshot], object] | None = None,
    until: Callable[[Snapshot], object] | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> Snapshot:
    """Wait until an execution is over, or waits for an approval; returns its last snapshot.

    Args:
        execution_id: None takes the one that started last.
        on_change: called with every new snapshot.
        until: wait for this instead, or until it is over: `until=lambda now: now.commit`.
        timeout: seconds.

    Raises:
        LookupError: the pipeline has had no execution.
        TimeoutError: it is not over in time; the message says where it stands.
        LabError: the local AWS is gone.
    """
    chosen = execution_id or latest_execution(lab)
    if chosen is None:
        raise NotThere(f"{lab.pipeline} has had no execution yet: pipeline.start(lab) starts one.")

    def enough(now: Snapshot) -> bool:
        asked = now.awaits_approval if until is None else until(now)
        return now.over or bool(asked)

    return _until(
        lab, lambda: snapshot(lab, chosen), enough, on_change, timeout, f"Execution {chosen}"
    )


def wait_for_build(
    lab: Lab,
    build_id: str,
    *,
    on_change: Callable[[dict[str, Any]], object] | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> dict[str, Any]:
    """Wait until a build is complete; returns it as BatchGetBuilds describes it.

    Raises:
        LookupError: there is no such build.
        TimeoutError: it is not complete in time (seconds).
    """

    def read() -> dict[str, Any]:
        builds = lab.client("codebuild").batch_get_builds(ids=[build_id])["builds"]
        if not builds:
            raise LookupError(f"CodeBuild has no build {build_id}")
        build: dict[str, Any] = builds[0]
        return build

    return _until(
        lab, read, lambda build: build["buildComplete"], on_change, timeout, f"Build {build_id}"
    )


def wait_for_batch(
    lab: Lab,
    batch_id: str,
    *,
    on_change: Callable[[dict[str, Any]], object] | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> dict[str, Any]:
    """Wait until a batch build is complete; returns it as BatchGetBuildBatches describes it.

    Raises:
        LookupError: there is no such batch build.
        TimeoutError: it is not complete in time (seconds).
    """

    def read() -> dict[str, Any]:
        batches = lab.client("codebuild").batch_get_build_batches(ids=[batch_id])["buildBatches"]
        if not batches:
            raise LookupError(f"CodeBuild has no batch build {batch_id}")
        batch: dict[str, Any] = batches[0]
        return batch

    return _until(
        lab, read, lambda batch: batch["complete"], on_change, timeout, f"Batch build {batch_id}"
    )


@says_what_is_missing
def wait_for_deployment(
    lab: Lab,
    deployment_id: str,
    *,
    on_change: Callable[[dict[str, Any]], object] | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> dict[str, Any]:
    """Wait until a deployment is over; returns its deploymentInfo.

    Raises:
        TimeoutError: it is not over in time (seconds).
    """

    def read() -> dict[str, Any]:
        info: dict[str, Any] = lab.client("codedeploy").get_deployment(deploymentId=deployment_id)[
            "deploymentInfo"
        ]
        return info

    def over(info: dict[str, Any]) -> bool:
        return info["status"] in ("Succeeded", "Failed", "Stopped")

    return _until(lab, read, over, on_change, timeout, f"Deployment {deployment_id}")


@says_what_is_missing
def wait_for_rollback(
    lab: Lab, deployment_id: str, *, timeout: float = TIMEOUT_SECONDS
) -> dict[str, Any]:
    """Wait until a deployment that went wrong is rolled back; returns the rollback's deploymentInfo.

    Raises:
        LookupError: it has not gone wrong, or is not rolled back; the message says why.
        TimeoutError: the rollback is not over in time (seconds).
    """
    failed = wait_for_deployment(lab, deployment_id, timeout=timeout)
    undone = failed.get("rollbackInfo", {})
    if "rollbackDeploymentId" not in undone:
        told = undone.get("rollbackMessage")  # a rollback has one too: of what it is the rollback
        why = told if told and failed["status"] != "Succeeded" else f"it is {failed['status']}"
        raise LookupError(f"Deployment {deployment_id} is not rolled back: {why}")
    return wait_for_deployment(lab, undone["rollbackDeploymentId"], timeout=timeout)


def wait_for_alarm(
    lab: Lab, name: str, state: str = "OK", *, timeout: float = TIMEOUT_SECONDS
) -> dict[str, Any]:
    """Wait until a CloudWatch alarm is in a state (OK, ALARM, INSUFFICIENT_DATA); returns it.

    Raises:
        LookupError: there is no such alarm.
        TimeoutError: it is not in time (seconds).
    """

    def read() -> dict[str, Any]:
        alarms: list[dict[str, Any]] = lab.client("cloudwatch").describe_alarms(AlarmNames=[name])[
            "MetricAlarms"
        ]
        if not alarms:
            raise NotThere(
                f"CloudWatch has no alarm {name}. Run the cell that makes it (put_metric_alarm) again."
            )
        return alarms[0]

    return _until(
        lab, read, lambda alarm: alarm["StateValue"] == state, None, timeout, f"Alarm {name}"
    )


_WHAT_TO_DO = (
    "Remove what holds it up, or run this lesson again from its first cells: they bring the lab into the "
    "state that it needs. `show.pipeline(lab)` shows where the last execution stands."
)


def poll_seconds(lab: Lab) -> float:
    """How long to wait before asking again: AWS throttles, the local AWS does not."""
    return 0.25 if lab.is_local else 5.0


def wait_for(
    lab: Lab,
    what: str,
    read: Callable[[], T],
    enough: Callable[[T], bool],
    timeout: float,
    otherwise: Callable[[T], str],
) -> T:
    """Ask AWS again and again until what it says is enough; returns that.

    Args:
        what: what is waited for, as the line that is shown meanwhile says it.
        timeout: seconds.
        otherwise: the sentence to give up with, of what AWS said last.

    Raises:
        GaveUp: it is not enough in time.
    """
    begun = time.monotonic()
    with waiting(what, timeout):
        while not enough(now := read()):
            if time.monotonic() > begun + timeout:
                raise GaveUp(otherwise(now))
            time.sleep(poll_seconds(lab))
        return now


def _until(
    lab: Lab,
    read: Callable[[], T],
    enough: Callable[[T], bool],
    on_change: Callable[[T], object] | None,
    timeout: float,
    what: str,
) -> T:
    begun, before, said = time.monotonic(), None, None
    hopeless = begun + min(timeout, HOPELESS_SECONDS)
    with waiting(what, timeout) as wait:
        while True:
            with lab.must_answer():
                now = read()
            if on_change is not None and now != before:
                on_change(now)
            if enough(now):
                return now
            wait.state = _state(now)
            obstacle = now.obstacle if isinstance(now, Snapshot) else None
            if obstacle not in (None, said):
                print(f"{what} cannot go on: {obstacle}.", flush=True)
                hopeless = time.monotonic() + min(timeout, HOPELESS_SECONDS)
            said, gone = obstacle, time.monotonic() - begun
            if gone > timeout or (obstacle and time.monotonic() > hopeless):
                raise GaveUp(f"{what} after {gone:.0f} s: {_state(now)}. {_WHAT_TO_DO}")
            before = now
            time.sleep(poll_seconds(lab))


def _state(now: Any) -> str:
    if isinstance(now, Snapshot):
        if now.obstacle or now.waits_before:
            return now.obstacle or f"waits before stage {now.waits_before}, which another one holds"
        running = [action.name for action in now.actions if action.status == "InProgress"]
        return f"{now.status}, at {', '.join(running) or 'no action'}"
    if isinstance(now, dict):
        names = ("buildStatus", "buildBatchStatus", "status", "StateValue")
        return next((str(now[name]) for name in names if now.get(name)), "nothing yet")
    return "nothing yet"
