"""Exercise 2: three faults in an appspec and a hook, each hidden by the one before.

Two deployments: what was handed in, and the same with a program that ends at once, which the last
hook has to notice.

Pages: "AppSpec file structure for EC2/on-premises deployments"; "AppSpec 'hooks' section".
"""

from __future__ import annotations

import io
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from labkit import show
from labkit.lab import Lab
from labkit.provision import build as builds
from labkit.provision import provision, source
from labkit.teach.exercises.model import Answer, Check, Exercise, Facts, NotYetError
from labkit.teach.exercises.releases import (
    artifact,
    build,
    deployed,
    failed_event,
    first_failure,
    hand_in,
    succeeded,
)

_START_SECONDS = 10.0
_OLD_FOLDER = "/var/www/labkit-sample"

_APPSPEC = """version: 0.0
os: linux
files: [{{source: {source}, destination: {folder}}}]
file_exists_behavior: OVERWRITE
hooks:
  ApplicationStop: [{{location: scripts/stop.sh, timeout: 10}}]
  ApplicationStart: [{{location: scripts/start.sh, timeout: 5}}]
  ValidateService: [{{location: scripts/{validate}, timeout: 30}}]
"""
_START = """#!/usr/bin/env bash
source "$(dirname "$0")/common.sh"
mkdir -p "$RUN_DIR" "$(dirname "$LOG_FILE")"
cd "$APP_DIR"
{service}
"""
# how the script keeps its hook from ending, or does not start what it should
_SERVICE = {
    "in front": 'echo $$ >"$PID_FILE"\nexec node "$SERVER"',
    "keeps the outputs": 'node "$SERVER" &\necho $! >"$PID_FILE"',
    "waits": 'nohup node "$SERVER" >>"$LOG_FILE" 2>&1 </dev/null &\necho $! >"$PID_FILE"\nwait',
}


def begin(facts: Facts) -> dict[str, Any]:
    """The two files with their faults."""
    return {
        "appspec": _APPSPEC.format_map(facts),
        "start_sh": _START.format(service=_SERVICE[facts["service"]]),
    }


def prepare(lab: Lab, facts: Facts) -> None:
    """The sample app on two hosts, whose hooks know its folder by the name of this variant."""
    provision(lab, until="deploy")
    common = source.clone(lab) / "scripts" / "common.sh"
    text = common.read_text(encoding="utf-8").replace(_OLD_FOLDER, facts["folder"])
    hand_in(lab, {"scripts/common.sh": text}, "A folder of its own")


@dataclass(frozen=True)
class Outcome:
    """What came of it: the build, the deployment, and that of a broken program."""

    lab: Lab
    commit: str
    built: dict[str, Any]
    good: dict[str, Any] = field(default_factory=dict)
    listened: bool = False
    answers: list[str | None] = field(default_factory=list)
    bad: dict[str, Any] = field(default_factory=dict)
    after: list[str | None] = field(default_factory=list)

    @property
    def everywhere(self) -> bool:
        """Whether the deployment succeeded on every host."""
        if not succeeded(self.built):
            raise NotYetError("first let the build succeed")
        count = self.good.get("deploymentOverview", {}).get("Succeeded")
        return bool(self.answers) and count == len(self.answers)

    @property
    def served(self) -> bool:
        """Whether every site answers with the commit."""
        if not self.everywhere:
            raise NotYetError("first let the deployment succeed")
        return set(self.answers) == {self.commit}

    @property
    def noticed(self) -> bool:
        """Whether a program that does not run made its deployment fail."""
        if not self.served:
            raise NotYetError("first let every site answer with your commit")
        return bool(self.bad["status"] == "Failed")

    @property
    def back(self) -> bool:
        """Whether every site answers with the good commit again."""
        if not self.noticed:
            raise NotYetError("first let the deployment of a bad program fail")
        return set(self.after) == {self.commit}

    @property
    def cause(self) -> str:
        """Why the deployment failed, in CodeDeploy's words and, where a hook did not end, in ours."""
        failed = failed_event(self.lab, self.good)
        if not failed:
            return "read observe.lifecycle_events(lab, deployment)"
        said = f"{failed['event']} says: {failed['message']}"
        if "failed to close" in failed["message"]:
            return f"{said}. The script ends, and the service keeps its outputs: give it outputs of its own"
        if "failed to complete" not in failed["message"]:
            return said
        if self.listened:
            return (
                f"{said}. The service listens; it is the script that does not end: start the service in "
                "the background with outputs of its own, and let the script end"
            )
        return f"{said}. Nothing listens either: see what the script waits for"


