"""DOWNLOAD_SOURCE: brings a build's sources to its directory, as the project's role.

AWS page: "ProjectSource" in the CodeBuild API Reference.
"""

from __future__ import annotations

import base64
import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from labkit.cloud import runtime
from labkit.cloud.archives import ArchiveError, unpack
from labkit.cloud.clients import Session
from labkit.cloud.codecommit.repositories import git_environment
from labkit.cloud.signature import git_password

SUPPORTED = ("CODEPIPELINE", "CODECOMMIT", "S3", "NO_SOURCE")


class SourceError(Exception):
    """A source that could not be brought; the message is the phase context's."""


@dataclass(frozen=True)
class Fetched:
    """What came: the revision, and the URL of where from."""

    resolved_version: str | None
    url: str


def fetch(
    source: dict[str, Any], version: str | None, session: Session, directory: Path
) -> Fetched:
    """Bring one source into `directory`, which exists and is empty.

    Args:
        version: `sourceVersion`: a branch, tag or commit; an S3 version id; the artifact's ARN.

    Raises:
        SourceError: it is not there, not readable, or not an archive.
    """
    kind = source["type"]
    if kind == "NO_SOURCE":
        return Fetched(None, "")
    if kind == "CODECOMMIT":
        return _clone(source, version, session, directory)
    if kind == "CODEPIPELINE":
        location = (version or source.get("location") or "").removeprefix("arn:aws:s3:::")
        return _from_s3(location, None, session, directory)
    return _from_s3(source["location"].removeprefix("arn:aws:s3:::"), version, session, directory)


def _from_s3(location: str, version: str | None, session: Session, directory: Path) -> Fetched:
    bucket, _, key = location.partition("/")
    s3, url = session.client("s3"), f"s3://{bucket}/{key}"
    try:
        if key.endswith("/") or not key:
            return _folder(s3, bucket, key, directory)
        extra = {"VersionId": version} if version else {}
        found = s3.get_object(Bucket=bucket, Key=key, **extra)
        unpack(found["Body"].read(), "zip", directory)
    except ClientError as error:
        detail = error.response["Error"]
        raise SourceError(f"{detail['Code']}: {detail.get('Message', '')} ({url})") from error
    except ArchiveError as error:
        raise SourceError(f"{url}: {error}") from error
    return Fetched(found["Metadata"].get("codepipeline-revision") or found.get("VersionId"), url)


def _folder(s3: Any, bucket: str, prefix: str, directory: Path) -> Fetched:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    for listed in (item for page in pages for item in page.get("Contents", [])):
        name = listed["Key"].removeprefix(prefix)
        target = directory / name
        if not name or name.endswith("/"):
            continue
        if not Path(os.path.normpath(target)).is_relative_to(directory):
            raise SourceError(f"the key {listed['Key']} leads outside the source directory")
        target.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, listed["Key"], str(target))
    return Fetched(None, f"s3://{bucket}/{prefix}")


def _clone(
    source: dict[str, Any], version: str | None, session: Session, directory: Path
) -> Fetched:
    url = source["location"]
    depth = source.get("gitCloneDepth")
    env = {**git_environment(), **_credentials(url, session)}
    options = ["--depth", str(depth)] if depth and not version else []
    _git(["clone", "--quiet", *options, url, str(directory)], env, f"cloning {url}")
    if version:
        name = version.removeprefix("refs/heads/")
        _git(["-C", str(directory), "checkout", "--quiet", name], env, f"checking out {version}")
    return Fetched(_git(["-C", str(directory), "rev-parse", "HEAD"], env, "rev-parse"), url)


def _credentials(url: str, session: Session) -> dict[str, str]:
    """The role's git credentials for one clone URL, as an HTTP header in git's environment."""
    parts = urlsplit(url)
    if not url.startswith(runtime.current().endpoint_url):
        raise SourceError(f"{url} is not a clone URL of this lab's CodeCommit")
    user, password = git_password(
        session.access_key_id,
        session.secret_access_key,
        session.session_token,
        session.region,
        parts.path,
        parts.hostname or "",
        datetime.now(UTC).strftime("%Y%m%dT%H%M%S"),
    )
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "http.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {token}",
    }


def _git(arguments: list[str], env: dict[str, str], doing: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["git failed"])[-1]
        raise SourceError(f"git: {last} ({doing})")
    return done.stdout.strip()
