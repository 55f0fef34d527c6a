"""One build, walked through its phases.

What runs after a phase that failed is AWS's rule, in `_AFTER_FAILURE`; every phase is real work
with its real times, and the commands' exit statuses alone decide (rule R1).

AWS pages: "View build details"; "Build phase transitions"; "Build specification reference".
"""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud import bus
from labkit.cloud.codebuild import artifacts, disk, environment, events, logs, network
from labkit.cloud.codebuild.backend import codebuild_backends
from labkit.cloud.codebuild.buildspec import PHASES, Buildspec, OnFailure, PhaseSpec
from labkit.cloud.codebuild.cache import Cache
from labkit.cloud.codebuild.logs import BuildLog
from labkit.cloud.codebuild.models import Build, Phase, PhaseFailed, now
from labkit.cloud.codebuild.preparation import Prepared, prepare
from labkit.cloud.codebuild.reports.processing import process as process_reports
from labkit.cloud.codebuild.shell import Shell
from labkit.cloud.guests.guest import Guest
from labkit.cloud.shared import clients, runtime, threads
from labkit.cloud.shared.clients import Session

logger = logging.getLogger(__name__)

CODEBUILD = "codebuild.amazonaws.com"
# the phase that failed -> the command phases that still run, and whether artifacts are uploaded
_AFTER_FAILURE: dict[str, tuple[tuple[str, ...], bool]] = {
    "install": ((), False),
    "pre_build": ((), False),
    "build": (("post_build",), True),
    "post_build": ((), True),
}
# phases that have no contexts, and those that the build agent's log does not tell of
_BUILD_SECONDS = 55 * 60
_RECENT = 1 << 14  # bytes that a RETRY's expression is looked for in
_WITHOUT_CONTEXT = ("SUBMITTED", "QUEUED")
_UNTOLD = (*_WITHOUT_CONTEXT, "PROVISIONING", "FINALIZING")


def assume_service_role(role_arn: str, project_arn: str, principal: str = CODEBUILD) -> Session:
    """Act as a project's service role.

    Args:
        principal: the service that assumes it.

    Raises:
        PhaseFailed: it is not there, or does not trust CodeBuild.
    """
    session_name = f"AWSCodeBuild-{uuid.uuid5(uuid.NAMESPACE_URL, project_arn)}"
    region = project_arn.split(":")[3]
    try:
        # a build uses its credentials to its end
        return clients.assume_role(
            principal, role_arn, session_name, region, project_arn, valid_for=_BUILD_SECONDS
        )
    except (ClientError, BotoCoreError) as error:
        # AWS page: "Troubleshooting CodeBuild", error when creating or updating a build project
        message = f"CodeBuild is not authorized to perform: sts:AssumeRole on {role_arn}"
        raise PhaseFailed("CLIENT_ERROR", message) from error


