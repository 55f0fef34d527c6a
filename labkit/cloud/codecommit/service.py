"""CodeCommit's API over the bare repositories: repositories, branches, commits, files.

AWS pages: "AWS CodeCommit API Reference"; the operations' names and fields are botocore's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from typing import Any

from moto.core.common_types import TYPE_RESPONSE
from moto.core.exceptions import ServiceException

from labkit.cloud.codecommit import iam  # noqa: F401 - IAM asks it
from labkit.cloud.codecommit.repositories import (
    CodeCommitBackend,
    Repository,
    codecommit_backends,
)
from labkit.cloud.shared import runtime
from labkit.cloud.shared.bodies import BLOCK_BYTES, Body, Spool
from labkit.cloud.shared.git import git_environment
from labkit.cloud.shared.service import AWSError, Service, error_response, page

_BRANCH = "refs/heads/"


class CodeCommit(Service):
    boto3_name = "codecommit"

    @property
    def backend(self) -> CodeCommitBackend:
        return codecommit_backends[self.current_account][self.region]

    def call_action(self) -> TYPE_RESPONSE:
        """Answer an operation, `UploadArchive` among them.

        That one is in IAM's list of actions and in no client: CodePipeline's source action uses it
        to have a commit's tree as a zip. Its answer here is the zip.
        AWS page: "Actions, resources, and condition keys for AWS CodeCommit".
        """
        if self._get_action() != "UploadArchive":
            return super().call_action()
        wanted = json.loads(self.body)
        try:
            repository = self.backend.get(wanted["repositoryName"])
            body: Any = archive(repository, wanted["commitId"])
            return 200, {"Content-Type": "application/zip"}, body
        except ServiceException as error:
            return error_response("codecommit", error, "application/x-amz-json-1.1")

    def create_repository(
        self,
        repositoryName: str,
        repositoryDescription: str | None = None,
        tags: dict[str, str] | None = None,
        kmsKeyId: str | None = None,
    ) -> dict[str, Any]:
        repository = self.backend.create(repositoryName, repositoryDescription, tags or {})
        return {"repositoryMetadata": _metadata(repository)}

    def get_repository(self, repositoryName: str) -> dict[str, Any]:
        return {"repositoryMetadata": _metadata(self.backend.get(repositoryName))}

    def batch_get_repositories(self, repositoryNames: list[str]) -> dict[str, Any]:
        known = self.backend.repositories
        return {
            "repositories": [_metadata(known[name]) for name in repositoryNames if name in known],
            "repositoriesNotFound": [name for name in repositoryNames if name not in known],
        }

    def list_repositories(
        self, nextToken: str | None = None, sortBy: str = "repositoryName", order: str = "ascending"
    ) -> dict[str, Any]:
        def key(repository: Repository) -> Any:
            return repository.modified if sortBy == "lastModifiedDate" else repository.name

        found = sorted(self.backend.repositories.values(), key=key, reverse=order == "descending")
        items, token = page(found, nextToken, None, 1000)
        listed = [{"repositoryName": item.name, "repositoryId": item.id} for item in items]
        return {"repositories": listed, "nextToken": token}

    def delete_repository(self, repositoryName: str) -> dict[str, Any]:
        repository = self.backend.repositories.pop(repositoryName, None)
        if repository is None:
            return {}
        with repository.lock:
            subprocess.run(["rm", "-rf", "--", str(repository.path)], check=True)
        return {"repositoryId": repository.id}

    def update_repository_description(
        self, repositoryName: str, repositoryDescription: str | None = None
    ) -> dict[str, Any]:
        self.backend.get(repositoryName).description = repositoryDescription
        return {}

    def update_default_branch(self, repositoryName: str, defaultBranchName: str) -> dict[str, Any]:
        repository = self.backend.get(repositoryName)
        _tip(repository, defaultBranchName)
        repository.git("symbolic-ref", "HEAD", _BRANCH + defaultBranchName)
        return {}

    def list_branches(self, repositoryName: str, nextToken: str | None = None) -> dict[str, Any]:
        references = self.backend.get(repositoryName).references()
        names = [name.removeprefix(_BRANCH) for name in references if name.startswith(_BRANCH)]
        items, token = page(names, nextToken, None, 100)
        return {"branches": items, "nextToken": token}

    def get_branch(
        self, repositoryName: str | None = None, branchName: str | None = None
    ) -> dict[str, Any]:
        if repositoryName is None:
            raise ServiceException(
                "RepositoryNameRequiredException", "A repository name is required."
            )
        if branchName is None:
            raise ServiceException("BranchNameRequiredException", "A branch name is required.")
        tip = _tip(self.backend.get(repositoryName), branchName)
        return {"branch": {"branchName": branchName, "commitId": tip}}

    def create_branch(self, repositoryName: str, branchName: str, commitId: str) -> dict[str, Any]:
        repository = self.backend.get(repositoryName)
        if _BRANCH + branchName in repository.references():
            raise ServiceException(
                "BranchNameExistsException", f"Branch {branchName} already exists"
            )
        _commit(repository, commitId)
        with repository.changing(self.principal):
            repository.git("update-ref", _BRANCH + branchName, commitId)
        return {}

    def delete_branch(self, repositoryName: str, branchName: str) -> dict[str, Any]:
        repository = self.backend.get(repositoryName)
        if branchName == repository.default_branch:
            raise ServiceException(
                "DefaultBranchCannotBeDeletedException", "The default branch cannot be deleted."
            )
        tip = repository.references().get(_BRANCH + branchName)
        if tip is None:
            return {}
        with repository.changing(self.principal):
            repository.git("update-ref", "-d", _BRANCH + branchName)
        return {"deletedBranch": {"branchName": branchName, "commitId": tip}}

    def get_commit(self, repositoryName: str, commitId: str) -> dict[str, Any]:
        return {"commit": _commit(self.backend.get(repositoryName), commitId)}

    def get_file(
        self, repositoryName: str, filePath: str, commitSpecifier: str | None = None
    ) -> dict[str, Any]:
        repository = self.backend.get(repositoryName)
        commit = repository.git(
            "rev-parse",
            "--verify",
            "--quiet",
            f"{commitSpecifier or 'HEAD'}^{{commit}}",
            check=False,
        )
        if not commit:
            raise ServiceException(
                "CommitDoesNotExistException", f"{commitSpecifier} does not exist"
            )
        listed = repository.git("ls-tree", "-l", commit, "--", filePath)
        if not listed:
            raise ServiceException("FileDoesNotExistException", f"{filePath} does not exist")
        mode, _, blob, size = listed.split("\t")[0].split()
        content = subprocess.run(
            ["git", "--git-dir", str(repository.path), "cat-file", "blob", blob],
            capture_output=True,
            check=True,
            env=git_environment(),
        ).stdout
        modes = {"100755": "EXECUTABLE", "120000": "SYMLINK"}
        return {
            "commitId": commit,
            "blobId": blob,
            "filePath": filePath,
            "fileMode": modes.get(mode, "NORMAL"),
            "fileSize": int(size),
            "fileContent": content,
        }

    def tag_resource(self, resourceArn: str, tags: dict[str, str]) -> dict[str, Any]:
        self._tagged(resourceArn).tags.update(tags)
        return {}

    def untag_resource(self, resourceArn: str, tagKeys: list[str]) -> dict[str, Any]:
        for key in tagKeys:
            self._tagged(resourceArn).tags.pop(key, None)
        return {}

    def list_tags_for_resource(
        self, resourceArn: str, nextToken: str | None = None
    ) -> dict[str, Any]:
        return {"tags": self._tagged(resourceArn).tags}

    def _tagged(self, arn: str) -> Repository:
        return self.backend.get(arn.rpartition(":")[2])


def archive(repository: Repository, commit_id: str) -> Body:
    """The tree of a commit as a zip, without `.git`, executable bits kept: a source artifact.

    Raises:
        AWSError: CommitIdDoesNotExistException.

    AWS page: "CodePipeline input and output artifacts".
    """
    command = ["git", "--git-dir", str(repository.path), "archive", "--format=zip", "-1", "--"]
    spool = Spool(runtime.current().directory("bodies"), sys.maxsize)
    with subprocess.Popen(
        [*command, commit_id],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=git_environment(),
    ) as git:
        assert git.stdout is not None
        for block in iter(partial(git.stdout.read, BLOCK_BYTES), b""):
            spool.write(block)
    if git.returncode:
        spool.close()
        raise AWSError("CommitIdDoesNotExistException", f"{commit_id} does not exist")
    return spool.finish()


def _metadata(repository: Repository) -> dict[str, Any]:
    return {
        "accountId": repository.account_id,
        "repositoryId": repository.id,
        "repositoryName": repository.name,
        "repositoryDescription": repository.description,
        "defaultBranch": repository.default_branch,
        "lastModifiedDate": repository.modified,
        "creationDate": repository.created,
        "cloneUrlHttp": repository.clone_url,
        "cloneUrlSsh": f"ssh://git-codecommit.{repository.region}.amazonaws.com/v1/repos/{repository.name}",
        "Arn": repository.arn,
    }


def _tip(repository: Repository, branch: str) -> str:
    tip = repository.references().get(_BRANCH + branch)
    if tip is None:
        raise ServiceException("BranchDoesNotExistException", f"{branch} does not exist")
    return tip


_FORMAT = "%H%x00%T%x00%P%x00%an%x00%ae%x00%ad%x00%cn%x00%ce%x00%cd%x00%B"


def _commit(repository: Repository, commit_id: str) -> dict[str, Any]:
    text = repository.git(
        "show",
        "-s",
        "--date=raw",
        f"--format={_FORMAT}",
        f"{commit_id}^{{commit}}",
        "--",
        check=False,
    )
    if not text:
        raise ServiceException("CommitIdDoesNotExistException", f"{commit_id} does not exist")
    commit, tree, parents, *people, message = text.split("\0", 9)
    author, committer = (
        dict(zip(("name", "email", "date"), part, strict=True)) for part in (people[:3], people[3:])
    )
    return {
        "commitId": commit,
        "treeId": tree,
        "parents": parents.split(),
        "message": message,
        "author": author,
        "committer": committer,
        "additionalData": "",
    }
