"""`pkill`, `killall`, `pgrep`, `pidof` and `fuser -k` for guests that see this machine's processes.

A hook that says `pkill node` means its host's, and would end the learner's too where there is no
isolation. These commands go before the machine's on such a guest's PATH, take the same arguments, and
reach the processes of their own guest alone. They know it by the variables that every process of it
carries. Pages: procps-ng's pgrep(1), pidof(1); psmisc's killall(1), fuser(1).
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import psutil

from labkit.cloud.guests import languages
from labkit.cloud.guests.processes import LAB, OWNER, Processes, wait_for
from labkit.cloud.shared import runtime

_MATCHED, _NONE, _USAGE = 0, 1, 2
_OPTIONS = {"killall": "eIgqrvw", "pidof": "sx"}  # those that are known here


def before_the_machines() -> list[str]:
    """The directory of these commands, which goes before others on the PATH of such a guest."""
    directory = runtime.current().guest_directory("tools", "own-processes")
    for name, (_, asked) in _COMMANDS.items():
        if shutil.which(name) and (program := shutil.which(asked)):
            command = shlex.join([sys.executable, "-I", "-m", __name__, name, program])
            languages.script(directory / name, f'exec {command} "$@"')
    return [str(directory)]


@cache
def _own() -> dict[int, psutil.Process]:
    """The processes of the guest that this one belongs to, but for this one."""
    lab, owner = os.environ.get(LAB), os.environ.get(OWNER)
    if not lab or not owner:
        raise SystemExit("labkit: a command without the guest's environment reaches no process")
    return {process.pid: process for process in Processes(Path(lab)).find(owner)}


def _pgrep(pgrep: str, arguments: list[str]) -> int:
    """The machine's pgrep, less the lines of others' processes."""
    plain, joined_by = _without_delimiter(arguments)
    counts = [one for one in plain if one in ("-c", "--count")]
    status, lines = _asked(pgrep, [one for one in plain if one not in counts])
    if counts:
        print(len(lines))
    elif lines:
        print(joined_by.join(lines))
    return status if status > _NONE else _MATCHED if lines else _NONE


def _pkill(pgrep: str, arguments: list[str]) -> int:
    number, rest = _signal(arguments)
    says = [one for one in rest if one in ("-e", "--echo")]
    others = [one for one in rest if one not in (*says, "-c", "--count")]
    status, lines = _asked(pgrep, ["-l", *others])
    for line in lines:
        pid, _, name = line.partition(" ")
        _send([_own()[int(pid)]], number)
        if says:
            print(f"{name} killed (pid {pid})")
    return status if status > _NONE else _MATCHED if lines else _NONE


def _killall(_: str, arguments: list[str]) -> int:
    number, rest = _signal(arguments)
    options, names = _options("killall", rest)
    same = re.IGNORECASE if "I" in options else 0
    status = _MATCHED
    for name in names:
        pattern = re.compile(name if "r" in options else re.escape(name), same)
        match = pattern.search if "r" in options else pattern.fullmatch
        found = _named(match)
        _send(found, number)
        if "w" in options:
            wait_for(found, 3600)
        if not found:
            status = _NONE
            if "q" not in options:
                print(f"{name}: no process found", file=sys.stderr)
    return status


def _pidof(_: str, arguments: list[str]) -> int:
    options, names = _options("pidof", arguments)
    found = [
        str(one.pid)
        for name in names
        for one in reversed(_named(re.compile(re.escape(name)).fullmatch))
    ]
    if found:
        print(" ".join(found[:1] if "s" in options else found))
    return _MATCHED if found else _NONE


def _fuser(fuser: str, arguments: list[str]) -> int:
    """The machine's fuser says who; with `-k` those of this guest are sent the signal."""
    number, rest = _signal(arguments, default=signal.SIGKILL)
    plain = [one for one in rest if one not in ("-k", "--kill", "-i", "--interactive")]
    done = subprocess.run([fuser, *plain], stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="")
    if len(plain) == len(rest):
        return done.returncode
    found = [_own()[pid] for pid in map(int, re.findall(r"\d+", done.stdout)) if pid in _own()]
    _send(found, number)
    return _MATCHED if found else _NONE


# each with the machine's command that it asks
_COMMANDS: dict[str, tuple[Callable[[str, list[str]], int], str]] = {
    "pgrep": (_pgrep, "pgrep"),
    "pkill": (_pkill, "pgrep"),
    "killall": (_killall, "killall"),
    "pidof": (_pidof, "pidof"),
    "fuser": (_fuser, "fuser"),
}


def _asked(program: str, arguments: list[str]) -> tuple[int, list[str]]:
    """The exit status of a program of the machine's, and its lines that begin with one of our pids."""
    done = subprocess.run([program, *arguments], stdout=subprocess.PIPE, text=True)
    lines = [line for line in done.stdout.splitlines() if line.partition(" ")[0].isdigit()]
    return done.returncode, [line for line in lines if int(line.partition(" ")[0]) in _own()]


def _signal(arguments: list[str], default: int = signal.SIGTERM) -> tuple[int, list[str]]:
    """The signal that the arguments name, and the other arguments."""
    number, rest, left = default, [], list(arguments)
    while left:
        one = left.pop(0)
        if one in ("-s", "--signal") and left and (known := _number(left[0])) is not None:
            number = known
            left.pop(0)
        elif one[:1] == "-" and (known := _number(re.sub("^-(-signal=)?", "", one))) is not None:
            number = known
        else:
            rest.append(one)
    return number, rest


def _number(name: str) -> int | None:
    """The number of a signal: `9`, `KILL`, `SIGKILL`."""
    if name.isdigit():
        return int(name)
    with contextlib.suppress(KeyError):
        return signal.Signals[f"SIG{name.removeprefix('SIG')}"]
    return None


def _without_delimiter(arguments: list[str]) -> tuple[list[str], str]:
    rest, joined_by, left = [], "\n", list(arguments)
    while left:
        one = left.pop(0)
        if one in ("-d", "--delimiter") and left:
            joined_by = left.pop(0)
        elif one.startswith("--delimiter="):
            joined_by = one.partition("=")[2]
        else:
            rest.append(one)
    return rest, joined_by


def _options(program: str, arguments: list[str]) -> tuple[set[str], list[str]]:
    """The letters of a command's options, and its other arguments."""
    letters = "".join(one[1:] for one in arguments if one.startswith("-"))
    unknown = set(letters) - set(_OPTIONS[program])
    if unknown:
        print(f"{program}: not in the lab: -{''.join(sorted(unknown))}", file=sys.stderr)
        raise SystemExit(_USAGE)
    return set(letters), [one for one in arguments if not one.startswith("-")]


def _named(match: Callable[[str], object]) -> list[psutil.Process]:
    """Our processes whose name, or whose program's name, matches."""
    found = []
    for process in _own().values():
        with contextlib.suppress(psutil.Error):
            program = Path((process.cmdline() or [""])[0]).name
            if match(process.name()) or match(program):
                found.append(process)
    return found


def _send(processes: Iterable[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


if __name__ == "__main__":
    _, command_name, machines_program, *given = sys.argv
    sys.exit(_COMMANDS[command_name][0](machines_program, given))
