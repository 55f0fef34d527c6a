"""The source: a CodeCommit repository, its clone on this machine, and pushes to it.

git does the work with the credentials of this environment; the AWS CLI's credential helper makes
a password of them. AWS page: "Setup steps for HTTPS connections to AWS CodeCommit repositories".
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labkit import course
from labkit.lab import Lab
from labkit.markup import Sentence
from labkit.missing import NotThere, says_what_is_missing
from labkit.provision.aws import created, found, missing_is_fine

FIRST_MESSAGE = "The sample app"
# what git leaves in .git where it was broken off, or waits for somebody
_HALF_DONE = ("index.lock", "rebase-merge", "rebase-apply", "MERGE_HEAD", "REVERT_HEAD")

Edit = Callable[[Path], object]
_RESTORE = "Go on with the next cell; or call source.restore(lab), and run this one again."


class GitError(Sentence):
    """git did not do what it was asked; the message is what git said."""


def create_repository(lab: Lab) -> dict[str, Any]:
    """Create the repository, if it is not there; returns its repositoryMetadata."""
    codecommit = lab.client("codecommit")
    created(
        codecommit.create_repository,
        repositoryName=lab.repository,
        repositoryDescription="The sample app that travels down the pipeline",
        tags=lab.tags,
    )
    metadata: dict[str, Any] = codecommit.get_repository(repositoryName=lab.repository)[
        "repositoryMetadata"
    ]
    return metadata


def clone(lab: Lab) -> Path:
    """Clone the repository into the workspace, if it is not there; returns the directory.

    A clone that cannot go on from what the branch is now is set aside: one of an earlier repository
    of this name, or one in which somebody stopped in the middle.
    """
    directory = lab.workspace / lab.repository
    url = create_repository(lab)["cloneUrlHttp"]
    if directory.exists() and not _goes_on(lab, directory, url):
        directory.rename(_free_name(directory))
    if directory.exists():
        return directory
    new = directory.with_name(f"{directory.name}-new")
    shutil.rmtree(new, ignore_errors=True)
    _git(lab, "clone", "--quiet", url, str(new), cwd=lab.workspace)
    _git(lab, "symbolic-ref", "HEAD", f"refs/heads/{lab.branch}", cwd=new)
    own = {"user.name": "Learner", "user.email": "learner@example.com", "commit.gpgsign": "false"}
    for key, value in own.items():
        _git(lab, "config", key, value, cwd=new)
    return new.rename(directory)


def first_commit(lab: Lab) -> str:
    """Push the sample app as the first commit, if there is none; returns the branch's commit id."""
    directory = clone(lab)
    return tip(lab) or push(lab, FIRST_MESSAGE, copy_sample_app, directory=directory)


def restore(lab: Lab) -> str:
    """Push the sample app as it was, if it is not what was committed last; returns the commit's id.

    Whatever an earlier lesson has left, broken or fixed: what is built next is the sample app.
    """
    directory = clone(lab)
    _git(lab, "rm", "-r", "--quiet", "--force", "--ignore-unmatch", ".", cwd=directory)
    copy_sample_app(directory)
    _git(lab, "add", "--all", cwd=directory)
    last = _git(lab, "log", "-1", "--format=%s", cwd=directory)
    if last != FIRST_MESSAGE or not _does(directory, "diff", "--cached", "--quiet"):
        again = ["commit", "--quiet", "--allow-empty", "--message", FIRST_MESSAGE]
        _git(lab, *again, cwd=directory)
    commit = _git(lab, "rev-parse", "HEAD", cwd=directory)
    if commit != tip(lab):
        _git(lab, "push", "--quiet", "origin", f"HEAD:{lab.branch}", cwd=directory)
    return commit


def copy_sample_app(directory: Path) -> None:
    """Copy the sample app into a clone, without what its builds make."""
    ignored = shutil.ignore_patterns(*course.MADE_BY_USE)
    shutil.copytree(course.sample_app(), directory, ignore=ignored, dirs_exist_ok=True)


