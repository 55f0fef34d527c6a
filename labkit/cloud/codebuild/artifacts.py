"""UPLOAD_ARTIFACTS: which files an artifact holds, and where it goes in S3.

AWS pages: "Build specification reference for CodeBuild", artifacts; "ProjectArtifacts".
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.archives import pack
from labkit.cloud.clients import Session
from labkit.cloud.codebuild.buildspec import ArtifactSpec, Buildspec
from labkit.cloud.codebuild.isolation import Guest
from labkit.cloud.codebuild.logs import BuildLog
from labkit.cloud.codebuild.models import Build, PhaseFailed
from labkit.cloud.codebuild.preparation import Prepared

Target = dict[str, Any]
_MOST_LINKS = 40  # of one file, as Linux follows them


class ArtifactError(Exception):
    """Artifacts that could not be made or stored; the message is the phase context's."""


def upload(build: Build, prepared: Prepared, session: Session, log: BuildLog) -> None:
    """Make and store all artifacts that a build's project, or its pipeline, asks for.

    Raises:
        PhaseFailed: CLIENT_ERROR, in CodeBuild's words.
    """
    try:
        primary = build.settings["artifacts"]
        if primary["type"] != "NO_ARTIFACTS":
            build.artifact = _one(build, prepared, session, primary, prepared.spec.artifacts, log)
        for target in build.settings.get("secondaryArtifacts") or []:
            name = target["artifactIdentifier"]
            spec = prepared.spec.secondary_artifacts.get(name) or _only(build, prepared.spec, name)
            stored = _one(build, prepared, session, target, spec, log)
            build.secondary_artifacts.append({**stored, "artifactIdentifier": name})
    except ArtifactError as error:
        raise PhaseFailed("CLIENT_ERROR", str(error)) from error
    except OSError as error:  # a name that is too long, a file that is not readable
        told = f"{str(error.filename)[:200]}: {error.strerror}" if error.filename else str(error)
        raise PhaseFailed("CLIENT_ERROR", told) from error


def _only(build: Build, spec: Buildspec, name: str) -> ArtifactSpec:
    raise ArtifactError(
        f"no secondary artifact {name} in the buildspec: artifacts/secondary-artifacts has "
        f"{', '.join(spec.secondary_artifacts) or 'none'}"
    )


def _one(
    build: Build,
    prepared: Prepared,
    session: Session,
    target: Target,
    spec: ArtifactSpec | None,
    log: BuildLog,
) -> Target:
    """Make one artifact and store it; what the build shows of it."""
    if spec is None:
        log.agent("No artifacts defined in buildspec")
        raise ArtifactError("no matching artifact paths found")
    found = find(prepared, _expanded(spec, prepared), log.agent)
    if not (found.spec.symlinks and _zipped(target)):
        found = _own(found, prepared.guest, log.agent)
    return _Store(build, session, target).put(found, found.spec)


def _zipped(target: Target) -> bool:
    return target["type"] == "CODEPIPELINE" or target.get("packaging") == "ZIP"


def _expanded(spec: ArtifactSpec, prepared: Prepared) -> ArtifactSpec:
    """The names of a specification, with what the build's shell makes of their `$`."""

    def expand(text: str) -> str:
        if "$" not in text and "`" not in text:
            return text
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        status, told = prepared.shell.ask(f'printf "%s" "{quoted}"')
        return told if status == 0 else text

    return ArtifactSpec(
        [expand(glob) for glob in spec.files],
        expand(spec.base_directory),
        [expand(glob) for glob in spec.exclude],
        spec.discard_paths,
        spec.symlinks,
        expand(spec.name) if spec.name else None,
        expand(spec.s3_prefix) if spec.s3_prefix else None,
    )


@dataclass(frozen=True)
class Found:
    """The files of an artifact: their names in it, and where each is.

    Args:
        linked: the names of those that are links, or lie below one.
    """

    files: dict[str, Path]
    spec: ArtifactSpec
    linked: frozenset[str] = frozenset()


