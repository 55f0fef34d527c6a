"""Deploy action CodeDeploy: deploys the input artifact to a deployment group and waits for its end.

AWS page: "AWS CodeDeploy deploy action reference".
"""

from __future__ import annotations

from typing import Any

from labkit.cloud import bus
from labkit.cloud.codepipeline.action import Action, ActionFailed

_LOOK_AGAIN_SECONDS = 30.0
_OVER = ("Succeeded", "Failed", "Stopped")


def run(action: Action) -> None:
    """Deploy the artifact's zip as it lies in the store."""
    artifact = action.run.inputs[0]
    location = {"bucket": artifact.bucket, "key": artifact.key, "bundleType": "zip"}
    deploy(action, {"revisionType": "S3", "s3Location": location})


def deploy(action: Action, revision: dict[str, Any]) -> None:
    """Deploy a revision to the action's deployment group, and wait for the deployment's end.

    Raises:
        ActionFailed: it did not succeed.
    """
    codedeploy = action.client("codedeploy")
    deployment_id = codedeploy.create_deployment(
        applicationName=action.configuration["ApplicationName"],
        deploymentGroupName=action.configuration["DeploymentGroupName"],
        revision=revision,
        description=f"Deployment from CodePipeline {action.pipeline.name}",
    )["deploymentId"]
    region = action.pipeline.region
    url = f"https://{region}.console.aws.amazon.com/codesuite/codedeploy/deployments/{deployment_id}?region={region}"
    action.report(external_id=deployment_id, url=url)
    seen = 0
    while True:
        deployment = codedeploy.get_deployment(deploymentId=deployment_id)["deploymentInfo"]
        if deployment["status"] in _OVER:
            break
        seen = bus.changes.wait(deployment_id, seen, _LOOK_AGAIN_SECONDS)
    action.report(external_id=deployment_id, url=url, summary=f"Deployment {deployment['status']}")
    if deployment["status"] != "Succeeded":
        error = deployment.get("errorInformation") or {}
        raise ActionFailed(
            "JobFailed",
            error.get("message") or f"Deployment {deployment_id} {deployment['status']}",
        )
