"""What DOWNLOAD_SOURCE does: sources, buildspec, variables, runtimes, and a shell to run it all in.

AWS pages: "View build details"; "Build specification reference for CodeBuild".
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from labkit.cloud.codebuild import environment, images, network
from labkit.cloud.codebuild.backend import codebuild_backends
from labkit.cloud.codebuild.buildspec import (
    Buildspec,
    BuildspecError,
    check_can_run,
    decoded,
    parse,
)
from labkit.cloud.codebuild.logs import BuildLog
from labkit.cloud.codebuild.models import Build, PhaseFailed, cache_directory
from labkit.cloud.codebuild.shell import Shell
from labkit.cloud.codebuild.source import Fetcher, SourceError
from labkit.cloud.guests import languages, settings, users
from labkit.cloud.guests.guest import Guest
from labkit.cloud.shared.clients import Session
from labkit.cloud.shared.git import git_credentials


@dataclass(frozen=True)
class Prepared:
    """A build that is ready to run its commands."""

    spec: Buildspec
    source: Path
    guest: Guest
    new_shell: Callable[[str | None], Shell]
    shells: dict[str | None, Shell] = field(default_factory=dict)  # by the user they run as
    replaced: list[str] = field(default_factory=list)  # runtimes in place of those asked for

    @property
    def shell(self) -> Shell:
        """The shell of the build's own user."""
        return self.shell_of(None)

    def shell_of(self, user: str | None) -> Shell:
        """The shell of a Linux user (`run-as`; the buildspec's, if None)."""
        user = user or self.spec.run_as
        user = None if user == "root" else user  # the build's own
        if user not in self.shells:
            self.shells[user] = self.new_shell(user)
        return self.shells[user]

    def set(self, name: str, value: str) -> None:
        """Export a variable to all commands that follow."""
        for shell in self.shells.values():
            shell.set(name, value)

    def kill(self) -> None:
        """End all commands, now and from now on; any thread may call it."""
        for shell in list(self.shells.values()):
            shell.kill()

    def interrupt(self) -> None:
        """End the commands that run now; any thread may call it."""
        for shell in list(self.shells.values()):
            shell.interrupt()

    def close(self) -> None:
        """End all shells."""
        for shell in self.shells.values():
            shell.close()


def prepare(
    build: Build, session: Session, directory: Path, log: BuildLog, write: Callable[[bytes], None]
) -> Prepared | None:
    """Make everything that a build's commands need; None for the first build of a batch.

    Args:
        directory: the build's own.
        write: called with the commands' output.

    Raises:
        PhaseFailed: as the build's phase context says it.
    """
    preparation = _Preparation(build, session, directory, log, write)
    try:
        if build.read_batchspec is not None:
            preparation.download_batchspec()
            return None
        return preparation.run()
    except SourceError as error:
        raise PhaseFailed("CLIENT_ERROR", str(error)) from error
    except (BuildspecError, languages.RuntimeMissing) as error:
        raise PhaseFailed("YAML_FILE_ERROR", str(error)) from error
    except environment.VariableError as error:
        raise PhaseFailed(error.code, error.message) from error


