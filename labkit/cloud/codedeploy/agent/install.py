"""The Install event: the files of a revision are copied to the host, as its appspec says.

First what the last deployment of this group copied is removed; then everything is planned, so that
a conflict copies nothing; then it is copied, each path recorded for the next deployment's clean-up.
Every path is the host's, so nothing is ever written outside its root. The rule numbers (B1, ...)
are the agent's.

AWS page: "AppSpec 'files' section"; aws-codedeploy-agent, installer.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.cloud.codedeploy.agent import permissions, psych
from labkit.cloud.codedeploy.agent.appspec import AppSpec
from labkit.cloud.compute.hosts import Host


class InstallError(Exception):
    """An Install that cannot be done; the message is the agent's."""


def install(
    host: Host,
    spec: AppSpec,
    archive: Path,
    record: Path,
    *,
    behavior: str,
    say: Callable[[str], None],
) -> None:
    """Bring the revision's files to the host.

    Args:
        archive: the unpacked revision.
        record: the file that lists what this group's last Install copied; beside it goes what is
            done now, as `*-install.json`.
        behavior: the deployment's fileExistsBehavior; the appspec's own wins.
        say: called with a line for the host's log.

    Raises:
        InstallError: a conflict, a missing source.
        labkit.cloud.codedeploy.agent.psych.RubyError: a source or destination that is no text.
        labkit.cloud.codedeploy.agent.permissions.PermissionsError: permissions that cannot be.
        OSError: the file system refused.
    """
    record.parent.mkdir(parents=True, exist_ok=True)
    _clean_up(host, record)
    plan = _Plan(host, archive, (spec.file_exists_behavior or behavior).upper())
    for entry in spec.files:
        plan.add(entry.source, entry.destination)
    given = permissions.plan(host, spec, plan.directories, plan.copies)
    instructions = record.with_name(record.name.replace("-cleanup", "-install.json"))
    instructions.write_text(json.dumps({"instructions": plan.instructions()}), encoding="utf-8")
    with record.open("w", encoding="utf-8") as done:
        for target, source in plan.commands:
            name = host.name(target)
            if "\0" in name:
                raise InstallError(f"string contains null byte - {name!r}")
            if source is None:
                _make(target, name)
            done.write(f"{host.absolute(target)}\n")  # B13: a file before it is copied
            done.flush()
            if source is not None:
                _copy(host, source, target, slash="/" * (target in plan.no_directories))
    for path, permission in given.items():
        permissions.apply(path, permission, host.name(path), say)


def _clean_up(host: Host, record: Path) -> None:
    """B10-B12: what the last Install copied goes, newest first; other files stay."""
    if not record.exists():
        return
    text = record.read_text(encoding="utf-8")
    for line in reversed(text.split("\n")[:-1]):
        path = host.path(line, follow=False)
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):
                path.rmdir()
        else:
            path.unlink(missing_ok=True)
    record.unlink()


