"""Triggers: which changes behind a connection start which pipelines.

A source action of a connection starts its pipeline on every push to its branch; where the pipeline
declares a trigger for it, the trigger's filters decide instead, and what they let pass is what the
execution builds: another branch, a tag's commit, a pull request's branch.

AWS pages: "Add trigger with code push or pull request event types"; "Working with glob patterns in
syntax".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from wcmatch import glob

from labkit.cloud.codeconnections.models import Connection
from labkit.cloud.codepipeline import execution as machine
from labkit.cloud.codepipeline.models import Pipeline, codepipeline_backends
from labkit.cloud.shared.deliveries import Delivery
from labkit.cloud.shared.service import AWSError

logger = logging.getLogger(__name__)
_GLOB = glob.GLOBSTAR | glob.DOTGLOB | glob.BRACE | glob.FORCEUNIX
_EVENTS = {"opened": "OPEN", "reopened": "OPEN", "synchronize": "UPDATED", "closed": "CLOSED"}
_NO_COMMIT = "0" * 40
Filter = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """A push of a branch or a tag, or what happened to a pull request.

    Args:
        repository: its full id, `owner/name`.
        kind: branch, tag or pullRequest.
        name: of the branch or the tag; of a pull request, the branch it would be merged into.
        version: what to fetch: a branch or a tag.
        files: reads the paths that changed.
        event: of a pull request: OPEN, UPDATED or CLOSED.
    """

    repository: str
    kind: str
    name: str
    version: str
    commit: str
    files: Callable[[], list[str]]
    event: str | None = None


def receive(connection: Connection, delivery: Delivery) -> dict[str, Any]:
    """Answer a GitHub-shaped delivery to a connection: start the pipelines that it concerns."""
    change = _read(delivery)
    if change is None:
        return {"message": f"nothing starts on {delivery.event or 'this event'}"}
    return {"pipelineExecutionIds": consider(connection, change)}


def consider(connection: Connection, change: Change) -> list[str]:
    """Start every pipeline whose source or trigger matches the change; returns the executions."""
    started = []
    for pipeline in list(
        codepipeline_backends[connection.account_id][connection.region].pipelines.values()
    ):
        for action in sources(pipeline):
            configuration = action["configuration"]
            same = configuration["ConnectionArn"].rpartition("/")[2] == connection.id
            if not same or configuration["FullRepositoryId"] != change.repository:
                continue
            if _wanted(pipeline, action, change):
                started += _start(pipeline, action, connection, change)
    return started


def sources(pipeline: Pipeline) -> Iterator[dict[str, Any]]:
    """The source actions of a pipeline that read from a connection."""
    for action in pipeline.declaration["stages"][0]["actions"]:
        if action["actionTypeId"]["provider"] == "CodeStarSourceConnection":
            yield action


def declared_for(pipeline: Pipeline, action: dict[str, Any]) -> Filter | None:
    """The trigger of a source action, if the pipeline declares one."""
    for trigger in pipeline.declaration.get("triggers") or []:
        if trigger["gitConfiguration"]["sourceActionName"] == action["name"]:
            declared: dict[str, Any] | None = trigger["gitConfiguration"]
            return declared
    return None


def _start(
    pipeline: Pipeline, action: dict[str, Any], connection: Connection, change: Change
) -> list[str]:
    trigger = {"triggerType": "WebhookV2", "triggerDetail": connection.arn}
    revision = {"revisionType": "BRANCH", "revisionValue": change.version}
    try:
        return [machine.start(pipeline, trigger, source_revisions={action["name"]: revision}).id]
    except AWSError as error:
        logger.warning("%s: not started: %s", pipeline.name, error.message)
        return []


def _wanted(pipeline: Pipeline, action: dict[str, Any], change: Change) -> bool:
    trigger = declared_for(pipeline, action)
    if trigger is None:
        detects = action["configuration"].get("DetectChanges", "true") == "true"
        branch = action["configuration"]["BranchName"]
        return detects and change.kind == "branch" and change.name == branch
    filters = trigger.get("pullRequest" if change.kind == "pullRequest" else "push") or []
    return any(matches(item, change) for item in filters)


def matches(item: Filter, change: Change) -> bool:
    """Whether one push or pull request filter lets the change pass."""
    if change.kind == "tag":
        return bool(item.get("tags")) and _passes(item["tags"], [change.name])
    if item.get("tags"):
        return False
    if change.event and change.event not in (item.get("events") or ("OPEN", "UPDATED", "CLOSED")):
        return False
    if item.get("branches") and not _passes(item["branches"], [change.name]):
        return False
    return not item.get("filePaths") or _passes(item["filePaths"], change.files())


def _passes(criteria: Filter, names: list[str]) -> bool:
    """Whether any of the names is included and not excluded; an exclusion goes before."""
    includes, excludes = criteria.get("includes") or [], criteria.get("excludes") or []
    return any(
        (not includes or _any(includes, name)) and not _any(excludes, name) for name in names
    )


def _any(patterns: list[str], name: str) -> bool:
    return bool(glob.globmatch(name, patterns, flags=_GLOB))


def _read(delivery: Delivery) -> Change | None:
    payload = delivery.json()
    try:
        if delivery.event == "push":
            return _push(payload)
        if delivery.event == "pull_request":
            return _pull_request(payload)
    except (KeyError, TypeError, AttributeError):
        logger.warning("a %s delivery that is not of GitHub's shape", delivery.event)
    return None


def _push(payload: dict[str, Any]) -> Change | None:
    if payload["after"] == _NO_COMMIT:  # deleted
        return None
    # of a new branch AWS knows no changed files: there is nothing to compare with
    new = payload.get("before") == _NO_COMMIT
    files = [
        name
        for commit in (() if new else payload.get("commits") or [])
        for kind in ("added", "modified", "removed")
        for name in commit.get(kind) or []
    ]
    kind, _, name = payload["ref"].removeprefix("refs/").partition("/")
    return Change(
        payload["repository"]["full_name"],
        "tag" if kind == "tags" else "branch",
        name,
        name,
        payload["after"],
        lambda: files,
    )


def _pull_request(payload: dict[str, Any]) -> Change | None:
    request, event = payload["pull_request"], _EVENTS.get(payload["action"])
    if event is None:
        return None
    # GitHub does not say which files a pull request changes; what a delivery lists is taken
    files = [str(item) for item in payload.get("changed_files") or []]
    return Change(
        payload["repository"]["full_name"],
        "pullRequest",
        request["base"]["ref"],
        request["head"]["ref"],
        request["head"]["sha"],
        lambda: files,
        event,
    )
