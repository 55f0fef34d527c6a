"""The Install event: the files of a revision are copied to the host, as its appspec says.

First what the last deployment of this group copied is removed; then everything is planned, so that
a conflict copies nothing; then it is copied, each path recorded for the next deployment's clean-up.
The rule numbers (B1, C1, ...) are the agent's.

AWS page: "AppSpec 'files' section"; aws-codedeploy-agent, installer.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from labkit.cloud.codedeploy.appspec import AppSpec, Permission
from labkit.cloud.compute.hosts import Host


class InstallError(Exception):
    """An Install that cannot be done; the message is the agent's."""


def install(
    host: Host, spec: AppSpec, archive: Path, cleanup: Path, *, behavior: str, say: object
) -> None:
    """Bring the revision's files to the host.

    Args:
        archive: the unpacked revision.
        cleanup: the file that lists what this group's last Install copied.
        behavior: the deployment's fileExistsBehavior; the appspec's own wins.
        say: called with a line for the host's log.

    Raises:
        InstallError: a conflict, a missing source, or permissions that contradict each other.
        OSError: the file system refused.
    """
    _clean_up(cleanup)
    chosen = (spec.file_exists_behavior or behavior).upper()
    directories, copies = _plan(host, spec, archive, chosen)
    modes = _plan_permissions(host, spec, directories, copies)
    cleanup.parent.mkdir(parents=True, exist_ok=True)
    with cleanup.open("w", encoding="utf-8") as record:
        for directory in directories:
            directory.mkdir()
            record.write(f"{directory}\n")
        for target, source in copies.items():
            record.write(f"{target}\n")
            record.flush()
            _copy(source, target)
    for path, permission in modes.items():
        _apply(path, permission, say)


def _clean_up(cleanup: Path) -> None:
    """B10-B12: what the last Install copied goes, newest first; other files stay."""
    if not cleanup.exists():
        return
    text = cleanup.read_text(encoding="utf-8")
    for line in reversed(text.split("\n")[:-1]):
        path = Path(line)
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):
                path.rmdir()
        else:
            path.unlink(missing_ok=True)
    cleanup.unlink()


def _plan(
    host: Host, spec: AppSpec, archive: Path, behavior: str
) -> tuple[list[Path], dict[Path, Path]]:
    directories: dict[Path, None] = {}
    copies: dict[Path, Path] = {}
    for entry in spec.files:
        source = Path(os.path.normpath(archive / entry.source.lstrip("/")))
        destination = host.path(entry.destination)
        if not source.is_relative_to(archive):
            raise InstallError(f"The source {entry.source} leads outside the revision")
        pairs = _pairs(source, destination)
        _make_directory(destination, directories, copies)
        for origin, target in pairs:
            if origin.is_dir():
                _make_directory(target, directories, copies)
                continue
            _make_directory(target.parent, directories, copies)
            _plan_copy(origin, target, behavior, directories, copies)
    return list(directories), copies


def _pairs(
    source: Path, destination: Path, above: tuple[Path, ...] = ()
) -> Iterator[tuple[Path, Path]]:
    """B1, B2: a file goes into the destination, a directory's contents do.

    B17: a link to a directory is followed; the agent never comes back from a circle of them.
    """
    if not source.is_dir():
        yield source, destination / source.name
        return
    real = source.resolve()
    if real in above:
        raise InstallError(f"Too many levels of symbolic links @ dir_initialize - {source}")
    for path in sorted(source.iterdir()):
        yield path, destination / path.name
        if path.is_dir():
            yield from _pairs(path, destination / path.name, (*above, real))


def _make_directory(path: Path, directories: dict[Path, None], copies: dict[Path, Path]) -> None:
    """B15, B16: parents first; a directory that is there is used as it is."""
    if path in copies or (path.exists() and not path.is_dir()):
        raise InstallError(
            f"The deployment failed because the application specification file calls for the file {path} to be a directory too"
        )
    if path.is_dir() or path in directories:
        return
    _make_directory(path.parent, directories, copies)
    directories[path] = None


