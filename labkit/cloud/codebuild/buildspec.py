"""The build specification: read as CodeBuild reads it, or refused with what is wrong and where.

AWS page: "Build specification reference for CodeBuild". Its words of refusal are in no page; those
that are known come from logs that users published, and are named where they are used. Where none
is known, the message says what was expected, and at which line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from labkit.cloud.codebuild.document import (
    MAPPING,
    SCALAR,
    DocumentError,
    Node,
    as_number,
    decode,
    read,
)
from labkit.cloud.codebuild.shapes import (
    BuildspecError,
    mapping,
    named,
    optional,
    strings,
    text_of,
    texts,
    wrong,
    yes,
)

__all__ = ["PHASES", "Buildspec", "BuildspecError", "check_can_run", "decoded", "parse"]
PHASES = ("install", "pre_build", "build", "post_build")
MAX_RETRIES = 3  # of on-failure RETRY without a count


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
    batch: bool = False  # whether it is there; StartBuildBatch alone reads it


def decoded(data: bytes) -> str:
    """The text of a buildspec file.

    Raises:
        BuildspecError: it is neither UTF-8 nor UTF-16.
    """
    try:
        return decode(data)
    except DocumentError as error:
        raise BuildspecError(str(error)) from error


def parse(text: str) -> Buildspec:
    """Read a buildspec.

    Raises:
        BuildspecError: not YAML, an unknown version or phase, or a value of the wrong shape.
    """
    try:
        document = read(text)
    except DocumentError as error:
        raise BuildspecError(str(error)) from error
    document = _root(document)
    batch = mapping(document.get("batch"), "batch")
    phases = _phases(document, batch)
    version = _version(document.get("version"))
    artifacts = mapping(document.get("artifacts"), "artifacts")
    secondary = named(artifacts.get("secondary-artifacts"), "artifacts/secondary-artifacts")
    env = mapping(document.get("env"), "env")
    return Buildspec(
        version=version,
        shell=_shell(env.get("shell")),
        variables={**_old_variables(document, version), **strings(env, "variables", "env")},
        parameters=strings(env, "parameter-store", "env"),
        secrets=strings(env, "secrets-manager", "env"),
        exported=texts(env.get("exported-variables"), "env/exported-variables"),
        git_credentials=yes(env.get("git-credential-helper")),
        runtimes=_runtimes(phases),
        phases={
            key.text.lower(): _phase(key, value)
            for key, value in phases.pairs
            if not (key.null and value.null)
        },
        artifacts=_primary(artifacts, secondary),
        secondary_artifacts={
            name: _artifact(spec, f"artifacts/secondary-artifacts/{name}")
            for name, spec in secondary.items()
        },
        reports={
            name: _report(spec, f"reports/{name}")
            for name, spec in named(document.get("reports"), "reports").items()
        },
        cache=_cache(mapping(document.get("cache"), "cache")),
        run_as=optional(document.get("run-as"), "run-as"),
        batch=bool(batch.pairs),
    )


def check_can_run(spec: Buildspec) -> None:
    """Refuse a buildspec that can be read, but not be run by one build on Linux.

    Raises:
        BuildspecError: it is for a batch alone, or for a shell of Windows.
    """
    if not spec.phases:
        raise BuildspecError(
            f"{_NO_CONTAINER}: phases is missing; a buildspec with a batch alone is for a batch build"
        )
    if spec.shell in _WINDOWS_SHELLS:
        raise BuildspecError(
            f"env/shell: {spec.shell} is not in this build environment, which is Linux. "
            "Expecting: bash, /bin/sh"
        )


# published of an empty buildspec.yml, and of files that have neither version nor phases
# (aws/serverless-application-model, pull request 352)
_NO_CONTAINER = "wrong number of container tags, expected 1"


def _root(document: Node | None) -> Node:
    if document is None or document.null:
        raise BuildspecError(f"{_NO_CONTAINER}: the buildspec is empty")
    if document.kind != MAPPING:
        raise BuildspecError(f"{_NO_CONTAINER}: the buildspec is not a mapping")
    return document


def _phases(document: Node, batch: Node) -> Node:
    count = sum(key.text == "phases" for key, _ in document.pairs)
    if count > 1:
        raise BuildspecError(f"{_NO_CONTAINER}: phases is there {count} times")
    phases = mapping(document.get("phases"), "phases")
    if not phases.pairs and not batch.pairs:
        raise BuildspecError(f"{_NO_CONTAINER}: phases is missing or empty")
    return phases


def _version(value: Node | None) -> str:
    text = "none" if value is None or value.null else text_of(value, "Version")
    found = as_number(text)
    if found not in ("0.1", "0.2"):
        # published in a log of 2021, of version: 1.0
        raise BuildspecError(f"invalid buildspec `version` specified: {text}, see documentation")
    return found


_SHELLS = {"bash": "bash", "/bin/bash": "bash", "sh": "sh", "/bin/sh": "sh"}
_WINDOWS_SHELLS = ("powershell.exe", "cmd.exe")


def _shell(value: Node | None) -> str:
    name = text_of(value, "Shell") if value is not None and not value.null else "sh"
    if name in _WINDOWS_SHELLS:
        return name
    if name not in _SHELLS:
        raise BuildspecError(
            f"env/shell: invalid shell {name}. Expecting: bash, /bin/sh, {', '.join(_WINDOWS_SHELLS)}"
        )
    return _SHELLS[name]


def _old_variables(document: Node, version: str) -> dict[str, str]:
    """AWS page: "Build specification reference for CodeBuild", versions: `env` as 0.1 named it."""
    if version != "0.1":
        return {}
    old = mapping(document.get("environment_variables"), "environment_variables")
    return strings(old, "plaintext", "environment_variables")


def _phase(key: Node, value: Node) -> PhaseSpec:
    name = key.text
    if key.kind != SCALAR or name.lower() not in PHASES:
        # published in logs from 2020 on; one of 2019 has all names in capitals
        raise BuildspecError(
            f"Invalid buildspec phase name: {name}. Expecting: {','.join(sorted(PHASES))}"
        )
    where = f"phases/{name}"
    spec = mapping(value, where)
    if spec.get("steps") is not None:
        # published of a buildspec that uses GitHub Actions without a connection to GitHub
        raise BuildspecError(
            'unsupported field "steps" in buildspec. No GitHub token has been configured for your '
            "account"
        )
    return PhaseSpec(
        _commands(spec.get("commands"), f"{where}/commands", "Commands"),
        _commands(spec.get("finally"), f"{where}/finally", "Finally"),
        _on_failure(spec.get("on-failure"), f"{where}/on-failure"),
        optional(spec.get("run-as"), "RunAs"),
    )


def _on_failure(node: Node | None, where: str) -> OnFailure | None:
    """ABORT, CONTINUE, RETRY, RETRY-count, RETRY-regex, RETRY-count-regex."""
    value = optional(node, "OnFailure")
    if value is None:
        return None
    action, _, rest = value.partition("-")
    if action in ("ABORT", "CONTINUE") and not rest:
        return OnFailure(action)
    if action != "RETRY":
        raise BuildspecError(f"{where}: {value} is not one of ABORT, CONTINUE, RETRY")
    count, _, pattern = rest.partition("-")
    if not (count.isascii() and count.isdigit()):
        count, pattern = str(MAX_RETRIES), rest
    if len(count) > 3 or int(count) > 100:
        raise BuildspecError(f"{where}: {count} retries are more than 100")
    try:
        return OnFailure(action, int(count), re.compile(pattern) if pattern else None)
    except (re.error, OverflowError, RecursionError) as error:
        raise BuildspecError(f"{where}: {pattern} is not a regular expression: {error}") from error


def _commands(value: Node | None, where: str, name: str) -> list[str]:
    """The commands of a list, or the one that stands in its place.

    A command of nothing (`-`) is run as an empty one: AWS's own samples have such.
    """
    if value is None or value.null:
        return []
    if value.kind == SCALAR:
        return [text_of(value, name)]
    if value.kind == MAPPING:
        raise wrong(value, where, "a list")
    return [text_of(item, f"{name}[{index}]") for index, item in enumerate(value.items)]


def _runtimes(phases: Node) -> dict[str, str]:
    """Versions as they are written: 3.10 without quotes is not the number 3.1.

    AWS page: "Runtime versions", which writes `python: 3.10` and `golang: 1.20`.
    """
    found = {key.text.lower(): value for key, value in phases.pairs}
    install = mapping(found.get("install"), "phases/install")
    where = "phases/install/runtime-versions"
    return {
        key.text: text_of(value, f"Runtimes[{key.text}]")
        for key, value in mapping(install.get("runtime-versions"), where).pairs
    }


def _primary(artifacts: Node, secondary: dict[str, Node]) -> ArtifactSpec | None:
    """AWS page: "Build specification reference for CodeBuild", artifacts/files.

    The page requires `files` even where there are secondary artifacts alone; buildspecs without
    are in use, and only a build that has a primary artifact misses it.
    """
    files = artifacts.get("files")
    if not artifacts.pairs or (secondary and (files is None or files.null)):
        return None
    return _artifact(artifacts, "artifacts")


def _artifact(spec: Node, where: str) -> ArtifactSpec:
    return ArtifactSpec(
        _files(spec, where),
        optional(spec.get("base-directory"), "BaseDirectory") or ".",
        texts(spec.get("exclude-paths"), f"{where}/exclude-paths"),
        yes(spec.get("discard-paths")),
        yes(spec.get("enable-symlinks")),
        optional(spec.get("name"), "Name"),
        optional(spec.get("s3-prefix"), "S3Prefix"),
    )


def _report(spec: Node, where: str) -> ReportSpec:
    return ReportSpec(
        _files(spec, where),
        (optional(spec.get("file-format"), "FileFormat") or "JUNITXML").upper(),
        optional(spec.get("base-directory"), "BaseDirectory") or ".",
        yes(spec.get("discard-paths")),
    )


def _cache(spec: Node) -> CacheSpec:
    return CacheSpec(
        texts(spec.get("paths"), "cache/paths"),
        optional(spec.get("key"), "Key"),
        texts(spec.get("fallback-keys"), "cache/fallback-keys"),
        optional(spec.get("action"), "Action"),
    )


def _files(spec: Node, where: str) -> list[str]:
    files = texts(spec.get("files"), f"{where}/files")
    if not files:
        raise BuildspecError(f"{where}/files is missing or empty at line {spec.line}")
    return files
