"""Sources that git brings: CodeCommit's repositories of the lab, and any URL that git can reach.

Nothing of the learner's git is used: no configuration, no credential helper, no prompt, no hook. A
clone leaves no credentials behind. AWS pages: "ProjectSource" in the CodeBuild API Reference;
"Source version sample with CodeBuild"; "Access your source provider in CodeBuild".
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import sys
import threading
from base64 import b64encode
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from labkit.cloud.shared import runtime
from labkit.cloud.shared.clients import Session

GITHUB_URL = "LABKIT_GITHUB_URL"  # a server to ask instead of github.com
# source types whose location is the URL of a repository somewhere else
HOSTED = (
    "GITHUB",
    "GITHUB_ENTERPRISE",
    "BITBUCKET",
    "GITLAB",
    "GITLAB_SELF_MANAGED",
)
_SCHEMES = ("https", "http", "file", "git", "ssh")
_PULL_REQUEST = re.compile(r"(?:refs/pull/|pr/)(\d+)(?:/head)?")
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_PINNED = re.compile(r"(?P<ref>.+)\^\{(?P<commit>[0-9a-f]{40})\}")
_mirrors: dict[Path, threading.Lock] = defaultdict(threading.Lock)


class GitError(Exception):
    """A repository that could not be brought; the message is the phase context's."""


@dataclass(frozen=True)
class Commit:
    """A commit, its dates in UTC: `2026-11-20T10:00:00Z`."""

    id: str
    message: str
    author_date: str
    committer_date: str


