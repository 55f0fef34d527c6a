"""CodeBuild's API: projects and builds.

AWS page: "AWS CodeBuild API Reference".
"""

from __future__ import annotations

import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, NoReturn

from labkit.cloud.codebuild import events
from labkit.cloud.codebuild.models import (
    Build,
    CodeBuildBackend,
    Phase,
    PhaseFailed,
    Project,
    codebuild_backends,
    now,
)
from labkit.cloud.codebuild.runner import Runner, assume_service_role
from labkit.cloud.codebuild.source import SUPPORTED
from labkit.cloud.service import AWSError, Service, page

Answer = dict[str, Any]

_workers = ThreadPoolExecutor(max(2, os.cpu_count() or 2), thread_name_prefix="build")
_ARTIFACTS = ("CODEPIPELINE", "S3", "NO_ARTIFACTS")
# what a project may say that the lab does not do, by the part that says it
_NOT_YET = {
    "": ("vpcConfig", "buildBatchConfig", "fileSystemLocations", "badgeEnabled", "autoRetryLimit"),
    "environment": ("certificate", "fleet", "dockerServer", "computeConfiguration"),
}
_ENVIRONMENTS = ("LINUX_CONTAINER", "ARM_CONTAINER", "LINUX_EC2", "ARM_EC2")
_STOP_SECONDS = 5.0
_TOKEN_LIFETIME = timedelta(minutes=5)

# StartBuild's overrides -> where in the build's settings they go
_OVERRIDES = {
    "sourceTypeOverride": ("source", "type"),
    "sourceLocationOverride": ("source", "location"),
    "buildspecOverride": ("source", "buildspec"),
    "gitCloneDepthOverride": ("source", "gitCloneDepth"),
    "gitSubmodulesConfigOverride": ("source", "gitSubmodulesConfig"),
    "imagePullCredentialsTypeOverride": ("environment", "imagePullCredentialsType"),
    "environmentTypeOverride": ("environment", "type"),
    "imageOverride": ("environment", "image"),
    "computeTypeOverride": ("environment", "computeType"),
    "privilegedModeOverride": ("environment", "privilegedMode"),
    "artifactsOverride": ("artifacts",),
    "secondaryArtifactsOverride": ("secondaryArtifacts",),
    "secondarySourcesOverride": ("secondarySources",),
    "secondarySourcesVersionOverride": ("secondarySourceVersions",),
    "logsConfigOverride": ("logsConfig",),
    "timeoutInMinutesOverride": ("timeoutInMinutes",),
    "queuedTimeoutInMinutesOverride": ("queuedTimeoutInMinutes",),
    "serviceRoleOverride": ("serviceRole",),
    "encryptionKeyOverride": ("encryptionKey",),
    "cacheOverride": ("cache",),
}