def run(lab: Lab, facts: Facts, answer: Answer) -> Outcome:
    """Deploy what was handed in; where it is served, a broken program too."""
    files = {"appspec.yml": str(answer["appspec"]), "scripts/start.sh": str(answer["start_sh"])}
    commit = hand_in(lab, files)[:8]
    built = build(lab)
    whole = artifact(lab, built)
    if whole is None:
        return Outcome(lab, commit, built)
    key = builds.artifact_key(lab, built["id"])
    good, listened = _watched(lab, key, commit)
    answers = _answers(lab, commit if good["status"] == "Succeeded" else None)
    if set(answers) != {commit} or good["status"] != "Succeeded":
        return Outcome(lab, commit, built, good, listened, answers)
    bad = deployed(lab, _broken_copy(lab, whole, key))
    after = _answers(lab, commit if bad["status"] == "Failed" else None)
    return Outcome(lab, commit, built, good, listened, answers, bad, after)


def _watched(lab: Lab, key: str, commit: str) -> tuple[dict[str, Any], bool]:
    """Deploy; returns the deploymentInfo, and whether a site has answered with the commit meanwhile."""
    with ThreadPoolExecutor(1) as aside:
        deploying = aside.submit(deployed, lab, key)
        listened = False
        while not deploying.done():
            listened = listened or commit in _commits(lab)
            time.sleep(0.1)
        return deploying.result(), listened


def _commits(lab: Lab) -> list[str | None]:
    return [site.commit for site in show.sites(lab)]


def _answers(lab: Lab, hoped: str | None) -> list[str | None]:
    """The commit that each site answers with; what was only just started gets a while to begin."""
    until = time.monotonic() + _START_SECONDS
    while True:
        answers = _commits(lab)
        if hoped is None or set(answers) == {hoped} or time.monotonic() > until:
            return answers
        time.sleep(0.2)


def _broken_copy(lab: Lab, whole: zipfile.ZipFile, key: str) -> str:
    """The artifact again, with a program that ends at once; returns its key."""
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as broken:
        for item in whole.infolist():
            program = item.filename == "dist/src/server.js"
            broken.writestr(item, b"process.exit(1);\n" if program else whole.read(item))
    lab.client("s3").put_object(Bucket=lab.bucket, Key=f"{key}.broken", Body=copy.getvalue())
    return f"{key}.broken"


EXERCISE = Exercise(
    title="fix the deployment",
    lesson="05_deploy",
    level=2,
    given={
        "name": ("exercise-2",),
        "folder": tuple(
            f"/srv/{name}" for name in ("shop", "ledger", "tickets", "library", "weather", "menu")
        ),
    },
    hidden={
        "source": ("build", "out", "target", "public"),
        "validate": ("validate_service.sh", "check.sh", "verify.sh"),
        "service": tuple(_SERVICE),
    },
    begin=begin,
    prepare=prepare,
    run=run,
    checks=(
        Check(
            "your commit builds",
            lambda it: succeeded(it.built),
            lambda it: first_failure(it.built) or "look at show.log(lab)",
        ),
        Check(
            "the deployment succeeds on every host", lambda it: it.everywhere, lambda it: it.cause
        ),
        Check(
            "every site answers with your commit",
            lambda it: it.served,
            "start the service in the hook for ApplicationStart",
        ),
        Check(
            "a program that does not run fails the deployment",
            lambda it: it.noticed,
            "ask the service in the hook for ValidateService",
        ),
        Check(
            "and every site answers with the good commit again",
            lambda it: it.back,
            "the service of the good commit has to start again after a failure",
        ),
    ),
)
