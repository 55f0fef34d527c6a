"""The repository, its clone and pushes to it, with real git."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from labkit import course
from labkit.lab import Lab
from labkit.provision import source


@pytest.fixture
def lab(lab_environment: Any, request: pytest.FixtureRequest) -> Iterator[Lab]:
    lab = Lab(request.node.name.replace("_", "-")[5:60].rstrip("-"))
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
    with pytest.raises(source.GitError, match="nothing to commit"):
        source.push(lab, "Nothing")


def test_an_edit_that_finds_nothing_changes_nothing(lab: Lab) -> None:
    commit = source.first_commit(lab)
    with pytest.raises(ValueError, match=r"site\.json does not contain 'no such text'"):
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


def test_without_credentials_git_says_why(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    source.first_commit(lab)
    clone = source.clone(lab)
    (clone / "new.txt").write_text("new")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not the secret")
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")
    with pytest.raises(source.GitError, match="git push"):
        source.push(lab, "Refused", directory=clone)
    subprocess.run(["git", "log", "-1"], cwd=clone, check=True, capture_output=True)
