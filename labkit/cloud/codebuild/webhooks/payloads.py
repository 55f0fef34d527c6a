"""A GitHub-shaped payload as CodeBuild's filters and variables see it.

AWS pages: "GitHub webhook events"; "Environment variables in build environments",
CODEBUILD_WEBHOOK_*.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from labkit.cloud.shared.deliveries import Delivery

# the action of a pull request's event -> CodeBuild's word
_PULL_REQUESTS = {
    "opened": "PULL_REQUEST_CREATED",
    "synchronize": "PULL_REQUEST_UPDATED",
    "reopened": "PULL_REQUEST_REOPENED",
    "closed": "PULL_REQUEST_CLOSED",
}
_RELEASES = {"released": "RELEASED", "prereleased": "PRERELEASED"}
_NO_COMMIT = "0" * 40


@dataclass(frozen=True)
class Hook:
    """What happened in the repository.

    Args:
        event: as a filter's EVENT pattern names it; None for one that builds nothing.
        version: the sourceVersion of a build of it.
        values: what the other filters are matched against, by their types; a list is of any.
        variables: CODEBUILD_WEBHOOK_*.
    """

    event: str | None
    version: str = ""
    values: dict[str, list[str]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)


def read(delivery: Delivery) -> Hook:
    """Read a delivery.

    Raises:
        labkit.cloud.shared.deliveries.Refused: it is not JSON.
    """
    reader = _READERS.get(delivery.event)
    payload = delivery.json()
    if reader is None:
        return Hook(None)
    try:
        hook = reader(payload)
    except (KeyError, TypeError, AttributeError):
        return Hook(None)  # not what GitHub sends for this event
    sender = str((payload.get("sender") or {}).get("id", ""))
    repository = payload.get("repository") or {}
    hook.values.update(
        ACTOR_ACCOUNT_ID=[sender],
        REPOSITORY_NAME=[str(repository.get("name", ""))],
        ORGANIZATION_NAME=[str((payload.get("organization") or {}).get("login", ""))],
    )
    about = {"ACTOR_ACCOUNT_ID": sender, "EVENT": hook.event or "", **hook.variables}
    named = {f"CODEBUILD_WEBHOOK_{name}": value for name, value in about.items() if value}
    return Hook(hook.event, hook.version, hook.values, named)


def _push(payload: dict[str, Any]) -> Hook:
    ref, after = payload["ref"], payload["after"]
    if after == _NO_COMMIT:  # a branch or tag that was deleted
        return Hook(None)
    commits = payload.get("commits") or []
    files = [
        name
        for commit in commits
        for kind in ("added", "modified", "removed")
        for name in commit.get(kind) or []
    ]
    head = payload.get("head_commit") or {}
    kind, _, name = ref.removeprefix("refs/").partition("/")
    trigger = f"{'tag' if kind == 'tags' else 'branch'}/{name}"
    values = {
        "HEAD_REF": [ref],
        "FILE_PATH": list(dict.fromkeys(files)),
        "COMMIT_MESSAGE": [head.get("message", "")],
    }
    if kind == "tags":
        values["TAG_NAME"] = [name]
    variables = {"HEAD_REF": ref, "PREV_COMMIT": payload.get("before", ""), "TRIGGER": trigger}
    return Hook("PUSH", after, values, variables)


def _pull_request(payload: dict[str, Any]) -> Hook:
    request = payload["pull_request"]
    event = _PULL_REQUESTS.get(payload["action"])
    if event == "PULL_REQUEST_CLOSED" and request.get("merged"):
        event = "PULL_REQUEST_MERGED"
    number = f"pr/{payload['number']}"
    head, base = (f"refs/heads/{request[side]['ref']}" for side in ("head", "base"))
    values = {"HEAD_REF": [head], "BASE_REF": [base], "COMMIT_MESSAGE": [request.get("title", "")]}
    # GitHub does not say which files a pull request changes; what a delivery lists is taken
    values["FILE_PATH"] = [str(item) for item in payload.get("changed_files") or []]
    variables = {
        "HEAD_REF": head,
        "BASE_REF": base,
        "TRIGGER": number,
        "MERGE_COMMIT": request.get("merge_commit_sha") or "",
    }
    return Hook(event, number, values, variables)


def _release(payload: dict[str, Any]) -> Hook:
    release = payload["release"]
    tag = release["tag_name"]
    values = {"TAG_NAME": [tag], "RELEASE_NAME": [release.get("name") or ""]}
    variables = {"TRIGGER": f"tag/{tag}", "HEAD_REF": f"refs/tags/{tag}"}
    return Hook(_RELEASES.get(payload["action"]), f"refs/tags/{tag}", values, variables)


_READERS: dict[str, Callable[[dict[str, Any]], Hook]] = {
    "push": _push,
    "pull_request": _pull_request,
    "release": _release,
}
