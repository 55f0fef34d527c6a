"""CodePipeline's API, put together of its parts.

AWS page: "AWS CodePipeline API Reference".
"""

from __future__ import annotations

from labkit.cloud.codepipeline import iam  # noqa: F401 - IAM asks it
from labkit.cloud.codepipeline.api.action_types import ActionTypes
from labkit.cloud.codepipeline.api.executions import Executions
from labkit.cloud.codepipeline.api.flow import Flow
from labkit.cloud.codepipeline.api.jobs import Jobs
from labkit.cloud.codepipeline.api.pipelines import Pipelines
from labkit.cloud.codepipeline.api.reading import Reading
from labkit.cloud.codepipeline.api.tags import Tags
from labkit.cloud.codepipeline.api.webhooks import Webhooks


class CodePipeline(Pipelines, Executions, Flow, Reading, ActionTypes, Jobs, Webhooks, Tags):
    """Every operation that the lab's CodePipeline has."""
