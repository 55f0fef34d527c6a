"""Filter groups: which deliveries start a build.

Groups are alternatives; within one, every filter must hold. AWS page: "GitHub webhook events",
filters; "WebhookFilter" in the CodeBuild API Reference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from labkit.cloud.codebuild.webhooks.payloads import Hook

EVENTS = (
    "PUSH",
    "PULL_REQUEST_CREATED",
    "PULL_REQUEST_UPDATED",
    "PULL_REQUEST_REOPENED",
    "PULL_REQUEST_MERGED",
    "PULL_REQUEST_CLOSED",
    "RELEASED",
    "PRERELEASED",
)
_PULL_REQUESTS = frozenset(name for name in EVENTS if name.startswith("PULL_REQUEST"))
_NOT_HERE = ("WORKFLOW_JOB_QUEUED",)
Filter = dict[str, Any]


class FilterError(Exception):
    """Filter groups that CodeBuild does not take."""


def check(groups: Sequence[Sequence[Filter]]) -> None:
    """Refuse filter groups that could not be matched.

    Raises:
        FilterError: no EVENT filter, an unknown event, or a pattern that is no expression.
    """
    for group in groups:
        events = [item for item in group if item["type"] == "EVENT"]
        if len(events) != 1:
            raise FilterError("Each filter group must have exactly one EVENT filter")
        named = _names(events[0])
        for name in named:
            if name in _NOT_HERE:
                raise FilterError(f"The lab's local AWS does not support webhook event {name} yet")
            if name not in EVENTS:
                raise FilterError(f"Invalid webhook event: {name}. Expecting: {', '.join(EVENTS)}")
        for item in group:
            if item["type"] == "BASE_REF" and not set(named) <= _PULL_REQUESTS:
                raise FilterError("BASE_REF can be used with pull request events only")
            try:
                re.compile(item["pattern"])
            except re.error as error:
                raise FilterError(f"Invalid pattern {item['pattern']}: {error}") from error


def passes(hook: Hook, groups: Sequence[Sequence[Filter]], branch_filter: str | None) -> bool:
    """Whether a delivery starts a build.

    Args:
        branch_filter: the older way: an expression for the branch's name. Without filters, every
            push and every pull request that is opened, updated or reopened starts one.
    """
    if hook.event is None:
        return False
    if groups:
        return any(all(_holds(hook, item) for item in group) for group in groups)
    usual = {"PUSH", "PULL_REQUEST_CREATED", "PULL_REQUEST_UPDATED", "PULL_REQUEST_REOPENED"}
    if hook.event not in usual:
        return False
    branches = [ref.removeprefix("refs/heads/") for ref in hook.values.get("HEAD_REF", [])]
    return not branch_filter or any(re.search(branch_filter, name) for name in branches)


def _holds(hook: Hook, item: Filter) -> bool:
    if item["type"] == "EVENT":
        found = hook.event in _names(item)
    else:
        values = hook.values.get(item["type"], [])
        found = any(re.search(item["pattern"], value) for value in values)
    return found != bool(item.get("excludeMatchedPattern"))


def _names(item: Filter) -> list[str]:
    return [name.strip() for name in item["pattern"].split(",")]
