"""What a build keeps for the next one: in S3, or on the machine that built (LOCAL).

Restored at the end of DOWNLOAD_SOURCE, kept in UPLOAD_ARTIFACTS. A cache only saves time: whatever
goes wrong with it is said in the log, and the build goes on. Nothing outside the build's own
directories is read or written.

- S3: one archive. Without a key it is the project's last; with a key it is never written again, and
  fallback keys find one whose key begins with them.
- LOCAL, LOCAL_CUSTOM_CACHE: directories alone, which stay on the machine. Two builds at a time do
  not share one: the second finds none.

AWS pages: "Build caching in AWS CodeBuild"; "Build specification reference for CodeBuild", cache;
"ProjectCache" in the CodeBuild API Reference.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.codebuild.artifacts import pattern
from labkit.cloud.codebuild.models import Build, Project, cache_directory
from labkit.cloud.codebuild.preparation import Prepared
from labkit.cloud.shared.archives import ArchiveError, restore
from labkit.cloud.shared.clients import Session

LOCAL_CUSTOM, LOCAL_DOCKER = "LOCAL_CUSTOM_CACHE", "LOCAL_DOCKER_LAYER_CACHE"
_SIGNS = re.compile(r"[*?]")
_FAILURES = (ClientError, BotoCoreError, Boto3Error, OSError, ArchiveError)


@dataclass(frozen=True)
class Cache:
    """The cache of one build.

    Args:
        say: writes an agent's line to the log.
    """

    build: Build
    prepared: Prepared
    session: Session
    say: Callable[[str], None]

    @property
    def settings(self) -> dict[str, Any]:
        return self.build.settings.get("cache") or {}

    @property
    def kind(self) -> str:
        return str(self.settings.get("type", "NO_CACHE"))

    def restore(self) -> None:
        """Bring back what an earlier build kept."""
        spec = self.prepared.spec.cache
        if not spec.paths:
            self.say("Cache is not defined in the buildspec")
            self.say("Skip cache due to: no paths specified to be cached")
        elif self.kind == "NO_CACHE":
            self.say("Skip cache due to: the project has no cache")
        elif spec.action not in (None, "restore"):
            self.say("Skip restoring the cache due to: action is save")
        elif self.kind == "S3":
            self._safely("restored", self._from_s3)
        else:
            self._safely("restored", self._from_here)

    def keep(self) -> None:
        """Keep what the buildspec's paths name for the next build."""
        spec = self.prepared.spec.cache
        if not spec.paths or self.kind == "NO_CACHE" or spec.action not in (None, "save"):
            return
        self._safely("saved", self._to_s3 if self.kind == "S3" else self._stay_here)

    def _safely(self, what: str, work: Callable[[], None]) -> None:
        try:
            work()
        except _FAILURES as error:
            self.say(f"The cache was not {what}: {error}")

    # S3

    def _from_s3(self) -> None:
        s3 = self.session.client("s3")
        for key in self._candidates(s3):
            with tempfile.TemporaryFile(dir=self.prepared.guest.directory) as archive:
                try:
                    s3.download_fileobj(self._bucket, key, archive)
                except ClientError as error:
                    if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                        continue
                    raise
                archive.seek(0)
                count = restore(archive, self._roots, self._skipped)
            self.say(f"Cache restored from s3://{self._bucket}/{key}: {count} file(s)")
            return
        self.say("Unable to download cache: there is none yet")

    def _to_s3(self) -> None:
        s3, key = self.session.client("s3"), self._key()
        if self.prepared.spec.cache.key and _exists(s3, self._bucket, key):
            self.say(f"Skip saving the cache due to: s3://{self._bucket}/{key} is there already")
            return
        count = 0
        with tempfile.TemporaryFile(dir=self.prepared.guest.directory) as archive:
            with tarfile.open(fileobj=archive, mode="w") as made:
                for name, path in self._files():
                    made.add(path, name, recursive=False)
                    count += 1
            if not count:
                self.say("Skip saving the cache due to: no file matches its paths")
                return
            archive.seek(0)
            s3.upload_fileobj(archive, self._bucket, key)
        self.say(f"Cache saved to s3://{self._bucket}/{key}: {count} file(s)")

    @property
    def _bucket(self) -> str:
        return self._location[0]

    @property
    def _location(self) -> tuple[str, str]:
        bucket, _, prefix = self.settings["location"].removeprefix("arn:aws:s3:::").partition("/")
        return bucket, prefix.strip("/")

    def _key(self, key: str | None = None) -> str:
        """The object of this build's cache, or of a key's; projects of one namespace share theirs.

        The paths are part of its name: another list of paths is another cache.
        """
        project, spec = self.build.project, self.prepared.spec.cache
        owner = self.settings.get("cacheNamespace") or project.name
        paths = hashlib.sha256("\n".join(spec.paths).encode()).hexdigest()[:16]
        own = key or self._expanded(spec.key) or "latest"
        parts = (self._location[1], owner, str(project.cache_version), paths, own)
        return "/".join(part for part in parts if part)

    def _candidates(self, s3: Any) -> Iterator[str]:
        """The object of the key, and then, newest first, those that begin with a fallback key."""
        yield self._key()
        spec = self.prepared.spec.cache
        for fallback in spec.fallback_keys if spec.key else []:
            prefix = self._key(self._expanded(fallback))
            listed = s3.list_objects_v2(Bucket=self._bucket, Prefix=prefix).get("Contents", [])
            listed.sort(key=lambda item: item["LastModified"], reverse=True)
            yield from (item["Key"] for item in listed)

    def _expanded(self, text: str | None) -> str:
        """A key as the build's shell reads it: `$(codebuild-hash-files package-lock.json)`."""
        if not text or not set("$`") & set(text):
            return text or ""
        quoted = text.replace('"', '\\"')
        status, told = self.prepared.shell.ask(f'printf "%s" "{quoted}"')
        if status:
            raise OSError(f"the key {text} cannot be read: exit status {status}")
        return told.strip()

    # the machine

    def _from_here(self) -> None:
        modes = self.settings.get("modes") or []
        if LOCAL_DOCKER in modes:
            self.say("LOCAL_DOCKER_LAYER_CACHE has nothing to keep: the lab has no Docker")
        if LOCAL_CUSTOM not in modes:
            return
        for text, path in self._directories():
            kept = self._kept(text)
            if not kept.is_dir():
                self.say(f"No local cache yet for {text}")
                continue
            if path.exists() and any(path.iterdir()):
                # on AWS the link is there before the source is: the cache wins over its files
                shutil.rmtree(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # another build of the project took it
                _replace(kept, path)
                self.say(f"Local cache restored: {text}")

    def _stay_here(self) -> None:
        if LOCAL_CUSTOM not in (self.settings.get("modes") or []):
            return
        for text, path in self._directories():
            if path.is_dir():
                kept = self._kept(text)
                kept.parent.mkdir(parents=True, exist_ok=True)
                _replace(path, kept)
                self.say(f"Local cache kept: {text}")

    def _directories(self) -> Iterator[tuple[str, Path]]:
        """The paths that are whole directories, as they are written and where they lie."""
        for text in self.prepared.spec.cache.paths:
            base, rest = self._split(text)
            if rest not in ("", "**/*", "**", "*"):
                self.say(f"Skipping cache path {text}: a local cache keeps whole directories")
            elif self._is_own(base):
                yield text, base

    def _kept(self, text: str) -> Path:
        return cache_directory(self.build.project) / hashlib.sha256(text.encode()).hexdigest()[:16]

    # paths

    def _files(self) -> Iterator[tuple[str, Path]]:
        """What to keep: names in the archive (`src/...`, `root/...`, `tmp/...`), and where it lies."""
        seen: set[str] = set()
        for text in self.prepared.spec.cache.paths:
            base, rest = self._split(text)
            self.say(f"Expanding cache path {text}")
            if not self._is_own(base):
                continue
            rule = pattern(rest or "**/*")
            for path in _below(base):
                name = self._name(path)
                relative = "" if path == base else os.path.relpath(path, base)
                if name not in seen and (not relative or rule.fullmatch(relative)):
                    seen.add(name)
                    yield name, path

    def _split(self, text: str) -> tuple[Path, str]:
        """The directory or file that a path begins with, and its glob."""
        found = _SIGNS.search(text)
        cut = text.rfind("/", 0, found.start()) + 1 if found else len(text)
        named, rest = text[:cut], text[cut:]
        start = named if named.startswith(("/", "~")) else f"{self.prepared.source}/{named}"
        return Path(os.path.normpath(self.prepared.guest.outside(start))), rest

    def _is_own(self, path: Path) -> bool:
        """Whether a path lies in the build's directories, links followed."""
        own = any(
            path.is_relative_to(root) and path.resolve().is_relative_to(root.resolve())
            for root in self._roots.values()
        )
        if not own:
            self.say(f"Skipping cache path {path.name}: it is not one of the build's own")
        return own

    @property
    def _roots(self) -> dict[str, Path]:
        guest = self.prepared.guest
        return {"src": self.prepared.source, "root": guest.home, "tmp": guest.temporary}

    def _name(self, path: Path) -> str:
        for name, root in self._roots.items():
            if path.is_relative_to(root):
                return str(name / path.relative_to(root))
        raise OSError(f"{path} is not one of the build's own")

    def _skipped(self, name: str, why: str) -> None:
        self.say(f"Skipping cache member {name}: {why}")


def invalidate(project: Project) -> None:
    """Have no later build find what earlier ones kept."""
    project.cache_version += 1
    shutil.rmtree(cache_directory(project), ignore_errors=True)


def _exists(s3: Any, bucket: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
            return False
        raise
    return True


def _below(base: Path) -> Iterator[Path]:
    """A file, or a directory's files, links and empty directories; links are not followed."""
    if base.is_symlink() or base.is_file():
        yield base
        return
    for directory, directories, files in os.walk(base):
        here = Path(directory)
        linked = [name for name in directories if (here / name).is_symlink()]
        if not directories and not files:
            yield here
        yield from (here / name for name in (*files, *linked))


def _replace(source: Path, target: Path) -> None:
    """Move a directory to where another may be; between file systems it is copied."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.move(str(source), str(target))
