"""Lesson 8: what is wrong with an answer."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from posixpath import join
from typing import Any

import yaml

from labkit import observe
from labkit.lab import Lab
from labkit.provision import source


def buildspec_reviewed(reviewed: str) -> Iterator[str]:
    spec = yaml.safe_load(reviewed)
    phases = spec["phases"]
    commands = {name: phase.get("commands", []) for name, phase in phases.items()}
    every = [command for listed in commands.values() for command in listed]
    if "DEPLOY_TOKEN" in spec.get("env", {}).get("variables", {}):
        yield "the secret is still in the buildspec, and so in git forever"
    if "runtime-versions" not in phases.get("install", {}):
        yield "it names no runtime version, so the image's default runs, until the image changes"
    if not any(command.startswith("npm ci") for command in every):
        yield "npm install may choose other versions than the lock file; npm ci may not"
    if any("npm test" in command and "|" in command for command in every):
        yield "a pipe's exit status is that of its last program, so a failed test is lost"
    if not any(command.strip() == "npm test" for command in every):
        yield "nothing tests the commit: npm test, as a command of its own"
    if not any("CODEBUILD_BUILD_SUCCEEDING" in command for command in commands["post_build"]):
        yield "post_build runs after a failed build too, and would publish it: ask CODEBUILD_BUILD_SUCCEEDING"
    if "**/*" in spec["artifacts"]["files"]:
        yield "the artifact takes everything, tests and node_modules too. Name what a host needs"
    if not any(name.startswith("dist") for name in spec["artifacts"]["files"]):
        yield "the artifact has no program in it: dist/**/*"


def proposed_ended(accepted: dict[str, Any]) -> str:
    return str(accepted["buildStatus"])


def phase_of_the_runtime(lab: Lab, broken: dict[str, str]) -> str:
    failed = observe.failed_phases(lab, {"no Node 99": broken["no Node 99"]})
    return str(failed.iloc[0]["phase"])


def report_named(reports: dict[str, dict[str, Any]]) -> Iterator[str]:
    if set(reports) != {"tests"}:
        yield f"it names {', '.join(reports) or 'no report'}; call the report tests"
    named = reports["tests"]
    files = [join(named.get("base-directory", ""), file) for file in named.get("files", [])]
    if not any(fnmatch("reports/junit.xml", file) for file in files):
        yield f"it looks for {', '.join(files) or 'no files'}; npm test writes reports/junit.xml"
    if named.get("file-format", "JUNITXML") != "JUNITXML":
        yield f"{named['file-format']} is another format; the file is JUnit's XML: JUNITXML"


def what_is_red(rows: dict[str, dict[str, Any]]) -> str:
    row = rows["npm test || true"]
    if row["report"] == "SUCCEEDED":
        return "nothing"
    return "the report alone" if row["build"] == "SUCCEEDED" else "both"


def colour_fixed(lab: Lab) -> Iterator[str]:
    found = lab.client("codecommit").get_file(
        repositoryName=lab.repository, filePath="site.json", commitSpecifier=lab.branch
    )
    if b"tael" in found["fileContent"]:
        yield f"main still says tael, at {str(source.tip(lab))[:8]}: a build of it would fail again"
    if b"teal" not in found["fileContent"]:
        yield "the page has no such colour; it was teal before somebody misspelt it"
