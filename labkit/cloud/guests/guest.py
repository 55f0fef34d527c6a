"""A build is a guest on the learner's machine: what it sees of it, and what it may write.

Where bubblewrap works, a build sees a root file system of its own: the machine's programs can be
read, the homes and the lab's state cannot, only the build's own directories can be written, and its
processes end with it. They lie where they do on AWS: `/codebuild`, `/root`, `/tmp`. Elsewhere a
build is only a process group with a directory, HOME and TMPDIR of its own. The log says which.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from labkit.cloud.guests import isolation, users
from labkit.cloud.guests.isolation import bubblewrap, read_only, tools
from labkit.cloud.shared import runtime

CODEBUILD, HOME, TEMPORARY = Path("/codebuild"), Path("/root"), Path("/tmp")


@dataclass(frozen=True)
class Guest:
    """One build on this machine.

    Args:
        directory: the build's own; everything it may write is below it, but for the downloads'
            caches, which all builds share.
        mounts: directories that are also seen, read-only, below `/var`.
    """

    directory: Path
    mounts: tuple[tuple[Path, str], ...] = ()

    @property
    def isolated(self) -> bool:
        return bubblewrap() is not None

    @property
    def has_users(self) -> bool:
        """Whether commands can run as another user, who would not reach the lab's own directories."""
        return self.isolated and users.can_be_taken()

    @property
    def home(self) -> Path:
        return self.directory / "home"

    @property
    def temporary(self) -> Path:
        return self.directory / "tmp"

    @property
    def run(self) -> Path:
        return self.directory / "run"

    @property
    def description(self) -> str:
        """What the log says of the isolation."""
        told = isolation.isolation().told
        if self.isolated:
            return f"Isolation: {told}; a root file system of its own, read-only but for its directories"
        return f"Isolation: {told}; a process group and a directory of its own"

    def prepare(self) -> None:
        """Make the directories that a build has from the start."""
        for path in (self.home, self.temporary, self.run):
            path.mkdir(parents=True, exist_ok=True)
        # what npm compiles at its start is looked for here, and found on a machine that stays
        compiled = self.temporary / "node-compile-cache"
        if not compiled.is_symlink():
            compiled.symlink_to(_kept()[0])

    def inside(self, path: Path) -> str:
        """The name that a path below the build's directory has for its commands."""
        if not self.isolated:
            return str(path)
        for own, name in ((self.home, HOME), (self.temporary, TEMPORARY)):
            if path.is_relative_to(own):
                return str(name / path.relative_to(own))
        return str(CODEBUILD / path.relative_to(self.directory))

    def outside(self, name: str) -> Path:
        """Where a path that a buildspec names lies; `/root`, `/tmp`, `/codebuild` and `~` are the build's."""
        path = Path(name)
        if name == "~" or name.startswith("~/"):
            return Path(os.path.normpath(self.home / name[2:]))
        path = Path(os.path.normpath(path))
        for seen, own in (
            (HOME, self.home),
            (CODEBUILD, self.directory),
            (TEMPORARY, self.temporary),
        ):
            if path.is_relative_to(seen) and not path.is_relative_to(self.directory):
                found = own / path.relative_to(seen)
                # without isolation a command's own `/tmp/...` is the machine's
                shared = seen == TEMPORARY and not self.isolated and not found.exists()
                return path if shared and path.exists() else found
        return path

    def command(self, command: list[str], start: Path) -> list[str]:
        """`command` as a guest runs it, in the directory `start`."""
        program = bubblewrap()
        if program is None:
            return command
        return [program, *self._options(start), *command]

    def _options(self, start: Path) -> Iterator[str]:
        lab = runtime.current()
        yield from ("--unshare-pid", "--die-with-parent")
        yield from ("--uid", "0", "--gid", "0") if os.getuid() else ()
        yield from _machine()
        yield from ("--proc", "/proc", "--dev", "/dev")
        for name in ("passwd", "group"):
            yield from ("--ro-bind", str(_users() / name), f"/etc/{name}")
        yield from ("--tmpfs", "/var") if self.mounts else ()
        yield from ("--bind", str(self.temporary), "/var/tmp", "--bind", str(self.run), "/run")
        for place, name in self.mounts:
            yield from ("--ro-bind", str(place), name)
        yield from read_only(Path("/run/systemd/resolve"))  # where resolv.conf may lead to
        yield from ("--bind", str(self.temporary), str(TEMPORARY))
        yield from ("--bind", str(self.home), str(HOME))
        for path in dict.fromkeys((lab.state_dir, lab.guests_dir)):
            yield from ("--tmpfs", str(path))
        for path in tools():
            yield from read_only(path)
        for path in dict.fromkeys((lab.directory("tools"), lab.guest_directory("tools"))):
            yield from read_only(path)
        for path in (*_kept(), self.directory):
            yield from ("--bind", str(path), str(path))
        yield from ("--bind", str(self.directory), str(CODEBUILD))
        yield from ("--chdir", self.inside(start), "--")


def _kept() -> list[Path]:
    """What builds leave for the builds after them: compiled programs, and what was downloaded."""
    return [runtime.current().directory("cache", name) for name in ("node", "npm", "pip")]


@cache
def _users() -> Path:
    """A directory with the files that name the users of a build."""
    place = runtime.current().guest_directory("users")
    (place / "passwd").write_text(users.passwd(), encoding="utf-8", errors="surrogateescape")
    (place / "group").write_text(users.group(), encoding="utf-8", errors="surrogateescape")
    return place


@cache
def _machine() -> tuple[str, ...]:
    """The machine's own root, entry by entry, without the homes."""
    options: list[str] = []
    for path in isolation.shared():
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), str(path)]
        else:
            options += ["--ro-bind", str(path), str(path)]
    home = isolation.hidden_home()
    return (*options, "--tmpfs", str(home)) if home else tuple(options)
