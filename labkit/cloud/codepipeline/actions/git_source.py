"""Source actions whose repositories lie elsewhere: CodeStarSourceConnection, and GitHub version 1.

AWS pages: "CodeStarSourceConnection for Bitbucket Cloud, GitHub, ... action reference"; "GitHub
(via OAuth app) source action reference".
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from labkit.cloud.codeconnections.models import connections_backends
from labkit.cloud.codepipeline.action import Action, ActionFailed
from labkit.cloud.shared import runtime
from labkit.cloud.shared.clone_ref import CloneRef
from labkit.cloud.shared.git import Clone, Commit, GitError, github_url
from labkit.cloud.shared.service import AWSError


def connection(action: Action) -> None:
    """Fetch the branch's newest commit, or the one that a trigger or an override named."""
    given = action.configuration
    arn, repository, branch = (
        given[key] for key in ("ConnectionArn", "FullRepositoryId", "BranchName")
    )
    backend = connections_backends[action.pipeline.account_id][action.pipeline.region]
    try:
        url = backend.connection(arn).url(repository)
    except AWSError as error:
        raise ActionFailed(
            "ConfigurationError",
            f"The connection {arn} was not found, or the pipeline's role may not use it",
        ) from error
    overridden = action.source_revision("BRANCH")
    commit = _fetch(action, url, overridden or branch, None)
    variables = {
        "AuthorDate": commit.author_date,
        "BranchName": overridden or branch,
        "CommitId": commit.id,
        "CommitMessage": commit.message,
        "ConnectionArn": arn,
        "FullRepositoryName": repository,
    }
    action.run.variables = variables


def github(action: Action) -> None:
    """Fetch the branch's newest commit with the action's OAuth token."""
    given = action.configuration
    url = f"{github_url().rstrip('/')}/{given['Owner']}/{given['Repo']}.git"
    commit = _fetch(action, url, given["Branch"], f"x-access-token:{given['OAuthToken']}")
    action.run.variables = {
        "CommitId": commit.id,
        "CommitMessage": commit.message,
        "CommitUrl": f"{url.removesuffix('.git')}/commit/{commit.id}",
        "RepositoryName": given["Repo"],
        "BranchName": given["Branch"],
        "AuthorDate": commit.author_date,
        "CommitterDate": commit.committer_date,
    }


def _fetch(action: Action, url: str, branch: str, token: str | None) -> Commit:
    pinned = action.source_revision("COMMIT_ID")
    place = Path(tempfile.mkdtemp(dir=runtime.current().directory("pipelines")))
    source = {"type": "GITHUB", "location": url, "gitCloneDepth": 0 if pinned else 1}
    clone = Clone(
        source,
        pinned or branch,
        place / "source",
        action.session,
        f"pipeline-{action.execution.id}",
        token=token,
    )
    try:
        clone.bring()
        commit = clone.commit()
        clones = action.configuration.get("OutputArtifactFormat") == "CODEBUILD_CLONE_REF"
        artifact = action.run.outputs[0]
        if clones:
            reference = CloneRef("GITHUB", url, commit.id, branch)
            action.put_clone_ref(artifact, reference)
        else:
            with clone.archive().open("rb") as file:
                action.put_artifact(artifact, file, commit.id)
    except GitError as error:
        raise ActionFailed("ConfigurationError", f"{url}: {error}") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)
    action.set_revision(commit.id, commit.message, f"{url.removesuffix('.git')}/commit/{commit.id}")
    return commit
