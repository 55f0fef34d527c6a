"""What CodeBuild remembers: projects, and builds with their phases.

AWS page: "Build" in the CodeBuild API Reference.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labkit.cloud.shared import runtime

Fields = dict[str, Any]


def now() -> datetime:
    return datetime.now(UTC)


class PhaseFailed(Exception):
    """A phase that did not succeed; code and message are its context's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass
class Phase:
    """One phase of one build. The running one has no status yet; COMPLETED never gets one."""

    type: str
    started: datetime = field(default_factory=now)
    ended: datetime | None = None
    status: str | None = None
    contexts: list[dict[str, str]] | None = None
    note: str = ""  # what its context says though it succeeded

    @property
    def seconds(self) -> float:
        return ((self.ended or now()) - self.started).total_seconds()

    def fields(self) -> Fields:
        shown: Fields = {"phaseType": self.type, "startTime": self.started}
        if self.status is not None:
            shown |= {
                "phaseStatus": self.status,
                "endTime": self.ended,
                "durationInSeconds": round(self.seconds),
            }
        if self.contexts is not None:
            shown["contexts"] = self.contexts
        return shown


@dataclass
class Webhook:
    """A project's webhook; `declared` is what its owner said of it."""

    declared: Fields
    payload_url: str
    secret: str = field(repr=False)
    secret_changed: datetime = field(default_factory=now)

    def fields(self, repository: str) -> Fields:
        """The webhook as it is shown: without its secret."""
        return {
            "url": f"{repository.removesuffix('.git')}/hooks/{self.payload_url[-8:]}",
            "payloadUrl": self.payload_url,
            "lastModifiedSecret": self.secret_changed,
            "status": "ACTIVE",
            "buildType": "BUILD",
            **self.declared,
        }


@dataclass
class Project:
    """A build project; `declared` is what its owner said of it."""

    declared: Fields
    arn: str
    created: datetime = field(default_factory=now)
    modified: datetime = field(default_factory=now)
    next_build_number: int = 1
    webhook: Webhook | None = None
    cache_version: int = 0  # InvalidateProjectCache counts it up
    next_batch_number: int = 1

    @property
    def name(self) -> str:
        return str(self.declared["name"])

    def fields(self) -> Fields:
        defaults: Fields = {
            "timeoutInMinutes": 60,
            "queuedTimeoutInMinutes": 480,
            "encryptionKey": f"arn:aws:kms:{self.arn.split(':')[3]}:{self.arn.split(':')[4]}:alias/aws/s3",
            "cache": {"type": "NO_CACHE"},
            "badge": {"badgeEnabled": False},
            "projectVisibility": "PRIVATE",
        }
        shown = {key: value for key, value in self.declared.items() if key != "badgeEnabled"}
        return {
            **defaults,
            **shown,
            **(
                {"webhook": self.webhook.fields(self.declared["source"].get("location", ""))}
                if self.webhook
                else {}
            ),
            "arn": self.arn,
            "created": self.created,
            "lastModified": self.modified,
        }


def cache_directory(project: Project) -> Path:
    """Where a project's LOCAL cache lies on this machine; it may not be there."""
    name = hashlib.sha256(project.arn.encode()).hexdigest()[:16]
    return runtime.current().directory("cache", "codebuild") / name


