"""Source action CodeCommit: the tip of a branch becomes the execution's source artifact.

AWS page: "CodeCommit source action reference".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO

from botocore.exceptions import ClientError

from labkit.cloud.codepipeline.action import Action, ActionFailed, kept
from labkit.cloud.shared.clients import Session
from labkit.cloud.shared.clone_ref import CloneRef


def run(action: Action) -> None:
    """Fetch the commit, store its tree, and fill the source variables."""
    repository = action.configuration["RepositoryName"]
    branch = action.configuration["BranchName"]
    codecommit = action.client("codecommit")
    try:
        commit_id = (
            action.source_revision("COMMIT_ID")
            or (
                codecommit.get_branch(repositoryName=repository, branchName=branch)["branch"][
                    "commitId"
                ]
            )
        )
        commit = codecommit.get_commit(repositoryName=repository, commitId=commit_id)["commit"]
    except ClientError as error:
        missing = error.response["Error"]["Code"] in (
            "BranchDoesNotExistException",
            "RepositoryDoesNotExistException",
            "CommitIdDoesNotExistException",
        )
        if not missing:
            raise
        raise ActionFailed(
            "ConfigurationError",
            f"The action failed because no branch named {branch} was found in the selected AWS "
            f"CodeCommit repository {repository}. Make sure you are using the correct branch name, "
            "and then try again.",
        ) from error
    message = commit["message"].strip()
    artifact = action.run.outputs[0]
    if action.configuration.get("OutputArtifactFormat") == "CODEBUILD_CLONE_REF":
        url = codecommit.get_repository(repositoryName=repository)["repositoryMetadata"]
        reference = CloneRef("CODECOMMIT", url["cloneUrlHttp"], commit_id, branch)
        action.put_clone_ref(artifact, reference)
    else:
        with _upload_archive(action.session, repository, commit_id) as file:
            action.put_artifact(artifact, file, commit_id)
    region = action.pipeline.region
    url = (
        f"https://{region}.console.aws.amazon.com/codesuite/codecommit/repositories/{repository}"
        f"/commit/{commit_id}?region={region}"
    )
    action.run.variables = {
        "CommitId": commit_id,
        "CommitMessage": message,
        "RepositoryName": repository,
        "BranchName": branch,
        "AuthorDate": _iso(commit["author"]["date"]),
        "CommitterDate": _iso(commit["committer"]["date"]),
    }
    action.set_revision(commit_id, message, url)


def _iso(raw_date: str) -> str:
    """git's `seconds offset` as the time it names, in UTC."""
    return datetime.fromtimestamp(int(raw_date.split()[0]), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def _upload_archive(session: Session, repository: str, commit_id: str) -> Iterator[IO[bytes]]:
    """The commit's tree as a zip: the permission `codecommit:UploadArchive`, which has no client.

    Raises:
        ActionFailed: CodeCommit refused.
    """
    wanted = {"repositoryName": repository, "commitId": commit_id}
    try:
        answer = session.call("codecommit", "CodeCommit_20150413.UploadArchive", wanted)
    except ClientError as error:
        told = error.response["Error"]
        denied = told["Code"].startswith("AccessDenied")
        code = "PermissionError" if denied else "RevisionUnavailable"
        raise ActionFailed(code, told["Message"]) from error
    with answer, kept(answer) as file:
        yield file
