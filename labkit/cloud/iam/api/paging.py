"""Pages as IAM makes them: by Marker, MaxItems and IsTruncated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labkit.cloud.shared.service import page


def listed(items: Sequence[Any], member: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """One page of `items` under the name of their member.

    Args:
        given: the request's parameters; without MaxItems a page has 100 items.

    Raises:
        AWSError: `ValidationError`, for a Marker that no page gave out.
    """
    size = given.get("MaxItems") or 100
    found, marker = page(items, given.get("Marker"), size, 1000, error_code="ValidationError")
    return {member: found, "IsTruncated": marker is not None, "Marker": marker}
