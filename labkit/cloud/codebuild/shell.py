"""The shell that a build's commands run in: one for the whole build (version 0.2), or one each (0.1).

A small loop in the shell reads the name of a command file, sources it, and writes a mark with its
exit status behind the command's own output, so that both come in order through one pipe. A command
that ends the shell (`exit`, `set -e`) leaves its exported variables and directory for the next one,
which a second loop around it starts.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import selectors
import shlex
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from labkit.cloud.guests import users
from labkit.cloud.guests.guest import Guest
from labkit.cloud.guests.processes import LAB, OWNER
from labkit.cloud.shared import runtime

# {mark}, {saved}, ... are put in as text: a variable of ours would be in the build's environment
_AROUND = """exec 7<&0 8>&1 </dev/null
while :; do
  if [ -f {saved}/environment ]; then
    env -i {marks} {shell} -c {loop}
  else
    {shell} -c {loop}
  fi
  labkit_status=$?
  if [ -e {saved}/end ]; then exit; fi
  printf '\\n%s %d\\n' {mark} "$labkit_status" >&8
done
"""
_ONE_SESSION = """labkit_end() {
  labkit_status=$?
  export -p >{saved}/environment
  pwd >{saved}/directory
  exit "$labkit_status"
}
trap labkit_end EXIT
if [ -f {saved}/environment ]; then
  . {saved}/environment 2>/dev/null
  cd "$(cat {saved}/directory)" 2>/dev/null
fi
while IFS= read -r labkit_command <&7; do
  . "$labkit_command" 7<&- </dev/null
  printf '\\n%s %d\\n' {mark} "$?" >&8
done
trap - EXIT
: >{saved}/end
"""
_SHELL_EACH = """if IFS= read -r labkit_command <&7; then
  if [ -f {saved}/exports ]; then . {saved}/exports; fi
  . "$labkit_command" 7<&- </dev/null
  exit
