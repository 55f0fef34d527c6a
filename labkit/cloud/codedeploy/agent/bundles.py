"""The DownloadBundle event: a revision is brought to a host and unpacked.

AWS pages: "S3Location" and "GitHubLocation" in the CodeDeploy API Reference; aws-codedeploy-agent,
download_from_s3 and unpack_bundle. The rule numbers are the agent's.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from labkit.cloud.compute.hosts import Host
from labkit.cloud.shared.archives import unpack
from labkit.cloud.shared.clients import Session
from labkit.cloud.shared.git import Clone, GitError, github_url

ARCHIVE = "deployment-archive"


class BundleError(Exception):
    """A revision that is not there, or not what the deployment said it is."""


def environment(revision: dict[str, Any]) -> dict[str, str]:
    """What the scripts of every event are told of the bundle, downloaded or not yet (D13)."""
    if revision["revisionType"] == "GitHub":
        return {"BUNDLE_COMMIT": revision["gitHubLocation"]["commitId"]}
    location = revision["s3Location"]
    shown = {"BUCKET": "bucket", "KEY": "key", "VERSION": "version", "ETAG": "eTag"}
    return {f"BUNDLE_{name}": location[key] for name, key in shown.items() if location.get(key)}


def bring(
    host: Host, session: Session, revision: dict[str, Any], directory: Path
) -> dict[str, str]:
    """Bring a revision to `directory`; returns what is known of it now for the scripts.

    Raises:
        BundleError: its ETag is another one, or the repository could not be cloned.
        labkit.cloud.shared.archives.ArchiveError: it cannot be unpacked, or must not be.
        botocore.exceptions.ClientError: S3 refused.
        OSError: the file system did.
    """
    shutil.rmtree(directory / ARCHIVE, ignore_errors=True)
    if revision["revisionType"] == "GitHub":
        _clone(host, session, revision["gitHubLocation"], directory)
        return {}
    location = revision["s3Location"]
    bundle = directory / "bundle.tar"  # whatever it is (E15)
    known = _download(host, session, location, bundle)
    unpack(bundle, location.get("bundleType", "tar"), directory / ARCHIVE, has_room=host.has_room)
    _strip_top_directory(directory)
    return known


def _download(
    host: Host, session: Session, location: dict[str, str], bundle: Path
) -> dict[str, str]:
    extra = {"VersionId": location["version"]} if location.get("version") else {}
    found = session.client("s3").get_object(Bucket=location["bucket"], Key=location["key"], **extra)
    expected = (location.get("eTag") or "").strip('"')
    actual = found["ETag"].strip('"')
    if expected and expected != actual:  # E19
        raise BundleError(
            f"Expected deployment artifact bundle etag {expected} but was actually {actual}"
        )
    host.has_room(found["ContentLength"])
    with bundle.open("wb") as file:
        shutil.copyfileobj(found["Body"], file, 1 << 20)
    known = {"BUNDLE_ETAG": actual}
    return {**known, "BUNDLE_VERSION": found["VersionId"]} if found.get("VersionId") else known


def _clone(host: Host, session: Session, location: dict[str, str], directory: Path) -> None:
    """The commit's files, as GitHub's tarball of it has them."""
    url = f"{github_url().rstrip('/')}/{location['repository']}.git"
    archive = directory / ARCHIVE
    archive.mkdir(parents=True)
    source = {"type": "GITHUB", "location": url, "gitCloneDepth": 1}
    try:
        Clone(source, location["commitId"], archive, session, host.owner).bring()
    except GitError as error:
        raise BundleError(f"Could not download bundle at '{url}': {error}") from error
    shutil.rmtree(archive / ".git")


def _strip_top_directory(directory: Path) -> None:
    """E14: one directory at the top that holds an appspec is not part of the revision."""
    archive = directory / ARCHIVE
    entries = list(archive.iterdir())
    if len(entries) != 1 or entries[0].is_symlink() or not entries[0].is_dir():
        return
    if not any("appspec" in path.name.lower() for path in entries[0].iterdir()):
        return
    aside = directory / f"{ARCHIVE}-temp"
    shutil.rmtree(aside, ignore_errors=True)
    archive.rename(aside)
    (aside / entries[0].name).rename(archive)
    aside.rmdir()
