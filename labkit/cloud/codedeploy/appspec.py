"""The application specification file of a server revision, parsed as the agent parses it.

The rule numbers (A1, A2, ...) are those of the agent's own parser, in its order: version, os,
hooks, files, permissions, file_exists_behavior; only the first thing wrong is reported.

AWS page: "AppSpec File structure" for EC2/on-premises deployments; aws-codedeploy-agent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from labkit.cloud.codedeploy import acls
from labkit.cloud.codedeploy.acls import AclEntry, InvalidEntry

BEHAVIORS = ("DISALLOW", "OVERWRITE", "RETAIN")
DEFAULT_TIMEOUT_SECONDS = 3600
SCRIPTABLE = (
    "BeforeBlockTraffic",
    "AfterBlockTraffic",
    "ApplicationStop",
    "BeforeInstall",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
    "BeforeAllowTraffic",
    "AfterAllowTraffic",
)


class AppSpecError(Exception):
    """An appspec file that the agent refuses, in the agent's words."""


@dataclass(frozen=True)
class Script:
    """One script of a hook."""

    location: str
    timeout: int = DEFAULT_TIMEOUT_SECONDS  # seconds
    runas: str | None = None
    sudo: bool = False


@dataclass(frozen=True)
class FileEntry:
    """What is copied where: a file or a directory of the revision, and a directory of the host."""

    source: str
    destination: str


@dataclass(frozen=True)
class Permission:
    """Mode, access control list, context and owner for what this deployment copied."""

    object: str
    pattern: str = "**"
    exclude: list[str] = field(default_factory=list)
    type: list[str] = field(default_factory=lambda: ["file", "directory"])
    owner: str | None = None
    group: str | None = None
    mode: str | None = None
    acls: list[AclEntry] | None = None
    context: dict[str, Any] | None = None


@dataclass(frozen=True)
class AppSpec:
    """A whole appspec file."""

    files: list[FileEntry]
    hooks: dict[str, list[Script]]
    permissions: list[Permission]
    file_exists_behavior: str | None


def parse(text: str) -> AppSpec:
    """Read an appspec file.

    Raises:
        AppSpecError: what the agent would say.
    """
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that cannot be
        raise AppSpecError(
            f"The deployment failed because the appspec.yml file is not valid YAML: {error}"
        ) from error
    if not text.strip() or document is None:  # A1
        raise AppSpecError(
            "The deployment failed because the application specification file was empty. Make sure "
            "your AppSpec file defines at minimum the 'version' and 'os' properties."
        )
    if not isinstance(document, dict):
        raise AppSpecError(
            "The deployment failed because the application specification file is not a mapping."
        )
    _check_version(document.get("version"))
    _check_os(document.get("os"))
    hooks = _hooks(document.get("hooks"))
    files = [_file(entry) for entry in _mappings(document.get("files"), "files")]
    permissions = [
        _permission(entry) for entry in _mappings(document.get("permissions"), "permissions")
    ]
    return AppSpec(files, hooks, permissions, _behavior(document.get("file_exists_behavior")))


def _check_version(version: Any) -> None:
    # A4, A5: compared as a number, so the text "0.0" is not 0.0
    if isinstance(version, bool) or not isinstance(version, (int, float)) or version != 0.0:
        raise AppSpecError(
            "The deployment failed because an invalid version value "
            f"({'' if version is None else version}) was entered in the application specification "
            'file. Make sure your AppSpec file specifies "0.0" as the version, and then try again.'
        )


def _check_os(system: Any) -> None:
    if system != "linux":
        raise AppSpecError(
            "The deployment failed because the application specification file specifies an "
            f"unsupported operating system ({'' if system is None else system}). Specify either "
            '"linux" or "windows" in the os section of the AppSpec file, and then try again.'
        )


def _mappings(value: Any, name: str) -> list[dict[str, Any]]:
    """The list of mappings that a section has to be; the agent has no words for it (A15)."""
    if not isinstance(value or [], list):
        raise AppSpecError(f"undefined method for {name}: it is not a list")
    for entry in value or []:
        if not isinstance(entry, dict):
            raise AppSpecError(f"undefined method for {name}: {entry} is not a mapping")
    return value or []


def _hooks(value: Any) -> dict[str, list[Script]]:
    if not isinstance(value or {}, dict):
        raise AppSpecError("undefined method for hooks: it is not a mapping")
    return {
        str(event): [_script(script) for script in _mappings(scripts, f"the hook {event}")]
        for event, scripts in (value or {}).items()
        if scripts is not None  # A13
    }


