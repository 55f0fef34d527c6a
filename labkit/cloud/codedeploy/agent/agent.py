"""The CodeDeploy agent on one host: it does the work of each lifecycle event of one deployment.

Below `/opt/codedeploy-agent/deployment-root` of the host it keeps what the real agent keeps: the
unpacked revisions, the scripts' logs, what it copied, and which revision was installed last. The
rule numbers (E1, E5, ...) are the agent's.

AWS pages: "CodeDeploy agent"; "AppSpec 'hooks' section", which revision's scripts run.
"""

from __future__ import annotations

import shutil
import time
from functools import lru_cache
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.codedeploy.agent import bundles, hooks, psych
from labkit.cloud.codedeploy.agent.appspec import SCRIPTABLE, AppSpec, AppSpecError, parse
from labkit.cloud.codedeploy.agent.bundles import ARCHIVE, BundleError
from labkit.cloud.codedeploy.agent.hooks import ScriptError
from labkit.cloud.codedeploy.agent.install import InstallError, install
from labkit.cloud.codedeploy.agent.permissions import PermissionsError
from labkit.cloud.codedeploy.agent.scriptlog import COMBINED, ScriptLog
from labkit.cloud.codedeploy.models import BLOCK, Deployment
from labkit.cloud.compute.hosts import Host, HostError
from labkit.cloud.guests import languages
from labkit.cloud.shared import runtime
from labkit.cloud.shared.archives import ArchiveError
from labkit.cloud.shared.clients import Session

ROOT = "/opt/codedeploy-agent/deployment-root"
KEPT_REVISIONS = 5
GONE = (
    "CodeDeploy agent was not able to receive the lifecycle event. Check the CodeDeploy agent "
    "logs on your host and make sure the agent is running and can connect to the CodeDeploy server."
)
APPSPEC = "appspec.yml"
_START_SECONDS = 300  # an event has to begin so soon after its trigger ("CodeDeploy limits")
_LOOK_SECONDS = 0.05
_parse = lru_cache(maxsize=32)(parse)  # every event of every host reads the same file
_OF_THE_LAST = ("ApplicationStop", "BeforeBlockTraffic", "AfterBlockTraffic")
_REFUSALS = (
    AppSpecError,
    ArchiveError,
    BundleError,
    HostError,
    InstallError,
    PermissionsError,
    psych.RubyError,
    languages.RuntimeMissing,
    BotoCoreError,
)


