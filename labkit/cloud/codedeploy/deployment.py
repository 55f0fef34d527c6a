"""One deployment to hosts in place: which, in what order, and when it is enough or too much.

Hosts are deployed to as many at a time as the minimum of healthy hosts allows. A failure takes a
host from the healthy ones; when they have fallen to the minimum and hosts are left, the deployment
stops there. The agent's polling wait does not exist here: a host starts its next event at once.

AWS pages: "CodeDeploy instance health"; "Redeploy and roll back a deployment with CodeDeploy".
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud import clients
from labkit.cloud.codedeploy import events, functions
from labkit.cloud.codedeploy.agent import Agent, EventError
from labkit.cloud.codedeploy.models import (
    CodeDeployBackend,
    Config,
    Deployment,
    DeploymentFailed,
    Group,
    LifecycleEvent,
    Target,
    now,
)
from labkit.cloud.compute import hosts

logger = logging.getLogger(__name__)

CODEDEPLOY = "codedeploy.amazonaws.com"
HALF_AT_A_TIME = "CodeDeployDefault.HalfAtATime"
_UNHEALTHY = (
    "The overall deployment failed because too many individual instances failed deployment, too few "
    "healthy instances are available for deployment, or some instances in your deployment group are "
    "experiencing problems."
)
_NO_INSTANCES = (
    "The deployment failed because no instances were found for your deployment group. Check your "
    "deployment group settings to make sure the tags for your Amazon EC2 instances or Auto Scaling "
    "groups correctly identify the instances you want to deploy to, and then try again."
)
_TAG_FILTER = {"KEY_ONLY": "tag-key", "VALUE_ONLY": "tag-value"}


def start(backend: CodeDeployBackend, group: Group, deployment: Deployment) -> None:
    """Begin a deployment in the background; the caller holds the group's lock."""
    deployment.previous_revision = group.target_revision
    backend.deployments[deployment.id] = deployment
    group.active, group.last_attempt = deployment.id, deployment.id
    threading.Thread(
        target=_run, args=(backend, group, deployment), name=deployment.id, daemon=True
    ).start()


def _run(backend: CodeDeployBackend, group: Group, deployment: Deployment) -> None:
    error: dict[str, str] | None = None
    deployment.status, deployment.started = "InProgress", now()
    events.deployment_changed(backend, deployment)
    try:
        if deployment.platform == "Lambda":
            functions.deploy(backend, group, deployment)
        else:
            _deploy(backend, group, deployment)
    except DeploymentFailed as failed:
        error = {"code": failed.code, "message": failed.message}
    except Exception as broken:
        logger.exception("deployment %s", deployment.id)
        error = {"code": "INTERNAL_ERROR", "message": repr(broken)}
    _end(backend, group, deployment, error)


def _deploy(backend: CodeDeployBackend, group: Group, deployment: Deployment) -> None:
    targets = _find_targets(backend, group, deployment)
    deployment.targets = {target.instance_id: target for target in targets}
    if not targets:
        raise DeploymentFailed("NO_INSTANCES", _NO_INSTANCES)
    config = backend.config(deployment.config)
    minimum = config.minimum_healthy(len(targets))
    at_a_time = _at_a_time(config, len(targets), minimum)
    if at_a_time <= 0:
        raise DeploymentFailed(
            "HEALTH_CONSTRAINTS_INVALID",
            "The deployment can't go forward because the minimum number of healthy hosts "
            f"({minimum}) is not less than the number of instances ({len(targets)}).",
        )
    _roll_out(backend, group, deployment, targets, minimum, at_a_time)
    if deployment.stop_requested:
        return
    succeeded = sum(target.status == "Succeeded" for target in targets)
    if succeeded == 0 or succeeded < minimum:
        raise DeploymentFailed("HEALTH_CONSTRAINTS", _UNHEALTHY)