def _plan_copy(
    origin: Path,
    target: Path,
    behavior: str,
    directories: dict[Path, None],
    copies: dict[Path, Path],
) -> None:
    if target in copies:  # B14
        raise InstallError(
            "The deployment failed because the application specification file specifies two source "
            f"files named {copies[target]} and {origin} for the same destination ({target})"
        )
    if target in directories or target.is_dir():
        raise InstallError(
            f"The deployment failed because the directory {target} is in the way of a file"
        )
    if target.exists() or target.is_symlink():
        if behavior == "RETAIN":  # B6
            return
        if behavior == "DISALLOW":  # B4
            raise InstallError(
                "The deployment failed because a specified file already exists at this location: "
                f"{target}"
            )
        if behavior != "OVERWRITE":  # B8
            raise InstallError(
                f"The deployment failed because the fileExistsBehavior {behavior} is not one of "
                "DISALLOW, OVERWRITE, RETAIN"
            )
    copies[target] = origin


def _copy(source: Path, target: Path) -> None:
    """B17: modes and times stay; a link to a file stays one. B3: here a missing source is found."""
    if not os.path.lexists(source):
        raise InstallError(f"No such file or directory @ rb_sysopen - {source}")
    target.unlink(missing_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)


def _plan_permissions(
    host: Host, spec: AppSpec, directories: list[Path], copies: dict[Path, Path]
) -> dict[Path, Permission]:
    """C1-C6: which permission applies to which path of this deployment."""
    chosen: dict[Path, Permission] = {}
    for permission in spec.permissions:
        place = host.path(permission.object)
        if place in copies:
            matching = [place] if "file" in permission.type else []
            if matching:
                _check_file_permission(permission)
        else:
            matching = [
                *(path for path in copies if "file" in permission.type),
                *(path for path in directories if "directory" in permission.type),
            ]
            matching = [path for path in matching if _matches(path, place, permission)]
        for path in matching:
            if path in chosen:
                raise InstallError(
                    "The deployment failed because the permissions setting for "
                    f"({path}) is specified more than once in the application specification file"
                )
            chosen[path] = permission
    return chosen


def _check_file_permission(permission: Permission) -> None:
    """C1: patterns are for directories."""
    if permission.pattern != "**":
        raise InstallError(
            "The deployment failed because the application specification file includes an object "
            f"({permission.object}) with an invalid pattern ({permission.pattern}), such as a "
            "pattern for a file applied to a directory. Correct the permissions section of the "
            "AppSpec file, and then try again."
        )
    if permission.exclude:
        raise InstallError(
            "The deployment failed because the except parameter for a pattern in the permissions "
            f"section ({permission.exclude}) for the object named {permission.object} contains an "
            "invalid format. Update the AppSpec file, and then try again."
        )


def _matches(path: Path, place: Path, permission: Permission) -> bool:
    if not path.is_relative_to(place) or path == place:
        return False
    name = path.relative_to(place).as_posix()
    excluded = any(_globs(rule, name) for rule in permission.exclude)
    return not excluded and (permission.pattern == "**" or _globs(permission.pattern, name))


def _globs(pattern: str, name: str) -> bool:
    """C4, C5: only `*` is special, and it never stands for a `/`."""
    return bool(re.fullmatch("[^/]*".join(map(re.escape, pattern.split("*"))), name))


def _apply(path: Path, permission: Permission, say: object) -> None:
    if permission.mode:
        path.chmod(int(permission.mode, 8))
    if not (permission.owner or permission.group):
        return
    try:
        shutil.chown(path, permission.owner, permission.group)  # type: ignore[arg-type,call-overload]
    except (LookupError, PermissionError) as error:
        # A host of the lab has the machine's users, and only root may give files away.
        say(
            f"owner {permission.owner}:{permission.group} of {path} not applied in the lab: {error}"
        )  # type: ignore[operator]
