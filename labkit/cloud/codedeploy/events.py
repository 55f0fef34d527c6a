"""CodeDeploy's two events, in AWS's shape.

AWS page: "Monitoring deployments with Amazon CloudWatch Events".
"""

from __future__ import annotations

from labkit.cloud import bus
from labkit.cloud.codedeploy import triggers
from labkit.cloud.codedeploy.models import CodeDeployBackend, Deployment, Target

_DEPLOYMENT = {
    "InProgress": "START",
    "Succeeded": "SUCCESS",
    "Failed": "FAILURE",
    "Stopped": "STOP",
    "Ready": "READY",
}
_INSTANCE = {
    "InProgress": "START",
    "Succeeded": "SUCCESS",
    "Failed": "FAILURE",
    "Ready": "READY",
}


def deployment_changed(backend: CodeDeployBackend, deployment: Deployment) -> None:
    """Tell who waits for the deployment, and publish its state where AWS has an event for it."""
    bus.changes.announce(deployment.id)
    triggers.deployment_changed(backend, deployment)
    state = _DEPLOYMENT.get(deployment.status)
    if state:
        _publish(backend, deployment, "Deployment", {"state": state}, [])


def instance_changed(backend: CodeDeployBackend, deployment: Deployment, target: Target) -> None:
    """Publish the state of one instance of a deployment."""
    triggers.instance_changed(backend, deployment, target)
    state = _INSTANCE.get(target.status)
    if state:
        detail = {"instanceId": target.instance_id, "state": state}
        _publish(backend, deployment, "Instance", detail, [target.arn])


def _publish(
    backend: CodeDeployBackend,
    deployment: Deployment,
    kind: str,
    detail: dict[str, str],
    resources: list[str],
) -> None:
    region, account = backend.region_name, backend.account_id
    arn = f"arn:aws:codedeploy:{region}:{account}"
    common = {
        "region": region,
        "application": deployment.application,
        "deploymentGroup": deployment.group,
        "deploymentId": deployment.id,
        "instanceGroupId": deployment.group_id,
    }
    bus.publish(
        "aws.codedeploy",
        f"CodeDeploy {kind} State-change Notification",
        {**common, **detail},
        account=account,
        region=region,
        resources=[
            f"{arn}:application:{deployment.application}",
            f"{arn}:deploymentgroup:{deployment.application}/{deployment.group}",
            *resources,
        ],
    )
