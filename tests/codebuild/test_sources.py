"""Where a build's source comes from, and which version of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = [pytest.mark.slow, pytest.mark.guests]

SPEC = (
    "version: 0.2\nphases: {build: {commands: ['echo text is $(cat file.txt)',"
    " 'echo history is $(git rev-list --count HEAD)', 'echo at $CODEBUILD_RESOLVED_SOURCE_VERSION',"
    " 'echo origin $CODEBUILD_SOURCE_REPO_URL', 'echo on $(git rev-parse --abbrev-ref HEAD)']}}\n"
)
ME = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


class Repository:
    """A git repository on this machine, whose URL a project can have."""

    def __init__(self, path: Path) -> None:
        self.path, self.url = path, path.as_uri()
        path.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env={**os.environ, **ME},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, text: str) -> str:
        (self.path / "file.txt").write_text(text)
        (self.path / "buildspec.yml").write_text(SPEC)
        self.git("add", "-A")
        self.git("commit", "-qm", text)
        return self.git("rev-parse", "HEAD")


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository(tmp_path_factory.mktemp("git") / "a repository ü")
    made.commit("one")
    made.git("tag", "v1")
    made.commit("two")
    made.git("checkout", "-qb", "feature/x")
    made.commit("three")
    made.git("update-ref", "refs/pull/7/head", "HEAD")
    made.git("checkout", "-q", "main")
    return made


def project(bench: Any, repository: Repository, **source: Any) -> str:
    return bench.project(source={"type": "GITHUB", "location": repository.url, **source})


def said(bench: Any, build: dict[str, Any], what: str) -> str:
    assert build["buildStatus"] == "SUCCEEDED", "\n".join(bench.log(build))
    [line] = [line for line in bench.log(build) if line.startswith(f"{what} ")]
    return line.removeprefix(f"{what} ")


@pytest.mark.parametrize(
    ("version", "text"),
    [
        (None, "two"),
        ("main", "two"),
        ("refs/heads/main", "two"),
        ("feature/x", "three"),
        ("v1", "one"),
        ("refs/tags/v1", "one"),
        ("pr/7", "three"),
        ("refs/pull/7/head", "three"),
        ("{first}", "one"),
        ("{short}", "one"),
        ("refs/heads/main^{{{first}}}", "one"),
    ],
)
def test_a_source_version(
    bench: Any, repository: Repository, version: str | None, text: str
) -> None:
    first = repository.git("rev-parse", "v1")
    override = {"sourceVersion": version.format(first=first, short=first[:9])} if version else {}
    build = bench.run(project(bench, repository), **override)
    assert said(bench, build, "text") == f"is {text}"
    assert said(bench, build, "at") == build["resolvedSourceVersion"]
    assert said(bench, build, "origin") == repository.url
    assert len(build["resolvedSourceVersion"]) == 40


@pytest.mark.parametrize(
    "version", ["nowhere", "refs/heads/nowhere", "pr/99", "f" * 40, "-x", "v1; id"]
)
def test_a_source_version_that_is_not_there(
    bench: Any, repository: Repository, version: str
) -> None:
    build = bench.run(project(bench, repository), sourceVersion=version)
    [phase] = [item for item in build["phases"] if item["phaseType"] == "DOWNLOAD_SOURCE"]
    assert build["buildStatus"] == "FAILED"
    assert phase["contexts"][0]["statusCode"] == "CLIENT_ERROR"
    assert "reference not found for primary source" in phase["contexts"][0]["message"]


@pytest.mark.parametrize(("depth", "count"), [(1, 1), (2, 2), (0, 2)])
def test_the_depth_of_a_clone(bench: Any, repository: Repository, depth: int, count: int) -> None:
    for version in ({}, {"sourceVersion": "main"}):
        build = bench.run(project(bench, repository, gitCloneDepth=depth), **version)
        assert said(bench, build, "history") == f"is {count}"
        assert said(bench, build, "on") == "main"


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("file:///nowhere/at/all", "does not"),
        ("http://127.0.0.1:9/x.git", "Failed to connect|Connection refused|Couldn't connect"),
        ("ext::sh -c id", "is not a URL that git can clone"),
        ("--upload-pack=id", "is not a URL that git can clone"),
    ],
)
def test_a_repository_that_cannot_be_reached(bench: Any, location: str, reason: str) -> None:
    build = bench.run(bench.project(source={"type": "GITHUB", "location": location}))
    [phase] = [item for item in build["phases"] if item["phaseType"] == "DOWNLOAD_SOURCE"]
    assert phase["contexts"][0]["statusCode"] == "CLIENT_ERROR"
    assert any(part in phase["contexts"][0]["message"] for part in reason.split("|"))


def test_an_empty_repository(bench: Any, tmp_path: Path) -> None:
    build = bench.run(project(bench, Repository(tmp_path / "empty")))
    [phase] = [item for item in build["phases"] if item["phaseType"] == "DOWNLOAD_SOURCE"]
    assert "is empty" in phase["contexts"][0]["message"]


def test_hooks_of_a_template_do_not_run_and_nothing_signs_in(
    bench: Any, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = repository.path / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    hook.chmod(0o755)
    bench.run(project(bench, repository))
    assert not (tmp_path / "ran").exists()


def test_secondary_sources_have_versions_of_their_own(bench: Any, repository: Repository) -> None:
    spec = (
        "version: 0.2\nphases: {build: {commands: ['echo first is $(cat $CODEBUILD_SRC_DIR_One/file.txt)',"
        " 'echo second is $(cat $CODEBUILD_SRC_DIR_Two/file.txt)', 'echo versions $CODEBUILD_SOURCE_VERSION_Two']}}"
    )
    item = {"type": "GITHUB", "location": repository.url}
    name = bench.project(
        source={"type": "NO_SOURCE", "buildspec": spec},
        secondarySources=[{**item, "sourceIdentifier": "One"}, {**item, "sourceIdentifier": "Two"}],
        secondarySourceVersions=[{"sourceIdentifier": "Two", "sourceVersion": "feature/x"}],
    )
    build = bench.run(name)
    assert said(bench, build, "first") == "is two"
    assert said(bench, build, "second") == "is three"
    assert said(bench, build, "versions") == "feature/x"


def test_a_local_source_cache_is_brought_up_to_date(bench: Any, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "cached")
    repository.commit("first")
    name = bench.project(
        source={"type": "GITHUB", "location": repository.url},
        cache={"type": "LOCAL", "modes": ["LOCAL_SOURCE_CACHE"]},
    )
    assert said(bench, bench.run(name), "text") == "is first"
    repository.commit("second")
    again = bench.run(name)
    assert said(bench, again, "text") == "is second"
    assert said(bench, again, "history") == "is 2"


def test_source_credentials(bench: Any) -> None:
    codebuild = bench.codebuild
    made = codebuild.import_source_credentials(
        token="ghp_secret", serverType="GITHUB", authType="PERSONAL_ACCESS_TOKEN"
    )["arn"]
    try:
        [shown] = codebuild.list_source_credentials()["sourceCredentialsInfos"]
        assert shown == {"arn": made, "serverType": "GITHUB", "authType": "PERSONAL_ACCESS_TOKEN"}
        with pytest.raises(codebuild.exceptions.ResourceAlreadyExistsException):
            codebuild.import_source_credentials(
                token="x",
                serverType="GITHUB",
                authType="PERSONAL_ACCESS_TOKEN",
                shouldOverwrite=False,
            )
    finally:
        codebuild.delete_source_credentials(arn=made)
    with pytest.raises(codebuild.exceptions.ResourceNotFoundException):
        codebuild.delete_source_credentials(arn=made)
    with pytest.raises(ClientError, match="Username is required"):
        codebuild.import_source_credentials(
            token="x", serverType="BITBUCKET", authType="BASIC_AUTH"
        )