def pattern(glob: str) -> re.Pattern[str]:
    """A buildspec's glob as a regular expression over a relative path.

    `*` stays within a directory, `**` crosses them, and both match names that begin with a dot.
    """
    text, index = "", 0
    glob = glob.removeprefix("./")
    while index < len(glob):
        if glob.startswith("**/", index):
            text, index = text + "(?:.*/)?", index + 3
        elif glob.startswith("**", index):
            text, index = text + ".*", index + 2
        elif glob[index] == "*":
            text, index = text + "[^/]*", index + 1
        elif glob[index] == "?":
            text, index = text + "[^/]", index + 1
        else:
            text, index = text + re.escape(glob[index]), index + 1
    return re.compile(text, re.DOTALL)


def find(prepared: Prepared, spec: ArtifactSpec, say: Callable[[str], None]) -> Found:
    """The files of an artifact, by their names in it.

    Args:
        say: writes an agent's line to the log.

    Raises:
        ArtifactError: nothing matches, or the base directory is not the build's.
    """
    say(f"Expanding base directory path: {spec.base_directory}")
    base = _base_directory(prepared.source, prepared.guest, spec.base_directory)
    if base is None:
        raise ArtifactError(f"no matching base directory path found for {spec.base_directory}")
    say("Assembling file list")
    say(f"Expanding {spec.base_directory}")
    say(f"Expanding file paths for base directory {spec.base_directory}")
    say("Assembling file list")
    walked = _walk(base, links=spec.symlinks)
    present = sorted(walked)
    chosen: dict[str, None] = {}
    for glob in spec.files:
        say(f"Expanding {glob}")
        rule = pattern(glob.removeprefix(f"{prepared.guest.inside(base)}/"))
        matching = [name for name in present if rule.fullmatch(name)]
        if not matching and not any(sign in glob for sign in "*?"):
            say(f"Skipping invalid file path {glob}")
        chosen.update(dict.fromkeys(matching))
    excluded = [pattern(glob) for glob in spec.exclude]
    names = [name for name in chosen if not any(rule.fullmatch(name) for rule in excluded)]
    if not names:
        raise ArtifactError("no matching artifact paths found")
    say(f"Found {len(names)} file(s)")
    # without their paths, the later of two files of one name stays
    shown = {name: name.rpartition("/")[2] if spec.discard_paths else name for name in names}
    linked = frozenset(shown[name] for name in names if walked[name])
    return Found({shown[name]: base / name for name in names}, spec, linked)


def _own(found: Found, guest: Guest, say: Callable[[str], None]) -> Found:
    """The files that links lead to; without those that are not the build's.

    On AWS the whole container is the build's; here the rest of the disk is the learner's.
    """
    real, files = guest.directory.resolve(), dict(found.files)
    for name in found.linked:
        lies = _followed(files[name], guest)
        if lies.resolve().is_relative_to(real):
            files[name] = lies
        else:
            del files[name]
            say(f"Skipping invalid file path {name}: it is a link out of the build's directories")
    if not files:
        raise ArtifactError("no matching artifact paths found")
    return Found(files, found.spec)


def _followed(path: Path, guest: Guest) -> Path:
    """Where a file lies, its links read as the build's commands see them."""
    for _ in range(_MOST_LINKS):
        if not path.is_symlink():
            break
        target = path.readlink()
        path = guest.outside(str(target)) if target.is_absolute() else path.parent / target
    return path


def _base_directory(source: Path, guest: Guest, name: str) -> Path | None:
    """The directory of that name below the source, whose last part may be a glob.

    One that is named from the root on may be any of the build's: another source's, for one.
    """
    path = Path(os.path.normpath(source / guest.outside(name)))
    top = guest.directory if Path(name).is_absolute() else source
    real = guest.directory.resolve()
    if not (path.is_relative_to(top) and path.resolve().is_relative_to(real)):
        # on AWS the whole container is the build's; here the rest of the disk is the learner's
        raise ArtifactError(
            f"base-directory {name} is outside the source directory, which the lab does not allow"
        )
    if path.is_dir():
        return path
    try:
        matching = sorted(top.glob(os.path.relpath(path, top)))
    except ValueError:  # what is no glob to Python, as `a**`, matches nothing
        return None
    inside = (found for found in matching if found.resolve().is_relative_to(real))
    return next((found for found in inside if found.is_dir()), None)


