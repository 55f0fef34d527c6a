"""The CodeDeploy agent on one host: it does the work of each lifecycle event of one deployment.

Below `/opt/codedeploy-agent/deployment-root` of the host it keeps what the real agent keeps: the
unpacked revisions, the scripts' logs, what it copied, and which revision was installed last. The
rule numbers (E1, E5, ...) are the agent's.

AWS pages: "CodeDeploy agent"; "AppSpec 'hooks' section", which revision's scripts run.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud import runtimes
from labkit.cloud.archives import ArchiveError, unpack
from labkit.cloud.clients import Session
from labkit.cloud.codedeploy import hooks
from labkit.cloud.codedeploy.appspec import SCRIPTABLE, AppSpec, AppSpecError, parse
from labkit.cloud.codedeploy.hooks import ScriptError, ScriptLog
from labkit.cloud.codedeploy.install import InstallError, install
from labkit.cloud.codedeploy.models import BLOCK, Deployment
from labkit.cloud.compute.hosts import Host, HostError

ROOT = "/opt/codedeploy-agent/deployment-root"
KEPT_REVISIONS = 5
_OF_THE_LAST = ("ApplicationStop", "BeforeBlockTraffic", "AfterBlockTraffic")
_NAMES = ("appspec.yaml", "appspec.yml")


class EventError(Exception):
    """A lifecycle event that failed, with what its diagnostics say."""

    def __init__(self, code: str, message: str, script: str = "", log_tail: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.script, self.log_tail = code, message, script, log_tail


class Agent:
    """The agent's work for one deployment on one host."""

    def __init__(self, host: Host, deployment: Deployment) -> None:
        self.host, self.deployment = host, deployment
        root = host.path(ROOT)
        self.group = root / deployment.group_id
        self.directory = self.group / deployment.id
        self.archive = self.directory / "deployment-archive"
        self.instructions = root / "deployment-instructions"
        self.cleanup = self.instructions / f"{deployment.group_id}-cleanup"
        self.last_installed = self.instructions / f"{deployment.group_id}_last_successful_install"
        self.most_recent = self.instructions / f"{deployment.group_id}_most_recent_install"
        self.log = ScriptLog(self.directory / "logs" / "scripts.log")
        self.bundle = _bundle(deployment.revision["s3Location"])
        self._session: Session | None = None

    def perform(self, event: str) -> None:
        """Do the work of one lifecycle event.

        Raises:
            EventError: it failed.
        """
        try:
            match event:
                case "DownloadBundle":
                    self._download()
                case "Install":
                    self._install()
                case _:
                    self._hooks(event)
        except ScriptError as error:
            raise EventError(error.code, error.message, error.script, self.log.tail()) from error
        except (AppSpecError, InstallError, ArchiveError, HostError) as error:
            raise EventError("UnknownError", str(error)) from error
        except (OSError, runtimes.RuntimeMissing, BotoCoreError) as error:
            raise EventError("UnknownError", str(error)) from error
        except ClientError as error:
            detail = error.response["Error"]
            raise EventError(
                "UnknownError", f"{detail['Code']}: {detail.get('Message', '')}"
            ) from error

    def _download(self) -> None:
        location = self.deployment.revision["s3Location"]
        extra = {"VersionId": location["version"]} if location.get("version") else {}
        found = self.session.client("s3").get_object(
            Bucket=location["bucket"], Key=location["key"], **extra
        )
        expected = (location.get("eTag") or "").strip('"')
        actual = found["ETag"].strip('"')
        if expected and expected != actual:  # E19
            raise EventError(
                "UnknownError",
                f"Expected deployment artifact bundle etag {expected} but was actually {actual}",
            )
        self.bundle["BUNDLE_ETAG"] = actual
        if found.get("VersionId"):
            self.bundle["BUNDLE_VERSION"] = found["VersionId"]
        unpack(found["Body"].read(), location.get("bundleType", "zip"), self.archive)
        self._strip_top_directory()
        self.instructions.mkdir(parents=True, exist_ok=True)
        self.most_recent.write_text(f"{self.directory}\n")
        self._forget_old_revisions()

    def _strip_top_directory(self) -> None:
        """E14: one directory at the top that holds the appspec is not part of the revision."""
        entries = list(self.archive.iterdir())
        if len(entries) != 1 or not entries[0].is_dir():
            return
        if not any("appspec" in path.name.lower() for path in entries[0].iterdir()):
            return
        aside = self.directory / "unpacked"
        entries[0].rename(aside)
        self.archive.rmdir()
        aside.rename(self.archive)

    def _forget_old_revisions(self) -> None:
        """E16: the last five stay, and always the current and the last installed one."""
        last = self._pointed(self.last_installed)
        kept = {self.directory, last.parent if last else None}
        revisions = sorted(self.group.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in revisions[:-KEPT_REVISIONS]:
            if path not in kept:
                shutil.rmtree(path, ignore_errors=True)

    def _install(self) -> None:
        spec = self._appspec(self.archive)
        unknown = [name for name in spec.hooks if name not in SCRIPTABLE]
        if unknown:  # E10
            raise InstallError(
                f"appspec.yml file contains unknown lifecycle events: [{', '.join(unknown)}]"
            )
        install(
            self.host,
            spec,
            self.archive,
            self.cleanup,
            behavior=self.deployment.file_exists_behavior,
            say=self.log.write,
        )
        self.last_installed.write_text(f"{self.directory}\n")  # E5

    def _hooks(self, event: str) -> None:
        archive = self._archive_of(event)
        if archive is not None:
            scripts = self._appspec(archive).hooks.get(event, [])
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

    def _pointed(self, pointer: Path) -> Path | None:
        if not pointer.exists():
            return None
        return Path(pointer.read_text().strip()) / "deployment-archive"

    def _appspec(self, archive: Path) -> AppSpec:
        for name in _NAMES:  # E13
            path = archive / name
            if path.is_file():
                return parse(path.read_text(encoding="utf-8-sig"))
        raise AppSpecError(
            "The CodeDeploy agent did not find an AppSpec file within the unpacked revision "
            f'directory at revision-relative path "appspec.yml". The revision was unpacked to '
            f'directory "{archive}", and the AppSpec file was expected but not found at path '
            f'"{archive / "appspec.yml"}". Consult the AWS CodeDeploy Appspec documentation for '
            "more information."
        )

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


def _bundle(location: dict[str, str]) -> dict[str, str]:
    """What the scripts of every event are told of the bundle, downloaded or not yet (D13)."""
    shown = {"BUCKET": "bucket", "KEY": "key", "VERSION": "version", "ETAG": "eTag"}
    return {f"BUNDLE_{name}": location[key] for name, key in shown.items() if location.get(key)}
