"""The Install event: the files of a revision are copied to the host, as its appspec says.

First what the last deployment of this group copied is removed; then everything is planned, so that
a conflict copies nothing; then it is copied, each path recorded for the next deployment's clean-up.
Every path is the host's, so nothing is ever written outside its root. The rule numbers (B1, ...)
are the agent's.

AWS page: "AppSpec 'files' section"; aws-codedeploy-agent, installer.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from labkit.cloud.codedeploy import permissions
from labkit.cloud.codedeploy.appspec import AppSpec
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
        labkit.cloud.codedeploy.permissions.PermissionsError: permissions that cannot be.
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
        for directory in plan.directories:
            directory.mkdir()
            done.write(f"{host.absolute(directory)}\n")
        for target, source in plan.copies.items():
            done.write(f"{host.absolute(target)}\n")  # B13: before it is copied
            done.flush()
            plan.copy(source, target)
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
    directories: dict[Path, None] = field(default_factory=dict)
    copies: dict[Path, Path] = field(default_factory=dict)

    def add(self, source_name: str, destination_name: str) -> None:
        source = Path(os.path.normpath(self.archive / source_name.lstrip("/")))
        if not source.is_relative_to(self.archive):
            raise InstallError(f"The source {source_name} leads outside the revision")
        destination = self.host.path(destination_name)
        pairs = self._pairs(source, destination)
        self._make(destination)
        for origin, target in pairs:
            if self._real(origin).is_dir():
                self._make(target)
            else:
                self._make(target.parent)
                self._add_copy(origin, target)

    def _real(self, path: Path) -> Path:
        """Where a path leads to on the host."""
        return self.host.path(self.host.absolute(path)) if path.is_symlink() else path

    def _pairs(
        self, source: Path, destination: Path, above: tuple[Path, ...] = ()
    ) -> Iterator[tuple[Path, Path]]:
        """B1, B2: a file goes into the destination, a directory's contents do.

        B17: a link to a directory is followed; the agent never comes back from a circle of them.
        """
        real = self._real(source)
        if not real.is_dir():
            yield source, destination / source.name
            return
        if real in above:
            name = self.host.name(source)
            raise InstallError(f"Too many levels of symbolic links @ dir_initialize - {name}")
        for path in sorted(real.iterdir()):
            target = self._target(destination / path.name)
            yield path, target
            if self._real(path).is_dir():
                yield from self._pairs(path, target, (*above, real))

    def _target(self, path: Path) -> Path:
        """A link on the host to one of its directories is used as that directory."""
        real = self._real(path)
        return real if real.is_dir() else path

    def _make(self, path: Path) -> None:
        """B15, B16: parents first; a directory that is there is used as it is."""
        name = self.host.name(path)
        if path in self.copies:
            raise InstallError(
                "The deployment failed because the application specification file includes an mkdir "
                f"command more than once for the same destination path ({name}) from "
                f"({self.host.name(self.copies[path])}). Update the files section of the AppSpec "
                "file, and then try again."
            )
        if path.is_dir() or path in self.directories:
            return
        if path.exists() or path.is_symlink():
            raise InstallError(f"File exists @ dir_s_mkdir - {name}")
        self._make(path.parent)
        self.directories[path] = None

    def _add_copy(self, origin: Path, target: Path) -> None:
        name, source = self.host.name(target), self.host.name(origin)
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
        if (target.exists() or target.is_symlink()) and not self._replaces(target, name):
            return
        self.copies[target] = origin

    def _replaces(self, target: Path, name: str) -> bool:
        """Whether what is there is copied over."""
        if self.behavior == "DISALLOW":  # B4
            raise InstallError(
                "The deployment failed because a specified file already exists at this location: "
                f"{name}"
            )
        if self.behavior == "OVERWRITE" and target.is_dir():
            raise InstallError(f"Is a directory @ rb_sysopen - {name}")
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
        made = [{"type": "mkdir", "directory": name(path)} for path in self.directories]
        copied = [
            {"type": "copy", "source": name(source), "destination": name(target)}
            for target, source in self.copies.items()
        ]
        return [*made, *copied]

    def copy(self, source: Path, target: Path) -> None:
        """B17: modes and times stay; a link to a file stays one. B3: here a missing source shows."""
        if not os.path.lexists(source):
            name = self.host.name(source)
            raise InstallError(f"No such file or directory @ rb_sysopen - {name}")
        self.host.has_room(source.lstat().st_size)
        target.unlink(missing_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)