class EventError(Exception):
    """A lifecycle event that failed, with what its diagnostics say."""

    def __init__(self, code: str, message: str, script: str = "", log_tail: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.script, self.log_tail = code, message, script, log_tail


class Agent:
    """The agent's work for one deployment on one host."""

    def __init__(self, host: Host, deployment: Deployment) -> None:
        self.host, self.deployment = host, deployment
        self.bundle = bundles.environment(deployment.revision)
        self._session: Session | None = None

    def perform(self, event: str) -> None:
        """Do the work of one lifecycle event.

        Raises:
            EventError: it failed.
        """
        self._await_start()
        try:
            self._find_places()
            match event:
                case "DownloadBundle":
                    self._download()
                case "Install":
                    self._install()
                case _:
                    self._hooks(event)
        except ScriptError as error:
            raise EventError(error.code, error.message, error.script, self.log.tail()) from error
        except _REFUSALS as error:
            raise EventError("UnknownError", str(error)) from error
        except OSError as error:
            raise EventError("UnknownError", self._reason(error)) from error
        except ClientError as error:
            detail = error.response["Error"]
            raise EventError(
                "UnknownError", f"{detail['Code']}: {detail.get('Message', '')}"
            ) from error

    def _find_places(self) -> None:
        """Where everything lies on the host; a script may have changed what leads there."""
        self.host.prepare()
        deployment, root = self.deployment, self.host.path(ROOT)
        self.group = root / deployment.group_id
        self.directory = self.group / deployment.id
        self.archive = self.directory / ARCHIVE
        self.instructions = root / "deployment-instructions"
        self.cleanup = self.instructions / f"{deployment.group_id}-cleanup"
        self.last_installed = self.instructions / f"{deployment.group_id}_last_successful_install"
        self.most_recent = self.instructions / f"{deployment.group_id}_most_recent_install"
        self.log = ScriptLog(
            self.directory / "logs" / "scripts.log", root / COMBINED, deployment.id
        )

    def _await_start(self) -> None:
        """An agent that is stopped does not receive its events, until it runs again."""
        clock = runtime.current().clock
        deadline = time.monotonic() + clock.wait_seconds(_START_SECONDS)
        while not self.host.agent_runs:
            late = time.monotonic() > deadline
            if late or self.deployment.stopping or not self.host.runs:
                raise EventError("UnknownError", GONE)
            time.sleep(_LOOK_SECONDS)

    def _reason(self, error: OSError) -> str:
        """The system's own words, and the path by its name on the host."""
        text = error.strerror or str(error)
        if not isinstance(error.filename, str):
            return text
        path = Path(error.filename)
        named = self.host.name(path) if path.is_relative_to(self.host.root) else str(path)
        return f"{text} - {named}"

    def _download(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._forget_old_revisions()
        self.bundle |= bundles.bring(
            self.host, self.session, self.deployment.revision, self.directory
        )
        self._point(self.most_recent)

    def _forget_old_revisions(self) -> None:
        """E16: with the current one five stay, and the last installed one in any case."""
        last = self._pointed(self.last_installed)
        others = [path for path in self.group.iterdir() if path != self.directory]
        extra = len(others) - KEPT_REVISIONS + 1
        removable = [path for path in others if last is None or path != last.parent]
        removable.sort(key=lambda path: path.lstat().st_mtime)
        for path in removable[: max(extra, 0)]:
            shutil.rmtree(path, ignore_errors=True)

    def _install(self) -> None:
        path = self._installed_appspec()
        spec = self._parsed(path)
        unknown = [name for name in spec.hooks if name not in SCRIPTABLE]
        if unknown:  # E10
            raise InstallError(
                f"{path.name} file contains unknown lifecycle events: {psych.inspect(unknown)}"
            )
        install(
            self.host,
            spec,
            self.archive,
            self.cleanup,
            behavior=self.deployment.file_exists_behavior,
            say=self.log.write,
        )
        self._point(self.last_installed)  # E5

    def _installed_appspec(self) -> Path:
        """E13: Install alone knows appspec.yaml as well."""
        for name in (APPSPEC, "appspec.yaml"):
            path = self._in(self.archive, name)
            if path.is_file():
                return path
        name = self.host.name(self.archive / APPSPEC)
        raise InstallError(f"No such file or directory @ rb_sysopen - {name}")

    def _in(self, archive: Path, name: str) -> Path:
        return self.host.path(f"{self.host.absolute(archive)}/{name}")

    def _hooks(self, event: str) -> None:
        archive = self._archive_of(event)
        if archive is None:
            return
        scripts = self._appspec(archive).hooks.get(event, [])
        if not scripts:  # E12
            return
        if not self.log.path.exists():
            self.log.note(*self.host.description)
        hooks.run(self.host, event, scripts, archive, self._environment(event), self.log)

    def _archive_of(self, event: str) -> Path | None:
        """The revision whose scripts run (E1-E4); None, and there is nothing to do."""
        back = self.deployment.creator == "codeDeployRollback" and self.deployment.reroute
        if event in _OF_THE_LAST:
            if self.archive.is_dir():
                return self.archive
            return self._pointed(
                self.most_recent if back and event in BLOCK else self.last_installed
            )
        return self._pointed(self.last_installed) if back else self.archive

    def _point(self, pointer: Path) -> None:
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.write_text(self.host.absolute(self.directory), encoding="utf-8")

    def _pointed(self, pointer: Path) -> Path | None:
        if not pointer.exists():
            return None
        return self.host.path(pointer.read_text(encoding="utf-8").strip()) / ARCHIVE

    def _appspec(self, archive: Path) -> AppSpec:
        path = self._in(archive, APPSPEC)
        if path.is_file():
            return self._parsed(path)
        raise AppSpecError(  # E6
            "The CodeDeploy agent did not find an AppSpec file within the unpacked revision "
            f'directory at revision-relative path "{APPSPEC}". The revision was unpacked to '
            f'directory "{self.host.name(archive)}", and the AppSpec file was expected but not '
            f'found at path "{self.host.name(path)}". Consult the AWS CodeDeploy Appspec '
            "documentation for more information at "
            "http://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file.html"
        )

    def _parsed(self, path: Path) -> AppSpec:
        return _parse(path.read_bytes())

    @property
    def session(self) -> Session:
        if self._session is None:
            self._session = self.host.session()
        return self._session

    def _environment(self, event: str) -> dict[str, str]:
        """D13."""
        deployment = self.deployment
        return {
            **self.host.environment(self.session),
            "LIFECYCLE_EVENT": event,
            "DEPLOYMENT_ID": deployment.id,
            "APPLICATION_NAME": deployment.application,
            "DEPLOYMENT_GROUP_NAME": deployment.group,
            "DEPLOYMENT_GROUP_ID": deployment.group_id,
            **self.bundle,
        }
