"""What IAM asks of CodeConnections' state: the tags of connections, by both of its names.

AWS page: "Actions, resources, and condition keys for AWS CodeConnections" (Service Authorization Reference).
"""

from __future__ import annotations

from typing import Any

from labkit.cloud.codeconnections.models import connections_backends
from labkit.cloud.iam import state, tags


def _tags(arn: state.Arn) -> Any:
    backend = state.among(connections_backends, arn.account_id, arn.region)
    known = None if backend is None else backend.connections.get(arn.rest)
    return getattr(known, "tags", None)


tags.ours["codeconnections"] = tags.ours["codestar-connections"] = _tags