@dataclass(frozen=True)
class Clone:
    """One repository, brought into one directory.

    Args:
        source: a ProjectSource.
        version: `sourceVersion`: a branch, tag, commit or pull request.
        directory: exists and is empty.
        token: `user:password` for the URL's host, or None.
        mirrors: where copies are kept between builds (LOCAL_SOURCE_CACHE), or None.
    """

    source: dict[str, Any]
    version: str | None
    directory: Path
    session: Session
    owner: str
    token: str | None = None
    mirrors: Path | None = None

    @property
    def url(self) -> str:
        return str(self.source["location"])

    def bring(self) -> str:
        """Clone, check out the version, and return its commit id.

        Raises:
            GitError: with git's reason.
        """
        self._check()
        self._git(["init", "--quiet", str(self.directory)], "making the directory")
        self._here(["remote", "add", "origin", "--", self.url], "naming the origin")
        if self.mirrors is not None:
            self._borrow(self.mirrors)
        self._fetch_version()
        if (self.source.get("gitSubmodulesConfig") or {}).get("fetchSubmodules"):
            update = ["submodule", "--quiet", "update", "--init", "--recursive"]
            self._here(update, "fetching submodules")
        return self._here(["rev-parse", "HEAD"], "reading HEAD")

    def listed(self) -> dict[str, str]:
        """The branches and tags at the URL, without a clone; of a tag, the commit it is of."""
        self._check()
        told = self._git(["ls-remote", "--heads", "--tags", "--", self.url], f"reading {self.url}")
        pairs = [line.split("\t", 1) for line in told.splitlines() if "\t" in line]
        # an annotated tag comes twice, the second time as `^{}` with its commit
        return {ref.removesuffix("^{}"): commit for commit, ref in pairs}

    def commit(self) -> Commit:
        """The commit that was checked out."""
        form = "%H%n%ad%n%cd%n%B"
        told = self._here(
            ["log", "-1", f"--format={form}", "--date=format-local:%Y-%m-%dT%H:%M:%SZ"], "reading"
        )
        commit, author, committer, message = told.split("\n", 3)
        return Commit(commit, message.strip(), author, committer)

    def archive(self) -> Path:
        """The commit's tree as a zip, in a file beside it."""
        name = self.directory.with_suffix(".zip")
        self._here(["archive", "--format=zip", "-o", str(name), "HEAD"], "archiving")
        return name

    def changed_files(self, before: str) -> list[str]:
        """The paths that differ from an earlier commit."""
        told = self._here(["diff", "--name-only", "-z", f"{before}...HEAD"], "comparing")
        return [name for name in told.split("\0") if name]

    def _check(self) -> None:
        lab = runtime.current().endpoint_url
        if self.source["type"] == "CODECOMMIT":
            if not self.url.startswith(f"{lab}/"):
                raise GitError(f"{self.url} is not a clone URL of this lab's CodeCommit")
        elif urlsplit(self.url).scheme not in _SCHEMES:
            raise GitError(f"{self.url} is not a URL that git can clone")
        if self.version and (self.version.startswith("-") or "\n" in self.version):
            raise GitError(
                f"reference not found for primary source and source version {self.version}"
            )

    def _fetch_version(self) -> None:
        """Bring what the version names, with as much history as `gitCloneDepth` says; 0 is all."""
        version = self.version
        pinned = _PINNED.fullmatch(version) if version else None
        if version is None:
            self._fetch_head()
        elif pinned is not None:
            self._fetch_commit(pinned["commit"], pinned["ref"])
        elif pull_request := _PULL_REQUEST.fullmatch(version):
            ref = f"refs/pull/{pull_request[1]}/head"
            self._fetch(ref, version)
        elif not self._fetch_named(version):
            if not _COMMIT.fullmatch(version):
                raise self._no_such(version)
            self._fetch_commit(version, None)

    def _fetch_head(self) -> None:
        listed = self._here(["ls-remote", "--symref", "origin", "HEAD"], f"cloning {self.url}")
        found = re.search(r"^ref: refs/heads/(\S+)\s+HEAD$", listed, re.MULTILINE)
        if found is None:
            raise GitError(f"the repository {self.url} is empty")
        self._fetch_named(found[1])

    def _fetch_named(self, version: str) -> bool:
        """A branch, or a tag; whether there is one of that name."""
        short = version.removeprefix("refs/heads/").removeprefix("refs/tags/")
        kinds = [f"refs/{kind}/{short}" for kind in ("heads", "tags")]
        wanted = [version] if version.startswith("refs/") else kinds
        listed = self._here(["ls-remote", "origin", *wanted], f"cloning {self.url}")
        present = {line.split("\t")[1] for line in listed.splitlines() if "\t" in line}
        for ref in wanted:
            if ref in present:
                self._fetch(ref, version, branch=short if "/heads/" in ref else None)
                return True
        return False

    def _fetch(self, ref: str, version: str, branch: str | None = None) -> None:
        depth = self.source.get("gitCloneDepth")
        options = ["--depth", str(depth)] if depth else ["--tags"]
        into = f"+{ref}:refs/remotes/origin/{branch}" if branch else ref
        try:
            self._here(["fetch", "--quiet", *options, "origin", into], f"fetching {version}")
        except GitError as error:
            if "couldn't find remote ref" in str(error):
                raise self._no_such(version) from error
            raise
        self._check_out("FETCH_HEAD", branch)

    def _fetch_commit(self, commit: str, ref: str | None) -> None:
        """A commit may lie anywhere: all branches are brought, unless its own is named."""
        refs = [ref] if ref else ["+refs/heads/*:refs/remotes/origin/*"]
        self._here(["fetch", "--quiet", "--tags", "origin", *refs], f"fetching {commit}")
        try:
            self._check_out(commit, None)
        except GitError as error:
            raise self._no_such(commit) from error

    def _check_out(self, commit: str, branch: str | None) -> None:
        how = ["-B", branch] if branch else ["--detach"]
        self._here(["checkout", "--quiet", *how, commit, "--"], f"checking out {commit}")

    def _no_such(self, version: str) -> GitError:
        return GitError(f"reference not found for primary source and source version {version}")

    def _borrow(self, mirrors: Path) -> None:
        """Bring a kept copy up to date and take its objects: only what is new crosses the network."""
        name = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        mirror = mirrors / name
        with _mirrors[mirror]:
            if not mirror.exists():
                mirrors.mkdir(parents=True, exist_ok=True)
                draft = mirror.with_name(f"{name}.new-{os.getpid()}-{threading.get_ident()}")
                self._git(["clone", "--quiet", "--mirror", "--", self.url, str(draft)], "caching")
                draft.replace(mirror)
            else:
                self._git(["-C", str(mirror), "fetch", "--quiet", "--prune", "origin"], "caching")
            # copied, not referred to: where builds are isolated they do not see the mirror
            self._here(
                ["fetch", "--quiet", str(mirror), "+refs/heads/*:refs/remotes/origin/*"],
                "taking the cached source",
            )

    def _here(self, arguments: list[str], doing: str) -> str:
        return self._git(["-C", str(self.directory), *arguments], doing)

    def _git(self, arguments: list[str], doing: str) -> str:
        lab = runtime.current()
        git = lab.processes.start(
            ["git", *arguments],
            owner=self.owner,
            env=self._environment(),
            cwd=lab.state_dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        output, errors = (text.decode("utf-8", "replace").strip() for text in git.communicate())
        if git.returncode:
            told = [line for line in errors.splitlines() if line.startswith(("fatal:", "error:"))]
            raise GitError(f"git: {(told or errors.splitlines() or ['git failed'])[0]} ({doing})")
        return output

    def _environment(self) -> dict[str, str]:
        region = {"AWS_DEFAULT_REGION": self.session.region}
        settings = {
            "core.hooksPath": os.devnull,
            "protocol.ext.allow": "never",
            "protocol.file.allow": "always" if self.url.startswith("file:") else "user",
            "http.lowSpeedLimit": "1000",
            "http.lowSpeedTime": "30",
            "advice.detachedHead": "false",
            "init.defaultBranch": "main",
        }
        if self.source.get("insecureSsl"):
            settings["http.sslVerify"] = "false"
        if self.token and urlsplit(self.url).scheme in ("http", "https"):
            parts = urlsplit(self.url)
            basic = b64encode(self.token.encode()).decode()
            place = f"http.{parts.scheme}://{parts.netloc.rpartition('@')[2]}/.extraHeader"
            settings[place] = f"Authorization: Basic {basic}"
        env = {
            **git_environment(),
            "TZ": "UTC",
            "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=10",
        }
        if self.source["type"] == "CODECOMMIT":
            env |= {**self.session.environment, **region, **git_credentials()}
        start = int(env.get("GIT_CONFIG_COUNT", "0"))
        for number, (key, value) in enumerate(settings.items(), start=start):
            env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return {**env, "GIT_CONFIG_COUNT": str(start + len(settings))}


def references(url: str, session: Session, owner: str, token: str | None = None) -> dict[str, str]:
    """The branches and tags of a repository, and the commit that each of them names.

    Raises:
        GitError: with git's reason.
    """
    source = {"type": "GITHUB", "location": url}
    place = runtime.current().state_dir
    return Clone(source, None, place, session, owner, token=token).listed()


def git_environment() -> dict[str, str]:
    """An environment in which git reads no configuration of the machine's user."""
    return {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }


def git_credentials() -> dict[str, str]:
    """Configuration with which git signs in to the lab's CodeCommit as the build's role."""
    endpoint = runtime.current().endpoint_url
    helper = f"!{shlex.quote(sys.executable)} -m labkit.git_credential"
    pairs = [
        (f"credential.{endpoint}.helper", helper),
        (f"credential.{endpoint}.useHttpPath", "true"),
    ]
    return {
        "GIT_CONFIG_COUNT": str(len(pairs)),
        **{f"GIT_CONFIG_KEY_{index}": key for index, (key, _) in enumerate(pairs)},
        **{f"GIT_CONFIG_VALUE_{index}": value for index, (_, value) in enumerate(pairs)},
    }


def github_url() -> str:
    """Where the repositories of GitHub are looked for."""
    return os.environ.get(GITHUB_URL) or "https://github.com"
