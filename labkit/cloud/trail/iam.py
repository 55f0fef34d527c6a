"""What IAM asks of CloudTrail's state: the tags of trails.

AWS page: "Actions, resources, and condition keys for AWS CloudTrail" (Service Authorization Reference).
"""

from __future__ import annotations

from typing import Any

from labkit.cloud.iam import state, tags
from labkit.cloud.trail.models import trails_backends


def _tags(arn: state.Arn) -> Any:
    backend = state.among(trails_backends, arn.account_id, arn.region)
    known = None if backend is None else backend.trails.get(arn.rest)
    return getattr(known, "tags", None)


tags.ours["cloudtrail"] = _tags
