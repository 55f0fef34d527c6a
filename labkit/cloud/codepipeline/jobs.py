"""Jobs: how an action waits for a worker that polls, and what the worker says of it.

An action of a custom or third-party type makes a job and waits until a worker has put a result; so
do the actions that call a Lambda function, which answers by the same operations. A result with a
continuation token ends the job and queues another that carries the token.

AWS pages: "Create and add a custom action in CodePipeline"; "PutJobSuccessResult";
"Quotas in AWS CodePipeline" (time-outs).
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from labkit.cloud.codepipeline import catalogue
from labkit.cloud.codepipeline.action import Action, ActionFailed
from labkit.cloud.codepipeline.models import Artifact
from labkit.cloud.codepipeline.registry import Job, Registry, registries
from labkit.cloud.shared import runtime
from labkit.cloud.shared.service import AWSError

CUSTOM_TIMEOUT_SECONDS = 24 * 3600
# AWS does not say how long a job that was handed out and not acknowledged stays away from others.
ACKNOWLEDGE_SECONDS = 300
MAX_VARIABLES_BYTES = 122_880
_changed = threading.Condition()


def registry_of(action: Action) -> Registry:
    """Where the jobs of an action's pipeline are kept."""
    return registries[action.pipeline.account_id][action.pipeline.region]


def run(action: Action) -> None:
    """The provider of custom and third-party actions: wait for a worker's result."""
    perform(action, CUSTOM_TIMEOUT_SECONDS)


def perform(
    action: Action,
    timeout_seconds: float,
    *,
    dispatch: Callable[[Job], None] | None = None,
    heartbeat_seconds: float | None = None,
) -> None:
    """Make jobs until one ends without a continuation token.

    Args:
        timeout_seconds: AWS's time for the whole action, on the scaled clock.
        dispatch: hands each job to its worker, where the worker does not poll.
        heartbeat_seconds: AWS's time for each job.

    Raises:
        ActionFailed: the worker said so, or said nothing in time.
    """
    registry, clock = registry_of(action), runtime.current().clock
    deadline = time.monotonic() + clock.wait_seconds(timeout_seconds)
    token: str | None = None
    while True:
        job = Job(action, token, status="Dispatched" if dispatch else "Queued")
        with _changed:
            registry.jobs[job.id] = job
        try:
            if dispatch:
                dispatch(job)
            limit = deadline
            if heartbeat_seconds is not None:
                limit = min(deadline, time.monotonic() + clock.wait_seconds(heartbeat_seconds))
            _wait(job, limit)
        finally:
            _forget(registry, job)
        token = _take(action, job)
        if token is None:
            return


def _wait(job: Job, deadline: float) -> None:
    def settled() -> bool:
        return job.over or job.action.run.status != "InProgress"

    with _changed:
        # an abandoned action is announced to nobody here, so it is looked at now and then
        while not settled() and time.monotonic() < deadline:
            _changed.wait(min(5.0, max(0.0, deadline - time.monotonic())))
        if not job.over:
            job.status = "TimedOut"


def _forget(registry: Registry, job: Job) -> None:
    """A job that ended stays readable for a while; old ones are dropped."""
    with _changed:
        if not job.over:
            job.status = "Failed"
        ended = [item.id for item in registry.jobs.values() if item.over]
        for job_id in ended[:-100]:
            del registry.jobs[job_id]


def _take(action: Action, job: Job) -> str | None:
    """What a job's end means for its action; returns the continuation token if there is one."""
    if job.status == "TimedOut":
        raise ActionFailed("JobFailed", "The action timed out: no worker put a result in time")
    if job.failure is not None:
        external = job.failure.get("externalExecutionId")
        if external:
            action.report(external_id=external, summary=job.failure["message"])
        raise ActionFailed(job.failure["type"], job.failure["message"])
    result = job.result or {}
    details = result.get("executionDetails") or {}
    external = details.get("externalExecutionId") or action.run.external_id
    if details or external:
        summary = details.get("summary") or action.run.summary
        url = _execution_url(action, external)
        action.report(external_id=external or action.run.id, url=url, summary=summary)
    if result.get("continuationToken"):
        return str(result["continuationToken"])
    action.run.variables = dict(result.get("outputVariables") or {})
    if result.get("currentRevision") and action.run.outputs:
        _set_revision(action, result["currentRevision"])
    return None


def _execution_url(action: Action, external_id: str | None) -> str | None:
    row = catalogue.find(registry_of(action), action.declaration["actionTypeId"]) or {}
    template = (row.get("settings") or {}).get("executionUrlTemplate")
    if not template or not external_id:
        return action.run.external_url
    return fill_template(template, action.configuration, external_id)


def fill_template(
    template: str, configuration: dict[str, str], external_id: str | None = None
) -> str:
    """A URL template with {Config:Name} and {ExternalExecutionId} filled in."""
    for name, value in configuration.items():
        template = template.replace(f"{{Config:{name}}}", value)
    return template.replace("{ExternalExecutionId}", external_id or "")


def _set_revision(action: Action, current: dict[str, Any]) -> None:
    others = [item for item in action.execution.revisions if item["actionName"] != action.run.name]
    revision = {
        "name": action.run.outputs[0].name,
        "actionName": action.run.name,
        "revisionId": current["revision"],
        "revisionChangeIdentifier": current["changeIdentifier"],
        "revisionSummary": current.get("revisionSummary", ""),
        "revisionUrl": action.run.external_url or "",
        "created": current.get("created") or datetime.now(UTC),
    }
    action.execution.revisions = [*others, revision]


