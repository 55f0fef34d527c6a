"""The permissions section of an appspec: which applies to which path, and how it is applied (C1-C9).

Hosts have the users of this machine and those of AWS's images (`labkit.cloud.guests.users`). Owners are given only where the lab runs as
root, and access control lists only where `setfacl` is; hosts have no SELinux.

AWS page: "AppSpec 'permissions' section"; aws-codedeploy-agent.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from labkit.cloud.codedeploy.agent import psych
from labkit.cloud.codedeploy.agent.appspec import AppSpec, Permission
from labkit.cloud.compute.hosts import Host
from labkit.cloud.guests import users


class PermissionsError(Exception):
    """Permissions that contradict each other, or cannot be given; the message is the agent's."""


def plan(
    host: Host, spec: AppSpec, directories: Iterable[Path], copies: Iterable[Path]
) -> dict[Path, Permission]:
    """Which permission applies to which path of this deployment.

    Raises:
        PermissionsError: two for one path, or one that does not fit what it is for.
        labkit.cloud.codedeploy.agent.psych.RubyError: a pattern that is no text.
    """
    chosen: dict[Path, Permission] = {}
    copied = set(copies)
    for permission in spec.permissions:
        place = host.path(permission.object, follow=False)
        if place in copied:
            matching = [place] if "file" in permission.type else []
            if matching:
                _check_for_file(permission)
        else:
            matching = _below(host.path(permission.object), permission, directories, copied)
        for path in matching:
            if path in copied and any(entry.is_default for entry in permission.acls or []):  # C9
                raise PermissionsError(
                    "The deployment failed because the -d parameter has been specified to apply an "
                    "acl setting to a file. This parameter is supported for directories only. "
                    "Update the AppSpec file, and then try again."
                )
            if path in chosen:  # C6
                raise PermissionsError(
                    f"The deployment failed because the permissions setting for ({host.name(path)}) "
                    "is specified more than once in the application specification file. Update the "
                    "files section of the AppSpec file, and then try again."
                )
            chosen[path] = permission
    return chosen


def _check_for_file(permission: Permission) -> None:
    """C1: patterns are for directories."""
    if permission.pattern != "**":
        raise PermissionsError(
            "The deployment failed because the application specification file includes an object "
            f"({permission.object}) with an invalid pattern ({psych.text(permission.pattern)}), "
            "such as a "
            "pattern for a file applied to a directory. Correct the permissions section of the "
            "AppSpec file, and then try again."
        )
    if permission.exclude:
        raise PermissionsError(
            "The deployment failed because the except parameter for a pattern in the permissions "
            f"section ({psych.inspect(permission.exclude)}) for the object named {permission.object} contains an "
            "invalid format. Update the AppSpec file, and then try again."
        )


def _below(
    place: Path, permission: Permission, directories: Iterable[Path], copied: set[Path]
) -> list[Path]:
    """C2-C4: what this deployment made below a directory; never the directory itself."""
    made = [
        *(path for path in copied if "file" in permission.type),
        *(path for path in directories if "directory" in permission.type),
    ]
    return sorted(path for path in made if _matches(path, place, permission))


def _matches(path: Path, place: Path, permission: Permission) -> bool:
    if path == place or not path.is_relative_to(place):
        return False
    name = path.relative_to(place).as_posix()
    excluded = any(_globs(rule, name) for rule in permission.exclude)
    return not excluded and (permission.pattern == "**" or _globs(permission.pattern, name))


def _globs(pattern: Any, name: str) -> bool:
    """C4, C5: only `*` is special, and it never stands for a `/`."""
    if not isinstance(pattern, str):
        raise psych.no_method("chars", pattern)
    return bool(re.fullmatch("[^/]*".join(map(re.escape, pattern.split("*"))), name))


def apply(path: Path, permission: Permission, name: str, say: Callable[[str], None]) -> None:
    """Give a path its mode, access control list and owner, in this order (C7).

    Args:
        name: of the path, on the host.
        say: told what does not apply in the lab.

    Raises:
        PermissionsError: no such user or group, or the machine has not got what it takes.
        OSError: the file system refused.
    """
    if permission.mode:
        try:
            path.chmod(int(permission.mode, 8))
        except FileNotFoundError as error:  # a link that leads nowhere
            raise PermissionsError(f"{error.strerror} @ apply2files - {name}") from error
    if permission.acls:
        _set_acl(path, permission, name)
    if permission.context:
        raise PermissionsError(
            "The deployment failed because the application specification file contains an error in "
            "the settings for the context parameter. Update the permissions section of the AppSpec "
            f"file, and then try again. The lab's hosts have no SELinux, for {name}"
        )
    if permission.owner is not None or permission.group is not None:
        _give(path, permission, name, say)


def _set_acl(path: Path, permission: Permission, name: str) -> None:
    """The entries of the file, and the base entries that it has by its mode (A27)."""
    program = shutil.which("setfacl")
    if program is None:
        raise PermissionsError(
            "The deployment failed because of a problem with the acls permission settings in the "
            f"application specification file for this object: {name}. This machine has no setfacl"
        )
    entries = permission.acls or []
    bits = f"{path.stat().st_mode & 0o777:03o}"
    full = [entry.text for entry in entries]
    full += [f"user::{bits[0]}", f"group::{bits[1]}", f"other::{bits[2]}"]
    own = [entry for entry in entries if not entry.is_default]
    if any(entry.name for entry in own) and all(entry.kind != "mask" for entry in own):
        full.append(f"mask::{bits[1]}")
    defaults = [entry for entry in entries if entry.is_default]
    if defaults:
        for kind, bit in zip(("user", "group", "other"), bits, strict=True):
            if not any(entry.kind == kind and not entry.name for entry in defaults):
                full.append(f"default:{kind}::{bit}")
        if any(entry.name for entry in defaults) and all(e.kind != "mask" for e in defaults):
            own_group = [e.permissions for e in defaults if e.kind == "group" and not e.name]
            full.append(f"default:mask::{own_group[0] if own_group else bits[1]}")
    done = subprocess.run(
        [program, "--set", ",".join(full), str(path)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise PermissionsError(
            "The deployment failed because of a problem with the acls permission settings in the "
            f"application specification file for this object: {name}. Failed command: setfacl "
            f"--set {','.join(full)} {name}. Exit code: {done.returncode}: {done.stderr.strip()}"
        )


def _give(path: Path, permission: Permission, name: str, say: Callable[[str], None]) -> None:
    owner = _number("user", permission.owner, _user_id)
    group = _number("group", permission.group, users.group_id)
    try:
        os.chown(path, owner, group, follow_symlinks=False)
        return
    except OSError as error:
        # only root may give files away, and to those whom its user namespace has
        if error.errno not in (errno.EPERM, errno.EINVAL):
            raise
    wanted = f"{psych.text(permission.owner)}:{psych.text(permission.group)}"
    say(f"owner {wanted} of {name} is not applied in the lab")


def _user_id(name: str) -> int | None:
    user = users.find(name)
    return user.uid if user else None


def _number(kind: str, name: Any, find: Callable[[str], int | None]) -> int:
    """The id of a user or group, -1 if none is wanted."""
    if name is None or name is False:
        return -1
    if not isinstance(name, str):
        raise psych.no_text(name)
    number = find(name)
    if number is None:
        raise PermissionsError(f"can't find {kind} for {name}")  # C8
    return number