@dataclass
class Build:
    """One build: the project's settings with the overrides it was started with, and how it went."""

    project: Project
    settings: Fields  # source, artifacts, environment, buildspec..., after overrides
    number: int
    initiator: str
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "IN_PROGRESS"
    started: datetime = field(default_factory=now)
    ended: datetime | None = None
    phases: list[Phase] = field(default_factory=list)
    source_version: str | None = None
    resolved_source_version: str | None = None
    exported: list[dict[str, str]] = field(default_factory=list)
    artifact: Fields = field(default_factory=dict)
    secondary_artifacts: list[Fields] = field(default_factory=list)
    s3_log_arn: str | None = None
    webhook: dict[str, str] = field(default_factory=dict)  # CODEBUILD_WEBHOOK_*
    report_arns: list[str] = field(default_factory=list)
    managed_by: str | None = None  # the service whose commands it runs, without a project
    auto_retry_number: int = 0
    next_auto_retry: str | None = None  # ARNs of builds
    previous_auto_retry: str | None = None
    batch_arn: str | None = None
    batch_identifier: str | None = None  # of its task in the batch
    shard: tuple[int, int] | None = None  # which of how many builds of a fan-out
    # of the first build of a batch: takes the buildspec's text, and a function that logs
    read_batchspec: Callable[[str, Callable[[str], None]], None] | None = None
    halted: str | None = None  # STOPPED, TIMED_OUT or FAULT, as soon as it is known
    fault: str = ""  # what broke in the lab itself
    over: threading.Event = field(default_factory=threading.Event)
    _on_halt: list[Callable[[], object]] = field(default_factory=list)
    _halting: threading.Lock = field(default_factory=threading.Lock)

    def halt(self, status: str) -> None:
        """End the build before its time, at once: STOPPED, TIMED_OUT or FAULT."""
        with self._halting:
            if self.halted or self.over.is_set():
                return
            self.halted = status
            ending = self._on_halt[::-1]  # the shell before the search for what escaped it
        for end in ending:
            end()

    def break_off(self, error: Exception) -> None:
        """End the build as FAULT, at once: something broke that is neither its own nor AWS's answer."""
        if not self.over.is_set():
            self.fault = self.fault or repr(error)
            self.halt("FAULT")

    def on_halt(self, end: Callable[[], object]) -> None:
        """Have `end` called when the build is halted, or now if it has been."""
        with self._halting:
            self._on_halt.append(end)
            late = self.halted is not None
        if late:
            end()

    @property
    def id(self) -> str:
        return f"{self.project.name}:{self.uuid}"

    @property
    def arn(self) -> str:
        return self.project.arn.replace(":project/", ":build/") + f":{self.uuid}"

    @property
    def owner(self) -> str:
        """What its processes are marked with."""
        return f"build/{self.uuid}"

    @property
    def region(self) -> str:
        return self.project.arn.split(":")[3]

    @property
    def account(self) -> str:
        return self.project.arn.split(":")[4]

    @property
    def log_group(self) -> str:
        named = _cloudwatch(self.settings).get("groupName")
        return named or f"/aws/codebuild/{self.project.name}"

    @property
    def log_stream(self) -> str:
        prefix = _cloudwatch(self.settings).get("streamName")
        return f"{prefix}/{self.uuid}" if prefix else self.uuid

    @property
    def logs_enabled(self) -> bool:
        return bool(_cloudwatch(self.settings).get("status", "ENABLED") == "ENABLED")

    def fields(self) -> Fields:
        """The build as BatchGetBuilds returns it."""
        settings, over = self.settings, self.ended is not None
        shown: Fields = {
            "id": self.id,
            "arn": self.arn,
            "buildNumber": self.number,
            "startTime": self.started,
            "endTime": self.ended,
            "currentPhase": self.phases[-1].type if self.phases else "SUBMITTED",
            "buildStatus": self.status,
            "sourceVersion": self.source_version,
            "resolvedSourceVersion": self.resolved_source_version,
            "projectName": self.project.name,
            "phases": [phase.fields() for phase in self.phases],
            "source": settings["source"],
            "secondarySources": settings.get("secondarySources") or [],
            "secondarySourceVersions": settings.get("secondarySourceVersions") or [],
            "artifacts": self.artifact,
            "secondaryArtifacts": self.secondary_artifacts,
            "cache": settings.get("cache") or {"type": "NO_CACHE"},
            "environment": settings["environment"],
            "serviceRole": settings["serviceRole"],
            "logs": self._logs(),
            "timeoutInMinutes": settings.get("timeoutInMinutes", 60),
            "queuedTimeoutInMinutes": settings.get("queuedTimeoutInMinutes", 480),
            "buildComplete": over,
            "initiator": self.initiator,
            "encryptionKey": settings.get("encryptionKey")
            or f"arn:aws:kms:{self.region}:{self.account}:alias/aws/s3",
            "exportedEnvironmentVariables": self.exported,
            "buildBatchArn": self.batch_arn,
            "autoRetryConfig": self._auto_retry(),
            "reportArns": self.report_arns,
        }
        return {key: value for key, value in shown.items() if value is not None}

    def _auto_retry(self) -> Fields | None:
        limit = self.settings.get("autoRetryLimit")
        if not limit:
            return None
        shown: Fields = {
            "autoRetryLimit": limit,
            "autoRetryNumber": self.auto_retry_number,
            "nextAutoRetry": self.next_auto_retry,
            "previousAutoRetry": self.previous_auto_retry,
        }
        return {key: value for key, value in shown.items() if value is not None}

    @property
    def s3_logs(self) -> Fields | None:
        """The project's `s3Logs`, if they are enabled."""
        found = (self.settings.get("logsConfig") or {}).get("s3Logs") or {}
        return found if found.get("status") == "ENABLED" else None

    def _logs(self) -> Fields:
        """AWS page: "LogsLocation" in the CodeBuild API Reference."""
        shown = self._cloudwatch_logs()
        if self.s3_logs is not None:
            location = self.s3_logs["location"].removeprefix("arn:aws:s3:::")
            shown |= {"s3Logs": self.s3_logs}
            shown |= {"s3LogsArn": self.s3_log_arn or f"arn:aws:s3:::{location}/{self.uuid}.gz"}
        return shown

    def _cloudwatch_logs(self) -> Fields:
        if not self.logs_enabled:
            return {"cloudWatchLogs": {"status": "DISABLED"}}
        group, stream = self.log_group, self.log_stream
        quoted = (part.replace("/", "$252F") for part in (group, stream))
        link = (
            f"https://console.aws.amazon.com/cloudwatch/home?region={self.region}"
            "#logsV2:log-groups/log-group/{}/log-events/{}".format(*quoted)
        )
        return {
            "groupName": group,
            "streamName": stream,
            "deepLink": link,
            "cloudWatchLogsArn": f"arn:aws:logs:{self.region}:{self.account}:log-group:{group}:log-stream:{stream}",
            "cloudWatchLogs": {"status": "ENABLED", "groupName": group},
        }


def _cloudwatch(settings: Fields) -> Fields:
    return (settings.get("logsConfig") or {}).get("cloudWatchLogs") or {}


@dataclass(frozen=True)
class SourceCredentials:
    """How to sign in to one source provider."""

    arn: str
    server_type: str
    auth_type: str
    token: str = field(repr=False)
    username: str | None = None

    @property
    def basic(self) -> str:
        """`user:password` for git over HTTP; a personal access token goes with any user."""
        return f"{self.username or 'x-access-token'}:{self.token}"
