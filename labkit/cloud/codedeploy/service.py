"""CodeDeploy's API, put together of its parts.

AWS page: "AWS CodeDeploy API Reference".
"""

from __future__ import annotations

from labkit.cloud.codedeploy import iam  # noqa: F401 - IAM asks it
from labkit.cloud.codedeploy.api.deployments import Deployments
from labkit.cloud.codedeploy.api.onpremises import OnPremises


class CodeDeploy(Deployments, OnPremises):
    """Every operation that the lab's CodeDeploy has."""
