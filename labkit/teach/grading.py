"""Grades of the exercises: what the learner handed in is built and deployed, and AWS's answer counts.

No text is compared. A good commit has to come through and a bad one has to be stopped, because a
pipeline that lets everything pass is green as well.
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit import observe, show
from labkit.lab import Lab
from labkit.provision import build as builds
from labkit.provision import deploy, source
from labkit.teach.result import Result, line

# a test of the sample app forbids it, in these words
_NO_SUCH_COLOUR, _SAID = "tael", "unknown colour tael"


_START_SECONDS = 10.0


@dataclass(frozen=True, repr=False)
class Grade(Result):
    """A result that counts: a point for each line that holds."""

    @property
    def points(self) -> int:
        """How many lines hold."""
        return sum(line.ok for line in self.lines)


def hand_in(lab: Lab, files: Mapping[str, str], message: str = "Handed in") -> str:
    """Push these files, if they differ from what is there; returns the branch's commit id."""

    def edit(clone: Path) -> None:
        for name, text in files.items():
            (clone / name).write_text(text, encoding="utf-8")

    clone = source.clone(lab)
    if all((clone / name).read_text(encoding="utf-8") == files[name] for name in files):
        return source.tip(lab) or source.push(lab, message)
    return source.push(lab, message, edit)


def build(lab: Lab) -> dict[str, Any]:
    """Build the branch's newest commit by hand, keep what it makes, and wait for it."""
    return observe.wait_for_build(lab, builds.start_build(lab, commit=source.tip(lab), keep=True))


def write_the_buildspec(lab: Lab) -> Grade:
    """Exercise 1: the buildspec on the branch builds, tests, and hands on what CodeDeploy needs.

    It builds twice: the branch as it is, and with a colour that a test forbids.
    """
    commit = source.tip(lab) or ""
    good = build(lab)
    names = _artifact(lab, good)
    with _mistake(lab):
        bad = build(lab)
    built = good["buildStatus"] == "SUCCEEDED"
    checks: list[tuple[str, str, Callable[[], object]]] = [
        (
            "the build succeeds",
            first_failure(good) or "look at show.log(lab)",
            lambda: built,
        ),
        (
            "a commit that fails a test is not built",
            "let npm test fail the build",
            lambda: built and bad["buildStatus"] == "FAILED",
        ),
        (
            "and the log says which test it was",
            "run npm test as a command of its own",
            lambda: any(_SAID in text for text in show.logs.lines(lab, bad["id"])),
        ),
        (
            "the artifact has appspec.yml at its top, and the hooks in scripts/",
            "name them under artifacts",
            lambda: {"appspec.yml", "scripts/start.sh", "scripts/validate.js"} <= names,
        ),
        (
            "the artifact has the program in dist/, with its packages",
            "run npm ci and npm run build, and name dist under artifacts",
            lambda: {"dist/src/server.js", "dist/node_modules/mustache/package.json"} <= names,
        ),
        (
            "the program knows the commit that it was built from",
            "build it with npm run build",
            lambda: _built_commit(lab, good) == commit,
        ),
    ]
    return Grade("write the buildspec", tuple(line(*one) for one in checks))


def _answers(lab: Lab, hoped: str | None) -> list[str | None]:
    """The commit that each site answers with; what was only just started gets a while to begin."""
    until = time.monotonic() + _START_SECONDS
    while True:
        answers: list[str | None] = [site.commit for site in show.sites(lab)]
        if hoped is None or set(answers) == {hoped} or time.monotonic() > until:
            return answers
        time.sleep(0.2)


