"""A deployment group's triggers: messages to SNS topics about deployments and instances.

AWS pages: "Monitoring deployments with Amazon SNS event notifications"; "JSON data formats for
CodeDeploy triggers". Values are texts throughout, and two of them are JSON within the JSON.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.codedeploy.models import (
    CodeDeployBackend,
    Deployment,
    DeploymentFailed,
    Fields,
    Group,
    Target,
)
from labkit.cloud.codedeploy.role import service_session
from labkit.cloud.shared import threads

logger = logging.getLogger(__name__)

_DEPLOYMENT = {
    "InProgress": "DeploymentStart",
    "Succeeded": "DeploymentSuccess",
    "Failed": "DeploymentFailure",
    "Stopped": "DeploymentStop",
    "Ready": "DeploymentReady",
}
_INSTANCE = {
    "InProgress": "InstanceStart",
    "Succeeded": "InstanceSuccess",
    "Failed": "InstanceFailure",
    "Ready": "InstanceReady",
}
EVENTS = (*_DEPLOYMENT.values(), "DeploymentRollback", *_INSTANCE.values())
MOST = 10  # triggers of a group
_sending = threads.Queue(1, "codedeploy-triggers")  # one thread, to keep the order


def deployment_changed(backend: CodeDeployBackend, deployment: Deployment) -> None:
    """Send what the group's triggers want to hear of a deployment's new status."""
    kinds = [_DEPLOYMENT.get(deployment.status, "")]
    if deployment.status == "InProgress" and deployment.creator == "codeDeployRollback":
        kinds.append("DeploymentRollback")
    for kind in kinds:
        _send(backend, deployment, kind, lambda: _of_deployment(backend, deployment))


def instance_changed(backend: CodeDeployBackend, deployment: Deployment, target: Target) -> None:
    """Send what the group's triggers want to hear of a target's new status."""
    kind = _INSTANCE.get(target.status, "")
    _send(backend, deployment, kind, lambda: _of_instance(backend, deployment, target))


def _send(backend: CodeDeployBackend, deployment: Deployment, kind: str, body: Any) -> None:
    application = backend.applications.get(deployment.application)
    group = application.groups.get(deployment.group) if application else None
    if group is None or not kind:
        return
    for trigger in group.declared.get("triggerConfigurations") or []:
        if kind in trigger.get("triggerEvents", []):
            topic = trigger["triggerTargetArn"]
            message = {"eventTriggerName": trigger["triggerName"], **body()}
            _sending.add(
                partial(_publish, backend, group, topic, kind, message),
                failed=partial(_not_sent, topic),
            )


def _publish(
    backend: CodeDeployBackend, group: Group, topic: str, kind: str, message: Fields
) -> None:
    subject = f"{kind}: CodeDeploy {message['deploymentId']} in {backend.region_name}"
    try:
        sns = service_session(backend, group).client("sns")
        sns.publish(TopicArn=topic, Subject=subject, Message=json.dumps(message))
    except (ClientError, BotoCoreError, DeploymentFailed) as error:
        _not_sent(topic, error)


def _not_sent(topic: str, error: Exception) -> None:
    logger.error("no message to %s: %s", topic, error)


def _of_deployment(backend: CodeDeployBackend, deployment: Deployment) -> Fields:
    told = {
        "region": backend.region_name,
        "accountId": backend.account_id,
        "applicationName": deployment.application,
        "deploymentId": deployment.id,
        "deploymentGroupName": deployment.group,
        "createTime": _time(deployment.created),
        "completeTime": _time(deployment.completed),
        "deploymentOverview": json.dumps(
            {key: str(count) for key, count in deployment.overview().items()}
        )
        if deployment.targets
        else None,
        "status": {"InProgress": "CREATED"}.get(deployment.status, deployment.status.upper()),
        "errorInformation": json.dumps(
            {"ErrorCode": deployment.error["code"], "ErrorMessage": deployment.error["message"]}
        )
        if deployment.error
        else None,
    }
    return {key: value for key, value in told.items() if value is not None}


def _of_instance(backend: CodeDeployBackend, deployment: Deployment, target: Target) -> Fields:
    events = [
        {
            "LifecycleEvent": event.name,
            "LifecycleEventStatus": event.status,
            **({"StartTime": _time(event.started)} if event.started else {}),
            **({"EndTime": _time(event.ended)} if event.ended else {}),
        }
        for event in target.events
    ]
    return {
        "region": backend.region_name,
        "accountId": backend.account_id,
        "deploymentId": deployment.id,
        "instanceId": target.arn,
        "lastUpdatedAt": _time(target.updated),
        "instanceStatus": target.status,
        "lifecycleEvents": json.dumps(events),
    }


def _time(moment: datetime | None) -> str | None:
    return moment.strftime("%a %b %d %H:%M:%S UTC %Y") if moment else None
