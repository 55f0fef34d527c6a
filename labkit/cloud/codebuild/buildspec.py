"""The build specification: read as CodeBuild reads it, or refused with what is wrong and where.

AWS page: "Build specification reference for CodeBuild".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

PHASES = ("install", "pre_build", "build", "post_build")
MAX_RETRIES = 3  # of on-failure RETRY without a count


class BuildspecError(Exception):
    """A buildspec that CodeBuild would not run; the message is the phase context's."""


@dataclass(frozen=True)
class OnFailure:
    """What follows when a phase fails: ABORT, CONTINUE, or RETRY up to `retries` times.

    A retry with a `pattern` is made only if the failed command's output or the error matches it.
    """

    action: str
    retries: int = 0
    pattern: re.Pattern[str] | None = None


@dataclass(frozen=True)
class PhaseSpec:
    """The commands of one phase."""

    commands: list[str] = field(default_factory=list)
    last: list[str] = field(default_factory=list)  # `finally`
    on_failure: OnFailure | None = None
    run_as: str | None = None


@dataclass(frozen=True)
class ArtifactSpec:
    """Which files one artifact holds."""

    files: list[str]
    base_directory: str = "."
    exclude: list[str] = field(default_factory=list)
    discard_paths: bool = False
    symlinks: bool = False
    name: str | None = None
    s3_prefix: str | None = None


@dataclass(frozen=True)
class ReportSpec:
    """Which files one test or coverage report is made of."""

    files: list[str]
    file_format: str = "JUNITXML"
    base_directory: str = "."
    discard_paths: bool = False


@dataclass(frozen=True)
class CacheSpec:
    """What is kept for the next build, and under which key."""

    paths: list[str] = field(default_factory=list)
    key: str | None = None
    fallback_keys: list[str] = field(default_factory=list)
    action: str | None = None  # `restore` or `save`; both, if not given


@dataclass(frozen=True)
class Buildspec:
    """A whole buildspec."""

    version: str
    shell: str
    variables: dict[str, str]
    parameters: dict[str, str]
    secrets: dict[str, str]
    exported: list[str]
    git_credentials: bool
    runtimes: dict[str, str]
    phases: dict[str, PhaseSpec]
    artifacts: ArtifactSpec | None
    secondary_artifacts: dict[str, ArtifactSpec]
    reports: dict[str, ReportSpec]
    cache: CacheSpec
    run_as: str | None = None
    batch: dict[str, Any] | None = None  # as it stands; StartBuildBatch alone reads it