# what workers do


def poll(
    registry: Registry, type_id: dict[str, str], size: int, query: dict[str, str] | None = None
) -> list[Job]:
    """Hand out jobs of an action type that wait for a worker.

    AWS page: "PollForJobs".
    """
    wanted = catalogue.key_of(type_id)
    away = runtime.current().clock.wait_seconds(ACKNOWLEDGE_SECONDS)
    with _changed:
        found = [
            job
            for job in registry.jobs.values()
            if catalogue.key_of(job.type_id) == wanted
            and _waits(job, away)
            and job.action.run.status == "InProgress"
            and all(
                job.action.configuration.get(key) == value for key, value in (query or {}).items()
            )
        ][:size]
        for job in found:
            job.status, job.dispatched = "Dispatched", time.monotonic()
            job.nonce = str(secrets.randbelow(10**6) + 1)
        return found


def _waits(job: Job, away: float) -> bool:
    if job.status == "Queued":
        return True
    if job.status != "Dispatched" or job.dispatched is None:
        return False
    return time.monotonic() > job.dispatched + away


def get(registry: Registry, job_id: str, client_token: str | None = None) -> Job:
    """The job of that id.

    Raises:
        AWSError: JobNotFoundException; InvalidClientTokenException for a third-party job.
    """
    job = registry.jobs.get(job_id)
    if job is None:
        raise AWSError("JobNotFoundException", f"The job {job_id} was not found")
    if client_token is not None and client_token != job.client_id:
        raise AWSError("InvalidClientTokenException", "The client token is not valid for this job")
    return job


def acknowledge(job: Job, nonce: str) -> str:
    """A worker takes a job; returns its status.

    Raises:
        AWSError: InvalidNonceException, another worker has it or the nonce is wrong.
    """
    with _changed:
        if job.status != "Dispatched" or nonce != job.nonce:
            raise AWSError("InvalidNonceException", f"The nonce is not valid for job {job.id}")
        job.status = "InProgress"
        return job.status


def succeed(job: Job, result: dict[str, Any]) -> None:
    """A worker's success, or with a continuation token its promise of more.

    Raises:
        AWSError: InvalidJobStateException, ValidationException,
            OutputVariablesSizeExceededException.
    """
    variables = result.get("outputVariables")
    if variables and result.get("continuationToken"):
        raise AWSError(
            "ValidationException",
            "outputVariables cannot be put together with a continuationToken",
        )
    size = sum(len(key.encode()) + len(value.encode()) for key, value in (variables or {}).items())
    if size > MAX_VARIABLES_BYTES:
        raise AWSError(
            "OutputVariablesSizeExceededException",
            f"The output variables have {size} bytes; the maximum is {MAX_VARIABLES_BYTES}",
        )
    with _changed:
        _check_open(job)
        job.result, job.status = result, "Succeeded"
        _changed.notify_all()


def fail(job: Job, failure: dict[str, str]) -> None:
    """A worker's failure.

    Raises:
        AWSError: InvalidJobStateException.
    """
    with _changed:
        _check_open(job)
        job.failure, job.status = failure, "Failed"
        _changed.notify_all()


def _check_open(job: Job) -> None:
    # a Lambda function's job was never polled, so it is Dispatched when its result comes
    by_function = job.status == "Dispatched" and job.dispatched is None
    if job.status != "InProgress" and not by_function:
        raise AWSError(
            "InvalidJobStateException",
            f"The job {job.id} is in status {job.status}; a result can be put InProgress only",
        )


def job_data(job: Job, *, context: bool = True) -> dict[str, Any]:
    """What a worker is told of a job.

    AWS page: "JobData".
    """
    action = job.action
    session = action.worker_session
    data: dict[str, Any] = {
        "actionTypeId": job.type_id,
        "actionConfiguration": {"configuration": action.configuration},
        "inputArtifacts": [_location(action, item) for item in action.run.inputs],
        "outputArtifacts": [_location(action, item) for item in action.run.outputs],
        "artifactCredentials": {
            "accessKeyId": session.access_key_id,
            "secretAccessKey": session.secret_access_key,
            "sessionToken": session.session_token or "",
        },
    }
    if context:
        data["pipelineContext"] = {
            "pipelineName": action.pipeline.name,
            "pipelineArn": action.pipeline.arn,
            "pipelineExecutionId": action.execution.id,
            "stage": {"name": action.run.stage},
            "action": {"name": action.run.name, "actionExecutionId": action.run.id},
        }
    if job.continuation_token:
        data["continuationToken"] = job.continuation_token
    key = action.store.get("encryptionKey")
    if key:
        data["encryptionKey"] = key
    return data


def _location(action: Action, artifact: Artifact) -> dict[str, Any]:
    revisions = {item["name"]: item["revisionId"] for item in action.execution.revisions}
    location = {"bucketName": artifact.bucket, "objectKey": artifact.key}
    answer: dict[str, Any] = {
        "name": artifact.name,
        "location": {"type": "S3", "s3Location": location},
    }
    if artifact.name in revisions:
        answer["revision"] = revisions[artifact.name]
    return answer
