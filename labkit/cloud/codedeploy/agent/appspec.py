"""The application specification file of a server revision, parsed as the agent parses it.

The rule numbers (A1, A2, ...) are those of the agent's own parser, in its order: version, os,
hooks, files, permissions, file_exists_behavior; only the first thing wrong is reported.

AWS page: "AppSpec File structure" for EC2/on-premises deployments; aws-codedeploy-agent.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

from labkit.cloud.codedeploy.agent import acls, psych
from labkit.cloud.codedeploy.agent.acls import AclEntry, InvalidEntry
from labkit.cloud.codedeploy.agent.psych import RubyError

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


_NO_OBJECT = (
    "The deployment failed because a permission listed in the application specification file has "
    "no object value. Update the permissions section of the AppSpec file, and then try again."
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
    """What is copied where: a file or a directory of the revision, and a directory of the host.

    Neither has to be a text for the parser; the copy fails then.
    """

    source: Any
    destination: Any


@dataclass(frozen=True)
class Permission:
    """Mode, access control list, context and owner for what this deployment copied."""

    object: str
    pattern: Any = "**"
    exclude: list[Any] = field(default_factory=list)
    type: list[str] = field(default_factory=lambda: ["file", "directory"])
    owner: Any = None
    group: Any = None
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


def parse(raw: bytes | str) -> AppSpec:
    """Read an appspec file.

    Raises:
        AppSpecError: what the agent would say.
    """
    try:
        return _spec(psych.load(raw if isinstance(raw, bytes) else raw.encode()))
    except (InvalidEntry, RubyError) as error:  # A15, A26-A29
        raise AppSpecError(str(error)) from error


def _spec(document: Any) -> AppSpec:
    if document is None or document is False:  # A1
        raise AppSpecError(
            "The deployment failed because the application specification file was empty. Make sure "
            "your AppSpec file defines at minimum the 'version' and 'os' properties."
        )
    _check_version(psych.at(document, "version"))
    _check_os(psych.at(document, "os"))
    hooks = _hooks(psych.either(psych.at(document, "hooks"), {}))
    files = [_file(entry) for entry in _section(document, "files")]
    permissions = [_permission(entry) for entry in _section(document, "permissions")]
    return AppSpec(files, hooks, permissions, _behavior(psych.at(document, "file_exists_behavior")))


def _section(of: Any, key: str, default: tuple[Any, ...] = ()) -> list[Any]:
    return psych.each(psych.either(psych.at(of, key), list(default)))


def _check_version(version: Any) -> None:
    # A4, A5: compared as a number, so the text "0.0" is not 0.0
    if isinstance(version, bool) or not isinstance(version, (int, float)) or version != 0.0:
        raise AppSpecError(
            "The deployment failed because an invalid version value "
            f"({psych.text(version)}) was entered in the application specification file. Make sure "
            'your AppSpec file specifies "0.0" as the version, and then try again.'
        )


def _check_os(system: Any) -> None:
    if system != "linux":
        raise AppSpecError(
            "The deployment failed because the application specification file specifies an "
            f"unsupported operating system ({psych.text(system)}). Specify either "
            '"linux" or "windows" in the os section of the AppSpec file, and then try again.'
        )


def _hooks(value: Any) -> dict[str, list[Script]]:
    if not isinstance(value, dict):
        raise psych.no_method("each_pair", value)
    return {
        event: [_script(script) for script in psych.each(scripts)]
        for event, scripts in value.items()
        if psych.either(scripts, None) is not None  # A13
    }


def _script(value: Any) -> Script:
    if not isinstance(value, dict):
        raise psych.no_method("has_key?", value)
    location = psych.text(value.get("location")).strip()
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
        None if runas is None else psych.text(runas).strip(),
        psych.either(value.get("sudo"), None) is not None,
    )


def _timeout(value: Any) -> int:
    value = psych.either(value, DEFAULT_TIMEOUT_SECONDS)  # A17
    if isinstance(value, str):  # A16: "30s" is 30
        prefix = re.match(r"\s*[+-]?\d+(_\d+)*", value)
        value = prefix.group() if prefix else 0
    elif value is True or not isinstance(value, (int, float)):
        raise psych.no_method("to_i", value)
    elif not math.isfinite(value):
        raise RubyError(psych.text(value))
    seconds = int(value)
    if seconds <= 0:
        raise AppSpecError(
            "The deployment failed because an invalid timeout value was provided for a script in "
            "the application specification file. Make corrections in the hooks section of the "
            "AppSpec file, and then try again."
        )
    return seconds


def _file(value: Any) -> FileEntry:
    source, destination = psych.at(value, "source"), psych.at(value, "destination")
    if source is None:  # A12
        raise AppSpecError(
            "The deployment failed because the application specification file specifies a "
            "destination file, but no source file. Update the files section of the AppSpec file, "
            "and then try again."
        )
    if destination is None:  # A11
        raise AppSpecError(
            "The deployment failed because the application specification file specifies only a "
            f"source file ({psych.text(source)}). Add the name of the destination file to the "
            "files section of the AppSpec file, and then try again."
        )
    return FileEntry(source, destination)


def _permission(value: Any) -> Permission:
    if not isinstance(value, dict):
        raise psych.no_method("has_key?", value)
    if value.get("object") is None:
        raise AppSpecError(_NO_OBJECT)
    permission = Permission(
        psych.text(value["object"]).strip(),
        psych.either(value.get("pattern"), "**"),
        _section(value, "except"),
        _types(_section(value, "type", ("file", "directory"))),
        value.get("owner"),
        value.get("group"),
        _mode(value.get("mode")),
        _acls(value.get("acls")),
        _context(value.get("context")),
    )
    if not permission.object:  # A19
        raise AppSpecError(_NO_OBJECT)
    return permission


def _types(types: list[Any]) -> list[str]:
    for item in types:
        if item not in ("file", "directory"):  # A21; the missing blank is the agent's
            raise AppSpecError(
                "The deployment failed because the application specification filespecifies a "
                f"permission for an object type not supported for permissions ({psych.text(item)})"
                ". Update the permissions section of the AppSpec file, and then try again."
            )
    return types


def _mode(value: Any) -> str | None:
    """A22-A25. An unquoted 0644 is the number 420."""
    if value is None:
        return None
    text = psych.text(value).rjust(3, "0")
    if len(text) > 4:
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
    return text


def _acls(value: Any) -> list[AclEntry] | None:
    return None if value is None else [acls.entry(item) for item in psych.each(value)]


def _context(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    acls.check_context(value)
    return value if isinstance(value, dict) else {}


def _behavior(value: Any) -> str | None:
    if value is None:
        return None
    if value not in BEHAVIORS:  # A8
        raise AppSpecError(
            "The deployment failed because an invalid file_exists_behavior value "
            f"({psych.text(value)}) was entered in the application specification file. Make sure "
            f"your AppSpec file specifies one of {','.join(BEHAVIORS)} as the file_exists_behavior,"
            " and then try again."
        )
    return str(value)
