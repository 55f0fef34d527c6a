"""UPLOAD_ARTIFACTS: which files an artifact holds, and where it goes in S3.

AWS pages: "Build specification reference for CodeBuild", artifacts; "ProjectArtifacts".
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from labkit.cloud.archives import pack
from labkit.cloud.clients import Session
from labkit.cloud.codebuild.buildspec import ArtifactSpec


class ArtifactError(Exception):
    """Artifacts that could not be made or stored; the message is the phase context's."""


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
    return re.compile(text)


def find(source: Path, spec: ArtifactSpec, say: Callable[[str], None]) -> tuple[Path, list[str]]:
    """The base directory and the files of an artifact, relative to it, in order.

    Args:
        say: writes an agent's line to the log.

    Raises:
        ArtifactError: nothing matches.
    """
    say(f"Expanding base directory path: {spec.base_directory}")
    base = _base_directory(source, spec.base_directory)
    say("Assembling file list")
    say(f"Expanding file paths for base directory {spec.base_directory}")
    present = sorted(_walk(base)) if base else []
    excluded = [pattern(glob) for glob in spec.exclude]
    found: dict[str, None] = {}
    for glob in spec.files:
        say(f"Expanding {glob}")
        matching = [name for name in present if pattern(glob).fullmatch(name)]
        if not matching and "*" not in glob:
            say(f"Skipping invalid file path {glob}")
        found.update(dict.fromkeys(matching))
    names = [name for name in found if not any(rule.fullmatch(name) for rule in excluded)]
    if base is None or not names:
        raise ArtifactError("no matching artifact paths found")
    say(f"Found {len(names)} file(s)")
    return base, names


def store(
    base: Path, names: list[str], spec: ArtifactSpec, target: dict[str, Any], session: Session,
    *, build_arn: str, build_uuid: str, name: str | None,
) -> dict[str, Any]:  # fmt: skip
    """Put an artifact where its project, or the pipeline, says.

    Args:
        target: the project's `artifacts`, or an override.
        name: the name the buildspec gives, for a project with overrideArtifactName.

    Returns:
        What the build's `artifacts` show: location, and the sums of a ZIP.

    Raises:
        ArtifactError: S3 refused.
    """
    key = target["name"] if target["type"] == "CODEPIPELINE" else _key(target, build_uuid, name)
    bucket = target["location"]
    s3 = session.client("s3")
    options: dict[str, Any] = {"Metadata": {"codebuild-buildarn": build_arn}}
    if not target.get("encryptionDisabled"):
        options["ServerSideEncryption"] = "aws:kms"
    try:
        if target.get("packaging") == "ZIP" or target["type"] == "CODEPIPELINE":
            body = _zip(base, names, flat=spec.discard_paths)
            s3.put_object(Bucket=bucket, Key=key, Body=body, **options)
            sums = {
                "sha256sum": hashlib.sha256(body).hexdigest(),
                "md5sum": hashlib.md5(body, usedforsecurity=False).hexdigest(),
            }
        else:
            sums = {}
            for item in names:
                inner = Path(item).name if spec.discard_paths else item
                s3.put_object(
                    Bucket=bucket, Key=f"{key}/{inner}".lstrip("/"), Body=(base / item).read_bytes(), **options
                )  # fmt: skip
    except ClientError as error:
        detail = error.response["Error"]
        raise ArtifactError(
            f"Error while uploading artifact to {bucket}/{key}: {detail['Code']}: {detail.get('Message', '')}"
        ) from error
    return {"location": f"arn:aws:s3:::{bucket}/{key}", **sums}


def _base_directory(source: Path, name: str) -> Path | None:
    """The directory of that name below the source, whose last part may be a glob."""
    if not any(sign in name for sign in "*?["):
        base = Path(os.path.normpath(source / name))
        return base if base.is_dir() else None
    matching = [path for path in sorted(source.glob(name)) if path.is_dir()]
    return matching[0] if matching else None


def _walk(base: Path) -> list[str]:
    return [
        Path(directory, name).relative_to(base).as_posix()
        for directory, _, files in os.walk(base)
        for name in files
    ]


def _zip(base: Path, names: list[str], *, flat: bool) -> bytes:
    if not flat:
        return pack(base, names)
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            shutil.copy2(base / name, Path(scratch, Path(name).name))
        return pack(Path(scratch), sorted(path.name for path in Path(scratch).iterdir()))


def _key(target: dict[str, Any], build_uuid: str, name: str | None) -> str:
    chosen = name if target.get("overrideArtifactName") and name else target.get("name", "")
    middle = build_uuid if target.get("namespaceType") == "BUILD_ID" else ""
    parts = [target.get("path", ""), middle, chosen]
    return "/".join(part.strip("/") for part in parts if part.strip("/"))