def mend_the_deployment(lab: Lab) -> Grade:
    """Exercise 2: what is on the branch is deployed, answers, and is guarded by its last hook.

    It deploys twice: the branch's build, and the same with a program that ends at once.
    """
    commit = (source.tip(lab) or "")[:8]
    built = build(lab)
    key = builds.artifact_key(lab, built["id"])
    info = _deploy(lab, key) if built["buildStatus"] == "SUCCEEDED" else {}
    succeeded = info.get("status") == "Succeeded"
    answers = _answers(lab, commit if succeeded else None)
    good = succeeded and set(answers) == {commit}
    bad = _deploy(lab, _broken_copy(lab, key)) if good else {}
    after = _answers(lab, commit if bad.get("status") == "Failed" else None)
    hosts = len(answers)
    checks: list[tuple[str, str, Callable[[], object]]] = [
        (
            "the branch builds",
            first_failure(built) or "look at show.log(lab)",
            lambda: built["buildStatus"] == "SUCCEEDED",
        ),
        (
            "the deployment succeeds on every host",
            _failed_hook(lab, info) or "it was not deployed",
            lambda: hosts > 0 and info["deploymentOverview"]["Succeeded"] == hosts,
        ),
        (
            "every site answers with the commit of the branch",
            "start the service in the hook for ApplicationStart",
            lambda: good,
        ),
        (
            "a program that does not run fails the deployment",
            "ask the service in the hook for ValidateService",
            lambda: bad["status"] == "Failed",
        ),
        (
            "and every site answers with the good commit again",
            "first let the deployment of a bad program fail",
            lambda: bad["status"] == "Failed" and set(after) == {commit},
        ),
    ]
    return Grade("mend the deployment", tuple(line(*one) for one in checks))


@contextmanager
def _mistake(lab: Lab) -> Iterator[None]:
    """The branch with a commit that fails a test, and without it again."""
    clone = source.clone(lab)
    right = (clone / "site.json").read_text(encoding="utf-8")
    wrong = json.dumps(json.loads(right) | {"colour": _NO_SUCH_COLOUR}, indent=2) + "\n"
    hand_in(lab, {"site.json": wrong}, "A mistake, for grading")
    try:
        yield
    finally:
        hand_in(lab, {"site.json": right}, "Without the mistake")


def _zip(lab: Lab, key: str) -> zipfile.ZipFile:
    content = lab.client("s3").get_object(Bucket=lab.bucket, Key=key)["Body"].read()
    return zipfile.ZipFile(io.BytesIO(content))


def _artifact(lab: Lab, built: dict[str, Any]) -> set[str]:
    """The names in the artifact of a build; none when it failed."""
    if built["buildStatus"] != "SUCCEEDED" or not built.get("artifacts", {}).get("location"):
        return set()
    return set(_zip(lab, builds.artifact_key(lab, built["id"])).namelist())


def _built_commit(lab: Lab, built: dict[str, Any]) -> str:
    name = "dist/build-info.json"
    if name not in _artifact(lab, built):
        return ""
    return str(json.loads(_zip(lab, builds.artifact_key(lab, built["id"])).read(name))["commit"])


def _broken_copy(lab: Lab, key: str) -> str:
    """The artifact again, with a program that ends at once; returns its key."""
    whole, copy = _zip(lab, key), io.BytesIO()
    with zipfile.ZipFile(copy, "w") as broken:
        for item in whole.infolist():
            program = item.filename == "dist/src/server.js"
            broken.writestr(item, b"process.exit(1);\n" if program else whole.read(item))
    lab.client("s3").put_object(Bucket=lab.bucket, Key=f"{key}.broken", Body=copy.getvalue())
    return f"{key}.broken"


def _deploy(lab: Lab, key: str) -> dict[str, Any]:
    """Deploy a zip and wait, for the way back as well; returns the first's deploymentInfo."""
    deployment_id = deploy.create_deployment(lab, key, description="For grading")
    info = observe.wait_for_deployment(lab, deployment_id)
    rollback = info.get("rollbackInfo", {}).get("rollbackDeploymentId")
    if rollback:
        observe.wait_for_deployment(lab, rollback)
    return info


def first_failure(built: dict[str, Any]) -> str:
    """What the first failed phase of a build said."""
    for phase in built.get("phases", []):
        if phase.get("phaseStatus") not in (None, "SUCCEEDED"):
            said = [context.get("message", "") for context in phase.get("contexts") or []]
            return f"{phase['phaseType']} says: {' '.join(said)}".strip()
    return ""


def _failed_hook(lab: Lab, info: dict[str, Any]) -> str:
    """Which lifecycle event failed, and with what message."""
    if not info:
        return ""
    events = observe.lifecycle_events(lab, info["deploymentId"])
    failed = events[events["status"] == "Failed"]
    return f"{failed.iloc[0]['event']} says: {failed.iloc[0]['message']}" if len(failed) else ""
