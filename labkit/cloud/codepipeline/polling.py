"""Looks for changes where nobody tells of them: PollForSourceChanges, and git behind connections.

One thread, asleep until a pipeline needs it; AWS asks about once a minute, so it does on the scaled
clock. A server that is not of this machine is asked less often. AWS pages: "Change detection
methods"; "CodeCommit source action reference", PollForSourceChanges.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud import bus
from labkit.cloud.codeconnections.models import connections_backends
from labkit.cloud.codepipeline import execution as machine
from labkit.cloud.codepipeline import triggers
from labkit.cloud.codepipeline.action import CODEPIPELINE
from labkit.cloud.codepipeline.models import Pipeline, codepipeline_backends
from labkit.cloud.shared import clients, runtime, threads
from labkit.cloud.shared.clients import Session
from labkit.cloud.shared.git import Clone, GitError, github_url, references
from labkit.cloud.shared.service import AWSError

logger = logging.getLogger(__name__)
AWS_SECONDS = 60.0
_ELSEWHERE_SECONDS = 30.0  # real ones, between two questions to a server that is not ours
_NEAR = ("", "localhost", "127.0.0.1", "::1")
_lock = threading.Lock()
_looks = False
Declared = dict[str, Any]
_Key = tuple[str, str, datetime]


def needed(declaration: Declared) -> bool:
    """Whether a pipeline has a source that has to be asked."""
    return any(_provider(action) is not None for action in declaration["stages"][0]["actions"])


def wake() -> None:
    """Begin to look, if nobody does."""
    global _looks
    with _lock:
        if not _looks:
            threads.repeat(_Watch().look, name="codepipeline-polling")
            _looks = True


def _provider(action: Declared) -> str | None:
    provider, given = action["actionTypeId"]["provider"], action.get("configuration") or {}
    if provider == "CodeStarSourceConnection":
        return str(provider)
    asked = given.get("PollForSourceChanges", "true") == "true"
    return provider if asked and provider in ("CodeCommit", "S3", "GitHub") else None


class _Watch:
    """What was seen last, by pipeline and action, or by connection and repository."""

    def __init__(self) -> None:
        self.seen: dict[_Key, str] = {}
        self.references: dict[tuple[str, str], dict[str, str]] = {}
        self.counts: dict[_Key, int] = {}
        self.asked: dict[str, float] = {}

    def look(self) -> None:
        """Ask every source once, and wait until it is time to ask again."""
        for pipeline in list(_pipelines()):
            for action in pipeline.declaration["stages"][0]["actions"]:
                self._safely(pipeline, action)
        time.sleep(runtime.current().clock.wait_seconds(AWS_SECONDS))

    def _safely(self, pipeline: Pipeline, action: Declared) -> None:
        look: dict[str | None, Callable[[Pipeline, Declared], None]] = {
            "CodeCommit": self._codecommit,
            "S3": self._s3,
            "GitHub": self._github,
            "CodeStarSourceConnection": self._connection,
        }
        provider = _provider(action)
        if provider is None:
            return
        try:
            look[provider](pipeline, action)
        except (ClientError, BotoCoreError, GitError, AWSError, OSError) as error:
            # the next execution's source action fails with the reason; a poll only says nothing
            logger.debug("%s/%s: %s", pipeline.name, action["name"], error)
        except Exception:
            logger.exception("%s/%s", pipeline.name, action["name"])

    def _codecommit(self, pipeline: Pipeline, action: Declared) -> None:
        given, key = action["configuration"], _key(pipeline, action)
        name = given["RepositoryName"]
        count = bus.changes.count(f"codecommit/{pipeline.account_id}/{pipeline.region}/{name}")
        if self.counts.get(key) == count:
            return  # nobody has pushed since
        codecommit = _session(pipeline).client("codecommit")
        found = codecommit.get_branch(repositoryName=name, branchName=given["BranchName"])
        self.counts[key] = count
        self._newest(pipeline, action, found["branch"]["commitId"])

    def _s3(self, pipeline: Pipeline, action: Declared) -> None:
        given = action["configuration"]
        s3 = _session(pipeline).client("s3")
        found = s3.head_object(Bucket=given["S3Bucket"], Key=given["S3ObjectKey"])
        self._newest(pipeline, action, found.get("VersionId") or found["ETag"])

    def _github(self, pipeline: Pipeline, action: Declared) -> None:
        given = action["configuration"]
        url = f"{github_url().rstrip('/')}/{given['Owner']}/{given['Repo']}.git"
        if not self._due(f"{pipeline.arn} {url}", url):
            return
        token = f"x-access-token:{given['OAuthToken']}"
        found = references(url, _session(pipeline), "codepipeline-polling", token)
        if commit := found.get(f"refs/heads/{given['Branch']}"):
            self._newest(pipeline, action, commit)

    def _newest(self, pipeline: Pipeline, action: Declared, revision: str) -> None:
        """Start an execution if the source has another revision than at the last look."""
        key = _key(pipeline, action)
        before = self.seen.get(key, _fetched(pipeline, action))
        self.seen[key] = revision
        if before not in (None, revision):
            trigger = {"triggerType": "PollForSourceChanges", "triggerDetail": revision}
            machine.start(pipeline, trigger)

    def _connection(self, pipeline: Pipeline, action: Declared) -> None:
        given = action["configuration"]
        backend = connections_backends[pipeline.account_id][pipeline.region]
        connection = backend.connection(given["ConnectionArn"])
        repository = given["FullRepositoryId"]
        key, url = (connection.id, repository), connection.url(repository)
        if not self._due(f"{connection.id} {repository}", url):
            return
        session = _session(pipeline)
        found = references(url, session, "codepipeline-polling")
        before, self.references[key] = self.references.get(key), found
        if before is None:  # what was pushed since the first execution fetched is a change already
            fetched = _fetched(pipeline, action)
            before = {**found, f"refs/heads/{given['BranchName']}": fetched} if fetched else found
        for ref, commit in found.items():
            if before.get(ref) != commit:
                change = _change(repository, url, ref, commit, before.get(ref), session)
                triggers.consider(connection, change)

    def _due(self, what: str, url: str) -> bool:
        """Whether a server may be asked again; what several pipelines read is asked for once."""
        near = (urlsplit(url).hostname or "") in _NEAR
        pause = (
            runtime.current().clock.wait_seconds(AWS_SECONDS) / 2 if near else _ELSEWHERE_SECONDS
        )
        if time.monotonic() - self.asked.get(what, float("-inf")) < pause:
            return False
        self.asked[what] = time.monotonic()
        return True


def _key(pipeline: Pipeline, action: Declared) -> _Key:
    """An action of one pipeline: another of the same name, made later, has seen nothing yet."""
    return pipeline.arn, action["name"], pipeline.created


def _pipelines() -> Iterator[Pipeline]:
    for account in list(codepipeline_backends.values()):
        for backend in list(account.values()):
            yield from list(backend.pipelines.values())


def _fetched(pipeline: Pipeline, action: Declared) -> str | None:
    """The revision that a source action brought last."""
    stage = pipeline.declaration["stages"][0]["name"]
    return pipeline.revisions.get((stage, action["name"]), {}).get("revisionId")


def _session(pipeline: Pipeline) -> Session:
    return clients.assume_role(
        CODEPIPELINE,
        pipeline.declaration["roleArn"],
        "codepipeline",
        pipeline.region,
        source_arn=pipeline.arn,
    )


def _change(
    repository: str, url: str, ref: str, commit: str, before: str | None, session: Session
) -> triggers.Change:
    kind, _, name = ref.removeprefix("refs/").partition("/")

    def files() -> list[str]:
        if before is None:
            return []  # of a new branch: there is nothing to compare with
        place = Path(tempfile.mkdtemp(dir=runtime.current().directory("pipelines")))
        try:
            source = {"type": "GITHUB", "location": url, "gitCloneDepth": 0}
            clone = Clone(source, name, place / "source", session, "codepipeline-polling")
            clone.bring()
            return clone.changed_files(before)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    return triggers.Change(
        repository, "tag" if kind == "tags" else "branch", name, name, commit, files
    )