class CodeBuild(Service):
    boto3_name = "codebuild"

    @property
    def backend(self) -> CodeBuildBackend:
        return codebuild_backends[self.current_account][self.region]

    # projects

    def create_project(self, **declared: Any) -> Answer:
        name = declared["name"]
        if name in self.backend.projects:
            arn = self.arn(f"project/{name}")
            raise AWSError("ResourceAlreadyExistsException", f"Project already exists: {arn}")
        self._check(declared)
        project = Project(declared, self.arn(f"project/{name}"))
        self.backend.projects[name] = project
        return {"project": project.fields()}

    def update_project(self, name: str, **changes: Any) -> Answer:
        project = self.backend.project(name)
        declared = {**project.declared, **changes}
        self._check(declared)
        project.declared, project.modified = declared, now()
        return {"project": project.fields()}

    def batch_get_projects(self, names: list[str]) -> Answer:
        known = self.backend.projects
        short = [name.rpartition("/")[2] for name in names]
        return {
            "projects": [known[name].fields() for name in short if name in known],
            "projectsNotFound": [name for name in short if name not in known],
        }

    def list_projects(
        self, sortBy: str = "NAME", sortOrder: str = "ASCENDING", nextToken: str | None = None
    ) -> Answer:
        keys = {
            "NAME": lambda project: project.name,
            "CREATED_TIME": lambda project: project.created,
            "LAST_MODIFIED_TIME": lambda project: project.modified,
        }
        found = sorted(
            self.backend.projects.values(), key=keys[sortBy], reverse=sortOrder == "DESCENDING"
        )
        items, token = page(found, nextToken, None, error_code="InvalidInputException")
        return {"projects": [item.name for item in items], "nextToken": token}

    def delete_project(self, name: str) -> Answer:
        self.backend.projects.pop(name.rpartition("/")[2], None)
        return {}

    # builds

    def start_build(self, projectName: str, **request: Any) -> Answer:
        project = self.backend.project(projectName)
        settings = _overridden(project.declared, request)
        token = request.get("idempotencyToken")
        known = self.backend.tokens.get(token) if token else None
        if known is not None and now() - known[0] < _TOKEN_LIFETIME:
            return {"build": known[1].fields()}
        if settings["artifacts"]["type"] == "CODEPIPELINE" and not settings["artifacts"].get(
            "location"
        ):
            raise AWSError(
                "InvalidInputException",
                "ArtifactsOverride must be set when using artifacts type CodePipelines",
            )
        _check({**settings, "name": project.name})
        version = request.get("sourceVersion") or settings.get("sourceVersion")
        build = self._start(project, settings, version)
        if token:
            self.backend.tokens[token] = (now(), build)
        return {"build": build.fields()}

    def retry_build(self, id: str | None = None, idempotencyToken: str | None = None) -> Answer:
        old = self._build(id or "")
        if not old.over.is_set():
            _invalid(f"Build {old.id} cannot be retried: it has not ended yet")
        return {"build": self._start(old.project, old.settings, old.source_version).fields()}

    def batch_get_builds(self, ids: list[str]) -> Answer:
        found = {name: self.backend.build(name) for name in ids}
        return {
            "builds": [build.fields() for build in found.values() if build],
            "buildsNotFound": [name for name, build in found.items() if not build],
        }

    def list_builds(self, sortOrder: str = "DESCENDING", nextToken: str | None = None) -> Answer:
        items, token = page(
            self._ids(None, sortOrder), nextToken, None, error_code="InvalidInputException"
        )
        return {"ids": items, "nextToken": token}

    def list_builds_for_project(
        self, projectName: str, sortOrder: str = "DESCENDING", nextToken: str | None = None
    ) -> Answer:
        project = self.backend.project(projectName)
        items, token = page(
            self._ids(project, sortOrder), nextToken, None, error_code="InvalidInputException"
        )
        return {"ids": items, "nextToken": token}

    def stop_build(self, id: str) -> Answer:
        build = self._build(id)
        build.halt("STOPPED")
        build.over.wait(_STOP_SECONDS)
        return {"build": build.fields()}

    def batch_delete_builds(self, ids: list[str]) -> Answer:
        deleted, kept = [], []
        for name in ids:
            build = self.backend.build(name)
            if build is not None and not build.over.is_set():
                kept.append({"id": name, "statusCode": "BUILD_IN_PROGRESS"})
            elif build is not None:
                deleted.append(build.arn)
                del self.backend.builds[build.id]
        return {"buildsDeleted": deleted, "buildsNotDeleted": kept}

    # reports

    def list_report_groups(self, **_: Any) -> Answer:
        # No build of the lab makes one yet (its log says so), and none can be created.
        return {"reportGroups": []}

    # within

    def _build(self, id_or_arn: str) -> Build:
        build = self.backend.build(id_or_arn)
        if build is None:
            raise AWSError("ResourceNotFoundException", f"Build cannot be found: {id_or_arn}")
        return build

    def _ids(self, project: Project | None, order: str) -> list[str]:
        found = [
            build.id
            for build in self.backend.builds.values()
            if project is None or build.project is project
        ]
        return found if order == "ASCENDING" else found[::-1]

    def _start(self, project: Project, settings: Answer, version: str | None) -> Build:
        with self.backend.lock:
            self._check_concurrency(project)
            build = Build(
                project,
                settings,
                project.next_build_number,
                self._initiator(),
                source_version=version,
            )
            project.next_build_number += 1
            self.backend.builds[build.id] = build
        moment = build.started
        build.phases = [Phase("SUBMITTED", moment, moment, "SUCCEEDED"), Phase("QUEUED", moment)]
        events.build_changed(build)
        _queue(build)
        return build

    def _check_concurrency(self, project: Project) -> None:
        limit = project.declared.get("concurrentBuildLimit")
        running = [
            build
            for build in self.backend.builds.values()
            if build.project is project and not build.over.is_set()
        ]
        if limit and len(running) >= limit:
            raise AWSError(
                "AccountLimitExceededException",
                f"Cannot have more than {limit} active builds for the project {project.name}",
            )

    def _check(self, declared: Answer) -> None:
        """Refuse what AWS would refuse, a role that cannot be assumed with it.

        Raises:
            AWSError: InvalidInputException.
        """
        _check(declared)
        role = declared["serviceRole"]
        if role.split(":")[4] != self.current_account:
            _invalid(
                "Invalid service role: Service role account ID does not match caller's account"
            )
        try:
            assume_service_role(role, self.arn(f"project/{declared['name']}"))
        except PhaseFailed as error:
            _invalid(error.message)

    def _initiator(self) -> str:
        if self.principal.invoked_by == "codepipeline.amazonaws.com":
            return f"codepipeline/{(self.principal.source_arn or '').rpartition(':')[2]}"
        return self.principal.name


