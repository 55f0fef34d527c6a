"""CodeBuild's API, put together of its parts.

AWS page: "AWS CodeBuild API Reference".
"""

from __future__ import annotations

from labkit.cloud.codebuild.api.batches import Batches
from labkit.cloud.codebuild.api.builds import Builds
from labkit.cloud.codebuild.api.projects import Projects
from labkit.cloud.codebuild.api.reports import Reports


class CodeBuild(Projects, Builds, Batches, Reports):
    """Every operation that the lab's CodeBuild has."""
