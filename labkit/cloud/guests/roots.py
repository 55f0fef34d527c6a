"""A host's root file system: a directory of the lab, and what of this machine is seen in it.

Where bubblewrap works, the processes of a host see the host's directory as `/`: `/srv`, `/var`,
`/opt`, `/root`, `/tmp` and whatever else they make are the host's own and stay. The machine's
programs are mounted read-only at `/.machine`; `/usr`, `/bin` and the other directories of the
machine's root are links to there, and so are the entries of `/etc` and `/opt`. A link gives way to
what a deployment or a script puts in its place, and a directory of the machine becomes the host's
own, of links to what was in it, when something is installed below it. The processes share the
machine's network, and see no processes but the host's: `pkill` ends nobody else's. They end with
their instance, not with their script.

Elsewhere a host is a directory whose name its processes find in `HOST_ROOT`.

Links on a host are followed here as they are on the host: an absolute one begins at the host's
root, and `..` never leads above it. AWS has no page for this.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from labkit.cloud.guests import isolation, users
from labkit.cloud.shared import runtime

MACHINE = PurePosixPath("/.machine")
_OPENED = ("etc", "opt")  # the host's own from the start, with what the machine has in it
_OWN = ("var", "srv", "mnt", "media", "data", "www", "sys", "boot")  # not the machine's
_MADE_WITHOUT = ("root", "tmp", "run", "var", "srv", "opt", "etc")  # isolation
_MADE = (*_MADE_WITHOUT, "proc", "dev")
_MOST_LINKS = 40


def prepare(root: Path, *, isolated: bool = True) -> None:
    """Give a host the directories that it has from the start, and the links to the machine's."""
    mark = root / MACHINE.name
    if mark.exists():
        return
    for name in _MADE if isolated else _MADE_WITHOUT:
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    if isolated:
        _give_users(root)
        _link_to_machine(root)
    mark.mkdir(exist_ok=True)


def _give_users(root: Path) -> None:
    (root / "etc" / "passwd").write_text(users.passwd(), encoding="utf-8", errors="surrogateescape")
    (root / "etc" / "group").write_text(users.group(), encoding="utf-8", errors="surrogateescape")
    for user in users.made():
        home = root / user.home.lstrip("/")
        if home.parent == root / "home":
            home.mkdir(parents=True, exist_ok=True)
            if users.can_be_taken():
                with suppress(PermissionError):  # a container may have taken that from root
                    os.chown(home, user.uid, user.gid)


def _link_to_machine(root: Path) -> None:
    for path in _seen():
        own = root / path.name
        if path.is_symlink():
            _link(own, PurePosixPath(path.readlink()))
        elif path.name in _OPENED:
            _fill(own, path)
        else:
            _link(own, MACHINE / path.name)


@cache
def _seen() -> tuple[Path, ...]:
    return tuple(path for path in isolation.shared() if path.name not in _OWN)


def _fill(own: Path, machine: Path) -> None:
    for path in machine.iterdir():
        _link(own / path.name, MACHINE / path.relative_to("/"))


def _link(path: Path, target: PurePosixPath) -> None:
    with suppress(FileExistsError):
        path.symlink_to(target)


@dataclass(frozen=True)
class _Namespace:
    """A host that is on: its mounts and its process numbers, held by a process that sleeps."""

    holder: subprocess.Popen[bytes]
    pid: int  # of the namespace's first process, as this machine counts

    @property
    def enter(self) -> list[str]:
        """What goes before a command that is to run in it."""
        own = Path(f"/proc/{self.pid}/ns/user").readlink() != Path("/proc/self/ns/user").readlink()
        user = ["--user", "--preserve-credentials"] if own else []
        return ["nsenter", f"--target={self.pid}", *user, "--mount", "--pid", "--"]


_namespaces: dict[Path, _Namespace] = {}
_lock = threading.Lock()


@cache
def why_not() -> str | None:
    """Why hosts cannot have a root file system and process numbers of their own here; None if they can."""
    if isolation.bubblewrap() is None:
        return isolation.isolation().told
    if shutil.which("nsenter") is None:
        return "none (nsenter is not on this machine)"
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        prepare(root)
        try:
            done = subprocess.run(command(root, ["true"]), capture_output=True, timeout=20)
        except OSError as error:
            return f"none ({error.strerror})"
        finally:
            stop(root)
    return f"none ({done.stderr.decode(errors='replace').strip()})" if done.returncode else None


