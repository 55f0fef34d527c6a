"""CodeBuild's API, put together of its parts.

AWS page: "AWS CodeBuild API Reference".
"""

from __future__ import annotations

from labkit.cloud.codebuild import iam  # noqa: F401 - IAM asks it
from labkit.cloud.codebuild.api.batches import Batches
from labkit.cloud.codebuild.api.builds import Builds
from labkit.cloud.codebuild.api.credentials import Credentials
from labkit.cloud.codebuild.api.projects import Projects
from labkit.cloud.codebuild.api.reports import Reports
from labkit.cloud.codebuild.api.webhooks import Webhooks


class CodeBuild(Projects, Builds, Batches, Reports, Webhooks, Credentials):
    """Every operation that the lab's CodeBuild has."""
