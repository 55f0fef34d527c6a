"""Lesson 8: what is wrong with an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from labkit import observe, show
from labkit.lab import Lab


def buildspec_reviewed(reviewed: str) -> Iterator[str]:
    spec = yaml.safe_load(reviewed)
    phases = spec["phases"]
    commands = {name: phase.get("commands", []) for name, phase in phases.items()}
    every = [command for listed in commands.values() for command in listed]
    if "DEPLOY_TOKEN" in spec.get("env", {}).get("variables", {}):
        yield "the secret is still in the buildspec, and so in git for ever"
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


def cache_kept(lab: Lab) -> Iterator[str]:
    [project] = lab.client("codebuild").batch_get_projects(names=[lab.project])["projects"]
    cache = project.get("cache", {"type": "NO_CACHE"})
    if cache["type"] == "NO_CACHE":
        yield "the project keeps no cache: update_project, with cache"
    if cache["type"] == "LOCAL":
        yield "a local cache is gone with the machine that built. Keep it in the bucket: S3"
    if cache.get("location") != f"{lab.bucket}/cache":
        yield f"it is kept in {cache.get('location')}; take a folder of the bucket, {lab.bucket}/cache"


def maps_of_the_stale_build(lab: Lab, stale: dict[str, Any]) -> str:
    return "3.1.0" if "maps 3.1.0" in list(show.logs.lines(lab, stale["id"])) else "3.2.0"


def key_written(careful: str) -> Iterator[str]:
    cache = yaml.safe_load(careful)["cache"]
    if not cache.get("key"):
        yield "the cache has no key, so the last one is always restored, whatever it was made of"
    if "codebuild-hash-files" not in cache["key"]:
        yield "this key is the same for every commit. Make it of the files that decide: codebuild-hash-files"
    if "deps.lock" not in cache["key"]:
        yield "it is made of other files than the one that says what is wanted, deps.lock"


def cheapest(rows: list[dict[str, Any]]) -> str:
    return str(min(rows, key=lambda row: float(row["USD a month"]))["compute type"])


def batch_written(batch_yml: str) -> Iterator[str]:
    batch = yaml.safe_load(batch_yml)["batch"]
    builds = {one["identifier"]: one for one in batch.get("build-list", [])}
    if set(builds) != {"cart", "mail"}:
        yield f"it lists {', '.join(builds) or 'no builds'}; there is to be one for each service, cart and mail"
    if batch.get("fast-fail", True):
        yield "the first failure would end the others as well: fast-fail is true, if nobody says otherwise"
    for name, one in builds.items():
        if one.get("buildspec") != f"services/{name}/buildspec.yml":
            yield f"{name} has its buildspec in services/{name}/buildspec.yml"
    if builds["mail"].get("env", {}).get("compute-type") != "BUILD_GENERAL1_MEDIUM":
        yield "mail is to get a larger machine: env, compute-type, BUILD_GENERAL1_MEDIUM"
