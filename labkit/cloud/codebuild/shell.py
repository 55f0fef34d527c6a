"""The shell that a build's commands run in: one for the whole build (version 0.2), or one each (0.1).

A small loop in the shell reads the name of a command file, sources it, and writes a mark with its
exit status behind the command's own output, so that both come in order through one pipe. A command
that ends the shell (`exit`, `set -e`) leaves its exported variables and directory for the next one.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from labkit.cloud import runtime

# {mark} and {saved} are put in as text: a variable of ours would be in the build's environment
_LOOP = """exec 7<&0 8>&1 </dev/null
labkit_end() {
  labkit_status=$?
  export -p >{saved}/environment
  pwd >{saved}/directory
  printf '\\n%s exit %d\\n' {mark} "$labkit_status" >&8
}
trap labkit_end EXIT
if [ -f {saved}/environment ]; then
  . {saved}/environment 2>/dev/null
  cd "$(cat {saved}/directory)" 2>/dev/null
fi
while IFS= read -r labkit_command <&7; do
  . "$labkit_command" 7<&- </dev/null
  printf '\\n%s done %d\\n' {mark} "$?" >&8
done
"""
_LOOK_SECONDS = 0.2  # how often a silent command's shell is looked at
_LONGEST_LINE = 50_000  # characters; a log event has 256 KB


class Shell:
    """A build's shell.

    Args:
        name: `sh` or `bash`.
        directory: where commands start.
        scratch: a directory of the shell's own.
        env: the whole environment of the commands.
        one_session: whether state carries over from command to command.
        write: called with each line of output, without its end, as it comes.
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
        self._program = shutil.which(name, path=env.get("PATH")) or name
        self.owner, self.directory, self.scratch = owner, directory, scratch
        self.env, self.one_session, self.write = dict(env), one_session, write
        self._mark = ""
        self._process: subprocess.Popen[bytes] | None = None
        # one pipe for all shells, so that a background process keeps its output when one ends
        self._pipe: tuple[int, ...] = os.pipe()
        self._groups: set[int] = set()
        self._killed = False

    def run(self, command: str) -> int:
        """Run one command and return its exit status (128 + signal, if one ended it)."""
        path = self.scratch / "script.sh"
        path.write_text(command + "\n", encoding="utf-8")
        if self._killed:
            return 128 + signal.SIGKILL
        process = self._process or self._start()
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(f"{path}\n".encode())
            process.stdin.flush()
        status = self._read_until_done(process)
        if not self.one_session:
            self._let_go()
        return status

    def set(self, name: str, value: str) -> None:
        """Export a variable to the commands that follow."""
        self.env[name] = value
        if self._process is not None or self._saved_environment.exists():
            self.ask(f"export {name}={shlex.quote(value)}")

    def get(self, name: str) -> str | None:
        """The value of an exported variable, or None."""
        status, text = self.ask(f"printenv {shlex.quote(name)}")
        return text if status == 0 else None

    def ask(self, command: str) -> tuple[int, str]:
        """Run a command of ours in the shell; its exit status and output, which is not logged."""
        said: list[str] = []
        write, self.write = self.write, said.append
        try:
            return self.run(f"{{ {command}; }} >&8"), "\n".join(said)
        finally:
            self.write = write

    def kill(self) -> None:
        """End the shell and all in its process group, at once; any thread may call it."""
        self._killed = True
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
        if not self.one_session:
            self._saved_environment.unlink(missing_ok=True)
        self._mark = f"labkit-{uuid.uuid4()}"
        saved = shlex.quote(str(self.scratch))
        process = runtime.current().processes.start(
            [self._program, "-c", _LOOP.replace("{mark}", self._mark).replace("{saved}", saved)],
            owner=self.owner,
            # a variable that a command unset must not come back with the next shell
            env={} if self._saved_environment.exists() else self.env,
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

    @property
    def _saved_environment(self) -> Path:
        return self.scratch / "environment"

    def _let_go(self) -> None:
        """End the shell alone; what it left in the background runs on until the build ends."""
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
        lines = _Lines(self._mark)
        for block in self._blocks(process):
            for line in lines.feed(block):
                self.write(line)
            if lines.status is not None:
                break
        for line in lines.rest():
            self.write(line)
        if lines.status is None:  # killed, or replaced by `exec`
            status = process.wait()
            self._let_go()
            return status if status >= 0 else 128 - status
        if lines.shell_ended:
            self._let_go()
        return lines.status

    def _blocks(self, process: subprocess.Popen[bytes]) -> Iterator[bytes]:
        """What comes through the pipe, until the shell is gone and no more comes of it."""
        last: float | None = None
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipe[0], selectors.EVENT_READ)
            while last is None or time.monotonic() < last:
                gone = process.poll() is not None
                if gone and last is None:
                    # a background process that writes on must not hold up the build
                    last = time.monotonic() + _LOOK_SECONDS
                if selector.select(0 if gone else _LOOK_SECONDS):
                    yield os.read(self._pipe[0], 1 << 16)
                elif gone:
                    return


class _Lines:
    """Splits a command's output into lines, up to the mark that says its exit status."""

    def __init__(self, mark: str) -> None:
        self.status: int | None = None
        self.shell_ended = False
        self._mark, self._text = mark, ""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def feed(self, block: bytes) -> Iterator[str]:
        """The lines that `block` completes. The line end before the mark is the mark's own."""
        self._text += self._decode(block)
        before, found, after = self._text.partition(f"\n{self._mark} ")
        if not found and self._text.startswith(f"{self._mark} "):
            before, found, after = "", "mark", self._text.removeprefix(f"{self._mark} ")
        if found and "\n" in after:
            kind, status = after.split("\n", 1)[0].split()
            self.status, self.shell_ended = int(status), kind == "exit"
            self._text = before
            return
        *lines, self._text = self._text.split("\n")
        could_be_mark = self._mark.startswith(self._text[: len(self._mark)])
        if lines and not lines[-1] and could_be_mark:
            self._text = f"{lines.pop()}\n{self._text}"
        for line in lines:
            yield from _pieces(line)
        while len(self._text) > 2 * _LONGEST_LINE:
            piece, self._text = self._text[:_LONGEST_LINE], self._text[_LONGEST_LINE:]
            yield piece

    def rest(self) -> Iterator[str]:
        """The last line, which has no end."""
        text, self._text = self._text, ""
        if text:
            for line in text.removesuffix("\n").split("\n"):
                yield from _pieces(line)


def _pieces(line: str) -> Iterator[str]:
    line = line.removesuffix("\r")
    for start in range(0, max(len(line), 1), _LONGEST_LINE):
        yield line[start : start + _LONGEST_LINE]