def _walk(base: Path, *, links: bool) -> dict[str, bool]:
    """Every file below `base`, and whether a link leads to it.

    Links to directories are followed, unless `links` are kept.
    """
    real, found = base.resolve(), dict[str, bool]()

    def below(directory: str, prefix: str, linked: bool) -> None:
        with os.scandir(directory) as entries:
            for entry in entries:
                name, link = prefix + entry.name, entry.is_symlink()
                if not entry.is_dir(follow_symlinks=not links):
                    found[name] = linked or link
                elif not link or leads_inside(entry.path, directory):
                    below(entry.path, f"{name}/", linked or link)

    def leads_inside(path: str, directory: str) -> bool:
        # one that leads up would never end, and one that leads out is not the build's
        target = Path(path).resolve()
        return target.is_relative_to(real) and not Path(directory).resolve().is_relative_to(target)

    below(str(base), "", False)
    return found


@dataclass(frozen=True)
class _Store:
    """Where one artifact of one build goes."""

    build: Build
    session: Session
    target: Target

    def put(self, found: Found, spec: ArtifactSpec) -> Target:
        """Store it; what the build shows of it: location, and the sums of a ZIP.

        Raises:
            ArtifactError: S3 refused.
        """
        bucket, key = self.target["location"], self._key(spec)
        sums: Target = {}
        try:
            if _zipped(self.target):
                with pack(found.files, links=found.spec.symlinks) as body:
                    sums = {"sha256sum": _sum("sha256", body), "md5sum": _sum("md5", body)}
                    self._put(bucket, key, body)
            else:
                for name, path in found.files.items():
                    with path.open("rb") as content:
                        self._put(bucket, f"{key}/{name}".lstrip("/"), content)
        except FileNotFoundError as error:
            raise ArtifactError(
                f"{error.filename} is a link to a file that is not there"
            ) from error
        except (ClientError, BotoCoreError) as error:
            detail = getattr(error, "response", {}).get("Error", {})
            told = f"{detail.get('Code', 'Error')}: {detail.get('Message', error)}"
            raise ArtifactError(
                f"Error in UPLOAD_ARTIFACTS phase: {told} ({bucket}/{key})"
            ) from error
        shown = {
            "location": f"arn:aws:s3:::{bucket}/{key}",
            "overrideArtifactName": self.target.get("overrideArtifactName"),
            "encryptionDisabled": self.target.get("encryptionDisabled"),
            **sums,
        }
        return {name: value for name, value in shown.items() if value is not None}

    def _put(self, bucket: str, key: str, body: IO[bytes]) -> None:
        encryption = {} if self.target.get("encryptionDisabled") else self._encryption()
        self.session.client("s3").put_object(
            Bucket=bucket,
            Key=key,
            Body=body,
            Metadata={"codebuild-buildarn": self.build.arn},
            **encryption,
        )

    def _encryption(self) -> dict[str, str]:
        key = self.build.settings.get("encryptionKey")
        return {"ServerSideEncryption": "aws:kms", **({"SSEKMSKeyId": key} if key else {})}

    def _key(self, spec: ArtifactSpec) -> str:
        """AWS page: "Create a build project (AWS CLI)", artifacts; a pipeline chose its own key."""
        target = self.target
        if target["type"] == "CODEPIPELINE":
            return target["name"]
        named = spec.name if target.get("overrideArtifactName") else None
        by_build = target.get("namespaceType") == "BUILD_ID"
        parts = [
            spec.s3_prefix if by_build and spec.s3_prefix else target.get("path") or "",
            self.build.uuid if by_build else "",
            named or target.get("name") or self.build.project.name,
        ]
        return "/".join(part.strip("/") for part in parts if part.strip("/"))


def _sum(name: str, body: IO[bytes]) -> str:
    """A checksum of a file, which is at its start again afterwards."""
    digest = hashlib.new(name, usedforsecurity=False)
    while block := body.read(1 << 20):
        digest.update(block)
    body.seek(0)
    return digest.hexdigest()
