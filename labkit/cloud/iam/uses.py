"""When each user and role last asked for which action: IAM's own record, made where it decides.

AWS page: "Refine permissions in AWS using last accessed information": attempts count, refused ones too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Use:
    """The last attempt at an action."""

    at: datetime
    region: str


_kept: dict[str, dict[str, Use]] = {}  # by the unique id of who asked, and by action


def note(entity_id: str, action: str, region: str) -> None:
    """Note that a user or role asks.

    Args:
        entity_id: its unique id, which no other of the same name will have.
        action: `codepipeline:PutApprovalResult`.
    """
    _kept.setdefault(entity_id, {})[action] = Use(datetime.now(UTC), region)


def of(entity_id: str) -> Mapping[str, Use]:
    """The actions that a user or role has asked for, each with the last time."""
    return dict(_kept.get(entity_id, {}))
