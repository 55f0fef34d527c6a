"""Every process the local AWS starts, so that each can be found again and ended (rule R6).

A process carries two variables in its environment: `LABKIT_LAB` names the state directory and
`LABKIT_OWNER` what it works for (`build/<id>`, `host/<instance id>`). A daemon that a hook leaves
behind inherits both, so it is found by its environment when its parent is long gone.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

LAB, OWNER = "LABKIT_LAB", "LABKIT_OWNER"
_LONGEST_EXEC = 5.0  # seconds
JUPYTERLAB = "jupyterlab"  # the owner of the JupyterLab that `labkit lab` opened


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class Processes:
    """The processes of the lab whose state directory is `state_dir`."""

    state_dir: Path

    def start(
        self,
        command: Sequence[str],
        *,
        owner: str,
        env: Mapping[str, str],
        cwd: Path,
        **popen: Any,
    ) -> subprocess.Popen[bytes]:
        """Start `command` in a session of its own; from here on `find` finds it.

        Args:
            env: its whole environment but our two marks.

        Raises:
            OSError: the command cannot be run.
        """
        marked = {**env, LAB: str(self.state_dir), OWNER: owner}
        process = subprocess.Popen(command, env=marked, cwd=cwd, start_new_session=True, **popen)
        _await_environment(process.pid)
        return process

    def find(self, owner: str | None = None, *, but_not: str | None = None) -> list[psutil.Process]:
        """The live processes of this lab, or those of one owner, or those of all but one.

        Those in the sessions of the ones that carry the marks are among them: a command that clears
        its environment has lost its own.
        """
        others = [process for process in psutil.process_iter() if process.pid != os.getpid()]
        found = [process for process in others if self._is_ours(process, owner, but_not)]
        # a learner's terminal is not the lab's because JupyterLab was started from it
        marked = [process for process in found if _owner(process) != JUPYTERLAB]
        sessions = {_session(process) for process in marked} - {None}
        rest = set(others).difference(found) if sessions else ()
        return found + [one for one in rest if _session(one) in sessions and _runs(one)]

    def end(
        self, owner: str | None = None, *, but_not: str | None = None, grace_seconds: float = 3.0
    ) -> int:
        """End the processes of `owner` (all of the lab's, if not given): TERM, then KILL.

        Returns how many were ended. A process that starts another while it dies is looked for
        again, until none is left.
        """
        ended = 0
        for _ in range(5):
            found = self.find(owner, but_not=but_not)
            if not found:
                break
            ended += len(found)
            _end(found, grace_seconds)
        return ended

    def _is_ours(self, process: psutil.Process, owner: str | None, but_not: str | None) -> bool:
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            environ = process.environ()
            return (
                environ.get(LAB) == str(self.state_dir)
                and owner in (None, environ.get(OWNER))
                and (but_not is None or environ.get(OWNER) != but_not)
            )
        return False


def _await_environment(pid: int) -> None:
    """Return when a process that was just started shows its environment, or has ended.

    Linux reports that exec has succeeded a moment before the new program's environment can be read.
    """
    with contextlib.suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        deadline = time.monotonic() + _LONGEST_EXEC
        while _runs(process) and not process.environ() and time.monotonic() < deadline:
            time.sleep(0.0005)


def _owner(process: psutil.Process) -> str | None:
    with contextlib.suppress(psutil.Error, OSError):
        return process.environ().get(OWNER)
    return None


def _session(process: psutil.Process) -> int | None:
    with contextlib.suppress(OSError):
        return os.getsid(process.pid)
    return None


def _end(processes: Iterable[psutil.Process], grace_seconds: float) -> None:
    processes = list(processes)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    for process in wait_for(processes, grace_seconds):
        with contextlib.suppress(psutil.Error):
            process.kill()
    wait_for(processes, grace_seconds)


def wait_for(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until the processes have ended, `seconds` at most; returns those that have not.

    One that has ended and that nobody has collected yet (in a container without an init nobody
    ever does) has ended.
    """
    deadline = time.monotonic() + seconds
    alive = [process for process in processes if _runs(process)]
    while alive and time.monotonic() < deadline:
        time.sleep(0.02)
        alive = [process for process in alive if _runs(process)]
    return alive


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
