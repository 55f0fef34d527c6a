"""The shell that a build's commands run in: one for the whole build (version 0.2), or one each (0.1).

A small loop in the shell reads the name of a command file, sources it, and writes a mark with its
exit status behind the command's own output, so that both come in order through one pipe. A command
that ends the shell (`exit`, `set -e`) leaves its exported variables and directory for the next one.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from labkit.cloud import runtime

_LOOP = """
exec 8>&1
trap 'labkit_status=$?; export -p >"$LABKIT_SAVED/environment"; pwd >"$LABKIT_SAVED/directory"; printf "%s exit %d\\n" "$LABKIT_MARK" "$labkit_status" >&8' EXIT
[ -f "$LABKIT_SAVED/environment" ] && . "$LABKIT_SAVED/environment"
[ -f "$LABKIT_SAVED/directory" ] && cd "$(cat "$LABKIT_SAVED/directory")"
while IFS= read -r labkit_command; do
  . "$labkit_command" </dev/null
  printf '%s done %d\\n' "$LABKIT_MARK" "$?" >&8
done
"""
_POLL_SECONDS = 0.25
_LONGEST_LINE = 200_000


class Shell:
    """A build's shell.

    Args:
        name: `sh` or `bash`.
        one_session: whether state carries over from command to command.
        write: called with each line of output, without its end.
    """

    def __init__(
        self,
        name: str,
        *,
        owner: str,
        directory: Path,
        scratch: Path,
        env: Mapping[str, str],
        one_session: bool,
        write: Callable[[str], None],
    ) -> None:
        self.name, self.owner, self.directory, self.scratch = name, owner, directory, scratch
        self.env, self.one_session, self.write = dict(env), one_session, write
        self._mark = f"labkit-{uuid.uuid4()}"
        self._process: subprocess.Popen[bytes] | None = None
        self._pending = b""
        self._count = 0

    def run(self, command: str) -> int:
        """Run one command and return its exit status (128 + signal, if one ended it)."""
        self._count += 1
        path = self.scratch / f"command-{self._count}.sh"
        path.write_text(command + "\n", encoding="utf-8")
        if self._process is None:
            self._start()
        process = self._process
        assert process is not None and process.stdin is not None
        process.stdin.write(f"{path}\n".encode())
        process.stdin.flush()
        status = self._read_until_done()
        if not self.one_session:
            self.close()
        return status

    def set(self, name: str, value: str) -> None:
        """Export a variable to the commands that follow."""
        self.env[name] = value
        if self._process is not None:
            self._quiet(f"export {name}='{value}'")

    def get(self, name: str) -> str | None:
        """The value of an exported variable, or None."""
        if self._process is None and not (self.scratch / "environment").exists():
            return self.env.get(name)
        found: list[str] = []
        write, self.write = self.write, found.append
        try:
            status = self.run(f"printenv {name}")
        finally:
            self.write = write
        return "\n".join(found) if status == 0 else None

    def close(self) -> None:
        """Let go of the shell; what it left running is ended by its owner mark."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _quiet(self, command: str) -> None:
        write, self.write = self.write, lambda line: None
        try:
            self.run(command)
        finally:
            self.write = write

    def _start(self) -> None:
        marks = {"LABKIT_MARK": self._mark, "LABKIT_SAVED": str(self.scratch)}
        if not self.one_session:
            (self.scratch / "environment").unlink(missing_ok=True)
            (self.scratch / "directory").unlink(missing_ok=True)
        self._process = runtime.current().processes.start(
            [self.name, "-c", _LOOP],
            owner=self.owner,
            env={**self.env, **marks},
            cwd=self.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._pending = b""

    def _read_until_done(self) -> int:
        process = self._process
        assert process is not None and process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if not selector.select(_POLL_SECONDS):
                    if process.poll() is None:
                        continue
                    return self._ended(process)  # killed, or replaced itself by exec
                block = os.read(process.stdout.fileno(), 1 << 16)
                if not block:
                    return self._ended(process)
                status = self._take(block)
                if status is not None:
                    return status

    def _take(self, block: bytes) -> int | None:
        """Write the complete lines of the output so far; the status, if the mark is among them."""
        *lines, self._pending = (self._pending + block).split(b"\n")
        for line in lines:
            text = line.decode("utf-8", "replace")
            before, found, after = text.partition(self._mark)
            if found:
                if before:
                    self._write(before)
                kind, status = after.split()
                if kind == "exit":
                    self.close()
                return int(status)
            self._write(text)
        while len(self._pending) > _LONGEST_LINE:
            head, self._pending = self._pending[:_LONGEST_LINE], self._pending[_LONGEST_LINE:]
            self._write(head.decode("utf-8", "replace"))
        return None

    def _ended(self, process: subprocess.Popen[bytes]) -> int:
        if self._pending:
            self._write(self._pending.decode("utf-8", "replace"))
            self._pending = b""
        status = process.wait()
        self.close()
        return status if status >= 0 else 128 - status

    def _write(self, text: str) -> None:
        text = text.removesuffix("\r")
        for start in range(0, max(len(text), 1), _LONGEST_LINE):
            self.write(text[start : start + _LONGEST_LINE])