class Runner:
    """Runs one build on the calling thread; `build.halt` from another ends it at once."""

    def __init__(self, build: Build) -> None:
        self.build = build
        self.directory = runtime.current().guest_directory("builds", build.uuid)
        self.log = BuildLog(runtime.current().directory("logs") / f"{build.uuid}.log")
        self.prepared: Prepared | None = None
        self.session: Session | None = None
        self.recent = b""  # the end of what the commands of this phase printed
        self.outcome = "SUCCEEDED"  # as far as it is known
        self.uploads = True

    def run(self) -> None:
        """Walk the build to its end; nothing is raised."""
        build = self.build
        try:
            build.on_halt(self._kill)
            with self._time_limit():
                self._close_phase(build.halted or "SUCCEEDED")  # QUEUED
                self._run()
        except _Halted:
            pass
        except Exception as error:
            logger.exception("build %s", build.id)
            build.break_off(error)
            self._close_phase("FAULT", *self._why_halted())
        finally:
            self._finish()

    @contextmanager
    def _time_limit(self) -> Iterator[None]:
        build = self.build
        minutes = build.settings.get("timeoutInMinutes", 60)
        timer = threads.after(
            runtime.current().clock.work_seconds(60 * minutes),
            lambda: build.halt("TIMED_OUT"),
            name=f"timeout of {build.id}",
            failed=build.break_off,
        )
        try:
            yield
        finally:
            timer.cancel()

    def cancel(self) -> None:
        """End a build that was halted while it was queued."""
        self._close_phase(self.build.halted or "STOPPED")
        self._finish()

    def _run(self) -> None:
        with self._phase("PROVISIONING"):
            self.session = self._provision()
        session = self.session
        if session is None:
            return
        with self._phase("DOWNLOAD_SOURCE") as phase:
            self.prepared = prepare(self.build, session, self.directory, self.log, self._write)
            self._check_log()
            if self.prepared is not None:
                self.build.on_halt(self.prepared.kill)
                Cache(self.build, self.prepared, session, self.log.agent).restore()
                self._tell_of_phases(self.prepared.spec)
                # AWS would have failed here, or run another version: nobody is to miss it
                phase.note = "; ".join(self.prepared.replaced)
        if self.prepared is not None and phase.status == "SUCCEEDED":
            with disk.watched(self.build, self.prepared, self.log.agent):
                self._commands(self.prepared.spec)
            self._upload(session, self.prepared)
        with self._phase("FINALIZING"):
            if self.prepared is not None:
                self.prepared.close()

    # phases

    @contextmanager
    def _phase(self, name: str) -> Iterator[Phase]:
        """Open a phase and close it as its body went; a failure is the build's, and stays."""
        build, phase = self.build, Phase(name)
        if build.halted:
            raise _Halted
        build.phases.append(phase)
        bus.changes.announce(build.arn)
        status, code, message = "SUCCEEDED", "", ""
        try:
            yield phase
            message = phase.note
        except PhaseFailed as failed:
            status, code, message = "FAILED", failed.code, failed.message
        if build.halted:
            status = build.halted
            code, message = self._why_halted()
        self._close_phase(status, code, message)

    def _why_halted(self) -> tuple[str, str]:
        """The status code and the message of what ended the build before its time."""
        match self.build.halted:
            case "TIMED_OUT":
                return "BUILD_TIMED_OUT", "Build has timed out. "
            case "FAULT":
                return "INTERNAL_ERROR", self.build.fault
        return "", ""

    def _close_phase(self, status: str, code: str = "", message: str = "") -> None:
        phase = self.build.phases[-1]
        if phase.status is not None:
            return
        phase.ended, phase.status = now(), status
        if self.outcome == "SUCCEEDED":
            self.outcome = status
        if phase.type not in _WITHOUT_CONTEXT:
            phase.contexts = [{"statusCode": code, "message": message}]
        if phase.type not in _UNTOLD:
            self.log.agent(f"Phase complete: {phase.type} State: {status}")
            self.log.agent(f"Phase context status code: {code} Message: {message}")
        events.phase_changed(self.build, phase)

    def _provision(self) -> Session:
        build = self.build
        role, principal = build.settings["serviceRole"], build.managed_by or CODEBUILD
        session = assume_service_role(role, build.project.arn, principal)
        where = "Running on CodeBuild On-demand, in the lab"
        if build.logs_enabled:
            place = (build.log_group, build.log_stream, build.account)
            self.log.open(session, *place, first=where, failed=build.break_off)
        else:
            self.log.agent(where)
        self._tell_of_environment()
        self.log.agent("Waiting for agent ping")
        return session

    def _check_log(self) -> None:
        """A role that may make no log stream ends the build before any command of it runs.

        AWS's words are those of public reports, which do not say in which phase (unsettled).

        Raises:
            PhaseFailed: CloudWatch Logs refused.
        """
        if refused := self.log.opened():
            role, message = self.build.settings["serviceRole"], refused.response["Error"]["Message"]
            raise PhaseFailed(
                "ACCESS_DENIED",
                f"Service role {role} does not allow AWS CodeBuild to create Amazon CloudWatch Logs "
                f"log streams for build {self.build.arn}. Error message: {message}",
            )

    def _tell_of_environment(self) -> None:
        environment = self.build.settings["environment"]
        self.log.agent(f"The image {environment['image']} is not run: the tools are this machine's")
        self.log.agent(Guest(self.directory).description)
        if environment.get("privilegedMode"):
            self.log.agent("Privileged mode gives no Docker here: its commands fail")

    def _tell_of_phases(self, spec: Buildspec) -> None:
        self.log.agent("Registering with agent")
        self.log.agent(f"Phases found in YAML: {len(spec.phases)}")
        for name, phase in spec.phases.items():
            self.log.agent(f" {name.upper()}: {len(phase.commands)} commands")

    def _commands(self, spec: Buildspec) -> None:
        """The four phases of commands."""
        assert self.prepared is not None
        remaining = list(PHASES)
        while remaining:
            name = remaining.pop(0)
            commands = spec.phases.get(name)
            with self._phase(name.upper()) as phase:
                self._command_phase(name, commands)
            if phase.status != "FAILED":
                continue
            self.prepared.set("CODEBUILD_BUILD_SUCCEEDING", "0")
            on_failure = commands.on_failure if commands else None
            if on_failure is not None and on_failure.action == "ABORT":
                remaining, self.uploads = [], False
            elif on_failure is None or on_failure.action != "CONTINUE":
                still, self.uploads = _AFTER_FAILURE[name]
                remaining = [item for item in remaining if item in still]
        names = environment.exportable(spec.exported, self.build)
        shell = self.prepared.shell
        values = {name: shell.get(name) for name in names} if not self.build.halted else {}
        self.build.exported = [
            {"name": name, "value": value} for name, value in values.items() if value is not None
        ]

    def _command_phase(self, name: str, spec: PhaseSpec | None) -> None:
        self.log.agent(f"Entering phase {name.upper()}")
        if spec is None:
            return
        if not spec.commands:
            self.log.agent(f"No commands found for phase name: {name}")
        assert self.prepared is not None
        shell = self.prepared.shell_of(spec.run_as)
        failures = [
            self._with_retries(name, spec, shell),
            self._first_failure(spec.last, shell),
        ]
        for failure in failures:
            if failure is not None:
                raise failure

    def _with_retries(self, name: str, spec: PhaseSpec, shell: Shell) -> PhaseFailed | None:
        """Run a phase's commands, again as often as its `on-failure` says; the last failure.

        AWS page: "Build specification reference for CodeBuild", phases/*/on-failure, RETRY.
        """
        rule = spec.on_failure or OnFailure("ABORT")
        failure = None
        for attempt in range(rule.retries + 1):
            if attempt:
                told = f"Retrying phase {name.upper()}: attempt {attempt} of {rule.retries}"
                self.log.agent(told)
            self.recent = b""
            failure = self._first_failure(spec.commands, shell)
            if failure is None or self.build.halted:
                break
            said = f"{failure.message}\n{self.recent.decode('utf-8', 'replace')}"
            if rule.pattern is not None and not rule.pattern.search(said):
                break
        return failure

    def _first_failure(self, commands: list[str], shell: Shell) -> PhaseFailed | None:
        """Run commands until one fails; its failure."""
        for command in commands:
            if self.build.halted:
                return None
            self.log.agent(f"Running command {command}")
            status = shell.run(command)
            self.log.end_line()
            if status == 0:
                continue
            if not self.build.halted:
                self.log.agent(f"Command did not exit successfully {command} exit status {status}")
                if advice := network.advice(self.recent):
                    self.log.agent(advice)
            reason = f"Error while executing command: {command}. Reason: exit status {status}"
            return PhaseFailed("COMMAND_EXECUTION_ERROR", reason)
        return None

    def _write(self, data: bytes) -> None:
        self.recent = (self.recent + data[-_RECENT:])[-_RECENT:]
        self.log.write(data)

    def _upload(self, session: Session, prepared: Prepared) -> None:
        if not self.uploads:
            return
        with self._phase("UPLOAD_ARTIFACTS"):
            backend = codebuild_backends[self.build.account][self.build.region]
            process_reports(backend, self.build, prepared, session, self.log.agent)
            artifacts.upload(self.build, prepared, session, self.log)
            Cache(self.build, prepared, session, self.log.agent).keep()

    # the end

    def _kill(self) -> None:
        """End what is not in the shell's process group; the shell is killed on its own."""
        runtime.current().processes.end(self.build.owner, grace_seconds=0.2)

    def _keep_log(self) -> None:
        """Close the log, and copy it to S3 where the project says so."""
        self.log.close()
        build, wanted = self.build, self.build.s3_logs
        if self.session is None or wanted is None:
            return
        encryption = {} if wanted.get("encryptionDisabled") else {"ServerSideEncryption": "AES256"}
        try:
            build.s3_log_arn = logs.to_s3(
                self.log.file.path, self.session, wanted["location"], build.uuid, **encryption
            )
        except (ClientError, BotoCoreError, S3UploadFailedError) as error:
            logger.warning("no log of %s in S3: %s", build.id, error)

    def _finish(self) -> None:
        build = self.build
        last = build.phases[-1]
        try:
            self._let_go()
        except Exception as error:
            logger.exception("the end of build %s", build.id)
            build.break_off(error)
        build.phases.append(Phase("COMPLETED"))
        if build.fault:  # also of what broke between two phases
            last.contexts = [{"statusCode": "INTERNAL_ERROR", "message": build.fault}]
        build.status, build.ended = build.halted or self.outcome, now()
        build.over.set()
        events.build_changed(build)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _let_go(self) -> None:
        build = self.build
        if self.prepared is not None:
            self.prepared.close()
        runtime.current().processes.end(build.owner, grace_seconds=0.5)
        for note in self.prepared.replaced if self.prepared else []:
            self.log.agent(f"Not as on AWS: {note}")  # also for who reads the end of a log alone
        if build.fault:
            self.log.agent(f"The lab's own error ended the build: {build.fault}")
        self._keep_log()


class _Halted(Exception):
    """The build is over: no further phase is opened."""
