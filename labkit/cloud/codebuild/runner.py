"""One build, walked through its phases.

What runs after a phase that failed is AWS's rule, in `_AFTER_FAILURE`; every phase is real work
with its real times, and the commands' exit statuses alone decide (rule R1).

AWS pages: "View build details"; "Build phase transitions"; "Build specification reference".
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud import clients, runtime, runtimes
from labkit.cloud.clients import Session
from labkit.cloud.codebuild import artifacts, environment, events, source
from labkit.cloud.codebuild.buildspec import PHASES, Buildspec, BuildspecError, PhaseSpec, parse
from labkit.cloud.codebuild.logs import BuildLog
from labkit.cloud.codebuild.models import Build, Phase, now
from labkit.cloud.codebuild.shell import Shell

logger = logging.getLogger(__name__)

CODEBUILD = "codebuild.amazonaws.com"
# the phase that failed -> the command phases that still run, and whether artifacts are uploaded
_AFTER_FAILURE: dict[str, tuple[tuple[str, ...], bool]] = {
    "install": ((), False),
    "pre_build": ((), False),
    "build": (("post_build",), True),
    "post_build": ((), True),
}


class PhaseFailed(Exception):
    """A phase that did not succeed.

    Args:
        code: the context's statusCode.
        status: the phase's status.
    """

    def __init__(self, code: str, message: str, status: str = "FAILED") -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


class Runner:
    """Runs one build on the calling thread."""

    def __init__(self, build: Build) -> None:
        self.build = build
        self.owner = f"build/{build.uuid}"
        self.directory = runtime.current().directory("builds", build.uuid)
        self.source = self.directory / "src"
        self.log: BuildLog | None = None
        self.shell: Shell | None = None
        self.spec: Buildspec | None = None
        self.outcome = "SUCCEEDED"  # of the build, as far as it is known

    def run(self) -> None:
        """Walk the build to its end; nothing is raised."""
        build = self.build
        timer = threading.Timer(60 * build.settings.get("timeoutInMinutes", 60), self._time_out)
        timer.daemon = True
        timer.start()
        try:
            self._run()
        except Exception as error:
            logger.exception("build %s", build.id)
            self._close_phase("FAULT", "INTERNAL_ERROR", repr(error))
            self.outcome = "FAULT"
        finally:
            timer.cancel()
            self._finish()

    def _run(self) -> None:
        build = self.build
        self._close_phase("SUCCEEDED")  # QUEUED
        if build.stop_requested.is_set():
            self.outcome = "STOPPED"
            return
        session: Session | None = None
        with self._phase("PROVISIONING"):
            session = self._provision()
        if session is None or self.outcome != "SUCCEEDED":
            return
        with self._phase("DOWNLOAD_SOURCE"):
            self._download_source(session)
        if self.outcome == "SUCCEEDED":
            self._commands(session)
        with self._phase("FINALIZING"):
            if self.shell is not None:
                self.shell.close()

    # phases

    @contextmanager
    def _phase(self, name: str) -> Iterator[Phase]:
        """Open a phase and close it as its body went; a failure is the build's, and stays."""
        phase = Phase(name)
        self.build.phases.append(phase)
        self._say(f"Entering phase {name}" if name.lower() in PHASES else f"Phase is {name}")
        status, code, message = "SUCCEEDED", "", ""
        try:
            yield phase
        except PhaseFailed as failed:
            status, code, message = failed.status, failed.code, failed.message
        if self.build.stop_requested.is_set():
            status, code, message = "STOPPED", "", ""
        elif self.build.timed_out:
            status, code = "TIMED_OUT", "BUILD_TIMED_OUT"
            message = f"Build has timed out after {self.build.settings.get('timeoutInMinutes', 60)} minutes"
        self._close_phase(status, code, message)
        self._say(f"Phase complete: {name} State: {status}")
        self._say(f"Phase context status code: {code} Message: {message}")
        if status != "SUCCEEDED" and self.outcome == "SUCCEEDED":
            self.outcome = status

    def _close_phase(self, status: str, code: str = "", message: str = "") -> None:
        phase = self.build.phases[-1]
        if phase.status is not None:
            return
        phase.ended, phase.status = now(), status
        if phase.type not in ("SUBMITTED", "QUEUED"):
            phase.contexts = [{"statusCode": code, "message": message}]
        events.phase_changed(self.build, phase)

    def _provision(self) -> Session:
        build = self.build
        try:
            session = clients.assume_role(
                CODEBUILD,
                build.settings["serviceRole"],
                "AWSCodeBuild",
                build.region,
                source_arn=build.project.arn,
            )
        except (ClientError, BotoCoreError) as error:
            raise PhaseFailed(
                "CLIENT_ERROR",
                "CodeBuild is not authorized to perform: sts:AssumeRole on "
                f"{build.settings['serviceRole']}",
            ) from error
        if build.logs_enabled:
            self.log = BuildLog(session, build.log_group, build.log_stream)
        image = build.settings["environment"]["image"]
        self._say("Running on CodeBuild in the lab: no container, a directory of this machine")
        self._say(f"The image {image} is not run; the tools are this machine's")
        self._say("Waiting for DOWNLOAD_SOURCE")
        return session

    def _download_source(self, session: Session) -> None:
        build, settings = self.build, self.build.settings
        home = self.directory / "home"
        for path in (self.source, home, self.directory / "scratch"):
            path.mkdir(parents=True)
        env = environment.base(build, session, home, self.source)
        try:
            fetched = source.fetch(settings["source"], build.source_version, session, self.source)
            env["CODEBUILD_SOURCE_REPO_URL"] = fetched.url
            build.resolved_source_version = fetched.resolved_version
            if fetched.resolved_version:
                env["CODEBUILD_RESOLVED_SOURCE_VERSION"] = fetched.resolved_version
            env |= self._secondary_sources(session)
        except source.SourceError as error:
            raise PhaseFailed("CLIENT_ERROR", str(error)) from error
        self._say(f"CODEBUILD_SRC_DIR={self.source}")
        try:
            spec = self.spec = parse(self._buildspec_text())
            env, masked = self._with_variables(env, spec, session)
            env["PATH"] = self._runtimes(spec, env)
        except (BuildspecError, runtimes.RuntimeMissing) as error:
            raise PhaseFailed("YAML_FILE_ERROR", str(error)) from error
        except environment.VariableError as error:
            raise PhaseFailed("CLIENT_ERROR", str(error)) from error
        if self.log:
            self.log.mask([*masked, session.access_key_id, session.secret_access_key])
        self._say(f"Moving to directory {self.source}")
        self._say("Registering with agent")
        self._say(f"Phases found in YAML: {len(spec.phases)}")
        for name, phase in spec.phases.items():
            self._say(f" {name.upper()}: {len(phase.commands) + len(phase.last)} commands")
        self.shell = Shell(
            spec.shell,
            owner=self.owner,
            directory=self.source,
            scratch=self.directory / "scratch",
            env=env,
            one_session=spec.version == "0.2",
            write=self._write,
        )

    def _secondary_sources(self, session: Session) -> dict[str, str]:
        settings, found = self.build.settings, {}
        versions = {
            item["sourceIdentifier"]: item["sourceVersion"]
            for item in settings.get("secondarySourceVersions") or []
        }
        for index, item in enumerate(settings.get("secondarySources") or [], start=1):
            name = item["sourceIdentifier"]
            path = self.directory / f"src{index}"
            path.mkdir()
            source.fetch(item, versions.get(name), session, path)
            found[f"CODEBUILD_SRC_DIR_{name}"] = str(path)
        return found

    def _buildspec_text(self) -> str:
        """The buildspec's text: inline, or a file of the source."""
        given = self.build.settings["source"].get("buildspec") or ""
        if "\n" in given or "version:" in given:
            self._say("YAML location is /codebuild/readonly/buildspec.yml")
            return given
        path = self.source / (given or "buildspec.yml")
        self._say(f"YAML location is {path}")
        if not path.resolve().is_relative_to(self.source.resolve()) or not path.is_file():
            raise BuildspecError(
                f"YAML file does not exist: stat {path}: no such file or directory"
            )
        try:
            return path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise BuildspecError(
                f"{path.name} is not UTF-8: {error.reason} at byte {error.start}"
            ) from error

    def _with_variables(
        self, env: dict[str, str], spec: Buildspec, session: Session
    ) -> tuple[dict[str, str], list[str]]:
        self._say("Processing environment variables")
        found, masked = environment.variables(self.build, spec, session)
        return {**env, **found}, masked

    def _runtimes(self, spec: Buildspec, env: dict[str, str]) -> str:
        """The PATH with the runtimes that the buildspec asks for in front."""
        path = env["PATH"]
        for name, wanted in spec.runtimes.items():
            version = (
                env.get(wanted.removeprefix("$").strip("{}"), wanted) if "$" in wanted else wanted
            )
            found = runtimes.find(name, version)
            self._say(
                f"Selecting '{name}' runtime version '{version}' based on manual selections..."
            )
            if found.note:
                self._say(found.note)
            else:
                self._say(f"{name} {found.version} is on this machine")
            if found.bin_dir:
                path = f"{found.bin_dir}:{path}"
        return path

    def _commands(self, session: Session) -> None:
        spec = self.spec
        assert spec is not None
        upload = True
        remaining = list(PHASES)
        while remaining:
            name = remaining.pop(0)
            phase_spec = spec.phases.get(name, PhaseSpec())
            with self._phase(name.upper()) as phase:
                self._command_phase(name, phase_spec)
            if phase.status in ("STOPPED", "TIMED_OUT"):
                return
            if phase.status == "FAILED":
                self._shell.set("CODEBUILD_BUILD_SUCCEEDING", "0")
                if phase_spec.on_failure == "ABORT":
                    return
                if phase_spec.on_failure != "CONTINUE":
                    still, upload = _AFTER_FAILURE[name]
                    remaining = [item for item in remaining if item in still]
        self._export(spec)
        if upload:
            with self._phase("UPLOAD_ARTIFACTS"):
                self._upload(spec, session)

    @property
    def _shell(self) -> Shell:
        assert self.shell is not None
        return self.shell

    def _command_phase(self, name: str, spec: PhaseSpec) -> None:
        if not spec.commands and not spec.last:
            return
        failure: PhaseFailed | None = None
        for commands in (spec.commands, spec.last):
            for command in commands:
                try:
                    self._command(command)
                except PhaseFailed as failed:
                    failure = failure or failed
                    break
                if self.build.stop_requested.is_set() or self.build.timed_out:
                    return
        if failure is not None:
            raise failure

    def _command(self, command: str) -> None:
        self._say(f"Running command {command}")
        status = self._shell.run(command)
        if status != 0:
            self._say(f"Command did not exit successfully {command} exit status {status}")
            raise PhaseFailed(
                "COMMAND_EXECUTION_ERROR",
                f"Error while executing command: {command}. Reason: exit status {status}",
            )

    def _export(self, spec: Buildspec) -> None:
        """exported-variables, as they stand at the end of POST_BUILD."""
        for name in spec.exported:
            value = self._shell.get(name)
            if value is not None and not name.startswith("AWS_"):
                self.build.exported.append({"name": name, "value": value})

    def _upload(self, spec: Buildspec, session: Session) -> None:
        build = self.build
        for report in spec.reports:
            self._say(f"Report {report} is in the buildspec; the lab does not process reports yet")
        targets = [build.settings["artifacts"], *(build.settings.get("secondaryArtifacts") or [])]
        try:
            for index, target in enumerate(targets):
                identifier = target.get("artifactIdentifier")
                if target["type"] == "NO_ARTIFACTS":
                    continue
                chosen = spec.secondary_artifacts.get(identifier or "") or spec.artifacts
                if chosen is None:
                    self._say("No artifacts defined in buildspec")
                    raise PhaseFailed("CLIENT_ERROR", "no matching artifact paths found")
                base, names = artifacts.find(self.source, chosen, self._say)
                stored = artifacts.store(
                    base, names, chosen, target, session,
                    build_arn=build.arn, build_uuid=build.uuid, name=self._expand(chosen.name),
                )  # fmt: skip
                if index == 0:
                    build.artifact = stored
                else:
                    build.secondary_artifacts.append({**stored, "artifactIdentifier": identifier})
        except artifacts.ArtifactError as error:
            raise PhaseFailed("CLIENT_ERROR", str(error)) from error

    def _expand(self, name: str | None) -> str | None:
        """An artifact's name, with the shell's expansions in it."""
        if not name or "$" not in name:
            return name
        self._shell.run(f'export LABKIT_ARTIFACT_NAME="{name}"')
        return self._shell.get("LABKIT_ARTIFACT_NAME")

    # the end

    def _time_out(self) -> None:
        self.build.timed_out = True
        runtime.current().processes.end(self.owner, grace_seconds=1)

    def _finish(self) -> None:
        build = self.build
        build.phases.append(Phase("COMPLETED"))
        if self.log is not None:
            self.log.close()
        runtime.current().processes.end(self.owner, grace_seconds=0.5)
        build.ended, build.status = now(), self.outcome
        events.build_changed(build)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _say(self, text: str) -> None:
        if self.log is not None:
            self.log.agent(text)

    def _write(self, line: str) -> None:
        if self.log is not None:
            self.log.write(line)
