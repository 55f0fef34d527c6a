"""Lesson 8b: what is wrong with an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from labkit import show
from labkit.lab import Lab

MAY = ("codebuild:StartBuild", "codebuild:StopBuild", "codebuild:RetryBuild")


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
        yield "this key is the same for every commit. Make it from the files that decide: codebuild-hash-files"
    if "deps.lock" not in cache["key"]:
        yield "it is not made from the file that says what is wanted, deps.lock"


def cheapest(rows: list[dict[str, Any]]) -> str:
    return str(min(rows, key=lambda row: float(row["USD a month"]))["compute type"])


def batch_written(batch_yml: str) -> Iterator[str]:
    batch = yaml.safe_load(batch_yml)["batch"]
    builds = {one["identifier"]: one for one in batch.get("build-list", [])}
    if set(builds) != {"cart", "mail"}:
        yield f"it lists {', '.join(builds) or 'no builds'}; it needs one for each service, cart and mail"
    if batch.get("fast-fail", True):
        yield "the first failure would end the others as well: fast-fail is true unless you say otherwise"
    for name, one in builds.items():
        if one.get("buildspec") != f"services/{name}/buildspec.yml":
            yield f"{name} has its buildspec in services/{name}/buildspec.yml"
    if builds["mail"].get("env", {}).get("compute-type") != "BUILD_GENERAL1_MEDIUM":
        yield "mail needs a larger machine: env, compute-type, BUILD_GENERAL1_MEDIUM"


def batch_may(lab: Lab, statement: dict[str, Any]) -> Iterator[str]:
    actions, resources = statement["Action"], statement["Resource"]
    if any("*" in action for action in actions):
        yield f"{', '.join(actions)} is too much: a batch that may do everything can delete the project"
    if missing := [action for action in MAY if action not in actions]:
        yield f"a batch starts its builds, stops them, and tries them again. It could not {', '.join(missing)}"
    if more := set(actions) - set(MAY):
        yield f"a batch never needs {', '.join(sorted(more))}"
    if resources != [lab.arn("codebuild", "project/" + lab.project)]:
        yield f"it may do so with {', '.join(resources)}; name this one project: project/{lab.project}"