def command(root: Path, command: list[str]) -> list[str]:
    """`command` as a process on an isolated host, started in its `/`.

    Raises:
        OSError: the host cannot be switched on.
    """
    with _lock:
        known = _namespaces.get(root)
        if known is None or known.holder.poll() is not None:
            known = _namespaces[root] = _switch_on(root)
    return [*known.enter, *command]


def stop(root: Path) -> None:
    """End every process of an isolated host at once, if it is on."""
    with _lock:
        known = _namespaces.pop(root, None)
    if known is not None:
        with suppress(ProcessLookupError):
            os.kill(known.pid, signal.SIGKILL)
        known.holder.wait()


def _switch_on(root: Path) -> _Namespace:
    program = isolation.bubblewrap()
    assert program is not None
    told, tell = os.pipe()
    try:
        holder = runtime.current().processes.start(
            [
                *(program, "--unshare-pid", "--info-fd", str(tell), *_options(root)),
                *("sh", "-c", "echo on; exec sleep infinity"),
            ],
            owner=f"root/{root.name}",
            env={"PATH": os.environ.get("PATH", os.defpath)},
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[tell],
        )
    finally:
        os.close(tell)
    with os.fdopen(told) as about:
        assert holder.stdout is not None
        line = holder.stdout.readline()
        if line != b"on\n":
            raise OSError(errno.EIO, line.decode(errors="replace").strip() or "bwrap failed")
        return _Namespace(holder, json.load(about)["child-pid"])


def _options(root: Path) -> Iterator[str]:
    yield from ("--uid", "0", "--gid", "0") if os.getuid() else ()
    yield from ("--bind", str(root), "/", "--proc", "/proc", "--dev", "/dev")
    yield from _machine()
    lab = runtime.current()
    for path in dict.fromkeys((lab.state_dir, lab.guests_dir)):
        if _is_linked(path):
            yield from ("--tmpfs", f"{MACHINE}{path}")
    for path in isolation.tools():
        if not _is_linked(path):
            yield from isolation.read_only(path)
    for path in dict.fromkeys((lab.directory("tools"), lab.guest_directory("tools"))):
        # below a link of the host, a mount has to be where the link leads to
        yield from ("--ro-bind", str(path), f"{MACHINE}{path}" if _is_linked(path) else str(path))
    yield from ("--chdir", "/", "--")


@cache
def _machine() -> tuple[str, ...]:
    options = ["--tmpfs", str(MACHINE)]
    for path in _seen():
        if not path.is_symlink():
            options += ["--ro-bind", str(path), f"{MACHINE}{path}"]
    home = isolation.hidden_home()
    options += ["--tmpfs", f"{MACHINE}{home}"] if home else []
    names = Path("/run/systemd/resolve")  # where resolv.conf may lead to
    return (*options, *isolation.read_only(names), "--ro-bind-try", str(names), f"{MACHINE}{names}")


def _is_linked(path: Path) -> bool:
    return path.parts[1] in {entry.name for entry in _seen()}


def place(root: Path, absolute: str, *, follow: bool = True) -> Path:
    """Where a path of the host lies on this machine; it is never outside `root`.

    Args:
        follow: whether the last name's link is followed, as those before it are.

    Raises:
        OSError: too many links, or a name that no file system could have.
    """
    left = deque(PurePosixPath(absolute).parts)
    here, links = root, 0
    while left:
        name = left.popleft()
        if name in ("/", "//", "."):
            continue
        if name == "..":
            here = here.parent if here != root else root
            continue
        step = here / name
        if (left or follow) and step.is_symlink() and not _is_the_machines(step):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), absolute)
            target = step.readlink()
            if target.is_absolute():
                here = root
                if target.is_relative_to(root):  # of a script that was told its HOST_ROOT
                    target = target.relative_to(root)
            left.extendleft(reversed(target.parts))
            continue
        here = step
    return here


def _is_the_machines(path: Path) -> bool:
    """Whether a link leads to the machine's; a directory of it becomes one of links to what is in it."""
    target = path.readlink()
    if not target.is_relative_to(MACHINE):
        return False
    machine = Path("/") / target.relative_to(MACHINE)
    if machine.is_dir():
        path.unlink()
        path.mkdir()
        with suppress(PermissionError):  # a directory that only its owner may read
            _fill(path, machine)
    return True


def used(root: Path) -> int:
    """Bytes of the files below a directory; what vanishes meanwhile does not count."""
    total = 0
    for at, _, files in os.walk(root):
        for name in files:
            with suppress(OSError):
                total += (Path(at) / name).lstat().st_size
    return total
