"""What is wrong with an event pattern for pushes: EventBridge is asked what it would match.

AWS pages: "TestEventPattern" in the EventBridge API Reference; "Monitoring CodeCommit events".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from labkit.lab import Lab


def unlike(lab: Lab, pattern: dict[str, Any], *, made: bool) -> Iterator[str]:
    """What the pattern matches and should not, or the other way round.

    Args:
        made: whether it has to match a branch that is made as well.
    """
    if not isinstance(pattern, dict):
        yield "a pattern is a dict; put_rule gets it as JSON afterwards"
    push = _event(lab)
    for part in ("source", "detail-type", "resources"):
        if part in pattern and not isinstance(pattern[part], list):
            yield f'in a pattern every value is a list, that of "{part}" too'
    if not _matches(lab, pattern, push):
        yield _why_not(pattern, push)
    if made and not _matches(lab, pattern, _event(lab, event="referenceCreated")):
        yield f"it misses the first push, which makes {lab.branch}: referenceCreated"
    if _matches(lab, pattern, _event(lab, event="referenceDeleted")):
        yield f"it also matches when {lab.branch} is deleted. Name the events under detail"
    if _matches(lab, pattern, _event(lab, referenceName="evening")):
        yield "it also matches pushes to other branches. Name the branch: referenceName, under detail"
    if _matches(lab, pattern, _event(lab, "another")):
        yield "it also matches pushes to every other repository. Name yours under resources, by its ARN"


def _why_not(pattern: dict[str, Any], push: dict[str, Any]) -> str:
    for part in ("source", "detail-type", "resources"):
        if part in pattern and not set(pattern[part]) & set(_as_list(push[part])):
            return f'it matches no push: "{part}" is {_as_list(push[part])} in the event, not {pattern[part]}'
    for name, wanted in pattern.get("detail", {}).items():
        if name not in push["detail"] or push["detail"][name] not in wanted:
            return f'it matches no push to the branch, because of "{name}" under detail'
    return "it matches no push to the branch"


def _event(lab: Lab, repository: str = "", **detail: str) -> dict[str, Any]:
    """A push that moves the branch, as CodeCommit's event tells it."""
    return {
        "version": "0",
        "id": "01234567-0123-0123-0123-0123456789ab",
        "account": lab.account_id,
        "region": lab.region,
        "time": "2026-01-01T00:00:00Z",
        "source": "aws.codecommit",
        "detail-type": "CodeCommit Repository State Change",
        "resources": [lab.arn("codecommit", repository or lab.repository)],
        "detail": {
            "event": "referenceUpdated",
            "referenceType": "branch",
            "referenceName": lab.branch,
            "repositoryName": repository or lab.repository,
            **detail,
        },
    }


def _matches(lab: Lab, pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    answer = lab.client("events").test_event_pattern(
        EventPattern=json.dumps(pattern), Event=json.dumps(event)
    )
    return bool(answer["Result"])


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
