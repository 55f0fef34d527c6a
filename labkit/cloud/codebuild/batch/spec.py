"""The `batch` of a buildspec: which builds a batch has, and what each depends on.

AWS page: "Batch build buildspec reference".
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

import yaml

from labkit.cloud.codebuild.buildspec import BuildspecError, parse

KINDS = ("build-graph", "build-list", "build-matrix", "build-fanout")
# what a task's `env` may override -> its name in a build's environment
_OVERRIDES = {
    "compute-type": "computeType",
    "image": "image",
    "type": "type",
    "privileged-mode": "privilegedMode",
}
_ENV = (*_OVERRIDES, "variables", "fleet")
_TASK = ("identifier", "buildspec", "env", "ignore-failure", "debug-session")
_MOST_SHARDS = 100
_MOST_COMBINATIONS = 1000  # a project allows 100; beyond this they are not even listed

Values = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One build of a batch.

    `environment` and `variables` win over the project's. `shard` is which part of how many the
    build is, in a fan-out.
    """

    identifier: str
    buildspec: str | None = None
    depends_on: tuple[str, ...] = ()
    ignore_failure: bool = False
    environment: Values = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    shard: tuple[int, int] | None = None


@dataclass(frozen=True)
class BatchSpec:
    """A whole `batch`; `notes` are what the log should say of it."""

    kind: str
    fast_fail: bool
    tasks: list[Task]
    notes: list[str]


def read(text: str) -> BatchSpec:
    """Read the `batch` of a buildspec. The buildspec may be without phases if its tasks have theirs.

    Raises:
        BuildspecError: it has no `batch`, or one that CodeBuild would not run.
    """
    batch = _mapping(_document(text).get("batch"), "batch")
    if not batch:
        raise BuildspecError("batch is missing or empty: a batch build needs it in its buildspec")
    kinds = [name for name in KINDS if name in batch]
    if len(kinds) != 1:
        found = f"found {', '.join(kinds)}" if kinds else "found none"
        raise BuildspecError(f"batch: expected exactly one of {', '.join(KINDS)}; {found}")
    notes = list(_unknown(batch, ("fast-fail", *KINDS), "batch"))
    tasks = _READERS[kinds[0]](batch[kinds[0]], f"batch/{kinds[0]}", notes)
    _check(tasks, f"batch/{kinds[0]}")
    return BatchSpec(kinds[0], _yes(batch.get("fast-fail"), "batch/fast-fail"), tasks, notes)


def _document(text: str) -> Values:
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        parse(text)  # says what is wrong with it
        raise BuildspecError(f"the buildspec is not YAML: {error}") from error
    if not isinstance(document, dict) or document.get("phases") is not None:
        parse(text)
    version = document.get("version")
    if isinstance(version, str):
        # the reader of a batch takes a number alone, as users of the AWS CDK reported
        raise BuildspecError(f"cannot unmarshal !!str `{version}` into float64")
    if version not in (0.1, 0.2):
        found = "none" if version is None else version
        raise BuildspecError(f"invalid buildspec `version` specified: {found}, see documentation")
    known: Values = document
    return known


def _listed(value: Any, where: str, notes: list[str]) -> list[Task]:
    return [_task(item, f"{where}[{index}]", notes) for index, item in _items(value, where)]


def _graph(value: Any, where: str, notes: list[str]) -> list[Task]:
    return [
        _task(item, f"{where}[{index}]", notes, _strings(item, "depend-on", f"{where}[{index}]"))
        for index, item in _items(value, where)
    ]


def _items(value: Any, where: str) -> Iterator[tuple[int, Values]]:
    if not isinstance(value, list) or not value:
        raise BuildspecError(f"{where}: expected a list of build tasks")
    for index, item in enumerate(value):
        yield index, _mapping(item, f"{where}[{index}]")


def _task(item: Values, where: str, notes: list[str], depends_on: list[str] | None = None) -> Task:
    known = _TASK if depends_on is None else (*_TASK, "depend-on")
    notes += _unknown(item, known, where)
    identifier = item.get("identifier")
    if identifier is None or isinstance(identifier, (dict, list)):
        raise BuildspecError(f"{where}/identifier is missing or not a string")
    if _yes(item.get("debug-session"), f"{where}/debug-session"):
        notes.append(f"{where}/debug-session: the lab has no Session Manager to debug a build with")
    environment, variables = _env(item.get("env"), f"{where}/env", notes)
    return Task(
        str(identifier),
        _scalar(item.get("buildspec"), f"{where}/buildspec"),
        tuple(depends_on or ()),
        _yes(item.get("ignore-failure"), f"{where}/ignore-failure"),
        environment,
        variables,
    )


