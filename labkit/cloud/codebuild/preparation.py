"""What DOWNLOAD_SOURCE does: sources, buildspec, variables, runtimes, and a shell to run it all in.

AWS pages: "View build details"; "Build specification reference for CodeBuild".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.cloud import runtimes
from labkit.cloud.clients import Session
from labkit.cloud.codebuild import environment
from labkit.cloud.codebuild.buildspec import Buildspec, BuildspecError, parse
from labkit.cloud.codebuild.logs import BuildLog
from labkit.cloud.codebuild.models import Build, PhaseFailed
from labkit.cloud.codebuild.shell import Shell
from labkit.cloud.codebuild.source import Fetcher, SourceError


@dataclass(frozen=True)
class Prepared:
    """A build that is ready to run its commands."""

    spec: Buildspec
    shell: Shell
    source: Path


def prepare(build: Build, session: Session, directory: Path, log: BuildLog) -> Prepared:
    """Make everything that a build's commands need.

    Args:
        directory: the build's own.

    Raises:
        PhaseFailed: as the build's phase context says it.
    """
    preparation = _Preparation(build, session, directory, log)
    try:
        return preparation.run()
    except SourceError as error:
        raise PhaseFailed("CLIENT_ERROR", str(error)) from error
    except (BuildspecError, runtimes.RuntimeMissing) as error:
        raise PhaseFailed("YAML_FILE_ERROR", str(error)) from error
    except environment.VariableError as error:
        raise PhaseFailed(error.code, error.message) from error


class _Preparation:
    def __init__(self, build: Build, session: Session, directory: Path, log: BuildLog) -> None:
        self.build, self.session, self.directory, self.log = build, session, directory, log
        self.source = directory / "src"
        self.fetcher = Fetcher(session, build.owner)

    def run(self) -> Prepared:
        self.log.agent("Waiting for DOWNLOAD_SOURCE")
        self.source.mkdir()
        env = environment.base(self.build, self.session, self.directory, self.source)
        env |= self._primary_source()
        env |= self._secondary_sources()
        self.log.agent("Phase is DOWNLOAD_SOURCE")
        self.log.agent(f"CODEBUILD_SRC_DIR={self.source}")
        spec = parse(self._buildspec_text())
        env |= self._variables(spec)
        if spec.git_credentials:
            env |= environment.git_credentials()
        env["PATH"] = environment.with_runtimes(spec, env, self.directory, self.log.agent)
        self._tell_of(spec)
        return Prepared(spec, self._shell(spec, env), self.source)

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
        for index, item in enumerate(settings.get("secondarySources") or [], start=1):
            name = item["sourceIdentifier"]
            version = versions.get(name)
            path = self.directory / "secondary" / f"{index:02}"
            path.mkdir(parents=True)
            fetched = self.fetcher.fetch(item, version, path)
            found[f"CODEBUILD_SRC_DIR_{name}"] = str(path)
            found[f"CODEBUILD_SOURCE_REPO_URL_{name}"] = fetched.url
            if version:
                found[f"CODEBUILD_SOURCE_VERSION_{name}"] = version
            if fetched.resolved_version:
                found[f"CODEBUILD_RESOLVED_SOURCE_VERSION_{name}"] = fetched.resolved_version
        return found

    def _buildspec_text(self) -> str:
        """The buildspec's text: inline, an object in S3, or a file of the source."""
        given = self.build.settings["source"].get("buildspec") or ""
        if "\n" in given or "version:" in given:
            path = self.directory / "buildspec.yml"
            path.write_text(given, encoding="utf-8")
            self.log.agent(f"YAML location is {path}")
            return given
        if given.startswith("arn:aws:s3:::"):
            self.log.agent(f"YAML location is {given}")
            return self.fetcher.text(given)
        path = self.source / (given or "buildspec.yml")
        self.log.agent(f"YAML location is {path}")
        if not path.resolve().is_relative_to(self.source.resolve()) or not path.is_file():
            raise BuildspecError(f"stat {path}: no such file or directory")
        try:
            return path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise BuildspecError(f"{path.name} is not UTF-8 at byte {error.start}") from error

    def _variables(self, spec: Buildspec) -> dict[str, str]:
        self.log.agent("Processing environment variables")
        found, hidden = environment.variables(self.build, spec, self.session, self.log.agent)
        self.log.mask([*hidden, *self.session.environment.values()])
        return found

    def _tell_of(self, spec: Buildspec) -> None:
        say = self.log.agent
        say(f"Moving to directory {self.source}")
        cache = self.build.settings.get("cache") or {}
        if not spec.cache.paths:
            say("Cache is not defined in the buildspec")
            say("Skip cache due to: no paths specified to be cached")
        elif cache.get("type", "NO_CACHE") == "NO_CACHE":
            say("Skip cache due to: the project has no cache")
        else:
            say(f"Skip cache due to: the lab does not keep a {cache['type']} cache yet")
        say("Registering with agent")
        say(f"Phases found in YAML: {len(spec.phases)}")
        for name, phase in spec.phases.items():
            say(f" {name.upper()}: {len(phase.commands)} commands")

    def _shell(self, spec: Buildspec, env: dict[str, Any]) -> Shell:
        scratch = self.directory / "scratch"
        scratch.mkdir()
        return Shell(
            spec.shell,
            owner=self.build.owner,
            directory=self.source,
            scratch=scratch,
            env=env,
            one_session=spec.version == "0.2",
            write=self.log.write,
        )