class _Preparation:
    def __init__(
        self,
        build: Build,
        session: Session,
        directory: Path,
        log: BuildLog,
        write: Callable[[bytes], None],
    ) -> None:
        self.build, self.session, self.directory, self.log = build, session, directory, log
        self.write = write
        self.image = images.find(build.settings["environment"]["image"])
        self.guest = Guest(directory)
        self.source = self._source_directory()
        kept = build.settings.get("cache") or {}
        local = "LOCAL_SOURCE_CACHE" in (kept.get("modes") or [])
        self.fetcher = Fetcher(
            session,
            build.owner,
            codebuild_backends[build.account][build.region].sign_ins,
            cache_directory(build.project) / "git" if local else None,
        )

    def run(self) -> Prepared:
        self.log.agent("Waiting for DOWNLOAD_SOURCE")
        env = environment.base(self.build, self.session, self.guest, self.source)
        env |= self._primary_source()
        secondary = self._secondary_sources()
        env |= secondary
        self.log.agent("Phase is DOWNLOAD_SOURCE")
        self.log.agent(f"CODEBUILD_SRC_DIR={self.guest.inside(self.source)}")
        for name, value in secondary.items():
            if name.startswith("CODEBUILD_SRC_DIR_"):
                self.log.agent(f"{name}={value}")
        spec = parse(self._buildspec_text())
        check_can_run(spec)
        env |= network.variables()
        env |= self._variables(spec)
        if spec.git_credentials:
            env |= git_credentials()
        env["PATH"], replaced = environment.with_runtimes(
            spec, self.image, env, self.directory, self.log.agent
        )
        self.log.agent(f"Moving to directory {self.guest.inside(self.source)}")
        self._check_users(spec)
        shell = partial(self._shell, spec, env)
        prepared = Prepared(spec, self.source, self.guest, shell, replaced=replaced)
        prepared.shell_of(None)
        return prepared

    def download_batchspec(self) -> None:
        """Bring the source for the sake of its buildspec, which the batch reads."""
        assert self.build.read_batchspec is not None
        self.log.agent("Waiting for DOWNLOAD_SOURCE")
        self._primary_source()
        self.log.agent("Phase is DOWNLOAD_SOURCE")
        self.log.agent(f"CODEBUILD_SRC_DIR={self.guest.inside(self.source)}")
        self.build.read_batchspec(self._buildspec_text(), self.log.agent)

    def _source_directory(self) -> Path:
        """A directory for a source, named as on AWS."""
        number = secrets.randbelow(900_000_000) + 100_000_000
        path = self.directory / "output" / f"src{number}" / "src"
        path.mkdir(parents=True)
        return path

    def _primary_source(self) -> dict[str, str]:
        build = self.build
        fetched = self.fetcher.fetch(build.settings["source"], build.source_version, self.source)
        build.resolved_source_version = fetched.resolved_version
        found = {"CODEBUILD_SOURCE_REPO_URL": fetched.url}
        if fetched.resolved_version:
            found["CODEBUILD_RESOLVED_SOURCE_VERSION"] = fetched.resolved_version
        return found

    def _secondary_sources(self) -> dict[str, str]:
        settings, found = self.build.settings, {}
        versions = {
            item["sourceIdentifier"]: item["sourceVersion"]
            for item in settings.get("secondarySourceVersions") or []
        }
        for item in settings.get("secondarySources") or []:
            name = item["sourceIdentifier"]
            version = versions.get(name)
            path = self._source_directory()
            fetched = self.fetcher.fetch(item, version, path)
            found[f"CODEBUILD_SRC_DIR_{name}"] = self.guest.inside(path)
            found[f"CODEBUILD_SOURCE_REPO_URL_{name}"] = fetched.url
            if version:
                found[f"CODEBUILD_SOURCE_VERSION_{name}"] = version
            if fetched.resolved_version:
                found[f"CODEBUILD_RESOLVED_SOURCE_VERSION_{name}"] = fetched.resolved_version
        return found

    def _buildspec_text(self) -> str:
        """The buildspec's text: inline, an object in S3, or a file of the source."""
        given = self.build.settings["source"].get("buildspec") or ""
        if "\n" in given or "version:" in given or given.lstrip().startswith("{"):
            path = self.directory / "readonly" / "buildspec.yml"
            path.parent.mkdir()
            path.write_text(given, encoding="utf-8")
            self.log.agent(f"YAML location is {self.guest.inside(path)}")
            return given
        if given.startswith("arn:aws:s3:::"):
            self.log.agent(f"YAML location is {given}")
            return self.fetcher.text(given)
        path = Path(os.path.normpath(self.source / (given or "buildspec.yml")))
        inside = path.is_relative_to(self.source)
        shown = self.guest.inside(path) if inside else given
        try:
            there = path.resolve().is_relative_to(self.source.resolve()) and path.is_file()
        except (OSError, ValueError) as error:  # a name that no file can have
            raise BuildspecError(f"stat {shown[:200]!r}: {error.args[-1]}") from error
        if not there:
            raise BuildspecError(f"stat {shown}: no such file or directory")
        self.log.agent(f"YAML location is {shown}")
        return decoded(path.read_bytes())

    def _variables(self, spec: Buildspec) -> dict[str, str]:
        self.log.agent("Processing environment variables")
        found, hidden = environment.variables(self.build, spec, self.session, self.log.agent)
        self.log.mask([*hidden, *self.session.environment.values(), *settings.passwords()])
        return found

    def _check_users(self, spec: Buildspec) -> None:
        """AWS page: "Build specification reference for CodeBuild", run-as."""
        named = {spec.run_as, *(phase.run_as for phase in spec.phases.values())} - {None, "root"}
        for user in sorted(named, key=str):
            if users.find(str(user)) is None:
                raise BuildspecError(f"run-as: unknown user {user}")
            if not self.guest.has_users:
                self.log.agent(f"run-as {user} is not applied: that takes root and bubblewrap")

    def _program(self, name: str, path: str) -> list[str]:
        """The shell of that name, as it is in the image: on Amazon Linux `sh` is bash."""
        sh = self.image.sh if self.image else "sh"
        if name == "sh" and sh == "bash" and (bash := shutil.which("bash", path=path)):
            return [bash, "--posix"]
        wanted = sh if name == "sh" else name
        return [shutil.which(wanted, path=path) or shutil.which(name, path=path) or name]

    def _shell(self, spec: Buildspec, env: dict[str, Any], user: str | None) -> Shell:
        scratch = self.directory / "scratch" / (user or "root")
        scratch.mkdir(parents=True)
        if user is not None:
            scratch.chmod(0o777)
        return Shell(
            self._program(spec.shell, env["PATH"]),
            owner=self.build.owner,
            guest=self.guest,
            directory=self.source,
            scratch=scratch,
            env=env,
            one_session=spec.version == "0.2",
            write=self.write,
            user=user,
        )
