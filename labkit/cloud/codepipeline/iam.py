"""What IAM asks of CodePipeline's state: the tags of pipelines, webhooks and custom action types.

AWS page: "Actions, resources, and condition keys for AWS CodePipeline" (Service Authorization Reference).
"""

from __future__ import annotations

from typing import Any

from labkit.cloud.codepipeline.models import codepipeline_backends
from labkit.cloud.codepipeline.registry import registries
from labkit.cloud.iam import state, tags


def _tags(arn: state.Arn) -> Any:
    """Of a pipeline, with its stages and actions, which cannot have tags of their own."""
    where = arn.account_id, arn.region
    registry = state.among(registries, *where)
    if registry is not None and arn.text in registry.tags:
        return registry.tags[arn.text]
    backend = state.among(codepipeline_backends, *where)
    known = None if backend is None else backend.pipelines.get(arn.kind)
    return getattr(known, "tags", None)


tags.ours["codepipeline"] = _tags
