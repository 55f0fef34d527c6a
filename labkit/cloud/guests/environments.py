"""Execution environments of functions: processes that run a handler, one invocation at a time.

An environment that has answered is used again, as on AWS; two invocations at once have two. One that
timed out or died is gone. AWS pages: "Understanding the Lambda execution environment lifecycle";
"Using environment variables".
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import platform
import queue
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labkit.cloud.guests import languages, own_processes, settings
from labkit.cloud.guests.guest import Guest
from labkit.cloud.shared import runtime, threads
from labkit.cloud.shared.archives import unpack

_BOOTSTRAPS = Path(__file__).with_name("bootstrap")
_END = b"\x1e"
_IDLE_SECONDS = 60.0
_MOST_LOG = 1 << 20  # bytes that are kept of one invocation


@dataclass(frozen=True)
class Version:
    """One version of a function, as its environments need it."""

    arn: str  # with the version
    name: str
    version: str
    runtime: str
    handler: str
    code: bytes
    code_sha256: str
    variables: tuple[tuple[str, str], ...]
    timeout_seconds: float
    memory_mb: int
    region: str

    @property
    def owner(self) -> str:
        return f"function/{self.name}"

    @property
    def log_group(self) -> str:
        return f"/aws/lambda/{self.name}"


@dataclass(frozen=True)
class Outcome:
    """What an invocation came to.

    Args:
        payload: JSON.
        failed: whether it is an error's.
        log: what the handler printed.
        seconds: how long it took.
        stream: the log stream of its environment.
    """

    payload: bytes
    failed: bool
    log: bytes
    seconds: float
    stream: str


def invoke(
    version: Version, event: Any, request_id: str, keys: Callable[[], dict[str, str]]
) -> Outcome:
    """Run the handler once.

    Args:
        keys: the credentials of the function's role, as environment variables.

    Raises:
        labkit.cloud.guests.languages.RuntimeMissing: the machine has not got the runtime.
        labkit.cloud.shared.archives.ArchiveError: the code is not a zip.
    """
    environment = _take(version, keys)
    outcome = environment.invoke(event, request_id)
    if environment.alive:
        _give_back(environment)
    return outcome


def end(name: str) -> None:
    """End all environments of a function, because it was changed or deleted."""
    with _lock:
        ended = [key for key in _idle if key.name == name]
        environments = [item for key in ended for item in _idle.pop(key)]
    for environment in environments:
        environment.close()


_lock = threading.Lock()
_idle: dict[Version, list[_Environment]] = defaultdict(list)


def _take(version: Version, keys: Callable[[], dict[str, str]]) -> _Environment:
    with _lock:
        if _idle[version]:
            return _idle[version].pop()
    return _Environment(version, keys())


def _give_back(environment: _Environment) -> None:
    environment.used = time.monotonic()
    with _lock:
        _idle[environment.version].append(environment)
    threads.after(_IDLE_SECONDS + 1, _drop_idle, name="idle functions", failed=threads.logged)


def _drop_idle() -> None:
    late = time.monotonic() - _IDLE_SECONDS
    with _lock:
        old = [item for items in _idle.values() for item in items if item.used < late]
        for environment in old:
            _idle[environment.version].remove(environment)
    for environment in old:
        environment.close()


class _Environment:
    """One process with the function's code, and the pipes to it."""

    def __init__(self, version: Version, keys: dict[str, str]) -> None:
        self.version, self.used = version, time.monotonic()
        self.id = uuid.uuid4().hex
        self.stream = f"{datetime.now(UTC):%Y/%m/%d}/[{version.version}]{self.id}"
        self.directory = runtime.current().guest_directory("functions", self.id)
        self._printed: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        code = self.directory / "task"
        unpack(version.code, "zip", code)
        guest = Guest(self.directory, mounts=((code, "/var/task"),))
        guest.prepare()
        command, note = _command(version, guest)
        down, ours = os.pipe()
        theirs, up = os.pipe()
        self._events, self._answers = os.fdopen(ours, "wb"), os.fdopen(theirs, "rb")
        self.note = note
        lab = runtime.current()
        root = "/var/task" if guest.isolated else str(code)
        self.process = lab.processes.start(
            command,
            owner=version.owner,
            env={
                **self._variables(root, guest),
                **keys,
                "LABKIT_EVENTS": str(down),
                "LABKIT_ANSWERS": str(up),
            },
            cwd=code,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(down, up),
        )
        os.close(down)
        os.close(up)
        threads.start(self._listen, name=f"function {version.name}", failed=self._break_off)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def invoke(self, event: Any, request_id: str) -> Outcome:
        version, started = self.version, time.monotonic()
        limit = runtime.current().clock.work_seconds(version.timeout_seconds)
        message = {
            "event": event,
            "context": self._context(request_id),
            "deadline": int((time.time() + limit) * 1000),
        }
        timed_out = threading.Event()
        timer = threads.after(
            limit,
            lambda: self._time_out(timed_out),
            name=f"timeout of {version.name}",
            failed=self._break_off,
        )
        answer: dict[str, Any] | None = None
        try:
            self._events.write(json.dumps(message).encode() + b"\n")
            self._events.flush()
            line = self._answers.readline()
            answer = json.loads(line) if line else None
        except (OSError, ValueError):
            pass  # it died; which is told below
        finally:
            timer.cancel()
        log = self._log(request_id.encode())
        seconds = time.monotonic() - started
        if answer is None:
            self.close()
            return Outcome(
                self._died(request_id, timed_out.is_set()), True, log, seconds, self.stream
            )
        if "error" in answer:
            return Outcome(json.dumps(answer["error"]).encode(), True, log, seconds, self.stream)
        return Outcome(answer["value"].encode(), False, log, seconds, self.stream)

    def close(self) -> None:
        """End the process and remove its directory."""
        for pipe in (self._events, self._answers):
            with contextlib.suppress(OSError):
                pipe.close()
        if self.alive:
            self.process.kill()
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _time_out(self, timed_out: threading.Event) -> None:
        timed_out.set()
        self.process.kill()

    def _break_off(self, error: Exception) -> None:
        """An environment that nobody listens to, or that cannot be timed, dies: the caller is told."""
        self.process.kill()
        self._printed.put(None)

    def _died(self, request_id: str, timed_out: bool) -> bytes:
        seconds = self.version.timeout_seconds
        if timed_out:
            told = f"{request_id} Error: Task timed out after {seconds:.2f} seconds"
            return json.dumps(
                {"errorType": "Sandbox.Timedout", "errorMessage": f"RequestId: {told}"}
            ).encode()
        status = self.process.returncode
        how = f"exit status {status}" if status >= 0 else f"signal: {-status}"
        told = f"RequestId: {request_id} Error: Runtime exited with error: {how}"
        return json.dumps({"errorType": "Runtime.ExitError", "errorMessage": told}).encode()

    def _listen(self) -> None:
        """Collect what the process prints, line by line."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._printed.put(line)
        self._printed.put(None)

    def _log(self, request_id: bytes) -> bytes:
        """What was printed up to the end of this invocation."""
        kept = io.BytesIO()
        while True:
            try:
                line = self._printed.get(timeout=5)
            except queue.Empty:
                break
            if line is None:
                self._printed.put(None)
                break
            before, mark, _ = line.partition(_END)
            if kept.tell() < _MOST_LOG:
                kept.write(before)
            if mark:
                break
        return kept.getvalue()

    def _context(self, request_id: str) -> dict[str, Any]:
        version = self.version
        return {
            "awsRequestId": request_id,
            "functionName": version.name,
            "functionVersion": version.version,
            "invokedFunctionArn": version.arn,
            "memoryLimitInMB": str(version.memory_mb),
            "logGroupName": version.log_group,
            "logStreamName": self.stream,
        }

    def _variables(self, root: str, guest: Guest) -> dict[str, str]:
        version, lab = self.version, runtime.current()
        scoped = [] if guest.isolated else own_processes.before_the_machines()
        return {
            **settings.environment(),
            "PATH": os.pathsep.join([*scoped, os.environ.get("PATH", os.defpath)]),
            "HOME": guest.inside(guest.home),
            "TMPDIR": guest.inside(guest.temporary),
            "TZ": ":UTC",
            "_HANDLER": version.handler,
            "LAMBDA_TASK_ROOT": root,
            "AWS_LAMBDA_FUNCTION_NAME": version.name,
            "AWS_LAMBDA_FUNCTION_VERSION": version.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(version.memory_mb),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": version.log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": self.stream,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{version.runtime}",
            "AWS_REGION": version.region,
            "AWS_DEFAULT_REGION": version.region,
            "AWS_ENDPOINT_URL": lab.endpoint_url,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            **dict(version.variables),
        }


def _command(version: Version, guest: Guest) -> tuple[list[str], str]:
    """What runs the handler, and a line that says which runtime it is."""
    if version.runtime.startswith("nodejs"):
        found = languages.find("nodejs", version.runtime.removeprefix("nodejs").removesuffix(".x"))
        program, script = "node", "bootstrap.mjs"
    else:
        found = languages.find("python", version.runtime.removeprefix("python"))
        program, script = "python3", "bootstrap.py"
    shutil.copy(_BOOTSTRAPS / script, guest.run / script)
    inside = f"/run/{script}" if guest.isolated else str(guest.run / script)
    named = str(found.bin_dir / program) if found.bin_dir else program
    if program == "python3" and found.version == platform.python_version():
        named = sys.executable  # which has boto3, as Lambda's Python has
    return guest.command([named, inside], guest.directory / "task"), found.note
