"""COMBINE_ARTIFACTS: the primary artifacts of a batch's builds, put in one place.

AWS page: "Samples of CodePipeline/CodeBuild integrations and batch builds", combined artifacts:
one ZIP holds the files of all builds. Of two files of one name, the later task's stays.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import IO, Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.codebuild.batch.models import Batch
from labkit.cloud.codebuild.models import Fields, PhaseFailed
from labkit.cloud.shared import runtime
from labkit.cloud.shared.clients import Session

_BLOCK = 1 << 20


def combine(batch: Batch, session: Session) -> None:
    """Store the files of all builds as one artifact, in the place of the project's.

    Raises:
        PhaseFailed: CLIENT_ERROR, S3 refused.
    """
    target, s3 = batch.settings["artifacts"], session.client("s3")
    parts = [group.build for group in batch.groups if group.build and group.build.artifact]
    if target["type"] == "NO_ARTIFACTS" or not parts:
        return
    keys = [build.artifact["location"].removeprefix("arn:aws:s3:::") for build in parts]
    try:
        with tempfile.TemporaryFile(dir=_scratch()) as whole:
            _merge(s3, keys, whole)
            batch.artifact = _store(batch, s3, target, whole)
    except (ClientError, BotoCoreError) as error:
        raise PhaseFailed("CLIENT_ERROR", f"Error in COMBINE_ARTIFACTS phase: {error}") from error
    for build, key in zip(parts, keys, strict=True):
        build.artifact = dict(batch.artifact)
        _forget(s3, key)


def _merge(s3: Any, keys: list[str], whole: IO[bytes]) -> None:
    """Write one zip of the files of all zips, with their modes."""
    with tempfile.TemporaryFile(dir=_scratch()) as part:
        names: dict[str, int] = {}  # file -> the last part that has it
        for index, location in enumerate(keys):
            _fetch(s3, location, part)
            with zipfile.ZipFile(part) as archive:
                names |= dict.fromkeys(archive.namelist(), index)
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as combined:
            for index, location in enumerate(keys):
                _fetch(s3, location, part)
                with zipfile.ZipFile(part) as archive:
                    for info in archive.infolist():
                        if names[info.filename] == index:
                            with archive.open(info) as source, combined.open(info, "w") as target:
                                shutil.copyfileobj(source, target, _BLOCK)


def _scratch() -> Path:
    return runtime.current().directory("builds")


def _fetch(s3: Any, location: str, file: IO[bytes]) -> None:
    bucket, _, key = location.partition("/")
    file.seek(0)
    file.truncate()
    s3.download_fileobj(bucket, key, file)
    file.seek(0)


def _store(batch: Batch, s3: Any, target: Fields, whole: IO[bytes]) -> Fields:
    bucket, key = target["location"], _key(batch, target)
    extra: Fields = {"Metadata": {"codebuild-buildarn": batch.arn}}
    if not target.get("encryptionDisabled"):
        own = batch.settings.get("encryptionKey")
        extra |= {"ServerSideEncryption": "aws:kms", **({"SSEKMSKeyId": own} if own else {})}
    whole.seek(0)
    shown: Fields = {"location": f"arn:aws:s3:::{bucket}/{key}"}
    if target["type"] == "CODEPIPELINE" or target.get("packaging") == "ZIP":
        shown["sha256sum"] = _sum("sha256", whole)
        shown["md5sum"] = _sum("md5", whole)
        s3.put_object(Bucket=bucket, Key=key, Body=whole, **extra)
        return shown
    with zipfile.ZipFile(whole) as archive:
        for name in archive.namelist():
            with archive.open(name) as file:
                s3.put_object(Bucket=bucket, Key=f"{key}/{name}".lstrip("/"), Body=file, **extra)
    return shown


def _sum(algorithm: str, file: IO[bytes]) -> str:
    sums = hashlib.new(algorithm, usedforsecurity=False)
    for block in iter(lambda: file.read(_BLOCK), b""):
        sums.update(block)
    file.seek(0)
    return sums.hexdigest()


def _key(batch: Batch, target: Fields) -> str:
    if target["type"] == "CODEPIPELINE":
        return str(target["name"])
    parts = [
        target.get("path") or "",
        batch.uuid if target.get("namespaceType") == "BUILD_ID" else "",
        target.get("name") or batch.project.name,
    ]
    return "/".join(part.strip("/") for part in parts if part.strip("/"))


def _forget(s3: Any, location: str) -> None:
    """Remove a part; a role that may not leaves it where it is."""
    bucket, _, key = location.partition("/")
    try:
        s3.delete_object(Bucket=bucket, Key=key)
    except (ClientError, BotoCoreError):
        return
