"""The repositories of one account and Region, each a bare git repository on disk."""

from __future__ import annotations

import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.exceptions import ServiceException

from labkit.cloud import bus
from labkit.cloud.shared import runtime
from labkit.cloud.shared.git import git_environment
from labkit.cloud.shared.identity import Principal

NO_COMMIT = "0" * 40


@dataclass
class Repository:
    """One repository; `path` is its bare git repository."""

    name: str
    description: str | None
    account_id: str
    region: str
    path: Path
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))
    tags: dict[str, str] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def arn(self) -> str:
        return f"arn:aws:codecommit:{self.region}:{self.account_id}:{self.name}"

    @property
    def clone_url(self) -> str:
        return f"{runtime.current().endpoint_url}/v1/repos/{self.name}"

    def git(self, *arguments: str, check: bool = True) -> str:
        """The output of one git command in the bare repository."""
        done = subprocess.run(
            ["git", "--git-dir", str(self.path), *arguments],
            capture_output=True,
            check=check,
            env=git_environment(),
        )
        return done.stdout.decode("utf-8", "replace").rstrip("\n")

    def references(self) -> dict[str, str]:
        """Every branch and tag and the object it names."""
        lines = self.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return dict(line.split(" ", 1) for line in lines)

    @property
    def default_branch(self) -> str | None:
        head = self.git("symbolic-ref", "--short", "HEAD", check=False)
        return head if f"refs/heads/{head}" in self.references() else None

    @contextmanager
    def changing(self, caller: Principal) -> Iterator[None]:
        """Publish an event for every reference that changes within the block.

        The first branch that is pushed becomes the default branch.
        AWS page: "Monitoring CodeCommit events in Amazon EventBridge".
        """
        with self.lock:
            before = self.references()
            yield
            after = self.references()
            self._set_first_default_branch(before, after)
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                self.modified = datetime.now(UTC)
                self._publish(name, before.get(name), after.get(name), caller)

    def _set_first_default_branch(self, before: dict[str, str], after: dict[str, str]) -> None:
        had = any(name.startswith("refs/heads/") for name in before)
        branches = [name for name in after if name.startswith("refs/heads/")]
        if branches and not had:
            self.git("symbolic-ref", "HEAD", branches[0])

    def _publish(self, name: str, old: str | None, new: str | None, caller: Principal) -> None:
        change = (
            "referenceUpdated" if old and new else "referenceCreated" if new else "referenceDeleted"
        )
        detail = {
            "event": change,
            "repositoryName": self.name,
            "repositoryId": self.id,
            "callerUserArn": caller.arn,
            "referenceType": "tag" if name.startswith("refs/tags/") else "branch",
            "referenceName": name.split("/", 2)[-1],
            "referenceFullName": name,
            **({"commitId": new} if new else {}),
            **({"oldCommitId": old} if old else {}),
        }
        bus.publish(
            "aws.codecommit",
            "CodeCommit Repository State Change",
            detail,
            account=self.account_id,
            region=self.region,
            resources=[self.arn],
        )
        bus.changes.announce(f"codecommit/{self.account_id}/{self.region}/{self.name}")


class CodeCommitBackend(BaseBackend):
    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.repositories: dict[str, Repository] = {}

    def create(self, name: str, description: str | None, tags: dict[str, str]) -> Repository:
        """Make an empty bare repository.

        Raises:
            ServiceException: RepositoryNameExistsException, InvalidRepositoryNameException.
        """
        if name in self.repositories:
            raise ServiceException(
                "RepositoryNameExistsException", f"Repository named {name} already exists"
            )
        if name.endswith(".git") or name in (".", ".."):
            raise ServiceException(
                "InvalidRepositoryNameException", f"The repository name {name} is not valid."
            )
        root = runtime.current().directory("repositories", self.account_id, self.region_name)
        path = root / f"{uuid.uuid4()}.git"
        repository = Repository(
            name, description, self.account_id, self.region_name, path, tags=tags
        )
        subprocess.run(
            ["git", "init", "--quiet", "--bare", "--initial-branch=main", str(path)],
            check=True,
            capture_output=True,
            env=git_environment(),
        )
        repository.git("config", "http.receivepack", "true")
        self.repositories[name] = repository
        return repository

    def get(self, name: str) -> Repository:
        """The repository of that name.

        Raises:
            ServiceException: RepositoryDoesNotExistException.
        """
        if name not in self.repositories:
            raise ServiceException("RepositoryDoesNotExistException", f"{name} does not exist")
        return self.repositories[name]


codecommit_backends = BackendDict(CodeCommitBackend, "codecommit")
