"""The repository, its clone and pushes to it, with real git."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit import course
from labkit.lab import Lab
from labkit.missing import NotThere
from labkit.provision import source

pytestmark = pytest.mark.slow


@pytest.fixture
def lab(lab_environment: Any, request: pytest.FixtureRequest) -> Iterator[Lab]:
    lab = Lab(request.node.name.replace("_", "-")[5:60].rstrip("-").replace("[", "-").rstrip("]"))
    yield lab
    source.delete_repository(lab)


def test_the_first_commit_is_the_sample_app(lab: Lab) -> None:
    commit = source.first_commit(lab)
    assert source.first_commit(lab) == commit == source.tip(lab)
    clone = source.clone(lab)
    assert (clone / "buildspec.yml").exists() and (clone / "appspec.yml").exists()
    assert not (clone / "node_modules").exists() and not (clone / "dist").exists()
    said = lab.client("codecommit").get_commit(repositoryName=lab.repository, commitId=commit)
    assert said["commit"]["message"].strip() == "The sample app"


def test_scripts_stay_executable(lab: Lab) -> None:
    source.first_commit(lab)
    stored = lab.client("codecommit").get_file(
        repositoryName=lab.repository, filePath="scripts/start.sh"
    )
    local = course.sample_app() / "scripts" / "start.sh"
    assert (stored["fileMode"] == "EXECUTABLE") == bool(local.stat().st_mode & 0o100)


def test_a_push_carries_the_edit(lab: Lab) -> None:
    source.first_commit(lab)
    commit = source.push(lab, "Another colour", source.replace("site.json", "teal", "crimson"))
    assert source.tip(lab) == commit
    stored = lab.client("codecommit").get_file(
        repositoryName=lab.repository, filePath="site.json", commitSpecifier=commit
    )
    assert b"crimson" in stored["fileContent"]


def test_a_push_without_a_change_says_so(lab: Lab) -> None:
    source.first_commit(lab)
    with pytest.raises(source.GitError, match=r"nothing to commit.*source\.restore"):
        source.push(lab, "Nothing")


def test_an_edit_that_finds_nothing_changes_nothing(lab: Lab) -> None:
    commit = source.first_commit(lab)
    with pytest.raises(NotThere, match=r"site\.json has no 'no such text'.*source\.restore"):
        source.push(lab, "Typo", source.replace("site.json", "no such text", "x"))
    assert source.tip(lab) == commit


def test_a_clone_whose_repository_is_gone_is_set_aside(lab: Lab) -> None:
    source.first_commit(lab)
    (source.clone(lab) / "mine.txt").write_text("keep me")
    source.delete_repository(lab)
    source.first_commit(lab)
    clone = source.clone(lab)
    assert not (clone / "mine.txt").exists()
    earlier = clone.with_name(f"{clone.name}-earlier-1")
    assert (earlier / "mine.txt").read_text() == "keep me"


def test_the_sample_app_is_restored_whatever_was_left(lab: Lab) -> None:
    first = source.first_commit(lab)
    assert source.restore(lab) == first, "nothing to restore"
    source.push(lab, "Mistyped", source.replace("site.json", "teal", "tael"))
    (source.clone(lab) / "buildspec.yml").write_text("not pushed yet")
    restored = source.restore(lab)
    assert source.tip(lab) == restored != first
    for name in ("site.json", "buildspec.yml"):
        stored = lab.client("codecommit").get_file(repositoryName=lab.repository, filePath=name)
        assert stored["fileContent"] == (course.sample_app() / name).read_bytes()


def test_a_commit_that_was_not_pushed_goes_with_the_next(lab: Lab) -> None:
    source.first_commit(lab)
    clone = source.clone(lab)
    source.replace("site.json", "teal", "slate")(clone)
    subprocess.run(["git", "commit", "--quiet", "-am", "Slate"], cwd=clone, check=True)
    assert source.clone(lab) == clone and source.restore(lab) == source.tip(lab)
    log = subprocess.run(["git", "log", "--format=%s"], cwd=clone, capture_output=True, text=True)
    assert log.stdout.splitlines() == ["The sample app", "Slate", "The sample app"]


def half_merged(clone: Path) -> None:
    (clone / ".git" / "MERGE_HEAD").write_text(40 * "0")


def on_another_branch(clone: Path) -> None:
    subprocess.run(["git", "switch", "--quiet", "--create", "evening"], cwd=clone, check=True)


def locked(clone: Path) -> None:
    (clone / ".git" / "index.lock").touch()


def not_cloned_to_the_end(clone: Path) -> None:
    shutil.rmtree(clone / ".git")


def behind_and_ahead(clone: Path) -> None:
    subprocess.run(["git", "commit", "--quiet", "--amend", "-m", "Mine"], cwd=clone, check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "leave", [half_merged, on_another_branch, locked, not_cloned_to_the_end, behind_and_ahead]
)
def test_a_clone_that_was_left_in_the_middle_is_set_aside(
    lab: Lab, leave: Callable[[Path], None]
) -> None:
    commit = source.first_commit(lab)
    clone = source.clone(lab)
    (clone / "mine.txt").write_text("keep me")
    leave(clone)
    assert source.clone(lab) == clone and not (clone / "mine.txt").exists()
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=clone, check=True, capture_output=True, text=True
    )
    assert head.stdout.strip() == commit
    assert (clone.with_name(f"{clone.name}-earlier-1") / "mine.txt").read_text() == "keep me"


@pytest.mark.slow
def test_a_clone_takes_up_what_others_have_pushed(lab: Lab, tmp_path: Path) -> None:
    source.first_commit(lab)
    clone = source.clone(lab)
    (clone / "mine.txt").write_text("mine")
    theirs = tmp_path / "theirs"
    subprocess.run(["git", "clone", "--quiet", str(clone), str(theirs)], check=True)
    url = source.create_repository(lab)["cloneUrlHttp"]
    git = ["git", "-c", "user.name=Other", "-c", "user.email=other@example.com"]
    command = [*git, "commit", "--quiet", "--allow-empty", "-m", "Theirs"]
    subprocess.run(command, cwd=theirs, check=True)
    subprocess.run([*git, "push", "--quiet", url, "HEAD:main"], cwd=theirs, check=True)
    assert source.clone(lab) == clone and (clone / "mine.txt").exists()
    source.push(lab, "Mine, on top of theirs")


def test_without_credentials_git_says_why(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    source.first_commit(lab)
    clone = source.clone(lab)
    (clone / "new.txt").write_text("new")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not the secret")
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")
    with pytest.raises(source.GitError, match="git push"):
        source.push(lab, "Refused", directory=clone)
    subprocess.run(["git", "log", "-1"], cwd=clone, check=True, capture_output=True)