def parse(text: str) -> Buildspec:
    """Read a buildspec.

    Raises:
        BuildspecError: not YAML, an unknown version or phase, or a value of the wrong shape.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BuildspecError(_yaml_message(error)) from error
    if not isinstance(document, dict):
        raise BuildspecError("invalid buildspec: it is not a mapping")
    env = _mapping(document.get("env"), "env")
    phases = _mapping(document.get("phases"), "phases")
    if not phases:
        raise BuildspecError("invalid buildspec: phases is missing or empty")
    artifacts = _mapping(document.get("artifacts"), "artifacts")
    secondary = _mapping(artifacts.get("secondary-artifacts"), "artifacts/secondary-artifacts")
    return Buildspec(
        version=_version(document.get("version")),
        shell=_shell(env.get("shell", "sh")),
        variables=_strings(env.get("variables"), "env/variables"),
        parameters=_strings(env.get("parameter-store"), "env/parameter-store"),
        secrets=_strings(env.get("secrets-manager"), "env/secrets-manager"),
        exported=_list(env.get("exported-variables"), "env/exported-variables"),
        git_credentials=_yes(env.get("git-credential-helper")),
        runtimes=_runtimes(phases),
        phases={name.lower(): _phase(name, phase) for name, phase in phases.items()},
        artifacts=_artifact(artifacts, "artifacts") if artifacts else None,
        secondary_artifacts={
            name: _artifact(_mapping(spec, name), f"artifacts/secondary-artifacts/{name}")
            for name, spec in secondary.items()
        },
        reports={
            str(name): _report(_mapping(spec, f"reports/{name}"), f"reports/{name}")
            for name, spec in _mapping(document.get("reports"), "reports").items()
        },
        cache=_cache(_mapping(document.get("cache"), "cache")),
        run_as=_user(document.get("run-as")),
        batch=document.get("batch"),
    )


def _yaml_message(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"{problem} at line {mark.line + 1}" if mark else f"YAML file error: {problem}"


def _version(value: Any) -> str:
    if value is None:
        raise BuildspecError("invalid buildspec: version is missing")
    if str(value) not in ("0.1", "0.2"):
        raise BuildspecError(f"invalid buildspec version: {value}. Expecting: 0.1, 0.2")
    return str(value)


def _shell(value: Any) -> str:
    if value not in ("sh", "/bin/sh", "bash"):
        raise BuildspecError(f"invalid shell: {value}. Expecting: bash, /bin/sh")
    return "bash" if value == "bash" else "sh"


def _phase(name: str, value: Any) -> PhaseSpec:
    if str(name).lower() not in PHASES:
        expected = ",".join(sorted(phase.upper() for phase in PHASES))
        raise BuildspecError(
            f"Invalid buildspec phase name: {str(name).upper()}. Expecting: {expected}"
        )
    where = f"phases/{name}"
    spec = _mapping(value, where)
    return PhaseSpec(
        _commands(spec.get("commands"), f"{where}/commands"),
        _commands(spec.get("finally"), f"{where}/finally"),
        _on_failure(spec.get("on-failure"), f"{where}/on-failure"),
        _user(spec.get("run-as")),
    )


def _on_failure(value: Any, where: str) -> OnFailure | None:
    """ABORT, CONTINUE, RETRY, RETRY-count, RETRY-regex, RETRY-count-regex."""
    if value is None:
        return None
    action, _, rest = str(value).partition("-")
    if action in ("ABORT", "CONTINUE") and not rest:
        return OnFailure(action)
    if action != "RETRY":
        raise BuildspecError(f"{where}: {value} is not one of ABORT, CONTINUE, RETRY")
    count, _, pattern = rest.partition("-")
    if not count.isdigit():
        count, pattern = str(MAX_RETRIES), rest
    if int(count) > 100:
        raise BuildspecError(f"{where}: {count} retries are more than 100")
    try:
        return OnFailure(action, int(count), re.compile(pattern) if pattern else None)
    except re.error as error:
        raise BuildspecError(f"{where}: {pattern} is not a regular expression: {error}") from error


def _commands(value: Any, where: str) -> list[str]:
    items = [] if value is None else value if isinstance(value, list) else [value]
    for number, item in enumerate(items, start=1):
        if isinstance(item, dict):
            raise BuildspecError(
                f"{where}: command {number} is a mapping, not a string; YAML reads an unquoted "
                "': ' so. Put the command in quotes."
            )
        if isinstance(item, list) or item is None:
            raise BuildspecError(f"{where}: command {number} is not a string")
    return [_text(item) for item in items]


def _runtimes(phases: dict[str, Any]) -> dict[str, str]:
    install = phases.get("install")
    if not isinstance(install, dict):
        return {}
    return _strings(install.get("runtime-versions"), "phases/install/runtime-versions")


def _artifact(spec: dict[str, Any], where: str) -> ArtifactSpec:
    files = _list(spec.get("files"), f"{where}/files")
    if not files:
        raise BuildspecError(f"{where}/files is missing or empty")
    return ArtifactSpec(
        files,
        _text(spec.get("base-directory", ".")),
        _list(spec.get("exclude-paths"), f"{where}/exclude-paths"),
        _yes(spec.get("discard-paths")),
        _yes(spec.get("enable-symlinks")),
        None if spec.get("name") is None else _text(spec["name"]),
        None if spec.get("s3-prefix") is None else _text(spec["s3-prefix"]),
    )


def _report(spec: dict[str, Any], where: str) -> ReportSpec:
    files = _list(spec.get("files"), f"{where}/files")
    if not files:
        raise BuildspecError(f"{where}/files is missing or empty")
    return ReportSpec(
        files,
        _text(spec.get("file-format", "JUNITXML")).upper(),
        _text(spec.get("base-directory", ".")),
        _yes(spec.get("discard-paths")),
    )


def _cache(spec: dict[str, Any]) -> CacheSpec:
    return CacheSpec(
        _list(spec.get("paths"), "cache/paths"),
        None if spec.get("key") is None else _text(spec["key"]),
        _list(spec.get("fallback-keys"), "cache/fallback-keys"),
        None if spec.get("action") is None else _text(spec["action"]),
    )


def _user(value: Any) -> str | None:
    return None if value is None else _text(value)


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BuildspecError(f"{where}: expected a mapping, found {_kind(value)}")
    return value


def _list(value: Any, where: str) -> list[str]:
    if value is None:
        return []
    if isinstance(value, dict):
        raise BuildspecError(f"{where}: expected a list, found a mapping")
    return [_text(item) for item in (value if isinstance(value, list) else [value])]


def _strings(value: Any, where: str) -> dict[str, str]:
    mapping = _mapping(value, where)
    for name, item in mapping.items():
        if isinstance(item, (dict, list)):
            raise BuildspecError(f"{where}/{name}: expected a string, found {_kind(item)}")
    return {str(name): _text(item) for name, item in mapping.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _yes(value: Any) -> bool:
    return str(value).lower() in ("yes", "true")


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else f"'{value}'"