def _matrix(value: Any, where: str, notes: list[str]) -> list[Task]:
    """Every combination of the values under `dynamic`, each with what is under `static`."""
    matrix = _mapping(value, where)
    static = _mapping(matrix.get("static"), f"{where}/static")
    dynamic = _mapping(matrix.get("dynamic"), f"{where}/dynamic")
    notes += _unknown(matrix, ("static", "dynamic"), where)
    notes += _unknown(static, ("ignore-failure", "env"), f"{where}/static")
    notes += _unknown(dynamic, ("buildspec", "env"), f"{where}/dynamic")
    env = _mapping(dynamic.get("env"), f"{where}/dynamic/env")
    variables = _mapping(env.get("variables"), f"{where}/dynamic/env/variables")
    axes = {("buildspec", ""): _values(dynamic, "buildspec", f"{where}/dynamic")}
    axes |= {
        ("env", str(name)): _values(env, name, f"{where}/dynamic/env")
        for name in env
        if name != "variables"
    }
    axes |= {
        ("variable", str(name)): _values(variables, name, f"{where}/dynamic/env/variables")
        for name in variables
    }
    axes = {name: values for name, values in axes.items() if values}
    if not axes:
        raise BuildspecError(f"{where}/dynamic is missing or empty")
    if (count := math.prod(map(len, axes.values()))) > _MOST_COMBINATIONS:
        raise BuildspecError(f"{where}: {count} builds are more than a batch can have")
    ignore = _yes(static.get("ignore-failure"), f"{where}/static/ignore-failure")
    fixed, fixed_variables = _env(static.get("env"), f"{where}/static/env", notes)
    tasks = []
    for number, chosen in enumerate(itertools.product(*axes.values()), start=1):
        settings = dict(zip(axes, chosen, strict=True))
        own: Values = {name: item for (kind, name), item in settings.items() if kind == "env"}
        own["variables"] = {
            name: item for (kind, name), item in settings.items() if kind == "variable"
        }
        environment, varied = _env(own, f"{where}/dynamic/env", notes)
        tasks.append(
            Task(
                f"build{number}",
                _scalar(settings.get(("buildspec", "")), f"{where}/dynamic/buildspec"),
                ignore_failure=ignore,
                environment={**fixed, **environment},
                variables={**fixed_variables, **varied},
            )
        )
    return tasks


def _values(mapping: Values, name: Any, where: str) -> list[Any]:
    value = mapping.get(name)
    if value is None:
        return []
    if isinstance(value, dict) or value == []:
        raise BuildspecError(f"{where}/{name}: expected a list of values")
    return value if isinstance(value, list) else [value]


def _fanout(value: Any, where: str, notes: list[str]) -> list[Task]:
    fanout = _mapping(value, where)
    notes += _unknown(fanout, ("parallelism", "ignore-failure"), where)
    count = fanout.get("parallelism")
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= _MOST_SHARDS:
        raise BuildspecError(
            f"{where}/parallelism: expected a number from 1 to {_MOST_SHARDS}, found {count!r}"
        )
    ignore = _yes(fanout.get("ignore-failure"), f"{where}/ignore-failure")
    return [
        Task(f"build{number}", ignore_failure=ignore, shard=(number, count))
        for number in range(1, count + 1)
    ]


_READERS = {
    "build-graph": _graph,
    "build-list": _listed,
    "build-matrix": _matrix,
    "build-fanout": _fanout,
}


def _check(tasks: list[Task], where: str) -> None:
    """Refuse identifiers that are wrong or used twice, and dependencies that cannot be met."""
    seen: set[str] = set()
    for task in tasks:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", task.identifier):
            raise BuildspecError(
                f"{where}: invalid identifier {task.identifier!r}: expected letters, digits, "
                "underscores and hyphens, 128 at most"
            )
        if task.identifier == DOWNLOAD.identifier:
            raise BuildspecError(f"{where}: the identifier {task.identifier} is CodeBuild's own")
        if task.identifier in seen:
            raise BuildspecError(f"{where}: the identifier {task.identifier} is used twice")
        seen.add(task.identifier)
    for task in tasks:
        for name in task.depends_on:
            if name not in seen:
                raise BuildspecError(
                    f"{where}: {task.identifier} depends on {name}, which is no task of the batch"
                )
    graph = {task.identifier: task.depends_on for task in tasks}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise BuildspecError(f"{where}: circular depend-on: {circle}") from error


# the first build of every batch, which brings the source and reads the buildspec
DOWNLOAD = Task("DOWNLOAD_SOURCE")


def _env(value: Any, where: str, notes: list[str]) -> tuple[Values, dict[str, str]]:
    env = _mapping(value, where)
    for note in _unknown(env, _ENV, where):
        if note not in notes:
            notes.append(note)
    if env.get("fleet") is not None:
        raise BuildspecError(f"{where}/fleet: the lab's local AWS does not support fleets")
    found: Values = {}
    for key, name in _OVERRIDES.items():
        if env.get(key) is not None:
            text = _scalar(env[key], f"{where}/{key}")
            found[name] = _yes(env[key], f"{where}/{key}") if key == "privileged-mode" else text
    variables = _mapping(env.get("variables"), f"{where}/variables")
    return found, {
        str(name): _scalar(item, f"{where}/variables/{name}") or ""
        for name, item in variables.items()
    }


def _unknown(mapping: Values, known: Iterable[str], where: str) -> Iterator[str]:
    for name in mapping:
        if name not in known:
            yield f"{where}/{name} is not a key of a batch and has no effect"


def _mapping(value: Any, where: str) -> Values:
    if value is None:
        return {}
    if not isinstance(value, dict):
        kind = "a list" if isinstance(value, list) else f"'{value}'"
        raise BuildspecError(f"{where}: expected a mapping, found {kind}")
    return value


def _strings(mapping: Values, name: str, where: str) -> list[str]:
    value = mapping.get(name)
    if isinstance(value, dict):
        raise BuildspecError(f"{where}/{name}: expected a list of identifiers")
    items = value if isinstance(value, list) else [] if value is None else [value]
    return [_scalar(item, f"{where}/{name}") or "" for item in items]


def _scalar(value: Any, where: str) -> str | None:
    if isinstance(value, (dict, list)):
        raise BuildspecError(f"{where}: expected a string")
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _yes(value: Any, where: str) -> bool:
    text = str(value).lower()
    if value is not None and text not in ("true", "false", "yes", "no"):
        raise BuildspecError(f"{where}: expected true or false, found {value!r}")
    return text in ("true", "yes")
