"""DOWNLOAD_SOURCE: brings a build's sources to its directory, as the project's role.

AWS pages: "ProjectSource" in the CodeBuild API Reference; "Source version sample with CodeBuild".
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.codebuild.buildspec import decoded
from labkit.cloud.shared import git
from labkit.cloud.shared.archives import ArchiveError, unpack
from labkit.cloud.shared.clients import Session
from labkit.cloud.shared.clone_ref import FORMAT, CloneRef

SUPPORTED = ("CODEPIPELINE", "CODECOMMIT", "S3", "NO_SOURCE", *git.HOSTED)
_ARN = "arn:aws:s3:::"


class SourceError(Exception):
    """A source that could not be brought; the message is the phase context's."""


@dataclass(frozen=True)
class Fetched:
    """What came: the revision, and the URL of where from."""

    resolved_version: str | None
    url: str


@dataclass(frozen=True)
class Fetcher:
    """Brings sources with one role's credentials; the git it starts belongs to `owner`."""

    session: Session
    owner: str
    tokens: Mapping[str, str] = field(default_factory=dict)  # `user:password` by source type
    mirrors: Path | None = None  # where clones are kept between builds

    def fetch(self, source: dict[str, Any], version: str | None, directory: Path) -> Fetched:
        """Bring one source into `directory`, which exists and is empty.

        Args:
            version: `sourceVersion`: a branch, tag or commit; an S3 version id; the ARN of a
                pipeline's artifact.

        Raises:
            SourceError: it is not there, not readable, or not an archive.
        """
        kind, location = source["type"], source.get("location") or ""
        if kind == "NO_SOURCE":
            return Fetched(None, "")
        if kind == "CODECOMMIT" or kind in git.HOSTED:
            return self._clone(source, version, directory)
        if kind == "CODEPIPELINE":
            return self._from_pipeline((version or location).removeprefix(_ARN), directory)
        return self._from_s3(location.removeprefix(_ARN), version, directory)

    def text(self, location: str) -> str:
        """The text of an object, by its ARN or `bucket/key`.

        Raises:
            SourceError: it is not there, or not readable.
        """
        bucket, _, key = location.removeprefix(_ARN).partition("/")
        try:
            found = self.session.client("s3").get_object(Bucket=bucket, Key=key)
            return decoded(found["Body"].read())
        except (ClientError, BotoCoreError) as error:
            raise SourceError(f"{_told(error)} (s3://{bucket}/{key})") from error

    def _from_pipeline(self, location: str, directory: Path) -> Fetched:
        """An artifact's files; or, of the format CODEBUILD_CLONE_REF, a full clone."""
        bucket, _, key = location.partition("/")
        try:
            found = self.session.client("s3").head_object(Bucket=bucket, Key=key)
        except (ClientError, BotoCoreError):
            return self._from_s3(location, None, directory)  # which says what is wrong
        if not FORMAT.items() <= found["Metadata"].items():
            return self._from_s3(location, None, directory)
        try:
            reference = CloneRef.read(self.text(location).encode())
        except ValueError as error:
            raise SourceError(f"s3://{location} is not a clone reference: {error}") from error
        source = {"type": reference.type, "location": reference.url}
        return self._clone(source, f"{reference.branch}^{{{reference.commit}}}", directory)

    def _from_s3(self, location: str, version: str | None, directory: Path) -> Fetched:
        bucket, _, key = location.partition("/")
        s3, url = self.session.client("s3"), f"s3://{bucket}/{key}"
        try:
            if key.endswith("/") or not key:
                return _folder(s3, bucket, key, directory)
            extra = {"VersionId": version} if version else {}
            found = s3.get_object(Bucket=bucket, Key=key, **extra)
            with tempfile.TemporaryFile(dir=directory.parent) as file:
                shutil.copyfileobj(found["Body"], file, 1 << 20)
                unpack(file, "zip", directory)
        except (ClientError, BotoCoreError) as error:
            raise SourceError(f"{_told(error)} ({url})") from error
        except (ArchiveError, OSError) as error:
            raise SourceError(f"{url}: {error}") from error
        return Fetched(found["Metadata"].get("codepipeline-revision"), url)

    def _clone(self, source: dict[str, Any], version: str | None, directory: Path) -> Fetched:
        clone = git.Clone(
            source,
            version,
            directory,
            self.session,
            self.owner,
            token=self.tokens.get(source["type"]),
            mirrors=self.mirrors,
        )
        try:
            return Fetched(clone.bring(), clone.url)
        except git.GitError as error:
            raise SourceError(str(error)) from error


def _folder(s3: Any, bucket: str, prefix: str, directory: Path) -> Fetched:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    for listed in (item for page in pages for item in page.get("Contents", [])):
        name = listed["Key"].removeprefix(prefix)
        target = Path(os.path.normpath(directory / name))
        if not name or name.endswith("/"):
            continue
        if name.startswith("/") or not target.is_relative_to(directory):
            raise SourceError(f"the key {listed['Key']} leads outside the source directory")
        target.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, listed["Key"], str(target))
    return Fetched(None, f"s3://{bucket}/{prefix}")


def _told(error: Exception) -> str:
    if isinstance(error, ClientError):
        detail = error.response["Error"]
        return f"{detail['Code']}: {detail.get('Message', '')}"
    return str(error)
