"""Where an artifact goes in S3, zipped or file by file.

Neither is held in memory: a ZIP is written to a file without a name in the build's directory, which
its commands do not see, and its sums are counted on the way.

AWS pages: "ProjectArtifacts"; "Create a build project (AWS CLI)", artifacts.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.codebuild.artifacts.finding import ArtifactError
from labkit.cloud.codebuild.buildspec import ArtifactSpec
from labkit.cloud.codebuild.models import Build
from labkit.cloud.shared.archives import opened, pack
from labkit.cloud.shared.clients import Session

Target = dict[str, Any]
_BUFFER = 1 << 18
# AWS page: "ProjectArtifacts", bucketOwnerAccess -> the canned ACL that gives it
_ACCESS = {"READ_ONLY": "bucket-owner-read", "FULL": "bucket-owner-full-control"}
_SHOWN = ("overrideArtifactName", "encryptionDisabled", "bucketOwnerAccess")


@dataclass(frozen=True)
class Store:
    """Where one artifact of one build goes.

    Args:
        scratch: the directory that a ZIP is made in.
    """

    build: Build
    session: Session
    target: Target
    scratch: Path

    @property
    def zips(self) -> bool:
        return self.target["type"] == "CODEPIPELINE" or self.target.get("packaging") == "ZIP"

    def put(self, files: Mapping[str, str], spec: ArtifactSpec, *, links: bool) -> Target:
        """Store it; what the build shows of it: location, and the sums of a ZIP.

        Args:
            files: their names in the artifact, and where they lie.
            links: whether symbolic links are kept as such.

        Raises:
            ArtifactError: S3 refused, or the build was ended.
        """
        bucket, key = self.target["location"], self._key(spec)
        try:
            sums = self._zip(files, key, links=links) if self.zips else self._folder(files, key)
        except (ClientError, BotoCoreError) as error:
            detail = getattr(error, "response", {}).get("Error", {})
            told = f"{detail.get('Code', 'Error')}: {detail.get('Message', error)}"
            raise ArtifactError(
                f"Error in UPLOAD_ARTIFACTS phase: {told} ({bucket}/{key})"
            ) from error
        shown = {name: self.target[name] for name in _SHOWN if self.target.get(name) is not None}
        return {"location": f"arn:aws:s3:::{bucket}/{key}", **shown, **sums}

    def _zip(self, files: Mapping[str, str], key: str, *, links: bool) -> Target:
        with tempfile.TemporaryFile(dir=self.scratch) as file:
            counted = _Counted(file)
            with io.BufferedWriter(counted, _BUFFER) as output:
                pack(self._until_halted(files), output, links=links)
            file.seek(0)
            self._put(key, file)
        return counted.sums

    def _folder(self, files: Mapping[str, str], key: str) -> Target:
        # not several at a time: S3 is in this process, and gains nothing by it
        for name, path in self._until_halted(files):
            with opened(path) as file:
                self._put(f"{key}/{name}".lstrip("/"), file)
        return {}

    def _until_halted(self, files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        for item in files.items():
            if self.build.halted:
                raise ArtifactError("the build was ended")
            yield item

    def _put(self, key: str, body: IO[bytes]) -> None:
        encryption = {} if self.target.get("encryptionDisabled") else self._encryption()
        access = _ACCESS.get(self.target.get("bucketOwnerAccess", ""))
        self.session.client("s3").put_object(
            Bucket=self.target["location"],
            Key=key,
            Body=body,
            Metadata={"codebuild-buildarn": self.build.arn},
            **encryption,
            **({"ACL": access} if access else {}),
        )

    def _encryption(self) -> dict[str, str]:
        key = self.build.settings.get("encryptionKey")
        return {"ServerSideEncryption": "aws:kms", **({"SSEKMSKeyId": key} if key else {})}

    def _key(self, spec: ArtifactSpec) -> str:
        """AWS page: "Create a build project (AWS CLI)", artifacts; a pipeline chose its own key."""
        target = self.target
        if target["type"] == "CODEPIPELINE":
            return str(target["name"])
        named = spec.name if target.get("overrideArtifactName") else None
        by_build = target.get("namespaceType") == "BUILD_ID"
        parts = [
            spec.s3_prefix if by_build and spec.s3_prefix else target.get("path") or "",
            self.build.uuid if by_build else "",
            named or target.get("name") or self.build.project.name,
        ]
        return "/".join(part.strip("/") for part in parts if part.strip("/"))


class _Counted(io.RawIOBase):
    """Writes to a file, and counts what a build shows of its ZIP: SHA-256 and MD5."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)

    @property
    def sums(self) -> dict[str, str]:
        return {"sha256sum": self._sha256.hexdigest(), "md5sum": self._md5.hexdigest()}

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._sha256.update(data)
        self._md5.update(data)
        return self._file.write(data)
