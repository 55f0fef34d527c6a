"""The scripts of one lifecycle event, run on a host as the agent runs them (rules D1-D16).

AWS page: "AppSpec 'hooks' section for an EC2/on-premises deployment"; aws-codedeploy-agent.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from labkit.cloud import runtime
from labkit.cloud.codedeploy.appspec import Script
from labkit.cloud.compute import hosts
from labkit.cloud.compute.hosts import Host

LOG_TAIL_BYTES = 2048


class ScriptError(Exception):
    """A script that failed.

    Args:
        code: an errorCode of Diagnostics: ScriptMissing, ScriptTimedOut, ScriptFailed, ...
    """

    def __init__(self, code: str, script: str, message: str) -> None:
        super().__init__(message)
        self.code, self.script, self.message = code, script, message


class ScriptLog:
    """`scripts.log` of one deployment on one host, and the tail that diagnostics show (D14, D16)."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._lines = path, list[str]()

    def write(self, text: str) -> None:
        line = f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}"
        with self.path.open("a", encoding="utf-8") as log:
            log.write(line + "\n")
        self._lines.append(text)

    def start_event(self, name: str) -> None:
        self._lines.clear()
        self.write(f"LifecycleEvent - {name}")

    def tail(self) -> str:
        """The last 2,048 bytes of the event's lines, cut at a line."""
        kept: list[str] = []
        size = 0
        for line in reversed(self._lines):
            size += len(line.encode()) + 1
            if size > LOG_TAIL_BYTES:
                break
            kept.append(line)
        return "\n".join(reversed(kept)) + "\n" if kept else ""


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
    deadline = time.monotonic() + sum(script.timeout for script in scripts)  # D2
    for script in scripts:
        log.write(f"Script - {script.location}")
        path = Path(os.path.normpath(archive / script.location))
        if not path.is_relative_to(archive) or not path.is_file():  # D3
            raise ScriptError(
                "ScriptMissing",
                script.location,
                f"Script does not exist at specified location: {path}",
            )
        _make_executable(path, script, log)
        _run_one(host, script, path, env, log, min(deadline, time.monotonic() + script.timeout))


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
    host: Host, script: Script, path: Path, env: Mapping[str, str], log: ScriptLog, deadline: float
) -> None:
    if script.runas and script.runas not in ("root", env.get("USER")):
        log.write(f"runas {script.runas} is not applied in the lab")
    try:
        process = runtime.current().processes.start(
            [str(path)],
            owner=host.owner,
            env=env,
            cwd=host.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:  # D9
        raise ScriptError(
            "ScriptFailed",
            script.location,
            f"Script at specified location: {script.location} failed with error "
            f"{type(error).__name__} with message {error}",
        ) from error
    if hosts.find(host.instance_id, host.region, host.account_id) is None:
        # stopped after the event began and before there was a process to end
        _end_group(process)
    open_output = _follow(process, log, deadline)
    if process.poll() is None:  # D5
        _end_group(process)
        raise ScriptError(
            "ScriptTimedOut",
            script.location,
            f"Script at specified location: {script.location} failed to complete in {script.timeout} seconds",
        )
    if open_output:  # D8
        raise ScriptError(
            "ScriptFailed",
            script.location,
            f"Script at specified location: {script.location} failed to close {open_output}",
        )
    status = process.wait()
    if status != 0:  # D6, D7
        user = f" run as user {script.runas}" if script.runas else ""
        code = f" {status}" if status > 0 else ""
        raise ScriptError(
            "ScriptFailed",
            script.location,
            f"Script at specified location: {script.location}{user} failed with exit code{code}",
        )


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
                return next(iter(selector.get_map().values())).data.upper()
            for key, _ in ready:
                block = os.read(key.fd, 1 << 16)
                if not block:
                    selector.unregister(key.fileobj)
                *lines, pending[key.data] = (pending[key.data] + block).split(b"\n")
                if not block and pending[key.data]:
                    lines, pending[key.data] = [pending[key.data]], b""
                for line in lines:
                    log.write(f"[{key.data}]{line.decode('utf-8', 'replace')}")
    try:
        process.wait(timeout=max(deadline - time.monotonic(), 0))
    except subprocess.TimeoutExpired:
        return None
    finally:
        for pipe in (process.stdout, process.stderr):
            pipe.close()  # type: ignore[union-attr]
    return None


def _end_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=5)
    except ProcessLookupError:
        return
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