fi
: >{saved}/end
"""
_LOOK_SECONDS = 0.2  # how often a silent command's shell is looked at
_BLOCKS_A_LOOK = 64
_CANNOT_EXECUTE = 126  # a shell's exit status for a program that is there, but does not start
_BLOCK = 120_000  # bytes: more than that, and every block is new memory from the system


class Shell:
    """A build's shell.

    Args:
        program: what to run, with its options.
        guest: the build that it belongs to.
        directory: where commands start.
        scratch: a directory of the shell's own, below the guest's.
        env: the whole environment of the commands.
        one_session: whether state carries over from command to command.
        write: called with the bytes of the commands' output, as they come.
        user: the Linux user that runs the commands, if not the build's own (`run-as`).
    """

    def __init__(
        self,
        program: list[str],
        *,
        owner: str,
        guest: Guest,
        directory: Path,
        scratch: Path,
        env: Mapping[str, str],
        one_session: bool,
        write: Callable[[bytes], None],
        user: str | None = None,
    ) -> None:
        self._program = program
        self.owner, self.guest, self.directory, self.scratch = owner, guest, directory, scratch
        self.env, self.one_session, self.write = dict(env), one_session, write
        self.user = user
        self._mark = f"\x1elabkit-{uuid.uuid4()}".encode()  # one rare byte is found very fast
        self._process: subprocess.Popen[bytes] | None = None
        # one pipe for all shells, so that a background process keeps its output when one ends
        self._pipe: tuple[int, ...] = os.pipe()
        os.set_blocking(self._pipe[0], False)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._pipe[0], fcntl.F_SETPIPE_SZ, 1 << 20)
        self._groups: set[int] = set()
        self._killed = False

    def run(self, command: str) -> int:
        """Run one command and return its exit status (128 + signal, if one ended it)."""
        path = self.scratch / "script.sh"
        path.write_text(command + "\n", encoding="utf-8", errors="surrogateescape")
        if self._killed:
            return 128 + signal.SIGKILL
        try:
            process = self._process or self._start()
        except OSError as error:
            if error.errno != errno.E2BIG:
                raise
            # variables that are more than a program can be started with: as a shell says it
            self.write(f"{self._program[0]}: {error.strerror}\n".encode())
            return _CANNOT_EXECUTE
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(f"{self.guest.inside(path)}\n".encode())
            process.stdin.flush()
        return self._read_until_done(process)

    def set(self, name: str, value: str) -> None:
        """Export a variable to the commands that follow."""
        self.env[name] = value
        if self.one_session and self._process is not None:
            self.ask(f"export {name}={shlex.quote(value)}")
        elif not self.one_session:
            with (self.scratch / "exports").open("a", encoding="utf-8") as file:
                file.write(f"export {name}={shlex.quote(value)}\n")

    def get(self, name: str) -> str | None:
        """The value of an exported variable, or None."""
        status, text = self.ask(f"printenv {shlex.quote(name)}")
        return text if status == 0 else None

    def ask(self, command: str) -> tuple[int, str]:
        """Run a command of ours in the shell; its exit status and output, which is not logged."""
        said: list[bytes] = []
        write, self.write = self.write, said.append
        try:
            status = self.run(f"{{ {command}; }} >&8")
        finally:
            self.write = write
        return status, b"".join(said).decode("utf-8", "replace").removesuffix("\n")

    def kill(self) -> None:
        """End the shell and all in its process group, at once; any thread may call it."""
        self._killed = True
        self.interrupt()

    def interrupt(self) -> None:
        """End the running command, and the shell with it; any thread may call it."""
        for group in list(self._groups):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)

    def close(self) -> None:
        """End the shell and what it left running in its process group."""
        self.kill()
        self._let_go()
        # once only: by the second time the numbers may be some other thread's
        ends, self._pipe = self._pipe, ()
        for end in ends:
            os.close(end)

    def _start(self) -> subprocess.Popen[bytes]:
        again = (self.scratch / "environment").exists()
        process = runtime.current().processes.start(
            self.guest.command(["/bin/sh", "-c", self._script()], self.directory),
            owner=self.owner,
            # a variable that a command unset must not come back with the next shell
            env={"PATH": self.env["PATH"]} if again else self.env,
            cwd=self.directory,
            stdin=subprocess.PIPE,
            stdout=self._pipe[1],
            stderr=subprocess.STDOUT,
        )
        self._process = process
        self._groups.add(process.pid)
        if self._killed:
            self.kill()
        return process

    def _script(self) -> str:
        """The program of the outer loop, with the inner one in it."""
        marks = {LAB: str(runtime.current().state_dir), OWNER: self.owner}
        values = {
            "mark": self._mark.decode(),
            "saved": shlex.quote(self.guest.inside(self.scratch)),
            "shell": shlex.join([*self._as_user(), *self._program]),
            "marks": shlex.join(f"{name}={value}" for name, value in marks.items()),
        }
        loop = _filled(_ONE_SESSION if self.one_session else _SHELL_EACH, values)
        return _filled(_AROUND, {**values, "loop": shlex.quote(loop)})

    def _as_user(self) -> list[str]:
        """How another Linux user's shell is started."""
        known = users.find(self.user) if self.user and self.guest.has_users else None
        if known is None:
            return []
        ids = [f"--reuid={known.uid}", f"--regid={known.gid}", "--init-groups"]
        return ["setpriv", *ids]

    def _let_go(self) -> None:
        """End the shell's process, and with it, where it is isolated, all that it left running."""
        process, self._process = self._process, None
        if process is None:
            return
        # killed before its input ends: it must not write another mark
        process.kill()
        process.wait()
        if process.stdin:
            with contextlib.suppress(OSError):
                process.stdin.close()

    def _read_until_done(self, process: subprocess.Popen[bytes]) -> int:
        output = _Output(self._mark)
        for block in self._blocks(process):
            if data := output.feed(block):
                self.write(data)
            if output.status is not None:
                return output.status
        if data := output.rest():
            self.write(data)
        status = process.wait()  # the whole guest was killed
        self._let_go()
        return status if status >= 0 else 128 - status

    def _blocks(self, process: subprocess.Popen[bytes]) -> Iterator[bytes]:
        """What comes through the pipe, until the shell is gone and no more comes of it."""
        last: float | None = None
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipe[0], selectors.EVENT_READ)
            while last is None or time.monotonic() < last:
                for _ in range(_BLOCKS_A_LOOK):
                    try:
                        yield os.read(self._pipe[0], _BLOCK)
                    except BlockingIOError:
                        break
                gone = process.poll() is not None
                if gone and last is None:
                    # a background process that writes on must not hold up the build
                    last = time.monotonic() + _LOOK_SECONDS
                if not selector.select(0 if gone else _LOOK_SECONDS) and gone:
                    return


class _Output:
    """A command's output, up to the mark that says its exit status."""

    def __init__(self, mark: bytes) -> None:
        self.status: int | None = None
        self._mark = b"\n" + mark + b" "
        self._held = b""  # what may be the beginning of the mark

    def feed(self, block: bytes) -> bytes:
        """What of the output is known with `block`. The line end before the mark is the mark's."""
        data = self._held + block if self._held else block
        self._held = b""
        start = data.find(self._mark) if b"\x1e" in data else -1
        if start >= 0:
            rest = data[start + len(self._mark) :]
            end = rest.find(b"\n")
            if end >= 0:
                self.status = int(rest[:end])
                return data[:start]
            self._held = data[start:]
            return data[:start]
        last = data.rfind(b"\n", max(0, len(data) - len(self._mark)))
        if last >= 0 and self._mark.startswith(data[last:]):
            data, self._held = data[:last], data[last:]
        return data

    def rest(self) -> bytes:
        held, self._held = self._held, b""
        return held


def _filled(template: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\{(mark|saved|shell|marks|loop)\}", lambda found: values[found[1]], template)