@dataclass
class _Plan:
    """What an Install will make and copy, in order."""

    host: Host
    archive: Path
    behavior: str
    commands: list[tuple[Path, Path | None]] = field(default_factory=list)  # no source: a directory
    directories: set[Path] = field(default_factory=set)
    copies: dict[Path, Path] = field(default_factory=dict)
    no_directories: set[Path] = field(default_factory=set)  # of sources that are named as if

    def add(self, source_name: Any, destination_name: Any) -> None:
        for name in (source_name, destination_name):
            if not isinstance(name, str):
                raise psych.no_text(name)
        source = Path(os.path.normpath(f"{self.archive}/{source_name}"))
        if not source.is_relative_to(self.archive):
            raise InstallError(f"The source {source_name} leads outside the revision")
        if destination_name.startswith("~"):
            # the agent looks for a directory of this name, and then makes what it stands for
            user = destination_name[1:].partition("/")[0]
            self._make(self.host.path(f"/home/{user}" if user else "/root"))
        found = self.host.path(destination_name)
        destination = found if found.is_dir() else self.host.path(destination_name, follow=False)
        if self._real(source).is_dir():
            self._add_ancestors(destination)
            self._add_directory(source, destination, ())
        else:
            target = destination / source.name
            self._add_ancestors(target)
            self._add_file(source, target)
            if source_name.endswith("/"):
                self.no_directories.add(target)

    def _real(self, path: Path) -> Path:
        """Where a path leads to on the host; a circle of links leads nowhere."""
        if not path.is_symlink():
            return path
        try:
            return self.host.path(self.host.absolute(path))
        except OSError:
            return path / "nowhere"

    def _exists(self, path: Path) -> bool:
        """Whether a path leads to something, if only to a file of the machine."""
        real = self._real(path)
        return real.exists() or real.is_symlink()

    def _add_ancestors(self, path: Path) -> None:
        missing = list(itertools.takewhile(lambda parent: not self._exists(parent), path.parents))
        for parent in reversed(missing):
            self._make(parent)

    def _add_directory(self, source: Path, destination: Path, above: tuple[Path, ...]) -> None:
        """B2: a directory's contents go into the destination.

        B17: a link to a directory is followed. The agent goes round a circle of them until the
        system has had enough, and never comes back from two; here either is refused.
        """
        real = self._real(source)
        if real in above:
            name = self.host.name(source)
            raise InstallError(f"Too many levels of symbolic links @ dir_initialize - {name}")
        found = self._real(destination)
        destination = found if found.is_dir() else destination
        if not destination.is_dir():
            self._make(destination)
        for path in sorted(real.iterdir()):
            if self._real(path).is_dir():
                self._add_directory(path, destination / path.name, (*above, real))
            else:
                self._add_file(path, destination / path.name)

    def _make(self, path: Path) -> None:
        """B15, B16."""
        if path in self.copies:
            name, source = self.host.name(path), self.host.name(self.copies[path])
            raise InstallError(
                "The deployment failed because the application specification file includes an mkdir "
                f"command more than once for the same destination path ({name}) from ({source}). "
                "Update the files section of the AppSpec file, and then try again."
            )
        if path not in self.directories:
            self.commands.append((path, None))
            self.directories.add(path)

    def _add_file(self, origin: Path, target: Path) -> None:
        name, source = self.host.name(target), self.host.name(origin)
        if self._exists(target) and not self._replaces(name):
            return
        if target in self.copies:  # B14
            raise InstallError(
                "The deployment failed because the application specification file specifies two "
                f"source files named {source} and {self.host.name(self.copies[target])} for the "
                f"same destination ({name}). Remove one of the source file paths from the AppSpec "
                "file, and then try again."
            )
        if target in self.directories:  # B15
            raise InstallError(
                "The deployment failed because the application specification file calls for "
                f"installing the file {source}, but a file with that name already exists at the "
                f"location ({name}). Update your AppSpec file or directory structure, and then try "
                "again."
            )
        self.commands.append((target, origin))
        self.copies[target] = origin

    def _replaces(self, name: str) -> bool:
        """Whether what is there is copied over."""
        if self.behavior == "DISALLOW":  # B4
            raise InstallError(
                "The deployment failed because a specified file already exists at this location: "
                f"{name}"
            )
        if self.behavior not in ("OVERWRITE", "RETAIN"):  # B8
            raise InstallError(
                "The deployment failed because an invalid option was specified for "
                f"fileExistsBehavior: {self.behavior}. Valid options include OVERWRITE, RETAIN, and "
                "DISALLOW."
            )
        return self.behavior == "OVERWRITE"

    def instructions(self) -> list[dict[str, str]]:
        """As the agent keeps them of its last Install (B10)."""
        name = self.host.absolute
        return [
            {"type": "mkdir", "directory": name(target)}
            if source is None
            else {"type": "copy", "source": name(source), "destination": name(target)}
            for target, source in self.commands
        ]


def _make(path: Path, name: str) -> None:
    try:
        path.mkdir()
    except OSError as error:
        raise InstallError(f"{error.strerror} @ dir_s_mkdir - {name}") from error


def _copy(host: Host, source: Path, target: Path, *, slash: str = "") -> None:
    """B17: modes and times stay; a link to a file stays one. B3: here a missing source shows.

    As `cp` does, a file goes through a link that is in its place, and into a directory.
    """
    link = source.readlink() if source.is_symlink() else None
    if host.path(host.absolute(target)).is_dir():
        target /= (link or source).name
    name, target = host.name(target), host.path(host.absolute(target), follow=link is None)
    if link is not None and os.path.lexists(target):
        raise InstallError(f"File exists @ syserr_fail2_in - {name}")
    if target.is_symlink():  # to a file of the machine
        target.unlink()
    try:
        if slash:
            (source / "it").stat()  # fails as a file with a slash does
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        host.has_room(source.lstat().st_size)
        shutil.copy2(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        is_source = slash or not os.path.lexists(source)
        wrong = f"{host.name(source)}{slash}" if is_source else name
        raise InstallError(f"{error.strerror} @ rb_sysopen - {wrong}") from error
