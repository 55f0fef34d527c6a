"""Exercise 1: a buildspec that installs what the lock file names, tests, and hands on what a host needs.

Two builds: a good commit, and one that a test forbids. In the repository lies a `node_modules` with a
package that somebody has changed: `npm ci` deletes it, `npm install` takes it for what the lock file names.

Pages: "Build specification reference for CodeBuild"; npm's "npm-ci".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from labkit import show
from labkit.lab import Lab
from labkit.provision import provision, source
from labkit.teach.exercises.model import Answer, Check, Exercise, Facts, NotYetError
from labkit.teach.exercises.releases import (
    artifact,
    build,
    first_failure,
    hand_in,
    succeeded,
)

# a test of the sample app forbids it, in these words
_NO_SUCH_COLOUR, _SAID = "tael", "unknown colour tael"

_COLLEAGUES = """version: 0.2
phases:
  build:
    commands:
      - npm run build
"""
_CHANGED = "node_modules/mustache"
_CHANGED_PROGRAM = r"""// changed by hand: knows names alone
const signs = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
exports.render = (text, values) =>
  text.replace(/{{(\w+)}}/g, (_, name) => String(values[name] ?? '').replace(/[&<>"']/g, (one) => signs[one]));
"""
# what is of use to whoever writes the program, not to a host
_NOT_FOR_HOSTS = ("src/", "test/", "node_modules/", "reports/", ".git/", "buildspec.yml")


def begin(facts: Facts) -> dict[str, Any]:
    """The colleague's five lines."""
    return {"buildspec": _COLLEAGUES}


def prepare(lab: Lab, facts: Facts) -> None:
    """The sample app with a project that builds it, a changed package, and a folder more for the hosts."""
    provision(lab, until="build")
    extra = {f"{facts['folder']}/{facts['file']}": f"{facts['file']} of {facts['folder']}\n"}
    lock = json.loads((source.clone(lab) / "package-lock.json").read_text(encoding="utf-8"))
    hand_in(lab, {**_changed_package(lock), **extra}, "A folder for the hosts")


def _changed_package(lock: dict[str, Any]) -> dict[str, str]:
    """A package as an installation has left it in `node_modules`, committed, and changed since."""
    known = lock["packages"][_CHANGED]
    package = {
        "name": "mustache",
        "version": known["version"],
        "main": "mustache.js",
        "_integrity": known["integrity"],
    }
    return {
        ".gitignore": "dist/\nreports/\n",  # no longer node_modules/
        f"{_CHANGED}/package.json": json.dumps(package),
        f"{_CHANGED}/mustache.js": _CHANGED_PROGRAM,
        "node_modules/.bin/mustache": "#!/usr/bin/env node\n",
    }


@dataclass(frozen=True)
class Outcome:
    """What came of it: the build of a good commit, and of one with a mistake."""

    lab: Lab
    facts: Facts
    good: dict[str, Any]
    bad: dict[str, Any]

    @cached_property
    def names(self) -> set[str]:
        """The names in the artifact.

        Raises:
            NotYetError: no build has kept one.
        """
        if not succeeded(self.good):
            raise NotYetError("first let the build succeed")
        whole = artifact(self.lab, self.good)
        if whole is None:
            raise NotYetError("first name files under artifacts")
        return set(whole.namelist())

    @property
    def tested(self) -> bool:
        """Whether the bad commit was stopped, by its test."""
        if not succeeded(self.good):
            raise NotYetError("first let the build of a good commit succeed")
        log = show.logs.lines(self.lab, self.bad["id"])
        return self.bad["buildStatus"] == "FAILED" and any(_SAID in text for text in log)

    @property
    def locked(self) -> bool:
        """Whether the package in the artifact is the lock file's, not the one that lay about."""
        package = f"dist/{_CHANGED}/package.json"
        if package not in self.names:
            raise NotYetError("first get the packages into dist/")
        return f"dist/{_CHANGED}/mustache.mjs" in self.names  # the changed one has none

    @property
    def waste(self) -> list[str]:
        """What is in the artifact and of no use to a host."""
        return sorted(name for name in self.names if name.startswith(_NOT_FOR_HOSTS))


def run(lab: Lab, facts: Facts, answer: Answer) -> Outcome:
    """Build what was handed in, twice."""
    hand_in(lab, {"buildspec.yml": str(answer["buildspec"])})
    good = build(lab)
    if not succeeded(good):
        return Outcome(lab, facts, good, {})
    right = (source.clone(lab) / "site.json").read_text(encoding="utf-8")
    wrong = json.dumps(json.loads(right) | {"colour": _NO_SUCH_COLOUR})
    hand_in(lab, {"site.json": wrong}, "A mistake, for grading")
    bad = build(lab)
    hand_in(lab, {"site.json": right}, "Without the mistake")
    return Outcome(lab, facts, good, bad)


EXERCISE = Exercise(
    title="write the buildspec",
    lesson="04_artifacts",
    level=1,
    given={
        "name": ("exercise-1",),
        "folder": ("themes", "locales", "banners", "fixtures", "schemas", "templates"),
        "file": ("plain.txt", "default.txt", "first.txt", "base.txt"),
    },
    begin=begin,
    prepare=prepare,
    run=run,
    checks=(
        Check(
            "the build succeeds",
            lambda it: succeeded(it.good),
            lambda it: first_failure(it.good) or "look at show.log(lab)",
        ),
        Check(
            "a commit that fails a test is not built, and the log says which test it was",
            lambda it: it.tested,
            "let npm test fail the build, as a command of its own",
        ),
        Check(
            "the artifact has appspec.yml at its top, the hooks in scripts/, and {folder}/",
            lambda it: (
                {"appspec.yml", "scripts/start.sh", "scripts/validate.js"} <= it.names
                and f"{it.facts['folder']}/{it.facts['file']}" in it.names
            ),
            "name all three under artifacts",
        ),
        Check(
            "the artifact has the program in dist/, with its packages",
            lambda it: {"dist/src/server.js", f"dist/{_CHANGED}/package.json"} <= it.names,
            "install, run npm run build, and name dist under artifacts",
        ),
        Check(
            "its packages are those of package-lock.json, whatever lay about in node_modules",
            lambda it: it.locked,
            "npm install keeps what it finds in node_modules, and may choose other versions; "
            "npm ci deletes it and installs what the lock file names",
        ),
        Check(
            "no sources, tests or other files that a host does not need are in the artifact",
            lambda it: not it.waste,
            lambda it: f"{it.waste[0]} is in it: name what a host needs, instead of **/*",
        ),
    ),
)