@says_what_is_missing
def push(lab: Lab, message: str, edit: Edit | None = None, *, directory: Path | None = None) -> str:
    """Edit the clone, commit everything in it and push; returns the commit id.

    Args:
        edit: called with the clone's directory (see `replace`); None commits what was edited by hand.

    Raises:
        GitError: nothing has changed, or CodeCommit refused the push.
    """
    directory = directory or clone(lab)
    if edit is not None:
        try:
            edit(directory)
        except FileNotFoundError as error:
            missing = f"There is no {error.filename}, which {message!r} wants to change. {_RESTORE}"
            raise NotThere(missing) from error
    _git(lab, "add", "--all", cwd=directory)
    if _does(directory, "diff", "--cached", "--quiet") and tip(lab):
        raise GitError(
            f"There is nothing to commit for {message!r}: has this cell run before? {_RESTORE}"
        )
    _git(lab, "commit", "--quiet", "--message", message, cwd=directory)
    _git(lab, "push", "--quiet", "origin", f"HEAD:{lab.branch}", cwd=directory)
    return _git(lab, "rev-parse", "HEAD", cwd=directory)


def replace(file: str, old: str, new: str) -> Edit:
    """An edit: replace a text in one file of the clone.

    Raises:
        NotThere: when the edit is made and the file does not have `old`; the message says what to do.
    """

    def edit(directory: Path) -> None:
        path = directory / file
        text = path.read_text()
        if old not in text:
            done = " It has the new text already: this cell has run before." if new in text else ""
            raise NotThere(f"{file} has no {old!r}.{done} {_RESTORE}")
        path.write_text(text.replace(old, new))

    return edit


def tip(lab: Lab) -> str | None:
    """The commit id of the released branch; None before the first push."""
    answer = found(
        lab.client("codecommit").get_branch,
        repositoryName=lab.repository,
        branchName=lab.branch,
    )
    return answer["branch"]["commitId"] if answer else None


def delete_repository(lab: Lab) -> None:
    """Delete the repository with its history; the clone stays on this machine."""
    with missing_is_fine():
        lab.client("codecommit").delete_repository(repositoryName=lab.repository)


def _goes_on(lab: Lab, directory: Path, url: str) -> bool:
    """Whether the clone is ready for a commit on top of what AWS has; it is brought up to date."""
    git = directory / ".git"
    if not git.is_dir() or any((git / name).exists() for name in _HALF_DONE):
        return False
    if _git(lab, "branch", "--show-current", cwd=directory) != lab.branch:
        return False
    _git(lab, "remote", "set-url", "origin", url, cwd=directory)
    newest = tip(lab)
    if newest is None:
        return not _does(directory, "rev-parse", "--verify", "--quiet", "HEAD")
    if not _does(directory, "cat-file", "-e", newest):
        _git(lab, "fetch", "--quiet", "origin", lab.branch, cwd=directory)
    return _does(directory, "merge-base", "--is-ancestor", newest, "HEAD") or _does(
        directory, "merge", "--ff-only", "--quiet", newest
    )


def _does(directory: Path, *arguments: str) -> bool:
    """Whether git says yes, and does what it is asked."""
    done = subprocess.run(["git", *arguments], cwd=directory, capture_output=True, check=False)
    return done.returncode == 0


def _free_name(directory: Path) -> Path:
    numbers = range(1, 10_000)
    return next(
        path
        for path in (directory.with_name(f"{directory.name}-earlier-{n}") for n in numbers)
        if not path.exists()
    )


def _git(lab: Lab, *arguments: str, cwd: Path) -> str:
    helper: list[str] = []
    if not lab.is_local:  # the lab's environment names its own helper
        command = f"!'{sys.executable}' -m awscli codecommit credential-helper $@"
        helper = ["-c", f"credential.helper={command}", "-c", "credential.UseHttpPath=true"]
    done = subprocess.run(
        ["git", *helper, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise GitError(f"git {arguments[0]}: {chr(10).join(said[-5:])}")
    return done.stdout.strip()
