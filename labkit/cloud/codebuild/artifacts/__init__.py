"""UPLOAD_ARTIFACTS: which files an artifact holds, and where it goes in S3.

`finding` walks through what the build left and matches it with the buildspec's `globs`; `storing`
zips what was found, or not, and puts it where the project says.

AWS pages: "Build specification reference for CodeBuild", artifacts; "ProjectArtifacts".
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from labkit.cloud.codebuild.artifacts.finding import ArtifactError, find
from labkit.cloud.codebuild.artifacts.globs import pattern
from labkit.cloud.codebuild.artifacts.storing import Store, Target
from labkit.cloud.codebuild.buildspec import ArtifactSpec
from labkit.cloud.codebuild.logs import BuildLog
from labkit.cloud.codebuild.models import Build, PhaseFailed
from labkit.cloud.codebuild.preparation import Prepared
from labkit.cloud.codebuild.shell import Shell
from labkit.cloud.guests.guest import Guest
from labkit.cloud.shared.clients import Session

__all__ = ["pattern", "upload"]
_END = "labkit-end-of-text"


def upload(build: Build, prepared: Prepared, session: Session, log: BuildLog) -> None:
    """Make and store all artifacts that a build's project, or its pipeline, asks for.

    Raises:
        PhaseFailed: CLIENT_ERROR, in CodeBuild's words.
    """
    try:
        primary = build.settings["artifacts"]
        if primary["type"] != "NO_ARTIFACTS":
            spec = prepared.spec.artifacts
            if spec is None:
                # published in a log of 2018 (aws/aws-codebuild-docker-images, issue 128)
                raise ArtifactError("no definition for primary artifacts in buildspec")
            build.artifact = _one(build, prepared, session, primary, spec, log)
        _secondary(build, prepared, session, log)
    except ArtifactError as error:
        raise PhaseFailed("CLIENT_ERROR", str(error)) from error
    except OSError as error:  # a name that is too long, a file that is not readable
        named = _shown(error.filename, prepared.guest) if error.filename else ""
        told = f"{named[:200]}: {error.strerror}" if named else str(error)
        raise PhaseFailed("CLIENT_ERROR", told) from error


def _shown(name: str, guest: Guest) -> str:
    """A file of the build as its commands name it."""
    path = Path(name)
    return guest.inside(path) if path.is_relative_to(guest.directory) else name


def _secondary(build: Build, prepared: Prepared, session: Session, log: BuildLog) -> None:
    targets, specs = (
        build.settings.get("secondaryArtifacts") or [],
        prepared.spec.secondary_artifacts,
    )
    if build.settings["artifacts"]["type"] != "NO_ARTIFACTS" and not targets:
        log.agent("Preparing to copy secondary artifacts")
        if not specs:
            log.agent("No secondary artifacts defined in buildspec")
    for target in targets:
        name = target["artifactIdentifier"]
        log.agent(f"Preparing to copy secondary artifacts {name}")
        if name not in specs:
            raise ArtifactError(
                f"no secondary artifact {name} in the buildspec: artifacts/secondary-artifacts has "
                f"{', '.join(specs) or 'none'}"
            )
        stored = _one(build, prepared, session, target, specs[name], log)
        build.secondary_artifacts.append({**stored, "artifactIdentifier": name})


def _one(
    build: Build,
    prepared: Prepared,
    session: Session,
    target: Target,
    spec: ArtifactSpec,
    log: BuildLog,
) -> Target:
    """Make one artifact and store it; what the build shows of it."""
    spec = _expanded(spec, prepared.shell)
    store = Store(build, session, target, prepared.guest.directory)
    links = spec.symlinks and store.zips
    return store.put(find(prepared, spec, log.agent, links=links), spec, links=links)


def _expanded(spec: ArtifactSpec, shell: Shell) -> ArtifactSpec:
    """The names of a specification, with what the build's shell makes of their `$`.

    AWS page: "Build specification reference for CodeBuild", artifacts/name: the Shell Command
    Language; "Multiple input sources and output artifacts sample": `base-directory` as well.
    """

    def expand(text: str) -> str:
        if "$" not in text and "`" not in text:
            return text
        # a here-document: quotes stay as they are, but within `$(...)`
        status, told = shell.ask(f"(cat <<{_END}\n{text}\n{_END}\n)")
        return told if status == 0 else text

    return replace(
        spec,
        files=[expand(glob) for glob in spec.files],
        base_directory=expand(spec.base_directory),
        exclude=[expand(glob) for glob in spec.exclude],
        name=expand(spec.name) if spec.name else None,
        s3_prefix=expand(spec.s3_prefix) if spec.s3_prefix else None,
    )
