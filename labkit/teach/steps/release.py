"""Lesson 7: what is wrong with an answer."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labkit import observe
from labkit.lab import Lab
from labkit.observe import Snapshot
from labkit.provision.source import tip


def pushed(lab: Lab, clone: Path) -> Iterator[str]:
    if _git(clone, "status", "--porcelain", "--untracked-files=no"):
        yield "the change is in the clone, but in no commit: git commit --all"
    if tip(lab) != _git(clone, "rev-parse", "HEAD"):
        yield f"the commit is on this machine only; {lab.branch} on AWS is where it was. Push it"


def stage_that_stopped_it(failed: Snapshot) -> str:
    return next(stage.name for stage in failed.stages if stage.status == "Failed")


def phase_found(build: dict[str, Any], phase: dict[str, Any]) -> Iterator[str]:
    if not isinstance(phase, dict):
        yield f"phase is a {type(phase).__name__}; take one of the phases out of it, with next(...)"
    if phase.get("phaseStatus") != "FAILED":
        yield f"{phase['phaseType']} is {phase.get('phaseStatus', 'not over')}. Take the one that FAILED"
    if phase["phaseType"] not in [one["phaseType"] for one in build["phases"]]:
        yield "that phase is of another build"


def the_retry(lab: Lab, mistake: str) -> str:
    return str(observe.snapshot(lab, mistake).status).lower()


def tried_again(lab: Lab, mistake: str) -> Iterator[str]:
    runs = observe.actions(lab, mistake)
    builds = runs[runs["action"] == "Build"]
    if len(builds) < 2:
        yield "this execution has built once only. A retry runs the failed stage again, in the same execution"


def project_restored(lab: Lab) -> Iterator[str]:
    [project] = lab.client("codebuild").batch_get_projects(names=[lab.project])["projects"]
    buildspec = project["source"].get("buildspec", "")
    if project["source"]["type"] != "CODEPIPELINE":
        yield f"the source of the project is {project['source']['type']} now; it was CODEPIPELINE"
    if buildspec not in ("", "buildspec.yml"):
        yield f"the project still looks for {buildspec}, which is in no commit"


def hosts_hit(overview: dict[str, int]) -> str:
    return ("none", "one", "both")[overview["Failed"]]


def reverted(lab: Lab, clone: Path) -> Iterator[str]:
    head = _git(clone, "rev-parse", "HEAD")
    subjects = _git(clone, "log", "--format=%s", "-3").splitlines()
    if "Check the licence" not in subjects:
        yield "the bad commit is gone from the history, where others may have it already. Revert; do not reset"
    if _git(clone, "diff", "--name-only", "HEAD~2", "HEAD"):
        yield "the files are not yet what they were before the bad commit. git revert makes the commit"
    if tip(lab) != head:
        yield f"you have reverted on this machine, and {lab.branch} on AWS still has the bad commit. Push"


def _git(directory: Path, *arguments: str) -> str:
    """What git prints; nothing where it fails."""
    done = subprocess.run(["git", *arguments], cwd=directory, capture_output=True, text=True)
    return done.stdout.strip()
