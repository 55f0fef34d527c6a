"""One batch, walked from its first build to its end.

A thread of the batch's own decides; the builds run in the project's queue like any other, so that
concurrency holds for them too. They are started and stopped through the door, with the batch's own
service role (rule R4). AWS publishes no events of a batch, only those of its builds.

AWS pages: "Run builds in batches"; "BuildBatchPhase" in the CodeBuild API Reference.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from graphlib import TopologicalSorter
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud import bus
from labkit.cloud.codebuild.backend import CodeBuildBackend
from labkit.cloud.codebuild.batch import combining, config, spec
from labkit.cloud.codebuild.batch.models import Batch, Group
from labkit.cloud.codebuild.batch.settings import of_download, of_task
from labkit.cloud.codebuild.declaration import check_declaration
from labkit.cloud.codebuild.models import (
    Build,
    Fields,
    Phase,
    PhaseFailed,
    Project,
    now,
)
from labkit.cloud.codebuild.runner import assume_service_role
from labkit.cloud.codebuild.starting import start as start_build
from labkit.cloud.shared import runtime, threads
from labkit.cloud.shared.service import AWSError

logger = logging.getLogger(__name__)

_STOPPING_SECONDS = 10.0
# sources whose revision names a version that every build of the batch can ask for
_PINNED = ("CODECOMMIT", "GITHUB", "GITHUB_ENTERPRISE", "BITBUCKET", "GITLAB")


def start(
    backend: CodeBuildBackend,
    project: Project,
    settings: Fields,
    version: str | None,
    initiator: str,
) -> Batch:
    """Make a batch and walk it.

    Args:
        settings: the project's, with the overrides of this batch in them.
        version: `sourceVersion`.
    """
    with backend.lock:
        batch = Batch(project, settings, project.next_batch_number, initiator, version)
        project.next_batch_number += 1
        backend.batches[batch.id] = batch
    _walk(backend, batch)
    return batch


def _walk(backend: CodeBuildBackend, batch: Batch) -> None:
    """Walk a new batch, or one that is tried again, on a thread of its own."""
    moment = now()
    batch.phases.append(Phase("SUBMITTED", moment, moment, "SUCCEEDED"))
    engine = Engine(backend, batch)
    threads.start(engine.run, name=f"batch {batch.id}", failed=engine.break_off)


def retry(backend: CodeBuildBackend, batch: Batch, *, failed_only: bool) -> None:
    """Build again: every task, or those that did not succeed and what depends on them.

    The batch keeps its id; its phases go on, and its groups remember their earlier builds.
    """
    batch.phases[-1].ended, batch.phases[-1].status = now(), "RETRY"
    batch.halted, batch.ended, batch.status = None, None, "IN_PROGRESS"
    batch.artifact = {"location": ""}
    batch.over.clear()
    if not failed_only or not batch.download.succeeded:
        batch.download.again()
        batch.spec = None
    for group in batch.groups:
        if not failed_only or not group.succeeded:
            group.again()
    _walk(backend, batch)


def claim(backend: CodeBuildBackend, token: str | None) -> Build | None:
    """Start the build that a batch asks for by this token; None if no batch does."""
    begin = backend.expected.pop(token, None) if token else None
    return begin() if begin else None


class Engine:
    """Walks one batch, from its start or from where it is tried again."""

    def __init__(self, backend: CodeBuildBackend, batch: Batch) -> None:
        self.backend, self.batch = backend, batch
        minutes = batch.config["timeoutInMins"]
        self._deadline = time.monotonic() + runtime.current().clock.work_seconds(60 * minutes)

    def run(self) -> None:
        """Walk the batch to its end; nothing is raised."""
        outcome = "FAULT"
        try:
            outcome = self._walk()
        except _Ended as ended:
            outcome = ended.status
        except Exception as error:
            logger.exception("batch %s", self.batch.id)
            self._close_phase("FAULT", _internal_error(error))
        finally:
            self._finish(outcome)

    def break_off(self, error: Exception) -> None:
        """End the batch when not even its end went well."""
        self._close_phase("FAULT", _internal_error(error))
        self._close("FAULT")

    def _walk(self) -> str:
        if self.batch.spec is None:
            with self._phase("DOWNLOAD_BATCHSPEC"):
                self._download()
        with self._phase("IN_PROGRESS"):
            self._build_all()
        with self._phase("COMBINE_ARTIFACTS"):
            self._combine()
        return "SUCCEEDED"

    # phases

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        """Open a phase, and close it as its body went.

        Raises:
            _Ended: it did not succeed, so the batch is over.
        """
        batch = self.batch
        batch.phases.append(Phase(name))
        bus.changes.announce(batch.arn)
        status, context = "SUCCEEDED", None
        try:
            yield
        except PhaseFailed as failed:
            status = "FAILED"
            if failed.code:
                context = {"statusCode": failed.code, "message": failed.message}
        except _Halted:
            pass
        if batch.halted:
            status = batch.halted
            if status == "TIMED_OUT":
                told = "Build batch has timed out. "
                context = {"statusCode": "BUILD_BATCH_TIMED_OUT", "message": told}
        self._close_phase(status, context)
        if status != "SUCCEEDED":
            self._stop_all()
            raise _Ended(status)

    def _close_phase(self, status: str, context: dict[str, str] | None = None) -> None:
        phase = self.batch.phases[-1]
        if phase.status is None:
            phase.ended, phase.status = now(), status
            phase.contexts = [context] if context else None

    def _finish(self, outcome: str) -> None:
        self._stop_all()
        self._close(outcome)

    def _close(self, outcome: str) -> None:
        batch = self.batch
        last = "STOPPED" if outcome in ("STOPPED", "TIMED_OUT") else outcome
        batch.phases.append(Phase("FAILED" if last == "FAULT" else last))
        batch.status, batch.ended = outcome, now()
        batch.over.set()
        bus.changes.announce(batch.arn)

    # what the phases do

    def _download(self) -> None:
        """DOWNLOAD_BATCHSPEC: a build that brings the source, and reads the buildspec's `batch`."""
        batch, group = self.batch, self.batch.download
        reads = partial(self._read, earlier=batch.groups)
        settings = of_download(batch)
        self._start(group, settings, batch.source_version, batch.initiator, read_batchspec=reads)
        while not group.ended:
            self._wait(lambda: group.ended)
        if not group.succeeded:
            assert group.build is not None
            raise _failure_of(group.build)

    def _read(self, text: str, say: Callable[[str], None], earlier: list[Group]) -> None:
        """Make the batch's groups of a buildspec's text.

        Raises:
            BuildspecError: it has no `batch`, or a wrong one.
            PhaseFailed: a batch that the project does not allow, or the lab cannot run.
        """
        batch = self.batch
        found = spec.read(text)
        for note in found.notes:
            say(note)
        compute_type = batch.settings["environment"]["computeType"]
        config.check_tasks(found.tasks, batch.config, compute_type)
        known = {group.task.identifier: group.prior for group in earlier}
        groups = [Group(task, prior=known.get(task.identifier, [])) for task in found.tasks]
        for group in groups:
            try:
                declared = of_task(batch, group.task)
                check_declaration({**declared, "name": batch.project.name})
            except AWSError as error:
                raise PhaseFailed(
                    "CLIENT_ERROR", f"{group.task.identifier}: {error.message}"
                ) from error
        say(f"Batch of {len(groups)} build(s), {found.kind}")
        batch.spec, batch.groups = found, groups

    def _build_all(self) -> None:
        """IN_PROGRESS: build every task as soon as what it depends on is built."""
        batch = self.batch
        assert batch.spec is not None
        while True:
            before = self._ended()
            self._give_up_on_dependents()
            failed = any(group.failed for group in batch.groups)
            if failed and batch.spec.fast_fail:
                self._stop_all()
            for group in [item for item in batch.groups if self._ready(item)]:
                self._start_task(group)
            if all(group.ended for group in batch.groups):
                break
            self._wait_for_more_than(before)
        if any(group.failed for group in batch.groups):
            raise PhaseFailed("", "")

    def _wait_for_more_than(self, ended: int) -> None:
        self._wait(lambda: self._ended() > ended)

    def _ended(self) -> int:
        return sum(group.ended for group in self.batch.groups)

    def _ready(self, group: Group) -> bool:
        waiting = group.build is None and group.given_up is None
        return waiting and all(self.batch.group(name).passed for name in group.task.depends_on)

    def _give_up_on_dependents(self) -> None:
        """What depends on a failed build is never started, nor what depends on that."""
        for group in self._in_order():
            waiting = group.build is None and group.given_up is None
            if waiting and any(self.batch.group(name).failed for name in group.task.depends_on):
                group.given_up = now()

    def _in_order(self) -> list[Group]:
        graph = {group.task.identifier: group.task.depends_on for group in self.batch.groups}
        order = TopologicalSorter(graph).static_order()
        return [self.batch.group(name) for name in order]

    def _combine(self) -> None:
        """COMBINE_ARTIFACTS, which AWS shows also where nothing is to be combined."""
        batch = self.batch
        if batch.config.get("combineArtifacts"):
            session = assume_service_role(batch.settings["serviceRole"], batch.project.arn)
            combining.combine(batch, session)

    # builds

    def _start_task(self, group: Group) -> None:
        batch, version = self.batch, self.batch.source_version
        if batch.settings["source"]["type"] in _PINNED:
            # all builds have the revision that the first one found, whatever is pushed meanwhile
            version = batch.resolved_version or version
        settings = of_task(batch, group.task)
        self._start(group, settings, version, batch.arn, shard=group.task.shard)

    def _start(
        self, group: Group, settings: Fields, version: str | None, initiator: str, **more: Any
    ) -> None:
        """Start a group's build by StartBuild, as the batch's role.

        Raises:
            PhaseFailed: the role may not, or the project is gone.
        """
        batch, token = self.batch, str(uuid.uuid4())
        self.backend.expected[token] = partial(
            start_build,
            self.backend,
            batch.project,
            settings,
            version,
            initiator,
            batch_arn=batch.arn,
            batch_identifier=group.task.identifier,
            **more,
        )
        try:
            answer = self._client().start_build(
                projectName=batch.project.name, idempotencyToken=token
            )
        except (ClientError, BotoCoreError) as error:
            raise PhaseFailed("CLIENT_ERROR", f"{group.task.identifier}: {error}") from error
        finally:
            self.backend.expected.pop(token, None)
        group.build = self.backend.build(answer["build"]["id"])

    def _stop_all(self) -> None:
        """Stop what runs, and start nothing that waits."""
        for group in self.batch.groups:
            if group.build is None and group.given_up is None:
                group.given_up = now()
        builds = [group.build for group in self.batch.all_groups if group.running and group.build]
        if not builds:
            return
        with threads.workers(len(builds), f"end of {self.batch.id}") as pool:
            list(pool.map(self._stop, builds))
        for build in builds:
            build.over.wait(_STOPPING_SECONDS)

    def _stop(self, build: Build) -> None:
        try:
            self._client().stop_build(id=build.id)
        except (ClientError, BotoCoreError, PhaseFailed) as error:
            # a batch that is over leaves nothing running, allowed or not
            logger.warning("build %s is stopped without its batch's role: %s", build.id, error)
            build.halt("STOPPED")

    def _client(self) -> Any:
        batch = self.batch
        return assume_service_role(batch.config["serviceRole"], batch.project.arn).client(
            "codebuild"
        )

    def _wait(self, done: Callable[[], bool]) -> None:
        """Wait until a build of the batch has ended.

        Raises:
            _Halted: the batch is stopped, or its time is over.
        """
        while True:
            seen = bus.changes.count(self.batch.arn)
            if self.batch.halted:
                raise _Halted
            if done():
                return
            left = self._deadline - time.monotonic()
            if left <= 0:
                self.batch.halt("TIMED_OUT")
                continue
            bus.changes.wait(self.batch.arn, seen, min(left, threading.TIMEOUT_MAX))


def _internal_error(error: Exception) -> dict[str, str]:
    return {"statusCode": "INTERNAL_ERROR", "message": repr(error)}


def _failure_of(build: Build) -> PhaseFailed:
    """Why the first build of a batch failed, as its own phases say it."""
    for phase in build.phases:
        for context in phase.contexts or []:
            if context["statusCode"]:
                return PhaseFailed(context["statusCode"], context["message"])
    return PhaseFailed("CLIENT_ERROR", f"build {build.id} ended {build.status}")


class _Ended(Exception):
    """The batch is over before its last phase."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class _Halted(Exception):
    """The batch has been stopped, or its time is over."""
