"""What CodeBuild remembers of a batch: its phases, and its groups with the build of each.

AWS pages: "BuildBatch", "BuildGroup" and "BuildSummary" in the CodeBuild API Reference.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from datetime import datetime

from labkit.cloud import bus
from labkit.cloud.codebuild.batch.config import DEFAULT_TIMEOUT, MOST_BUILDS
from labkit.cloud.codebuild.batch.spec import DOWNLOAD, BatchSpec, Task
from labkit.cloud.codebuild.models import Build, Fields, Phase, Project, now


@dataclass
class Group:
    """One task of a batch, and its builds: the latest, and those before it if it was retried."""

    task: Task
    build: Build | None = None
    prior: list[Fields] = field(default_factory=list)  # summaries
    given_up: datetime | None = None  # when it was decided that it will not be built

    @property
    def ended(self) -> bool:
        return self.given_up is not None or (self.build is not None and self.build.over.is_set())

    @property
    def running(self) -> bool:
        return self.build is not None and not self.build.over.is_set()

    @property
    def succeeded(self) -> bool:
        return self.ended and self.build is not None and self.build.status == "SUCCEEDED"

    @property
    def passed(self) -> bool:
        """Whether what depends on it may be built: it succeeded, or its failure is ignored."""
        built = self.ended and self.given_up is None
        return self.succeeded or (built and self.task.ignore_failure)

    @property
    def failed(self) -> bool:
        return self.ended and not self.passed

    def again(self) -> None:
        """Forget the latest build, but for its summary."""
        if (summary := self._summary()) is not None:
            self.prior.append(summary)
        self.build, self.given_up = None, None

    def fields(self) -> Fields:
        shown: Fields = {"identifier": self.task.identifier}
        if self.task is not DOWNLOAD:
            shown["dependsOn"] = list(self.task.depends_on)
        shown["ignoreFailure"] = self.task.ignore_failure
        if (summary := self._summary()) is not None:
            shown["currentBuildSummary"] = summary
        if self.prior:
            shown["priorBuildSummaryList"] = self.prior
        return shown

    def _summary(self) -> Fields | None:
        if self.build is None:
            # no build of it was ever made, so there is no ARN to name
            stopped = {"requestedOn": self.given_up, "buildStatus": "STOPPED"}
            return stopped if self.given_up else None
        build = self.build
        kind = build.settings["artifacts"]["type"]
        primary = {
            "type": kind,
            "location": build.artifact.get("location"),
            "identifier": self.task.identifier,
        }
        return {
            "arn": build.arn,
            "requestedOn": build.started,
            "buildStatus": build.status,
            "primaryArtifact": {name: value for name, value in primary.items() if value},
            "secondaryArtifacts": [
                {
                    "type": kind,
                    "location": item["location"],
                    "identifier": item["artifactIdentifier"],
                }
                for item in build.secondary_artifacts
            ],
        }


@dataclass
class Batch:
    """One batch build; `settings` are the project's with the overrides it was started with."""

    project: Project
    settings: Fields
    number: int
    initiator: str
    source_version: str | None = None
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "IN_PROGRESS"
    started: datetime = field(default_factory=now)
    ended: datetime | None = None
    phases: list[Phase] = field(default_factory=list)
    spec: BatchSpec | None = None  # as soon as it has been read
    download: Group = field(default_factory=lambda: Group(DOWNLOAD))
    groups: list[Group] = field(default_factory=list)
    artifact: Fields = field(default_factory=lambda: {"location": ""})
    halted: str | None = None  # STOPPED or TIMED_OUT, as soon as it is known
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def id(self) -> str:
        return f"{self.project.name}:{self.uuid}"

    @property
    def arn(self) -> str:
        return self.project.arn.replace(":project/", ":build-batch/") + f":{self.uuid}"

    @property
    def config(self) -> Fields:
        """Its `buildBatchConfig`, with what AWS adds."""
        given = self.settings.get("buildBatchConfig") or {}
        restrictions = {"maximumBuildsAllowed": MOST_BUILDS, **(given.get("restrictions") or {})}
        return {"timeoutInMins": DEFAULT_TIMEOUT, **given, "restrictions": restrictions}

    @property
    def resolved_version(self) -> str | None:
        return self.download.build.resolved_source_version if self.download.build else None

    @property
    def all_groups(self) -> list[Group]:
        return [self.download, *self.groups]

    def group(self, identifier: str) -> Group:
        return next(group for group in self.groups if group.task.identifier == identifier)

    def halt(self, status: str) -> None:
        """End the batch before its time: STOPPED or TIMED_OUT. Its engine sees to its builds."""
        if not self.halted and not self.over.is_set():
            self.halted = status
            bus.changes.announce(self.arn)

    def fields(self) -> Fields:
        """The batch as BatchGetBuildBatches returns it."""
        settings = self.settings
        account, region = self.project.arn.split(":")[4], self.project.arn.split(":")[3]
        shown: Fields = {
            "id": self.id,
            "arn": self.arn,
            "startTime": self.started,
            "endTime": self.ended,
            "currentPhase": self.phases[-1].type if self.phases else "SUBMITTED",
            "buildBatchStatus": self.status,
            "sourceVersion": self.source_version,
            "resolvedSourceVersion": self.resolved_version,
            "projectName": self.project.name,
            "phases": [phase.fields() for phase in self.phases],
            "source": settings["source"],
            "secondarySources": settings.get("secondarySources") or [],
            "secondarySourceVersions": settings.get("secondarySourceVersions") or [],
            "artifacts": self.artifact,
            "secondaryArtifacts": [],
            "cache": settings.get("cache") or {"type": "NO_CACHE"},
            "environment": settings["environment"],
            "serviceRole": settings["serviceRole"],
            "logConfig": settings.get("logsConfig") or {"cloudWatchLogs": {"status": "ENABLED"}},
            "buildTimeoutInMinutes": settings.get("timeoutInMinutes", 60),
            "queuedTimeoutInMinutes": settings.get("queuedTimeoutInMinutes", 480),
            "complete": self.ended is not None,
            "initiator": self.initiator,
            "encryptionKey": settings.get("encryptionKey")
            or f"arn:aws:kms:{region}:{account}:alias/aws/s3",
            "buildBatchNumber": self.number,
            "buildBatchConfig": self.config,
            "reportArns": [
                arn
                for group in self.all_groups
                if group.build is not None
                for arn in group.build.report_arns
            ],
            "buildGroups": [
                group.fields()
                for group in self.all_groups
                if group is not self.download or group.build
            ],
            "debugSessionEnabled": False,
        }
        return {key: value for key, value in shown.items() if value is not None}
