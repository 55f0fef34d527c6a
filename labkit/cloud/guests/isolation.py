"""What guests of the learner's machine see of it, where bubblewrap works: builds and hosts share this."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SWITCH = "LABKIT_ISOLATION"  # `none`: do without bubblewrap
# of the machine's root, what a guest gets anew or not at all; the homes are among it
_OWN = {"proc", "dev", "tmp", "run", "home", "root", "Users", "codebuild", "lost+found"}
_PROBE = ("--ro-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "--dev", "/dev", "true")


@cache
def bubblewrap() -> str | None:
    """The program bwrap, if it is on this machine and works."""
    program = shutil.which("bwrap")
    if program is None or os.environ.get(SWITCH, "").lower() == "none":
        return None
    done = subprocess.run([program, *_PROBE], capture_output=True, check=False, timeout=20)
    return program if done.returncode == 0 else None


@cache
def shared() -> tuple[Path, ...]:
    """The entries of the machine's root that guests may read; the homes are not among them."""
    entries = sorted(path for path in Path("/").iterdir() if path.name not in _OWN)
    return tuple(path for path in entries if path.is_symlink() or path.is_dir())


@cache
def hidden_home() -> Path | None:
    """The learner's home, if it lies in what is shared and so has to be hidden."""
    home = Path.home()
    unusual = home.parent != Path("/") and home.parent.name not in _OWN and home.is_dir()
    return home if unusual else None


@cache
def tools() -> tuple[Path, ...]:
    """What guests need of the homes: this Python and its packages, and the programs on the PATH."""
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


def read_only(path: Path) -> tuple[str, ...]:
    """bwrap's options for a directory that can be read, if it is there."""
    return ("--ro-bind-try", str(path), str(path))
