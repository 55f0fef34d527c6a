"""The scripts of one lifecycle event, run on a host as the agent runs them (rules D1-D13).

The agent sends a script that takes too long a TERM and leaves it; here a KILL follows, so that
nothing stays behind. On an isolated host a script that a signal ended has the exit code that a shell
would report of it (137 of a KILL).

AWS page: "AppSpec 'hooks' section for an EC2/on-premises deployment"; aws-codedeploy-agent.
"""

from __future__ import annotations

import errno
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from labkit.cloud.codedeploy.agent.appspec import Script
from labkit.cloud.codedeploy.agent.scriptlog import ScriptLog
from labkit.cloud.compute.hosts import Host
from labkit.cloud.guests import users
from labkit.cloud.shared import runtime

GRACE_SECONDS = 2.0
_LONGEST_LINE = 1 << 16  # bytes; what is longer is written in pieces
_FOR_THE_SHELL = frozenset("*?{}[]<>()~&|\\$;'`\"\n#")


class ScriptError(Exception):
    """A script that failed.

    Args:
        code: an errorCode of Diagnostics: ScriptMissing, ScriptTimedOut, ScriptFailed, ...
    """

    def __init__(self, code: str, script: str, message: str) -> None:
        super().__init__(message)
        self.code, self.script, self.message = code, script, message


def run(
    host: Host,
    event: str,
    scripts: list[Script],
    archive: Path,
    env: Mapping[str, str],
    log: ScriptLog,
) -> None:
    """Run an event's scripts in order; the first failure ends it.

    Args:
        archive: the unpacked revision that the scripts are of.
        env: the whole environment of the scripts.

    Raises:
        ScriptError: what failed, as diagnostics say it.
    """
    if not scripts:
        return
    log.start_event(event)
    for script in scripts:
        location = f"{host.absolute(archive)}/{script.location}"
        path = host.path(location)
        if not path.exists():  # D3
            missing = host.name(host.path(location, follow=False))
            message = f"Script does not exist at specified location: {missing}"
            raise ScriptError("ScriptMissing", script.location, message)
        _make_executable(path, script, log)
        log.write(f"Script - {script.location}")
        _run_one(host, script, archive, env, log)


def _make_executable(path: Path, script: Script, log: ScriptLog) -> None:
    """D4: a script that is not executable is made so, with a warning."""
    if os.access(path, os.X_OK):
        return
    try:
        path.chmod(path.stat().st_mode | 0o111)
    except OSError as error:
        raise ScriptError(
            "ScriptNotExecutable",
            script.location,
            f"Unable to set script at specified location: {script.location} as executable",
        ) from error


def _run_one(
    host: Host, script: Script, archive: Path, env: Mapping[str, str], log: ScriptLog
) -> None:
    deadline = time.monotonic() + script.timeout
    prefix = f"Script at specified location: {script.location}"
    by = prefix if script.runas is None else f"{prefix} run as user {script.runas}"
    command = _command(host, script, archive)
    try:
        process = _start(host, _as_user(host, script, command, log), env)
    except OSError as error:
        raise _not_started(script, by, command, error.strerror or "") from error
    try:
        if not host.runs:
            # stopped after the event began and before there was a process to end
            _end_group(process)
            host.switch_off()
        open_output = _follow(process, log, deadline)
        if process.poll() is None:  # D5
            _end_group(process)
            raise ScriptError(
                "ScriptTimedOut",
                script.location,
                f"{prefix} failed to complete in {script.timeout} seconds",
            )
    finally:
        for pipe in (process.stdout, process.stderr):
            pipe.close()  # type: ignore[union-attr]
    if open_output:  # D8
        message = f"{prefix} failed to close {open_output}"
        raise ScriptError("ScriptFailed", script.location, message)
    status = process.wait()
    if host.isolated and status in (126, 127) and (told := _of_nsenter(log)):
        raise _not_started(script, by, command, told)
    if status != 0:  # D6, D7
        code = f" {status}" if status > 0 else " "
        raise ScriptError("ScriptFailed", script.location, f"{by} failed with exit code{code}")


def _not_started(script: Script, by: str, command: list[str], reason: str) -> ScriptError:
    """D9, in Ruby's words."""
    name = next((name for code, name in errno.errorcode.items() if os.strerror(code) == reason), "")
    message = f"{by} failed with error Errno::{name} with message {reason} - {command[0]}"
    return ScriptError("ScriptFailed", script.location, message)


def _of_nsenter(log: ScriptLog) -> str | None:
    """The reason that nsenter gave last, if it was nsenter: the script could not be started."""
    _, found, told = log.tail().rpartition("[stderr]nsenter: failed to execute ")
    return told.strip().rpartition(": ")[2] if found and told.count("\n") == 1 else None


def _command(host: Host, script: Script, archive: Path) -> list[str]:
    """The location as Ruby reads a command: words, or a line for the shell if it has its characters."""
    if _FOR_THE_SHELL.intersection(script.location):
        line = f"{shlex.quote(host.name(archive))}/{script.location}"
        return ["/bin/sh", "-c", line]
    program, *arguments = script.location.split()
    return [host.name(host.path(f"{host.absolute(archive)}/{program}")), *arguments]


def _start(host: Host, command: list[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """D12: no input, and not in the revision's directory."""

    def start(command: list[str]) -> subprocess.Popen[bytes]:
        return runtime.current().processes.start(
            host.command(command),
            owner=host.owner,
            env=env,
            cwd=host.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    try:
        return start(command)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        return start(["/bin/sh", *command])  # no `#!` line: as Ruby and execvp do


def _as_user(host: Host, script: Script, command: list[str], log: ScriptLog) -> list[str]:
    """D11: `su USER -c SCRIPT`, for which the lab has to be root and the host isolated."""
    user = script.runas
    if not user or user == "root":
        return command
    known = users.find(user)
    if known and host.isolated and users.can_be_taken():
        return ["su", user, "-c", *command]
    if not known:
        return ["sh", "-c", f'echo "su: user {user} does not exist" >&2; exit 1']
    log.write(f"runas {user} is not applied in the lab")
    return command


def _follow(process: subprocess.Popen[bytes], log: ScriptLog, deadline: float) -> str | None:
    """Write the script's output to the log until both ends are closed, or the deadline.

    A child that stays behind and keeps an output open holds the event up (D8); returns its name.
    """
    pending = {"stdout": b"", "stderr": b""}
    with selectors.DefaultSelector() as selector:
        for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
            selector.register(pipe, selectors.EVENT_READ, name)  # type: ignore[arg-type]
        while selector.get_map():
            left = deadline - time.monotonic()
            ready = selector.select(max(left, 0)) if left > 0 else []
            if not ready:
                return str(next(iter(selector.get_map().values())).data.upper())
            for key, _ in ready:
                block = os.read(key.fd, 1 << 16)
                if not block:
                    selector.unregister(key.fileobj)
                *lines, rest = (pending[key.data] + block).split(b"\n")
                if rest and (not block or len(rest) > _LONGEST_LINE):
                    lines, rest = [*lines, rest], b""
                pending[key.data] = rest
                if lines:
                    log.write(*(f"[{key.data}]{line.decode('utf-8', 'replace')}" for line in lines))
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=max(deadline - time.monotonic(), 0))
    return None


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """TERM to the script and its children, and KILL to those that are left after the grace."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline:
            process.poll()  # a leader that nobody waited for would count as left
            os.killpg(process.pid, 0)
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
