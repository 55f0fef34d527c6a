"""What IAM asks of CodeCommit's state: the tags of repositories.

AWS page: "Actions, resources, and condition keys for AWS CodeCommit" (Service Authorization Reference).
"""

from __future__ import annotations

from typing import Any

from labkit.cloud.codecommit.repositories import codecommit_backends
from labkit.cloud.iam import state, tags


def _tags(arn: state.Arn) -> Any:
    backend = state.among(codecommit_backends, arn.account_id, arn.region)
    return (
        None if backend is None else getattr(backend.repositories.get(arn.resource), "tags", None)
    )


tags.ours["codecommit"] = _tags