def _at_a_time(config: Config, hosts_count: int, minimum: int) -> int:
    if config.name == HALF_AT_A_TIME:
        return max(hosts_count // 2, 1)
    return hosts_count - minimum


def _roll_out(
    backend: CodeDeployBackend,
    group: Group,
    deployment: Deployment,
    targets: list[Target],
    minimum: int,
    at_a_time: int,
) -> None:
    waiting, failures = list(targets), 0
    running: set[Future[None]] = set()
    with ThreadPoolExecutor(at_a_time, thread_name_prefix=deployment.id) as pool:
        while waiting or running:
            exhausted = failures > 0 and len(targets) - failures <= minimum
            if exhausted or deployment.stop_requested:
                for target in waiting:
                    _skip(backend, deployment, target)
                waiting.clear()
            while waiting and len(running) < at_a_time:
                target = waiting.pop(0)
                running.add(pool.submit(_deploy_to, backend, group, deployment, target))
            if running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for finished in done:
                    finished.result()
            failures = sum(target.status == "Failed" for target in targets)


def _find_targets(backend: CodeDeployBackend, group: Group, deployment: Deployment) -> list[Target]:
    """The running instances that the group's tags name, as the service role sees them.

    Unhealthy ones come first, then those of an unknown, an old, and the current revision.
    """
    arn = f"arn:aws:codedeploy:{backend.region_name}:{backend.account_id}:deploymentgroup:{group.application}/{group.name}"
    role = group.declared["serviceRoleArn"]
    try:
        ec2 = clients.assume_role(
            CODEDEPLOY, role, "codedeploy", backend.region_name, source_arn=arn
        ).client("ec2")
        found: set[str] | None = None
        for filters in tag_groups(group.declared):
            matching = {item for tag in filters for item in _running(ec2, tag)}
            found = matching if found is None else found & matching
    except ClientError as error:
        detail = error.response["Error"]
        raise DeploymentFailed(
            "IAM_ROLE_PERMISSIONS",
            "The IAM role doesn't give you permission to perform operations in the following AWS "
            f"service: AmazonEC2 ({detail.get('Message', detail['Code'])})",
        ) from error
    except BotoCoreError as error:
        raise DeploymentFailed("INTERNAL_ERROR", str(error)) from error
    ids = sorted(found or [])
    if deployment.update_outdated_only:
        ids = [item for item in ids if group.revisions.get(item) != deployment.revision]
    ids.sort(key=lambda item: _order(group, item))
    prefix = f"arn:aws:ec2:{backend.region_name}:{backend.account_id}:instance/"
    return [Target(item, prefix + item) for item in ids]


def tag_groups(declared: dict[str, Any]) -> list[list[dict[str, str]]]:
    """Lists of tag filters: any of a list has to match, and every list.

    AWS page: "Tagging instances for deployment groups in CodeDeploy".
    """
    if declared.get("ec2TagSet"):
        return declared["ec2TagSet"].get("ec2TagSetList") or []
    return [declared["ec2TagFilters"]] if declared.get("ec2TagFilters") else []


def _running(ec2: Any, tag: dict[str, str]) -> list[str]:
    kind = tag.get("Type", "KEY_AND_VALUE")
    if kind == "KEY_AND_VALUE":
        name, value = f"tag:{tag['Key']}", tag.get("Value", "")
    else:
        name, value = _TAG_FILTER[kind], tag["Key" if kind == "KEY_ONLY" else "Value"]
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[
            {"Name": name, "Values": [value]},
            {"Name": "instance-state-name", "Values": ["running"]},
        ]
    )
    return [
        instance["InstanceId"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    ]


def _order(group: Group, instance_id: str) -> tuple[bool, int]:
    revision = group.revisions.get(instance_id)
    age = 0 if revision is None else 2 if revision == group.target_revision else 1
    return group.health.get(instance_id, False), age


def _deploy_to(
    backend: CodeDeployBackend, group: Group, deployment: Deployment, target: Target
) -> None:
    """Every lifecycle event on one host, in order."""
    _set_target(backend, deployment, target, "InProgress")
    host = hosts.find(target.instance_id, backend.region_name, backend.account_id)
    agent = Agent(host, deployment) if host else None
    for event in target.events:
        if deployment.stop_requested:
            break
        event.status, event.started = "InProgress", now()
        error = _perform(backend, agent, event)
        event.ended = now()
        event.diagnostics = _diagnostics(error)
        event.status = "Failed" if error else "Succeeded"
        if event.name == "Install" and not error:
            group.revisions[target.instance_id] = deployment.revision
        ignored = event.name == "ApplicationStop" and deployment.ignore_stop_failures
        if error and not ignored:
            break
    complete = all(event.status in ("Succeeded", "Failed") for event in target.events)
    good = complete and target.events[-1].status == "Succeeded"
    for event in target.events:
        if event.status == "Pending":
            event.status = "Skipped"
    group.health[target.instance_id] = good
    _set_target(backend, deployment, target, "Succeeded" if good else "Failed")


def _perform(
    backend: CodeDeployBackend, agent: Agent | None, event: LifecycleEvent
) -> EventError | None:
    gone = EventError(
        "UnknownError",
        "CodeDeploy agent was not able to receive the lifecycle event. Check the CodeDeploy agent "
        "logs on your host and make sure the agent is running and can connect to the CodeDeploy server.",
    )
    if agent is None:
        return gone
    # an instance may have been stopped or terminated since the last event
    host = agent.host
    if hosts.find(host.instance_id, host.region, host.account_id) is None:
        return gone
    try:
        agent.perform(event.name)
    except EventError as error:
        return error
    except Exception as broken:  # the agent, too, reports whatever happens to it as UnknownError
        logger.exception("%s on %s", event.name, host.instance_id)
        return EventError("UnknownError", str(broken) or repr(broken))
    return None


def _diagnostics(error: EventError | None) -> dict[str, str]:
    if error is None:
        return {"errorCode": "Success", "scriptName": "", "message": "Succeeded", "logTail": ""}
    return {
        "errorCode": error.code,
        "scriptName": error.script,
        "message": error.message,
        "logTail": error.log_tail,
    }


def _skip(backend: CodeDeployBackend, deployment: Deployment, target: Target) -> None:
    for event in target.events:
        event.status = "Skipped"
    _set_target(backend, deployment, target, "Skipped")


def _set_target(
    backend: CodeDeployBackend, deployment: Deployment, target: Target, status: str
) -> None:
    target.status, target.updated = status, now()
    events.instance_changed(backend, deployment, target)


def _end(
    backend: CodeDeployBackend,
    group: Group,
    deployment: Deployment,
    error: dict[str, str] | None,
) -> None:
    with group.lock:
        stopped = deployment.stop_requested or deployment.alarm is not None
        cause = "DEPLOYMENT_STOP_ON_REQUEST" if stopped else "DEPLOYMENT_FAILURE"
        if deployment.alarm is not None:
            cause = "DEPLOYMENT_STOP_ON_ALARM"
            message = f"One or more alarms have been activated: {deployment.alarm}"
            error = {"code": "ALARM_ACTIVE", "message": message}
        elif stopped:
            error = {"code": "MANUAL_STOP", "message": "The deployment was stopped by the user."}
        deployment.error = error
        group.active = None
        if error is None:
            group.target_revision, group.last_success = deployment.revision, deployment.id
        else:
            _roll_back(backend, group, deployment, cause)
        deployment.completed = now()
        deployment.status = "Stopped" if stopped else "Failed" if error else "Succeeded"
    events.deployment_changed(backend, deployment)


def _roll_back(
    backend: CodeDeployBackend, group: Group, deployment: Deployment, cause: str
) -> None:
    """Deploy the last successful revision again, where the configuration asks for it."""
    declared = group.declared.get("autoRollbackConfiguration")
    configuration = deployment.rollback_configuration or declared or {}
    wanted = configuration.get("enabled") and cause in (configuration.get("events") or [])
    if deployment.stop_rolls_back is not None and cause == "DEPLOYMENT_STOP_ON_REQUEST":
        wanted = deployment.stop_rolls_back
    if not wanted or deployment.creator == "codeDeployRollback":
        return
    if deployment.platform == "Lambda":
        _begin_rollback(backend, group, deployment, functions.rollback_of(deployment))
        return
    good = backend.deployments.get(group.last_success or "")
    if good is None:
        deployment.rollback = {
            "rollbackMessage": "No rollback: this deployment group has no successful deployment to return to."
        }
        return
    rollback = Deployment(
        deployment.application,
        deployment.group,
        deployment.group_id,
        deployment.config,
        good.revision,
        creator="codeDeployRollback",
        description=f"Rollback of {deployment.id}",
        ignore_stop_failures=deployment.ignore_stop_failures,
        file_exists_behavior=good.file_exists_behavior,
    )
    _begin_rollback(backend, group, deployment, rollback, good.id)


def _begin_rollback(
    backend: CodeDeployBackend,
    group: Group,
    deployment: Deployment,
    rollback: Deployment | None,
    good: str = "the version before",
) -> None:
    if rollback is None:
        deployment.rollback = {"rollbackMessage": "No rollback: no traffic had been shifted."}
        return
    message = (
        f"Deployment {deployment.id} did not succeed; the revision of {good} is deployed again."
    )
    deployment.rollback = {"rollbackDeploymentId": rollback.id, "rollbackMessage": message}
    rollback.rollback = {
        "rollbackTriggeringDeploymentId": deployment.id,
        "rollbackMessage": message,
    }
    start(backend, group, rollback)
