"""One deployment from its start to its end, and the rollback that may follow.

AWS page: "Redeploy and roll back a deployment with CodeDeploy".
"""

from __future__ import annotations

import logging
from functools import partial

from labkit.cloud.codedeploy import events
from labkit.cloud.codedeploy.models import (
    CodeDeployBackend,
    Deployment,
    DeploymentFailed,
    Group,
    now,
)
from labkit.cloud.codedeploy.strategies import bluegreen, containers, functions, watching
from labkit.cloud.codedeploy.strategies.bluegreen import BlueGreen
from labkit.cloud.codedeploy.strategies.containers import Containers
from labkit.cloud.codedeploy.strategies.servers import Servers
from labkit.cloud.shared import threads

logger = logging.getLogger(__name__)

_MANUAL_STOP = {"code": "MANUAL_STOP", "message": "The deployment was stopped by the user."}


def start(backend: CodeDeployBackend, group: Group, deployment: Deployment) -> None:
    """Begin a deployment in the background; the caller holds the group's lock."""
    deployment.previous_revision = group.target_revision
    deployment.style, deployment.load_balancer = group.style, group.declared.get("loadBalancerInfo")
    if group.is_blue_green:
        deployment.options = group.declared.get("blueGreenDeploymentConfiguration")
    backend.deployments[deployment.id] = deployment
    group.active, group.last_attempt = deployment.id, deployment.id
    threads.start(
        partial(_run, backend, group, deployment),
        name=deployment.id,
        failed=partial(_break_off, backend, group, deployment),
    )


def run_beside(
    backend: CodeDeployBackend, group: Group, deployment: Deployment, instances: list[str]
) -> None:
    """Deploy to launched instances, whatever else is deployed; returns when it is over.

    The group's revision and its own deployments are not touched, and nothing is rolled back.
    """
    deployment.style = {**group.style, "deploymentType": "IN_PLACE"}
    deployment.status, deployment.started = "InProgress", now()
    backend.deployments[deployment.id] = deployment
    events.deployment_changed(backend, deployment)
    try:
        Servers(backend, group, deployment).launched(instances)
    except watching.Stopped:
        deployment.error = dict(_MANUAL_STOP)
    except DeploymentFailed as failed:
        deployment.error = {"code": failed.code, "message": failed.message}
    except Exception as broken:
        logger.exception("deployment %s", deployment.id)
        deployment.error = _internal_error(broken)
    deployment.completed = now()
    stopped = "Stopped" if deployment.stopping else "Failed"
    deployment.status = stopped if deployment.error else "Succeeded"
    events.deployment_changed(backend, deployment)


def _run(backend: CodeDeployBackend, group: Group, deployment: Deployment) -> None:
    error: dict[str, str] | None = None
    deployment.status, deployment.started = "InProgress", now()
    events.deployment_changed(backend, deployment)
    try:
        with watching.alarms(backend, group, deployment):
            _deploy(backend, group, deployment)
    except watching.Stopped:
        logger.info("deployment %s is stopped", deployment.id)
    except DeploymentFailed as failed:
        error = {"code": failed.code, "message": failed.message}
    except Exception as broken:
        logger.exception("deployment %s", deployment.id)
        error = _internal_error(broken)
    _end(backend, group, deployment, error)


def _internal_error(broken: Exception) -> dict[str, str]:
    return {"code": "INTERNAL_ERROR", "message": repr(broken)}


def _break_off(
    backend: CodeDeployBackend, group: Group, deployment: Deployment, broken: Exception
) -> None:
    """End a deployment when not even its end went well."""
    if group.active == deployment.id:
        group.active = None
    deployment.error, deployment.completed = _internal_error(broken), now()
    deployment.status = "Failed"
    events.deployment_changed(backend, deployment)


def _deploy(backend: CodeDeployBackend, group: Group, deployment: Deployment) -> None:
    watching.go_on(deployment)
    if deployment.platform == "Lambda":
        functions.deploy(backend, group, deployment)
    elif deployment.platform == "ECS":
        Containers(backend, group, deployment).run()
    elif group.is_blue_green:
        BlueGreen(backend, group, deployment).run()
    else:
        Servers(backend, group, deployment).in_place()


def _end(
    backend: CodeDeployBackend,
    group: Group,
    deployment: Deployment,
    error: dict[str, str] | None,
) -> None:
    with group.lock:
        stopped = deployment.stopping or deployment.timed_out is not None
        cause = "DEPLOYMENT_STOP_ON_REQUEST" if stopped else "DEPLOYMENT_FAILURE"
        if deployment.alarm is not None:
            cause = "DEPLOYMENT_STOP_ON_ALARM"
            message = f"One or more alarms have been activated: {deployment.alarm}"
            error = {"code": "ALARM_ACTIVE", "message": message}
        elif deployment.timed_out:
            error = {"code": "TIMEOUT", "message": deployment.timed_out}
        elif stopped:
            error = dict(_MANUAL_STOP)
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
    if group.is_blue_green:
        strategies = {"Lambda": functions, "ECS": containers, "Server": bluegreen}
        way_back = strategies[deployment.platform].rollback_of(deployment)
        _begin_rollback(backend, group, deployment, way_back)
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
