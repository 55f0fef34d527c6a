"""The role that a deployment group's deployments act as.

AWS page: "Create a service role for CodeDeploy".
"""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.codedeploy.models import CodeDeployBackend, DeploymentFailed, Group
from labkit.cloud.shared import clients
from labkit.cloud.shared.clients import Session

CODEDEPLOY = "codedeploy.amazonaws.com"


def service_session(backend: CodeDeployBackend, group: Group) -> Session:
    """Act as the group's service role.

    Raises:
        DeploymentFailed: IAM_ROLE_PERMISSIONS.
    """
    arn = (
        f"arn:aws:codedeploy:{backend.region_name}:{backend.account_id}"
        f":deploymentgroup:{group.application}/{group.name}"
    )
    role = group.declared["serviceRoleArn"]
    try:
        return clients.assume_role(
            CODEDEPLOY, role, "codedeploy", backend.region_name, source_arn=arn
        )
    except (ClientError, BotoCoreError) as error:
        raise DeploymentFailed(
            "IAM_ROLE_PERMISSIONS", f"CodeDeploy could not assume the service role: {error}"
        ) from error