def _script(value: Any) -> Script:
    given = value.get("location")
    location = "" if given is None else str(given).strip()
    if not location:  # A14
        raise AppSpecError(
            "The deployment failed because the application specification file specifies a script "
            "with no location value. Specify the location in the hooks section of the AppSpec "
            "file, and then try again."
        )
    runas = value.get("runas")
    return Script(
        location,
        _timeout(value.get("timeout")),
        str(runas).strip() if runas else None,
        bool(value.get("sudo")),
    )


def _timeout(value: Any) -> int:
    if value is None:  # A17
        return DEFAULT_TIMEOUT_SECONDS
    prefix = re.match(r"\s*[+-]?\d+", str(value))  # A16: "30s" is 30
    seconds = int(prefix.group()) if prefix else 0
    if seconds <= 0:
        raise AppSpecError(
            "The deployment failed because an invalid timeout value was provided for a script in "
            "the application specification file. Make corrections in the hooks section of the "
            "AppSpec file, and then try again."
        )
    return seconds


def _file(value: Any) -> FileEntry:
    source, destination = value.get("source"), value.get("destination")
    if source is None:  # A12
        raise AppSpecError(
            "The deployment failed because the application specification file specifies a "
            "destination file, but no source file. Update the files section of the AppSpec file, "
            "and then try again."
        )
    if destination is None:  # A11
        raise AppSpecError(
            "The deployment failed because the application specification file specifies only a "
            f"source file ({source}). Add the name of the destination file to the files section of "
            "the AppSpec file, and then try again."
        )
    return FileEntry(str(source), str(destination))


def _permission(value: Any) -> Permission:
    if not str(value.get("object") or "").strip():  # A19
        raise AppSpecError(
            "The deployment failed because a permission listed in the application specification "
            "file has no object value. Update the permissions section of the AppSpec file, and "
            "then try again."
        )
    types = _texts(value, "type") or ["file", "directory"]
    for item in types:
        if item not in ("file", "directory"):  # A21
            raise AppSpecError(
                "The deployment failed because the application specification file specifies a "
                f"permission for an object type not supported for permissions ({item}). Update the "
                "permissions section of the AppSpec file, and then try again."
            )
    return Permission(
        str(value["object"]).strip(),
        str(value.get("pattern") or "**"),
        _texts(value, "except"),
        types,
        _text(value.get("owner")),
        _text(value.get("group")),
        _mode(value.get("mode")),
        _acls(value.get("acls")),
        _context(value.get("context")),
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _acls(value: Any) -> list[AclEntry] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise AppSpecError("undefined method for acls of the permissions: it is not a list")
    try:
        return [acls.entry(str(item)) for item in value]
    except InvalidEntry as error:  # A26, A27
        raise AppSpecError(str(error)) from error


def _context(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise AppSpecError("undefined method for context of the permissions: it is not a mapping")
    try:
        acls.check_context(value)
    except InvalidEntry as error:  # A28, A29
        raise AppSpecError(str(error)) from error
    return value


def _texts(permission: dict[str, Any], key: str) -> list[str]:
    value = permission.get(key) or []
    if not isinstance(value, list):
        raise AppSpecError(f"undefined method for {key} of the permissions: it is not a list")
    return [str(item) for item in value]


def _mode(value: Any) -> str | None:
    """A22-A25. PyYAML reads an unquoted 0644 as the number 420, as the agent's Ruby does."""
    if value is None:
        return None
    text = str(value)
    if not 1 <= len(text) <= 4:
        raise AppSpecError(
            f"The deployment failed because the length of a permissions mode ({text}) in the "
            "application specification file is invalid. Permissions modes must be between one and "
            "four characters long. Update the permissions section of the AppSpec file, and then "
            "try again."
        )
    for character in text:
        if character not in "01234567":
            raise AppSpecError(
                f"The deployment failed because the permissions mode ({text}) in the application "
                f"specification file contains an invalid character ({character}). Update the "
                "permissions section of the AppSpec file, and then try again."
            )
    return text.rjust(3, "0")


def _behavior(value: Any) -> str | None:
    if value is None:
        return None
    if value not in BEHAVIORS:  # A8
        raise AppSpecError(
            "The deployment failed because an invalid file_exists_behavior value "
            f"({value}) was entered in the application specification file. Make sure your AppSpec "
            f"file specifies one of {','.join(BEHAVIORS)} as the file_exists_behavior, and then try again."
        )
    return value
