"""A build is a guest on the learner's machine: what it sees of it, and what it may write.

Where bubblewrap works, a build sees a root file system of its own: the machine's programs can be
read, the homes and the lab's state cannot, only the build's own directories can be written, and its
processes end with it. They lie where they do on AWS: `/codebuild`, `/root`, `/tmp`. Elsewhere a
build is only a process group with a directory, HOME and TMPDIR of its own. The log says which.
"""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from labkit.cloud import runtime

CODEBUILD, HOME, TEMPORARY = Path("/codebuild"), Path("/root"), Path("/tmp")
SWITCH = "LABKIT_ISOLATION"  # `none`: do without bubblewrap
# of the machine's root, what a guest gets anew or not at all; the homes are among it
_OWN = {"proc", "dev", "tmp", "run", "home", "root", "Users", "codebuild", "lost+found"}
_PROBE = ("--ro-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "--dev", "/dev", "true")


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
        return self.isolated and os.getuid() == 0

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
        if self.isolated:
            return "Isolation: bubblewrap; a root file system of its own, read-only but for its directories"
        return (
            "Isolation: a process group and a directory of its own; bubblewrap does not work here"
        )

    def prepare(self) -> None:
        """Make the directories that a build has from the start."""
        for path in (self.home, self.temporary, self.run):
            path.mkdir(parents=True, exist_ok=True)

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
                return own / path.relative_to(seen)
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
        yield from ("--tmpfs", "/var") if self.mounts else ()
        yield from ("--bind", str(self.temporary), "/var/tmp", "--bind", str(self.run), "/run")
        for place, name in self.mounts:
            yield from ("--ro-bind", str(place), name)
        yield from _read_only(Path("/run/systemd/resolve"))  # where resolv.conf may lead to
        yield from ("--bind", str(self.temporary), str(TEMPORARY))
        yield from ("--bind", str(self.home), str(HOME))
        yield from ("--tmpfs", str(lab.state_dir))
        for path in _tools():
            yield from _read_only(path)
        yield from _read_only(lab.directory("tools"))
        for path in (lab.directory("cache", "npm"), lab.directory("cache", "pip"), self.directory):
            yield from ("--bind", str(path), str(path))
        yield from ("--bind", str(self.directory), str(CODEBUILD))
        yield from ("--chdir", self.inside(start), "--")


@cache
def bubblewrap() -> str | None:
    """The program bwrap, if it is on this machine and works."""
    program = shutil.which("bwrap")
    if program is None or os.environ.get(SWITCH, "").lower() == "none":
        return None
    done = subprocess.run([program, *_PROBE], capture_output=True, check=False, timeout=20)
    return program if done.returncode == 0 else None


@cache
def _machine() -> tuple[str, ...]:
    """The machine's own root, entry by entry, without the homes."""
    options: list[str] = []
    for path in sorted(Path("/").iterdir()):
        if path.name in _OWN:
            continue
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            options += ["--ro-bind", str(path), str(path)]
    home = Path.home()
    if home.parent != Path("/") and home.parent.name not in _OWN and home.is_dir():
        options += ["--tmpfs", str(home)]
    return tuple(options)


@cache
def _tools() -> tuple[Path, ...]:
    """What builds need of the homes: this Python and its packages, and the programs on the PATH."""
    import labkit

    wanted = [Path(sys.prefix), Path(sys.base_prefix), Path(labkit.__file__).parent]
    wanted += [Path(name) for name in site.getsitepackages()]
    for name in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = Path(name)
        if not name or not path.is_absolute() or not path.is_dir():
            continue
        wanted.append(path.parent if path.name in ("bin", "shims") else path)
        wanted += [_installation(program) for program in _linked_out(path)]
    hidden = {Path("/"), Path.home(), Path.home() / ".local"}
    return tuple(dict.fromkeys(path for path in wanted if path not in hidden and path.is_dir()))


def _linked_out(directory: Path) -> Iterator[Path]:
    """The programs of a directory of the homes that are links to somewhere else."""
    if not any(directory.is_relative_to(home) for home in (Path.home(), Path("/home"))):
        return
    for path in directory.iterdir():
        if path.is_symlink() and not path.resolve().is_relative_to(directory.parent):
            yield path.resolve()


def _installation(program: Path) -> Path:
    """The directory that a program is installed in: above its `bin`."""
    return program.parent.parent if program.parent.name == "bin" else program.parent


def _read_only(path: Path) -> tuple[str, ...]:
    return ("--ro-bind-try", str(path), str(path))
