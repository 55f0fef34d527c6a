"""What IAM asks of CodeBuild's state: policies and tags of projects and report groups.

AWS page: "Actions, resources, and condition keys for AWS CodeBuild" (Service Authorization Reference).
"""

from __future__ import annotations

from typing import Any

from labkit.cloud.codebuild.backend import codebuild_backends
from labkit.cloud.iam import resources, state, tags


def _policy(arn: state.Arn) -> str | None:
    backend = state.among(codebuild_backends, arn.account_id, arn.region)
    return None if backend is None else backend.policies.get(arn.text)


def _tags(arn: state.Arn) -> Any:
    backend = state.among(codebuild_backends, arn.account_id, arn.region)
    if backend is None:
        return None
    if arn.kind == "report-group":
        return getattr(backend.report_groups.get(arn.text), "tags", None)
    known = backend.projects.get(arn.rest) if arn.kind == "project" else None
    return None if known is None else known.declared.get("tags") or []


resources.ours["codebuild"] = _policy
tags.ours["codebuild"] = _tags