def _queue(build: Build) -> None:
    """Have a worker run a build when one is free, or end it if it is halted before."""
    runner = Runner(build)
    minutes = build.settings.get("queuedTimeoutInMinutes", 480)
    waiting = threading.Timer(60 * minutes, build.halt, ("TIMED_OUT",))
    waiting.daemon = True

    def run() -> None:
        waiting.cancel()
        runner.run()

    queued = _workers.submit(run)
    if not queued.running() and not queued.done():
        waiting.start()

    def leave() -> None:
        if queued.cancel():
            waiting.cancel()
            runner.cancel()

    build.on_halt(leave)


def _check(declared: Answer) -> None:
    """Refuse a project, or a build of it, that AWS would refuse, or that the lab cannot run.

    Raises:
        AWSError: InvalidInputException.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9\-_]{1,254}", declared["name"]):
        _invalid(f"Invalid project name: {declared['name']}")
    if not re.fullmatch(r"arn:aws:iam::\d{12}:role/.+", declared["serviceRole"]):
        _invalid(f"Invalid service role: {declared['serviceRole']} is not the ARN of a role")
    source, artifacts = declared["source"], declared["artifacts"]
    for item in (source, *(declared.get("secondarySources") or [])):
        if item["type"] not in SUPPORTED:
            _invalid(f"The lab's local AWS does not support source type {item['type']} yet")
        if item["type"] in ("CODECOMMIT", "S3") and not item.get("location"):
            _invalid("Project source location must not be empty")
    for item in declared.get("secondarySources") or []:
        if not item.get("sourceIdentifier"):
            _invalid("Project secondary source must have a sourceIdentifier")
    for item in declared.get("secondaryArtifacts") or []:
        if not item.get("artifactIdentifier"):
            _invalid("Project secondary artifacts must have an artifactIdentifier")
    if source["type"] == "NO_SOURCE" and not source.get("buildspec"):
        _invalid("Project source type NO_SOURCE requires a buildspec")
    for item in (artifacts, *(declared.get("secondaryArtifacts") or [])):
        if item["type"] not in _ARTIFACTS:
            _invalid(f"Invalid artifacts type: {item['type']}")
        if item["type"] == "S3" and not item.get("location"):
            _invalid("Invalid artifacts: location must be set for artifacts type S3")
    if "CODEPIPELINE" in (source["type"], artifacts["type"]) and artifacts["type"] == "S3":
        _invalid("Invalid project: when source type is CODEPIPELINE, artifacts type must be too")
    environment = declared["environment"]
    if environment["type"] not in _ENVIRONMENTS:
        _invalid(f"The lab's local AWS does not support environment type {environment['type']} yet")
    for part, keys in _NOT_YET.items():
        for key in keys:
            if (declared[part] if part else declared).get(key):
                _invalid(f"The lab's local AWS does not support {key} yet")
    if (declared.get("cache") or {}).get("type", "NO_CACHE") == "S3":
        _invalid("The lab's local AWS does not support cache type S3 yet")
    if ((declared.get("logsConfig") or {}).get("s3Logs") or {}).get("status") == "ENABLED":
        _invalid("The lab's local AWS does not support s3Logs yet")


def _invalid(message: str) -> NoReturn:
    raise AWSError("InvalidInputException", message)


def _overridden(declared: Answer, request: Answer) -> Answer:
    """The project's settings with StartBuild's overrides in them.

    Raises:
        AWSError: InvalidInputException, an override that the lab does not know.
    """
    settings = {
        **declared,
        "source": dict(declared["source"]),
        "environment": dict(declared["environment"]),
    }
    known = {"sourceVersion", "environmentVariablesOverride", "idempotencyToken", *_OVERRIDES}
    for name in request.keys() - known:
        _invalid(f"The lab's local AWS does not support {name} yet")
    for name, (*parents, last) in _OVERRIDES.items():
        if name in request:
            place = settings[parents[0]] if parents else settings
            place[last] = request[name]
    variables = {
        item["name"]: item
        for item in [
            *(settings["environment"].get("environmentVariables") or []),
            *(request.get("environmentVariablesOverride") or []),
        ]
    }
    settings["environment"]["environmentVariables"] = list(variables.values())
    return settings
